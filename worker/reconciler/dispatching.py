"""Publishing steps of many runs, for the duties of the reconciler."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from celeriac.workflows.dispatch.publisher import Publisher
from celeriac.workflows.history.stores import Stores


class StepDispatcher:
    """Publishes ready steps, run by run."""

    def __init__(self, stores: Stores, publisher: Publisher) -> None:
        self._stores = stores
        self._publisher = publisher

    def dispatch(self, steps: Iterable[tuple[UUID, str, int]]) -> int:
        """Publish steps.

        Args:
            steps: Each step as its run, the hash of the run's graph, and its position.

        Returns:
            The number of steps that the broker took.
        """
        by_run: dict[tuple[UUID, str], set[int]] = defaultdict(set)
        for run_id, graph_hash, position in steps:
            by_run[run_id, graph_hash].add(position)
        if not by_run:
            return 0
        completed = self._stores.reconciliation.completed({run_id for run_id, _ in by_run})
        sent = 0
        for (run_id, graph_hash), positions in by_run.items():
            graph = self._stores.runs.graph(graph_hash)
            if self._publisher.dispatch(graph, run_id, completed[run_id], positions):
                sent += len(positions)
        return sent
