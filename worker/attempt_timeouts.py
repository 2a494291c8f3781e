"""Recording that attempts timed out."""

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
        stores: The stores that have the attempts.
        follow_up: Acts on the failures.
        retry: The policy of steps without a policy of their own.
    """

    def __init__(self, stores: Stores, follow_up: FollowUp, retry: Retry) -> None:
        self._stores = stores
        self._follow_up = follow_up
        self._retry = retry

    def fail(self, found: Iterable[TimedOut]) -> list[Attempt]:
        """Fail attempts; return the attempts that were still running."""
        return [timed_out.attempt for timed_out in found if self._fail(timed_out)]

    def _fail(self, timed_out: TimedOut) -> bool:
        attempt = timed_out.attempt
        error = StepTimedOut(attempt=attempt.attempt, step=attempt.name)
        graph = self._stores.runs.graph(timed_out.graph_hash)
        wait = None
        if not timed_out.past_deadline:
            wait = wait_before_retry(
                graph.nodes[attempt.position],
                self._retry,
                attempt=attempt.attempt - timed_out.uncounted_attempts,
                lost=timed_out.lost,
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
