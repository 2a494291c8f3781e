"""Attempts and runs that take too long."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from celeriac.worker.attempt_timeouts import AttemptTimeouts
from celeriac.workflows.dispatch.follow_up import FollowUp
from celeriac.workflows.history.stores import Stores

# For the worker to stop an attempt that takes too long. The reconciler fails attempts
# that their workers cannot stop.
STOP_GRACE = timedelta(seconds=5)


class Timeouts:
    """Fails attempts and runs whose time is over."""

    def __init__(self, stores: Stores, follow_up: FollowUp, attempt_timeouts: AttemptTimeouts, batch: int) -> None:
        self._stores = stores
        self._follow_up = follow_up
        self._attempt_timeouts = attempt_timeouts
        self._batch = batch

    def run_once(self, _now: datetime) -> int:
        """Fail attempts, then runs; return how many of both."""
        store = self._stores.reconciliation
        attempts = self._attempt_timeouts.fail(store.timed_out(grace=STOP_GRACE, batch=self._batch))
        return len(attempts) + sum(self._time_out_run(*timed_out) for timed_out in store.timed_out_runs(self._batch))

    def _time_out_run(self, run_id: UUID, graph_hash: str) -> bool:
        graph = self._stores.runs.graph(graph_hash)
        transition = self._stores.transitions.time_out(run_id, graph)
        if transition is None:
            return False
        self._follow_up.after(run_id, graph, transition)
        return True
