"""Sagas to compensate that no longer wait for a running step."""

from __future__ import annotations

from datetime import datetime

from celeriac.workflows.dispatch.follow_up import FollowUp
from celeriac.workflows.history.stores import Stores


class Compensations:
    """Plans compensations after transitions that were not followed up."""

    def __init__(self, stores: Stores, follow_up: FollowUp, batch: int) -> None:
        self._stores = stores
        self._follow_up = follow_up
        self._batch = batch

    def run_once(self, _now: datetime) -> int:
        """Plan compensations, or end runs without any; return the number of runs."""
        found = self._stores.reconciliation.compensable(self._batch)
        return sum(
            self._follow_up.compensate(run_id, self._stores.runs.graph(graph_hash)) for run_id, graph_hash in found
        )
