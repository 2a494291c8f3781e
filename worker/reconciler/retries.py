"""Steps whose wait for the next attempt is over."""

from __future__ import annotations

from datetime import datetime

from celeriac.worker.reconciler.dispatching import StepDispatcher
from celeriac.workflows.history.reconciliation import ReconcilerStore


class Retries:
    """Ends waits that are over, and dispatches the steps."""

    def __init__(self, store: ReconcilerStore, dispatcher: StepDispatcher, batch: int) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._batch = batch

    def run_once(self, _now: datetime) -> int:
        """End the waits; return how many."""
        due = self._store.fire_retries(self._batch)
        self._dispatcher.dispatch((step.run_id, step.graph_hash, step.position) for step in due)
        return len(due)

    def seconds_to_next(self) -> float | None:
        """Return the seconds until the earliest wait is over; None if no step waits."""
        return self._store.seconds_to_next_due()
