"""A handle on one run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from uuid import UUID

from celeriac.workflows.client.control import Action
from celeriac.workflows.client.explain import Reason
from celeriac.workflows.client.services import Services
from celeriac.workflows.engine.events import Event
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.engine.views import ErrorView, RunView, StepView
from celeriac.workflows.errors import ResultTimeout, RunFailed

R = TypeVar("R")

LONGEST_WAIT_SECONDS = 3_600.0


class Run(Generic[R]):
    """One execution of a workflow. Each property and method asks the database anew.

    Attributes:
        id: The run's id.
    """

    def __init__(self, services: Services, run_id: UUID, decode: Callable[[str], R] = json.loads) -> None:
        self.id = run_id
        self._services = services
        self._decode = decode

    def __repr__(self) -> str:
        return f"<Run {self.id}>"

    @property
    def status(self) -> RunStatus:
        """The run's state now.

        Raises:
            UnknownRun: the transaction that starts it has not committed.
        """
        return self._services.stores.runs.status(self.id)

    def view(self, *, steps: bool = True) -> RunView:
        """Return the run with its times, its error, and its steps unless they are not wanted."""
        return self._services.stores.reader.run(self.id, steps=steps)

    def steps(self) -> tuple[StepView, ...]:
        """Return the run's steps in the order in which the workflow calls them."""
        return self.view().steps

    def history(self) -> list[Event]:
        """Return the run's events in order."""
        return self._services.stores.reader.events(self.id)

    def explain(self, view: RunView | None = None) -> tuple[Reason, ...]:
        """Return a reason for each step that has not run to its end.

        Args:
            view: The run as last seen, with its steps; None looks anew.
        """
        return self._services.explain(self.view() if view is None else view)

    def pause(self) -> None:
        """Pause the run: running steps finish, no step starts. A paused run stays paused.

        Raises:
            InvalidRunState: the run has ended, or is compensating.
        """
        self._services.control.control(Action.PAUSE, self.id)

    def resume(self) -> None:
        """Let the run go on at once, if it is paused.

        Raises:
            InvalidRunState: the run has ended, or is compensating.
        """
        self._services.control.control(Action.RESUME, self.id)

    def cancel(self, reason: str | None = None) -> None:
        """End the run: running steps are asked to stop, no step starts. A cancelled run stays cancelled.

        Raises:
            InvalidRunState: the run has ended otherwise.
        """
        self._services.control.control(Action.CANCEL, self.id, reason)

    def terminate(self, reason: str | None = None) -> None:
        """End the run at once: workers kill processes that run its steps, where their pool can.

        Raises:
            InvalidRunState: the run has ended otherwise.
        """
        self._services.control.control(Action.TERMINATE, self.id, reason)

    def retry(self) -> None:
        """Let a failed run go on from its failed steps. Completed steps are not run again.

        Raises:
            InvalidRunState: the run has not failed, so there is nothing to retry.
        """
        self._services.control.retry(self.id)

    def fork(self, from_step: str, *, version: str | None = None) -> Run[Any]:
        """Start a new run with the same input that reuses the results of all steps before a given step.

        Args:
            from_step: The name of the step to run anew, with all its dependents.
            version: Of the workflow; by default the very graph of this run.

        Raises:
            DefinitionError: there is no such step.
            UnknownWorkflow: this process does not know that version.
        """
        forked = self._services.fork(self.id, from_step, version)
        view = self._services.stores.reader.run(forked, steps=False)
        return Run(self._services, forked, self._services.decoder_of(view))

    def wait(self, timeout: float | None = None) -> RunStatus:
        """Wait for the run to end and return the state it ended in.

        Args:
            timeout: Seconds to wait at most; None waits until the run ends.

        Raises:
            ResultTimeout: it has not ended by then. The run goes on.
        """
        until = None if timeout is None else time.monotonic() + timeout
        with self._services.dispatch.wakeups.listening(self.id) as waiter:
            while not (status := self.status).is_terminal:
                left = LONGEST_WAIT_SECONDS if until is None else until - time.monotonic()
                if left <= 0:
                    raise ResultTimeout(run_id=self.id, status=status, seconds=timeout)
                waiter.wait(left)
        return status

    def result(self, timeout: float | None = None) -> R:
        """Wait for the run to end and return the result of its workflow, as the type it is annotated with.

        Args:
            timeout: Seconds to wait at most; None waits until the run ends.

        Raises:
            RunFailed: the run failed; the error's ``type`` and ``reason`` are those of the step's, for you to read,
                and its ``public_message`` is for anybody.
            ResultTimeout: it has not ended by then. The run goes on.
        """
        return self._decode(self._result_text(timeout))

    def result_json(self, timeout: float | None = None) -> Any:
        """Return the result as plain JSON data; otherwise as ``result``."""
        return json.loads(self._result_text(timeout))

    def _result_text(self, timeout: float | None) -> str:
        status = self.wait(timeout)
        if status is not RunStatus.COMPLETED:
            raise _failure(self.view(steps=False))
        text = self._services.stores.reader.result(self.id)
        return "null" if text is None else text


def _failure(view: RunView) -> RunFailed:
    error = view.error
    return RunFailed(
        run_id=view.id,
        workflow=view.workflow,
        status=view.status,
        step=error and error.step,
        type=error and error.type,
        reason=_describe(error),
        public_message="The run failed." if error is None else error.public_message,
    )


def _describe(error: ErrorView | None) -> str:
    if error is None:
        return "no error is recorded"
    if error.step is None:
        return error.message
    return f"step {error.step!r} raised {error.type}: {error.message}"
