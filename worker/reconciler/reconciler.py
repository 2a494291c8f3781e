"""The passes of the reconciler, each of which runs all its duties."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from celeriac.worker.attempt_timeouts import AttemptTimeouts
from celeriac.worker.queues import RedisQueues
from celeriac.worker.reconciler.compensations import Compensations
from celeriac.worker.reconciler.dispatching import StepDispatcher
from celeriac.worker.reconciler.lost_attempts import ExhaustedSteps, LostAttempts
from celeriac.worker.reconciler.redispatch import Redispatch
from celeriac.worker.reconciler.retries import Retries
from celeriac.worker.reconciler.stalled import StalledRuns
from celeriac.worker.reconciler.timeouts import Timeouts
from celeriac.workflows.dispatch.dispatch import Dispatch
from celeriac.workflows.history.stores import Stores
from celeriac.workflows.settings import Settings

logger = logging.getLogger(__name__)

BATCH = 1_000
SHORTEST_PAUSE_SECONDS = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconciled:
    """The counts of a pass."""

    lost: int = 0  # attempts whose lease had expired
    failed: int = 0  # steps among them that may have no other attempt
    timed_out: int = 0  # attempts and runs that took too long
    retried: int = 0  # steps whose wait for the next attempt was over
    compensated: int = 0  # sagas whose compensations were planned, or that had none left
    redispatched: int = 0  # steps whose message was lost or never sent
    recounted: int = 0  # pending steps whose count of parents was wrong

    def __bool__(self) -> bool:
        return any((self.lost, self.timed_out, self.retried, self.compensated, self.redispatched, self.recounted))


class Reconciler:
    """Runs all duties in a pass; the caller decides when.

    Args:
        stores: The stores that have the runs.
        dispatch: Publishes steps.
        attempt_timeouts: Fails attempts that take too long.
        queues: The broker's queues; None if the broker is not Redis.
        settings: The settings, for leases and limits.
        batch: The number of rows that a duty handles at a time.
    """

    def __init__(
        self,
        stores: Stores,
        dispatch: Dispatch,
        attempt_timeouts: AttemptTimeouts,
        queues: RedisQueues | None,
        settings: Settings,
        *,
        batch: int = BATCH,
    ) -> None:
        store = stores.reconciliation
        follow_up = dispatch.follow_up
        dispatcher = StepDispatcher(stores, dispatch.publisher)
        self._store = store
        self._lost_attempts = LostAttempts(stores, dispatcher, settings, batch)
        self._exhausted_steps = ExhaustedSteps(stores, follow_up, settings, batch)
        self._timeouts = Timeouts(stores, follow_up, attempt_timeouts, batch)
        self._retries = Retries(store, dispatcher, batch)
        self._compensations = Compensations(stores, follow_up, batch)
        self._stalled_runs = StalledRuns(stores, batch)
        self._redispatch = Redispatch(store, dispatcher, queues, batch)

    def run_once(self, now: datetime | None = None) -> Reconciled:
        """Make a pass and return its counts.

        Args:
            now: The database's time; None asks the database.

        Raises:
            DatabaseUnavailable: Postgres does not answer. The next pass starts over.
        """
        now = now or self._store.now()
        lost = self._lost_attempts.run_once(now)
        failed = self._exhausted_steps.run_once(now)
        done = Reconciled(
            lost=lost + failed,
            failed=failed,
            timed_out=self._timeouts.run_once(now),
            retried=self._retries.run_once(now),
            compensated=self._compensations.run_once(now),
            recounted=self._stalled_runs.run_once(now),
            redispatched=self._redispatch.run_once(now),
        )
        if done:
            logger.info("Reconciled: %s", done)
        return done

    def seconds_to_next_pass(self, longest: float) -> float:
        """Return the pause before the next pass; it ends when a retry is due.

        Args:
            longest: The longest pause, in seconds.
        """
        due = self._retries.seconds_to_next()
        return longest if due is None else min(longest, max(due, SHORTEST_PAUSE_SECONDS))
