"""Text for people: durations, instants, long lists and messages on a single line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from celeriac.workflows.engine.graph import Node
from celeriac.workflows.engine.views import StepView

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def duration(value: timedelta) -> str:
    """Return a duration in its two largest units.

    Examples: '12 ms', '1.2 s', '3 min 5 s', '2 d 4 h'. A negative duration, which
    clocks that differ can show, is '0 ms'.
    """
    seconds = max(value.total_seconds(), 0.0)
    if round(seconds * 1_000) < 1_000:
        return f"{seconds * 1_000:.0f} ms"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    rest = round(seconds)
    parts: list[str] = []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(filter(None, parts))


def age(value: timedelta) -> str:
    """Return a duration in its largest unit, rounded down: '12 s', '3 min', '2 d'."""
    seconds = max(int(value.total_seconds()), 0)
    unit, size = next((unit, size) for unit, size in _UNITS if seconds >= size or size == 1)
    return f"{seconds // size} {unit}"


def instant(value: datetime) -> str:
    """Return an instant in local time, to the second."""
    return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def clock(value: datetime) -> str:
    """Return the time of day of an instant in local time, to the millisecond."""
    return value.astimezone().strftime("%H:%M:%S.%f")[:-3]


def some(names: Sequence[str], limit: int = 3) -> str:
    """Return the names with commas; in a long list, the first ``limit`` and a count.

    A list of ``limit`` + 1 names is not cut.
    """
    if len(names) <= limit + 1:
        return ", ".join(names)
    return f"{', '.join(names[:limit])} and {len(names) - limit:,} more"


def count(number: int, noun: str) -> str:
    """Return '1 step' or '2,000 steps'."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def one_line(text: str) -> str:
    """Return the text with a blank for every line break and the blanks around it."""
    return re.sub(r"\s*\n\s*", " ", text.strip())


def role(step: StepView | Node) -> str:
    """Return the role of a step that its workflow does not call; else ''.

    For example '↩ compensates reserve'.
    """
    if step.compensates is not None:
        return f"↩ compensates {step.compensates}"
    if step.handles is not None:
        return f"on error of {step.handles}"
    return "" if step.hook is None else "after the run"
