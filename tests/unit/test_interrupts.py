"""Interrupting a step that takes too long, by a signal."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from celeriac import StepTimedOut
from celeriac.worker.interrupts import time_limit
from celeriac.workflows.history.records import Attempt

ATTEMPT = Attempt(run_id=uuid4(), position=0, name="pay", attempt=2, lease="process:w:1:0")


def wait_in_vain(seconds: float) -> None:
    threading.Event().wait(seconds)


@pytest.mark.parametrize("seconds", [0.05, 0.0, -3.0])
def test_a_block_is_interrupted_when_its_time_is_over_also_if_it_was_over_before(seconds):
    """A step that is claimed after its deadline has less than no time: a timer at zero would never fire."""
    with pytest.raises(StepTimedOut, match="Attempt 2 of step 'pay'"), time_limit(seconds, ATTEMPT):
        wait_in_vain(30)


def test_a_block_that_ends_in_time_is_not_interrupted_later():
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(60.0, ATTEMPT):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_block_without_a_limit_takes_its_time():
    with time_limit(None, ATTEMPT):
        wait_in_vain(0.01)


def test_a_thread_other_than_the_main_one_is_not_interrupted():
    def run() -> str:
        with time_limit(0.01, ATTEMPT):
            wait_in_vain(0.05)
        return "done"

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(run).result(timeout=10) == "done"
