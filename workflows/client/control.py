"""Steering runs: pausing, resuming, cancelling and terminating one run, or all that fit a filter."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from uuid import UUID

from celeriac.workflows.dispatch.follow_up import FollowUp
from celeriac.workflows.dispatch.wakeups import Wakeups
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.errors import InvalidRunState
from celeriac.workflows.history.control import ControlStore
from celeriac.workflows.history.runs import RunStore
from celeriac.workflows.history.transitions import TransitionStore


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
        if self is Action.CANCEL:  # what is being undone is on its way out already
            return not status.is_terminal and status is not RunStatus.COMPENSATING
        return not status.is_terminal


class RunControl:
    """Applies actions. Each is idempotent: what is so already stays so."""

    def __init__(
        self,
        *,
        store: ControlStore,
        transitions: TransitionStore,
        runs: RunStore,
        follow_up: FollowUp,
        wakeups: Wakeups,
    ) -> None:
        self._store = store
        self._transitions = transitions
        self._runs = runs
        self._follow_up = follow_up
        self._wakeups = wakeups

    def steer(self, action: Action, run_id: UUID, reason: str | None = None) -> None:
        """Apply an action to one run.

        Raises:
            UnknownRun: there is no such run.
            RunEnded: the run has ended, and not by this action; or it is being undone, and cannot be paused.
        """
        if self.steer_all(action, [run_id], reason):
            return
        status = self._runs.status(run_id)
        undone = status is RunStatus.COMPENSATING and action in (Action.PAUSE, Action.RESUME)
        if undone or (status.is_terminal and status.value != action.value):
            raise InvalidRunState(run_id=run_id, status=status.value, action=action.value)

    def retry(self, run_id: UUID, graph: Graph, timeout: float) -> None:
        """Let a failed run go on from its failed steps.

        Raises:
            UnknownRun: there is no such run.
            RunEnded: the run has not failed, or it is a saga that has been undone.
        """
        if self._transitions.retry(run_id, graph, timeout) is None:
            raise InvalidRunState(run_id=run_id, status=self._describe(run_id, graph), action="retried")
        self._dispatch([run_id])

    def _describe(self, run_id: UUID, graph: Graph) -> str:
        status = self._runs.status(run_id)
        if status is RunStatus.FAILED and graph.saga:
            return "failed and its completed steps have been undone"
        return status.value

    def steer_all(self, action: Action, run_ids: Collection[UUID], reason: str | None = None) -> set[UUID]:
        """Apply an action to the runs for which it means something; return those that it changed."""
        if action is Action.PAUSE:
            return self._store.pause(run_ids)
        if action is Action.RESUME:
            changed = self._store.resume(run_ids)
            self._dispatch(changed)
            return changed
        if action is Action.TERMINATE:
            changed = self._store.terminate(run_ids, reason)
        else:
            changed = self._store.cancel(run_ids, reason)
            self._undo(changed)
        for run_id in changed:
            self._wakeups.wake(run_id)
        return changed

    def _undo(self, run_ids: Collection[UUID]) -> None:
        for run_id, graph_hash in self._store.compensating(run_ids):
            self._follow_up.undo(run_id, self._runs.graph(graph_hash))

    def _dispatch(self, run_ids: Collection[UUID]) -> None:
        for (run_id, graph_hash), ready in self._store.ready(run_ids).items():
            self._follow_up.dispatch(run_id, self._runs.graph(graph_hash), ready)
