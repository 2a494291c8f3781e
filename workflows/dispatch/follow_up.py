"""Follow-up to a transition: dispatch ready steps, wake waiters, start compensation.

The reconciler dispatches the steps, and starts the compensations, that this misses.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from celeriac.workflows.dispatch.publisher import Publisher
from celeriac.workflows.dispatch.wakeups import Wakeups
from celeriac.workflows.engine.compiler import sequence
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.history.records import Transition
from celeriac.workflows.history.transitions import TransitionStore


class FollowUp:
    """Acts on transitions, for the worker, client or reconciler that recorded them."""

    def __init__(self, transitions: TransitionStore, publisher: Publisher, wakeups: Wakeups) -> None:
        self._transitions = transitions
        self._publisher = publisher
        self._wakeups = wakeups

    def after(self, run_id: UUID, graph: Graph, transition: Transition) -> None:
        """Dispatch ready steps, wake waiters of an ended run, start compensation."""
        self.dispatch(run_id, graph, transition.ready)
        if transition.run_ended:
            self._wakeups.wake(run_id)
        if transition.run_status is RunStatus.COMPENSATING and not transition.ready:
            self.compensate(run_id, graph)

    def compensate(self, run_id: UUID, graph: Graph) -> bool:
        """Plan and dispatch the compensations of a saga, or end it if it has none left.

        Returns:
            Whether the run changed. It does not while a step of the run still runs: the
            end of that step calls this again.
        """
        transition = self._transitions.compensate(run_id, graph)
        if transition is None:
            return False
        if transition.run_status is RunStatus.COMPENSATING:
            self._publisher.publish(graph, run_id, sequence(graph, transition.ready))
        else:
            self.after(run_id, graph, transition)
        return True

    def dispatch(self, run_id: UUID, graph: Graph, ready: Collection[int]) -> None:
        """Publish steps that are ready."""
        if ready:
            self._publisher.dispatch(graph, run_id, graph.ancestors(ready), ready)
