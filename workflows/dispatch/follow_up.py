"""What has to be done once the history says that a step or a run has ended: dispatching, waking, undoing.

None of it has to happen here: the reconciler does whatever is left, from the rows.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from celeriac.workflows.dispatch.publisher import Publisher
from celeriac.workflows.dispatch.wakeups import Wakeups
from celeriac.workflows.engine.compiler import sequence
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.history.attempts import Failure
from celeriac.workflows.history.run_transaction import Transition
from celeriac.workflows.history.transitions import TransitionStore


class FollowUp:
    """Does what follows on an end that is recorded."""

    def __init__(self, transitions: TransitionStore, publisher: Publisher, wakeups: Wakeups) -> None:
        self._transitions = transitions
        self._publisher = publisher
        self._wakeups = wakeups

    def of_failure(self, run_id: UUID, graph: Graph, failure: Failure) -> None:
        """Do what follows on a failure: dispatch what handles it, wake those who wait, or begin to undo the run."""
        self.dispatch(run_id, graph, failure.ready)
        if failure.run_ended:
            self._wakeups.wake(run_id)
        if failure.undoes:
            self.undo(run_id, graph)

    def of_end(self, run_id: UUID, graph: Graph, settled: Transition) -> None:
        """Do what follows on the end of a run that no step brought about."""
        self.dispatch(run_id, graph, settled.ready)
        if settled.run_ended:
            self._wakeups.wake(run_id)
        if settled.status is RunStatus.COMPENSATING:
            self.undo(run_id, graph)

    def undo(self, run_id: UUID, graph: Graph) -> bool:
        """Plan and dispatch the compensations of a saga, or end it if nothing is left to undo; return whether it did.

        It does not while a step of the run still runs: whoever completes that calls again.
        """
        settled = self._transitions.compensate(run_id, graph)
        if settled is None:
            return False
        if settled.status is RunStatus.COMPENSATING:
            self._publisher.publish(graph, run_id, sequence(graph, settled.ready))
        else:
            self.of_end(run_id, graph, settled)
        return True

    def dispatch(self, run_id: UUID, graph: Graph, ready: Collection[int]) -> None:
        """Hand steps that are ready to Celery."""
        if ready:
            self._publisher.dispatch(graph, run_id, graph.ancestors(ready), ready)
