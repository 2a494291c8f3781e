"""Controlling runs: pause, resume, cancel, terminate, retry."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from uuid import UUID

from celeriac.workflows.dispatch.dispatch import Dispatch
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.errors import InvalidRunState
from celeriac.workflows.history.stores import Stores


class Action(StrEnum):
    """A request to change a run. Its value is the word for the change in messages."""

    PAUSE = "paused"
    RESUME = "resumed"
    CANCEL = "cancelled"
    TERMINATE = "terminated"

    def applies_to(self, status: RunStatus) -> bool:
        """Return whether the action would change a run with a status."""
        if self is Action.PAUSE:
            return status.accepts_work
        if self is Action.RESUME:
            return status is RunStatus.PAUSED
        if self is Action.CANCEL:  # a compensating run is about to end already
            return status.is_open
        return not status.is_terminal


class RunControl:
    """Applies actions. A run that is already in the requested state stays there.

    Args:
        stores: The stores that have the runs.
        dispatch: Publishes the steps that a resumed or retried run may start.
        run_timeout_seconds: The timeout of a retried run whose workflow has none.
    """

    def __init__(self, stores: Stores, dispatch: Dispatch, run_timeout_seconds: float) -> None:
        self._stores = stores
        self._dispatch = dispatch
        self._run_timeout_seconds = run_timeout_seconds

    def control(self, action: Action, run_id: UUID, reason: str | None = None) -> None:
        """Apply an action to a run.

        Raises:
            UnknownRun: there is no such run.
            InvalidRunState: the run has ended, and not by this action; or it is
                compensating, and can be neither paused nor resumed.
        """
        if self.control_all(action, [run_id], reason):
            return
        status = self._stores.runs.status(run_id)
        compensating = status is RunStatus.COMPENSATING and action in (Action.PAUSE, Action.RESUME)
        if compensating or (status.is_terminal and status.value != action.value):
            raise InvalidRunState(run_id=run_id, status=status.value, action=action.value)

    def control_all(self, action: Action, run_ids: Collection[UUID], reason: str | None = None) -> set[UUID]:
        """Apply an action to runs; return the runs that changed."""
        store = self._stores.control
        if action is Action.PAUSE:
            return store.pause(run_ids)
        if action is Action.RESUME:
            changed = store.resume(run_ids)
            self._dispatch_ready(changed)
            return changed
        if action is Action.TERMINATE:
            changed = store.terminate(run_ids, reason)
        else:
            changed = store.cancel(run_ids, reason)
            self._compensate(changed)
        for run_id in changed:
            self._dispatch.wakeups.wake(run_id)
        return changed

    def retry(self, run_id: UUID) -> None:
        """Retry a failed run from its failed steps.

        Raises:
            UnknownRun: there is no such run.
            InvalidRunState: the run has not failed, or it is a saga that was
                compensated.
        """
        graph = self._graph_of(run_id)
        timeout = self._run_timeout_seconds if graph.timeout is None else graph.timeout
        transition = self._stores.transitions.retry(run_id, graph, timeout)
        if transition is None:
            raise InvalidRunState(run_id=run_id, status=self._describe(run_id, graph), action="retried")
        self._dispatch.follow_up.after(run_id, graph, transition)

    def _graph_of(self, run_id: UUID) -> Graph:
        return self._stores.runs.graph(self._stores.reader.run(run_id, steps=False).graph_hash)

    def _describe(self, run_id: UUID, graph: Graph) -> str:
        status = self._stores.runs.status(run_id)
        if status is RunStatus.FAILED and graph.saga:
            return "failed and its completed steps have been compensated"
        return status.value

    def _compensate(self, run_ids: Collection[UUID]) -> None:
        for run_id, graph_hash in self._stores.control.compensating(run_ids):
            self._dispatch.follow_up.compensate(run_id, self._stores.runs.graph(graph_hash))

    def _dispatch_ready(self, run_ids: Collection[UUID]) -> None:
        for (run_id, graph_hash), ready in self._stores.control.ready(run_ids).items():
            self._dispatch.follow_up.dispatch(run_id, self._stores.runs.graph(graph_hash), ready)
