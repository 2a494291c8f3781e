"""Whether another attempt follows a failed attempt, and when."""

from typing import Any

import pytest

from celeriac import (
    ArgumentInvalid,
    GiveUp,
    ResultInvalid,
    Retry,
    RetryAfter,
    StepTimedOut,
)
from celeriac.worker.retry_decision import wait_before_retry
from celeriac.workflows.engine.graph import Node

DEFAULT = Retry(max_attempts=3, delay=1, jitter=0)
OWN = Retry(max_attempts=3, delay=10, backoff="linear", jitter=0, max_delay=1_000)
FAILED = ValueError("no stock")


def node(retry: Retry | None = None, max_attempts: int | None = None) -> Node:
    """A node as definitions make it: a policy of its own brings its limit."""
    if retry is not None and max_attempts is None:
        max_attempts = retry.max_attempts
    return Node(name="pay", task="pay", max_attempts=max_attempts, retry=None if retry is None else retry.to_json())


def wait(of: Node, attempt: int = 1, lost: int = 0, error: BaseException = FAILED) -> float | None:
    return wait_before_retry(of, DEFAULT, attempt=attempt, lost=lost, error=error)


@pytest.mark.parametrize(
    ("of", "attempt", "lost", "expected"),
    [
        (node(), 1, 0, 1),
        (node(), 2, 0, 2),
        (node(), 3, 0, None),
        # Under the default policy an attempt that was lost takes none of the three away …
        (node(), 2, 1, 1),
        (node(), 3, 1, 2),
        (node(), 4, 1, None),
        (node(), 5, 4, 1),
        # … under a policy of the step's own it does.
        (node(OWN), 1, 0, 10),
        (node(OWN), 2, 0, 20),
        (node(OWN), 3, 0, None),
        (node(OWN), 2, 1, 10),
        (node(OWN), 3, 1, None),
        (node(OWN), 3, 2, None),
        # A limit alone takes the rest from the default policy.
        (node(max_attempts=1), 1, 0, None),
        (node(max_attempts=2), 1, 0, 1),
        (node(max_attempts=2), 2, 1, None),
        (node(max_attempts=5), 4, 0, 8),
        (node(OWN, max_attempts=5), 4, 0, 40),
        (node(OWN, max_attempts=2), 2, 0, None),
    ],
)
def test_lost_attempts_count_against_a_limit_that_was_asked_for_and_not_against_the_default(
    of, attempt, lost, expected
):
    assert wait(of, attempt, lost) == expected


def test_the_wait_grows_with_failures_and_not_with_losses():
    assert wait(node(max_attempts=9), attempt=4, lost=3) == 1


def test_give_up_fails_at_once_whatever_attempts_are_left():
    assert wait(node(), error=GiveUp("card expired")) is None
    assert wait(node(Retry(retry_on=GiveUp)), error=GiveUp("card expired")) is None


def test_retry_after_sets_the_wait_and_nothing_shortens_it():
    assert wait(node(), error=RetryAfter(77)) == 77
    assert wait(node(Retry(max_delay=5, jitter=1)), error=RetryAfter(77)) == 77
    assert wait(node(Retry(retry_on=OSError)), error=RetryAfter(0)) == 0


def test_retry_after_makes_no_attempt_more_than_there_are():
    assert wait(node(), attempt=3, error=RetryAfter(77)) is None
    assert wait(node(max_attempts=1), error=RetryAfter(77)) is None


@pytest.mark.parametrize(
    "error",
    [
        ArgumentInvalid(step="pay", parameter="order", reason="it is missing"),
        ResultInvalid(step="pay", reason="NaN has no JSON"),
    ],
)
def test_what_would_only_fail_again_is_not_retried(error):
    assert wait(node(), error=error) is None
    assert wait(node(Retry(retry_on=Exception)), error=error) is None


def test_a_time_out_is_retried_as_other_errors_are():
    error = StepTimedOut(attempt=1, step="pay")
    assert wait(node(), error=error) == 1
    assert wait(node(), attempt=3, error=error) is None
    assert wait(node(Retry(retry_on=StepTimedOut, jitter=0)), error=error) == 1
    assert wait(node(Retry(give_up_on=StepTimedOut)), error=error) is None
    assert wait(node(Retry(retry_on=OSError)), error=error) is None


def test_jitter_takes_a_part_of_the_wait_away():
    found: set[Any] = {wait(node(Retry(delay=100, jitter=0.5))) for _ in range(200)}
    assert len(found) > 100
    assert 50 <= min(found) < 60
    assert 90 < max(found) <= 100
