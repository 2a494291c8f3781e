"""Named points at which tests kill a real process. Inert unless the environment names one.

``CELERIAC_CRASH_AT=after_claim:3`` kills the process the third time it gets there; ``after_claim`` the first.
The points: ``after_claim``, ``after_effect_before_record``, ``after_record_before_publish``.
"""

from __future__ import annotations

import os
import signal
from functools import cache


@cache
def _target() -> list[int | str]:
    name, _, count = os.environ.get("CELERIAC_CRASH_AT", "").partition(":")
    return [name, int(count or 1)]


def reach(point: str) -> None:
    """Pass a point, or die at it by SIGKILL."""
    target = _target()
    if target[0] != point:
        return
    target[1] = int(target[1]) - 1
    if target[1] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
