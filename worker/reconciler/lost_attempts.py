"""Attempts whose worker died: their lease expired."""

from __future__ import annotations

import logging
from datetime import datetime

from celeriac.worker.reconciler.dispatching import StepDispatcher
from celeriac.workflows.dispatch.follow_up import FollowUp
from celeriac.workflows.engine.log_fields import attempt_fields
from celeriac.workflows.errors import WorkerLost
from celeriac.workflows.history.reconciliation import Exhausted
from celeriac.workflows.history.stores import Stores
from celeriac.workflows.settings import Settings

logger = logging.getLogger(__name__)


class LostAttempts:
    """Makes steps whose attempt was lost ready again, and dispatches them."""

    def __init__(self, stores: Stores, dispatcher: StepDispatcher, settings: Settings, batch: int) -> None:
        self._stores = stores
        self._dispatcher = dispatcher
        self._settings = settings
        self._batch = batch

    def run_once(self, _now: datetime) -> int:
        """End attempts whose lease expired; return how many."""
        lost = self._stores.reconciliation.lose_attempts(
            lease=self._settings.lease, max_lost=self._settings.max_lost_attempts, batch=self._batch
        )
        for attempt in lost:
            logger.warning(
                "Attempt %d of step %s of run %s was lost with %s",
                attempt.attempt,
                attempt.name,
                attempt.run_id,
                attempt.lease,
                extra=attempt_fields(attempt, "lost"),
            )
        self._dispatcher.dispatch(
            (attempt.run_id, attempt.graph_hash, attempt.position) for attempt in lost if attempt.accepts_work
        )
        return len(lost)


class ExhaustedSteps:
    """Fails steps whose last attempt was lost.

    So a step that kills its worker does not do so for ever.
    """

    def __init__(self, stores: Stores, follow_up: FollowUp, settings: Settings, batch: int) -> None:
        self._stores = stores
        self._follow_up = follow_up
        self._settings = settings
        self._batch = batch

    def run_once(self, _now: datetime) -> int:
        """Fail the steps; return how many."""
        found = self._stores.reconciliation.exhausted(
            lease=self._settings.lease, max_lost=self._settings.max_lost_attempts, batch=self._batch
        )
        return sum(map(self._fail, found))

    def _fail(self, exhausted: Exhausted) -> bool:
        attempt = exhausted.attempt
        error = WorkerLost(
            attempt=attempt.attempt, step=attempt.name, lost=exhausted.lost, limit=self._settings.max_lost_attempts
        )
        graph = self._stores.runs.graph(exhausted.graph_hash)
        transition = self._stores.attempts.lose(attempt, error.to_json(), graph)
        if transition is None:
            return False
        logger.warning(
            "%s (run %s, %s)",
            error,
            attempt.run_id,
            attempt.lease,
            extra=attempt_fields(attempt, "failed"),
        )
        self._follow_up.after(attempt.run_id, graph, transition)
        return True
