"""Attempts that take too long: recording that, and stopping them from outside."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from celeriac.worker.retry_decision import wait_before_retry
from celeriac.workflows.dispatch.follow_up import FollowUp
from celeriac.workflows.engine.retry import Retry
from celeriac.workflows.errors import StepTimedOut
from celeriac.workflows.history.attempts import Attempt, AttemptStore
from celeriac.workflows.history.reconciliation import TimedOut
from celeriac.workflows.history.runs import RunStore

logger = logging.getLogger(__name__)


class AttemptTimeouts:
    """Fails attempts that did not end in time. Whatever they still do is superseded.

    Args:
        attempts: Records.
        runs: Graphs.
        aftermath: Does what follows on failures.
        retry: The policy of steps that have none of their own.
    """

    def __init__(self, *, attempts: AttemptStore, runs: RunStore, follow_up: FollowUp, retry: Retry) -> None:
        self._attempts = attempts
        self._runs = runs
        self._follow_up = follow_up
        self._retry = retry

    def fail(self, found: Iterable[TimedOut]) -> list[Attempt]:
        """Fail attempts; return those that were still running."""
        return [late.attempt for late in found if self._fail(late)]

    def _fail(self, late: TimedOut) -> bool:
        attempt = late.attempt
        error = StepTimedOut(attempt=attempt.attempt, step=attempt.name)
        graph = self._runs.graph(late.graph_hash)
        node = graph.nodes[attempt.position]
        wait = None
        if not late.past_deadline:
            wait = wait_before_retry(
                node, self._retry, attempt=attempt.attempt - late.uncounted_attempts, lost=late.lost, error=error
            )
        failure = self._attempts.fail(attempt, error.to_json(), graph, wait)
        if failure is None:
            return False
        logger.warning("%s (run %s, %s)", error, attempt.run_id, attempt.lease)
        self._follow_up.of_failure(attempt.run_id, graph, failure)
        return True
