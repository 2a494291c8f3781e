"""Whether another attempt follows a failed attempt, and when."""

from __future__ import annotations

import random

from celeriac.workflows.engine.graph import Node
from celeriac.workflows.engine.retry import Retry, RetryAfter, error_names
from celeriac.workflows.errors import StepError, StepTimedOut


def wait_before_retry(node: Node, default: Retry, *, attempt: int, lost: int, error: BaseException) -> float | None:
    """Return the seconds to wait before the next attempt, or None if the step failed.

    Args:
        node: The step's node, with its own limits and policy, if it has them.
        default: The policy otherwise. It does not count attempts that were lost with
            their worker.
        attempt: The number of the failed attempt, counted from when the run was last
            retried on request.
        lost: The number of attempts that were lost.
        error: Why the attempt failed. Errors of the engine, but for timeouts, would
            only repeat.
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
