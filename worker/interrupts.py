"""Interrupting a step that takes too long, from inside its process.

A signal interrupts Python code and most system calls in the main thread of a process,
which runs the steps under prefork and solo. It cannot interrupt a call into C that does
not return; under prefork, ``LeaseRenewer`` kills such a process. Under threads no step
can be interrupted; the attempt is superseded.
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
    """Interrupt the block after ``seconds``; None does not limit it.

    Raises:
        StepTimedOut: at the current line of the block.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise StepTimedOut(attempt=attempt.attempt, step=attempt.name)

    previous = signal.signal(signal.SIGALRM, interrupt)
    # Zero would turn the timer off.
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
