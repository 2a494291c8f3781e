"""Stopping a step that takes too long, first from inside.

A signal interrupts Python code and most system calls in the main thread of a process: steps under prefork and
solo. Code that cannot be interrupted so, a call into C that does not return, is stopped from outside: see
``Keeper``. Under threads nothing can be stopped; the attempt is superseded.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from celeriac.workflows.errors import StepTimedOut
from celeriac.workflows.history.records import Attempt


@contextmanager
def time_limit(seconds: float | None, attempt: Attempt) -> Iterator[None]:
    """Interrupt the block after so many seconds; None lets it take its time.

    Raises:
        StepTimedOut: in the block, wherever it is.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise StepTimedOut(attempt=attempt.attempt, step=attempt.name)

    uncounted_attempts = signal.signal(signal.SIGALRM, interrupt)
    # At zero the timer would be off.
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, uncounted_attempts)
