"""Follow-up to a recorded transition: dispatch ready steps, wake waiters, start compensation.

The reconciler repeats what this misses.
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
    """Acts on transitions, whoever recorded them."""

    def __init__(self, transitions: TransitionStore, publisher: Publisher, wakeups: Wakeups) -> None:
        self._transitions = transitions
        self._publisher = publisher
        self._wakeups = wakeups

    def after(self, run_id: UUID, graph: Graph, transition: Transition) -> None:
        """Dispatch the steps that are ready, wake waiters if the run ended, and start compensation if it is due."""
        self.dispatch(run_id, graph, transition.ready)
        if transition.run_ended:
            self._wakeups.wake(run_id)
        if transition.run_status is RunStatus.COMPENSATING and not transition.ready:
            self.compensate(run_id, graph)

    def compensate(self, run_id: UUID, graph: Graph) -> bool:
        """Plan and dispatch the compensations of a saga, or end it if none is left; return whether it did.

        It does not while a step of the run still runs: the end of that step calls again.
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
        """Hand steps that are ready to Celery."""
        if ready:
            self._publisher.dispatch(graph, run_id, graph.ancestors(ready), ready)
