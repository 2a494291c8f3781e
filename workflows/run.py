"""A handle on one run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from workflows.errors import ResultTimeout, RunFailed
from workflows.events import Event
from workflows.states import RunStatus
from workflows.views import RunView, StepView

if TYPE_CHECKING:
    from workflows.client import Client

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
            RunFailed: the run failed; the error's ``type`` and ``reason`` are those of the step's.
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
                reason=f"step {error.step!r} raised {error.type}: {error.message}" if error else "no error is recorded",
            )
        text = self._client.reader.result(self.id)
        return self._decode("null" if text is None else text)

    def result_json(self, timeout: float | None = None) -> Any:
        """Return the result as plain JSON data; otherwise as ``result``."""
        return Run(self._client, self.id).result(timeout)
