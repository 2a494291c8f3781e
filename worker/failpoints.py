"""Named points at which tests kill a real process; inert without CELERIAC_CRASH_AT.

``CELERIAC_CRASH_AT=after_claim:3`` kills the process at the third visit of the point,
``CELERIAC_CRASH_AT=after_claim`` at the first visit.

The points: ``after_claim``, ``after_effect_before_record``,
``after_record_before_publish``.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import cache


@cache
def _target() -> tuple[str, Iterator[int]]:
    """Return the point to die at, and the numbers of the visits to survive."""
    name, _, count = os.environ.get("CELERIAC_CRASH_AT", "").partition(":")
    return name, iter(range(1, int(count or 1)))


def failpoint(point: str) -> None:
    """Pass a point, or die at it by SIGKILL."""
    name, survived = _target()
    if name == point and next(survived, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
