"""Being told to stop: Ctrl-C, SIGTERM, or a terminal that closes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Whether the process was told to stop, and by what.

    It only remembers; whoever waits looks. So nothing is interrupted between two steps of starting or
    stopping a server, at the price that each of them is finished first.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._count = 0
        self.signal: signal.Signals | None = None  # the first one

    @property
    def made(self) -> bool:
        """Whether it was."""
        return self._event.is_set()

    @property
    def insisted_on(self) -> bool:
        """Whether it was made more than once: the user does not want to wait for what takes its time to stop."""
        return self._count > 1

    def wait(self, seconds: float) -> bool:
        """Wait for a request for at most so long; return whether there is one."""
        return self._event.wait(seconds)

    def make(self, number: int, _: FrameType | None = None) -> None:
        """Request it; a signal handler."""
        self.signal = self.signal or signal.Signals(number)
        self._count += 1
        self._event.set()

    @property
    def exit_code(self) -> int:
        """The exit code that shells expect of a process that a signal ended."""
        return 128 + (self.signal or signal.SIGINT)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn the signals that stop a process into a request, and back at the end."""
    request = StopRequest()
    before = {number: signal.signal(number, request.make) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
