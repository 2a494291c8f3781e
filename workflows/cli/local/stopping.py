"""Requests to stop: Ctrl-C, SIGTERM, or a terminal that closes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Records whether a signal asked the process to stop, and which signal.

    The handler only records; code that waits reads the record. So a signal never
    interrupts the start or the stop of a server, but takes effect only after each has
    finished.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._count = 0
        self.signal: signal.Signals | None = None  # the first signal

    @property
    def made(self) -> bool:
        """Whether there was a request."""
        return self._event.is_set()

    @property
    def insisted_on(self) -> bool:
        """Whether there were several requests: the user does not want to wait."""
        return self._count > 1

    def wait(self, seconds: float) -> bool:
        """Wait up to ``seconds`` for a request; return whether there is a request."""
        return self._event.wait(seconds)

    def make(self, number: int, _: FrameType | None = None) -> None:
        """Record a request; a signal handler."""
        self.signal = self.signal or signal.Signals(number)
        self._count += 1
        self._event.set()

    @property
    def exit_code(self) -> int:
        """The exit code that shells expect of a process that a signal ended."""
        return 128 + (self.signal or signal.SIGINT)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn the signals that stop a process into a request; restore them at the end."""
    request = StopRequest()
    before = {number: signal.signal(number, request.make) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
