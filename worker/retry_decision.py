"""Whether a failed attempt is followed by another, and when."""

from __future__ import annotations

import random

from celeriac.workflows.engine.graph import Node
from celeriac.workflows.engine.retry import Retry, RetryAfter, error_names
from celeriac.workflows.errors import StepError, StepTimedOut


def wait_before_retry(node: Node, default: Retry, *, attempt: int, lost: int, error: BaseException) -> float | None:
    """Return the seconds to wait before the next attempt, or None if the step has failed.

    Args:
        node: With the limits and the policy of its own, if it has them.
        default: The policy otherwise; it does not count attempts that were lost with their worker.
        attempt: The number of the attempt that failed, counted from when the run was last retried by request.
        lost: How many attempts were lost.
        error: Why it failed. Errors of the engine's own, time-outs aside, would only come again.
    """
    policy = default if node.retry is None else Retry.from_json(node.retry)
    exhausted = attempt - lost >= policy.max_attempts if node.max_attempts is None else attempt >= node.max_attempts
    if exhausted or (isinstance(error, StepError) and not isinstance(error, StepTimedOut)):
        return None
    if not policy.retries(error_names(error)):
        return None
    if isinstance(error, RetryAfter):
        return error.delay
    return policy.wait(attempt - lost, random.random())  # noqa: S311  # jitter, not a secret
