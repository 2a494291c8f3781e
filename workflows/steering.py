"""Steering runs: pausing, resuming, cancelling and terminating one run, or all that fit a filter."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from uuid import UUID

from workflows.errors import RunEnded
from workflows.history.control import ControlStore
from workflows.history.runs import RunStore
from workflows.publisher import Publisher
from workflows.states import RunStatus
from workflows.wakeup import Wakeups


class Action(StrEnum):
    """What can be asked of a run, and how a message says that it was."""

    PAUSE = "paused"
    RESUME = "resumed"
    CANCEL = "cancelled"
    TERMINATE = "terminated"

    def applies_to(self, status: RunStatus) -> bool:
        """Return whether this would change a run of that status."""
        if self is Action.PAUSE:
            return status in (RunStatus.PENDING, RunStatus.RUNNING)
        if self is Action.RESUME:
            return status is RunStatus.PAUSED
        return not status.is_terminal


class Steering:
    """Applies actions. Each is idempotent: what is so already stays so."""

    def __init__(self, store: ControlStore, runs: RunStore, publisher: Publisher, wakeups: Wakeups) -> None:
        self._store = store
        self._runs = runs
        self._publisher = publisher
        self._wakeups = wakeups

    def steer(self, action: Action, run_id: UUID, reason: str | None = None) -> None:
        """Apply an action to one run.

        Raises:
            UnknownRun: there is no such run.
            RunEnded: the run has ended, and not by this action.
        """
        if not self.steer_all(action, [run_id], reason):
            status = self._runs.status(run_id)
            if status.is_terminal and status.value != action.value:
                raise RunEnded(run_id=run_id, status=status.value, action=action.value)

    def retry(self, run_id: UUID, timeout: float) -> None:
        """Let a failed run go on from its failed steps.

        Raises:
            UnknownRun: there is no such run.
            RunEnded: the run has not failed.
        """
        if not self._store.retry(run_id, timeout):
            raise RunEnded(run_id=run_id, status=self._runs.status(run_id).value, action="retried")
        self._dispatch([run_id])

    def steer_all(self, action: Action, run_ids: Collection[UUID], reason: str | None = None) -> set[UUID]:
        """Apply an action to the runs for which it means something; return those that it changed."""
        if action is Action.PAUSE:
            return self._store.pause(run_ids)
        if action is Action.RESUME:
            changed = self._store.resume(run_ids)
            self._dispatch(changed)
            return changed
        changed = self._store.end(run_ids, RunStatus(action.value), reason)
        for run_id in changed:
            self._wakeups.wake(run_id)
        return changed

    def _dispatch(self, run_ids: Collection[UUID]) -> None:
        for (run_id, definition), ready in self._store.ready(run_ids).items():
            graph = self._runs.graph(definition)
            self._publisher.dispatch(graph, run_id, graph.ancestors(ready), ready)
