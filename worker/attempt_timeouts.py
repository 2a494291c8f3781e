"""Attempts that take too long: recording that they failed."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from celeriac.worker.retry_decision import wait_before_retry
from celeriac.workflows.dispatch.follow_up import FollowUp
from celeriac.workflows.engine.log_fields import attempt_fields
from celeriac.workflows.engine.retry import Retry
from celeriac.workflows.errors import StepTimedOut
from celeriac.workflows.history.reconciliation import TimedOut
from celeriac.workflows.history.records import Attempt
from celeriac.workflows.history.stores import Stores

logger = logging.getLogger(__name__)


class AttemptTimeouts:
    """Fails attempts that did not end in time, which supersedes their further work.

    Args:
        stores: Where attempts are.
        follow_up: Acts on the failures.
        retry: The policy of steps that have none.
    """

    def __init__(self, stores: Stores, follow_up: FollowUp, retry: Retry) -> None:
        self._stores = stores
        self._follow_up = follow_up
        self._retry = retry

    def fail(self, found: Iterable[TimedOut]) -> list[Attempt]:
        """Fail attempts; return those that were still running."""
        return [late.attempt for late in found if self._fail(late)]

    def _fail(self, late: TimedOut) -> bool:
        attempt = late.attempt
        error = StepTimedOut(attempt=attempt.attempt, step=attempt.name)
        graph = self._stores.runs.graph(late.graph_hash)
        wait = None
        if not late.past_deadline:
            wait = wait_before_retry(
                graph.nodes[attempt.position],
                self._retry,
                attempt=attempt.attempt - late.uncounted_attempts,
                lost=late.lost,
                error=error,
            )
        transition = self._stores.attempts.fail(attempt, error.to_json(), graph, wait)
        if transition is None:
            return False
        logger.warning(
            "%s (run %s, %s)",
            error,
            attempt.run_id,
            attempt.lease,
            extra=attempt_fields(attempt, "timed_out"),
        )
        self._follow_up.after(attempt.run_id, graph, transition)
        return True
