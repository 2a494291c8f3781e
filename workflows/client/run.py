"""A handle on one run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from celeriac.workflows.client.control import Action
from celeriac.workflows.client.explain import Reason
from celeriac.workflows.engine.events import Event
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.engine.views import ErrorView, RunView, StepView
from celeriac.workflows.errors import ResultTimeout, RunFailed

if TYPE_CHECKING:
    from celeriac.workflows.client.client import Client

R = TypeVar("R")


class Run(Generic[R]):
    """One execution of a workflow. Each property and method asks the database anew.

    Attributes:
        id: The run's id.
    """

    def __init__(self, client: Client, run_id: UUID, decode: Callable[[str], R] = json.loads) -> None:
        self.id = run_id
        self._client = client
        self._decode = decode

    def __repr__(self) -> str:
        return f"<Run {self.id}>"

    @property
    def status(self) -> RunStatus:
        """The run's state now.

        Raises:
            UnknownRun: the transaction that starts it has not committed.
        """
        return self._client.runs.status(self.id)

    def view(self, *, steps: bool = True) -> RunView:
        """Return all there is to see of the run."""
        return self._client.reader.run(self.id, steps=steps)

    def steps(self) -> tuple[StepView, ...]:
        """Return the run's steps in the order in which the workflow names them."""
        return self.view().steps

    def history(self) -> list[Event]:
        """Return the run's events in order."""
        return self._client.reader.events(self.id)

    def explain(self) -> tuple[Reason, ...]:
        """Return why each step that has not run to its end has not."""
        return self._client.explain(self.view())

    def pause(self) -> None:
        """Pause the run: what runs finishes, nothing new starts. A paused run stays paused.

        Raises:
            RunEnded: the run has ended.
        """
        self._client.control.steer(Action.PAUSE, self.id)

    def resume(self) -> None:
        """Let the run go on at once, if it is paused.

        Raises:
            RunEnded: the run has ended.
        """
        self._client.control.steer(Action.RESUME, self.id)

    def cancel(self, reason: str | None = None) -> None:
        """End the run: steps that run are asked to stop, nothing new starts. A cancelled run stays cancelled.

        Raises:
            RunEnded: the run has ended otherwise.
        """
        self._client.control.steer(Action.CANCEL, self.id, reason)

    def terminate(self, reason: str | None = None) -> None:
        """End the run at once: workers kill processes that run its steps, where their pool can.

        Raises:
            RunEnded: the run has ended otherwise.
        """
        self._client.control.steer(Action.TERMINATE, self.id, reason)

    def retry(self) -> None:
        """Let a failed run go on from its failed steps. Completed steps are not run again.

        Raises:
            RunEnded: the run has not failed, so there is nothing to retry.
        """
        self._client.retry(self.id)

    def fork(self, from_step: str, *, version: str | None = None) -> Run[Any]:
        """Start a new run with the same input that reuses the results of all steps before one.

        Args:
            from_step: The name of the step to run anew, with everything that depends on it.
            version: Of the workflow; by default the very graph of this run.

        Raises:
            DefinitionError: there is no such step.
            UnknownWorkflow: this process does not know that version.
        """
        return self._client.fork(self.id, from_step, version=version)

    def wait(self, timeout: float | None = None) -> RunStatus:
        """Wait for the run to end and return the state it ended in.

        Args:
            timeout: Seconds to wait at most; None waits for as long as it takes.

        Raises:
            ResultTimeout: it has not ended by then. The run goes on.
        """
        until = None if timeout is None else time.monotonic() + timeout
        with self._client.wakeups.listening(self.id) as waiter:
            while not (status := self.status).is_terminal:
                left = 3600.0 if until is None else until - time.monotonic()
                if left <= 0:
                    raise ResultTimeout(run_id=self.id, status=status, seconds=timeout)
                waiter.wait(left)
        return status

    def result(self, timeout: float | None = None) -> R:
        """Wait for the run to end and return what its workflow returns, as the type it is annotated with.

        Args:
            timeout: Seconds to wait at most; None waits for as long as it takes.

        Raises:
            RunFailed: the run failed; the error's ``type`` and ``reason`` are those of the step's, for you to read,
                and its ``public_message`` is one for anybody.
            ResultTimeout: it has not ended by then. The run goes on.
        """
        status = self.wait(timeout)
        if status is not RunStatus.COMPLETED:
            view = self.view(steps=False)
            error = view.error
            raise RunFailed(
                run_id=self.id,
                workflow=view.workflow,
                status=status,
                step=error and error.step,
                type=error and error.type,
                reason=_describe(error),
                public_message="The run failed." if error is None else error.public_message,
            )
        text = self._client.reader.result(self.id)
        return self._decode("null" if text is None else text)

    def result_json(self, timeout: float | None = None) -> Any:
        """Return the result as plain JSON data; otherwise as ``result``."""
        return Run(self._client, self.id).result(timeout)


def _describe(error: ErrorView | None) -> str:
    if error is None:
        return "no error is recorded"
    if error.step is None:
        return error.message
    return f"step {error.step!r} raised {error.type}: {error.message}"
