"""A handle on a run."""

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
    """An execution of a workflow. Each property and method queries the database.

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
        """The run's status now.

        Raises:
            UnknownRun: the transaction that starts it has not committed.
        """
        return self._services.stores.runs.status(self.id)

    def view(self, *, steps: bool = True) -> RunView:
        """Return the run with its times and error, and by default with its steps."""
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
            view: An earlier view of the run, with its steps; None reads the run.
        """
        return self._services.explain(self.view() if view is None else view)

    def pause(self) -> None:
        """Pause the run, unless it is paused: running steps finish, no step starts.

        Raises:
            InvalidRunState: the run has ended, or is compensating.
        """
        self._services.control.control(Action.PAUSE, self.id)

    def resume(self) -> None:
        """Resume the run at once, if it is paused.

        Raises:
            InvalidRunState: the run has ended, or is compensating.
        """
        self._services.control.control(Action.RESUME, self.id)

    def cancel(self, reason: str | None = None) -> None:
        """Cancel the run, unless it is cancelled.

        Running steps are asked to stop, and no step starts. A saga is compensated
        first.

        Raises:
            InvalidRunState: the run has ended otherwise.
        """
        self._services.control.control(Action.CANCEL, self.id, reason)

    def terminate(self, reason: str | None = None) -> None:
        """Terminate the run at once.

        Workers kill the processes that run its steps, where their pool can.

        Raises:
            InvalidRunState: the run has ended otherwise.
        """
        self._services.control.control(Action.TERMINATE, self.id, reason)

    def retry(self) -> None:
        """Retry a failed run from its failed steps. Completed steps do not run again.

        Raises:
            InvalidRunState: the run has not failed, so no step can be retried.
        """
        self._services.control.retry(self.id)

    def fork(self, from_step: str, *, version: str | None = None) -> Run[Any]:
        """Start a new run with the same input that reuses the results before a step.

        Args:
            from_step: The name of the step to run again, with all its dependents.
            version: The version of the workflow; None takes the graph of this run.

        Raises:
            DefinitionError: there is no such step.
            UnknownWorkflow: this process has no such version.
        """
        forked = self._services.fork(self.id, from_step, version)
        view = self._services.stores.reader.run(forked, steps=False)
        return Run(self._services, forked, self._services.decoder_of(view))

    def wait(self, timeout: float | None = None) -> RunStatus:
        """Wait for the run to end and return its status.

        Args:
            timeout: Seconds to wait at most; None waits until the run ends.

        Raises:
            ResultTimeout: the run has not ended by then, and continues.
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
        """Wait for the run to end and return its result.

        The result has the type that the workflow is annotated with.

        Args:
            timeout: Seconds to wait at most; None waits until the run ends.

        Raises:
            RunFailed: the run failed. The error's ``type`` and ``reason`` are those of
                the step, for you to read; its ``public_message`` is for anybody.
            ResultTimeout: the run has not ended by then, and continues.
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
