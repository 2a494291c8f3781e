"""The only way for a test to wait."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout: float = 10, message: str = "", *, interval: float = 0.02) -> T:
    """Return the first true value of ``condition()``, asked again and again.

    Raises:
        AssertionError: there was none within ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            what = message or getattr(condition, "__name__", "the condition")
            raise AssertionError(f"Not within {timeout:g} s: {what} (last value: {value!r})")
        time.sleep(interval)
