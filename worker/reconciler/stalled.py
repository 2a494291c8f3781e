"""Runs that accept work and have none, because a count of parents is wrong."""

from __future__ import annotations

import time
from datetime import datetime

from celeriac.workflows.history.stores import Stores

STALLED_EVERY_SECONDS = 30.0


class StalledRuns:
    """Recomputes the counts of parents of pending steps, twice a minute.

    No count is wrong, unless rows were changed by hand.
    """

    def __init__(self, stores: Stores, batch: int) -> None:
        self._stores = stores
        self._batch = batch
        self._next_at = 0.0

    def run_once(self, _now: datetime) -> int:
        """Repair counts; return how many were wrong."""
        if time.monotonic() < self._next_at:
            return 0
        self._next_at = time.monotonic() + STALLED_EVERY_SECONDS
        store = self._stores.reconciliation
        return sum(
            store.recount(run_id, self._stores.runs.graph(graph_hash))
            for run_id, graph_hash in store.stalled(self._batch)
        )
