"""Arrays as Postgres writes them.

The driver takes its time to adapt lists, which counts in the statements of every step.
"""

from __future__ import annotations

from collections.abc import Iterable


def array_of(items: Iterable[str | int | None]) -> str:
    """Return the text of an array of numbers or texts, for the statement to cast."""
    return "{" + ",".join(map(_item, items)) + "}"


def _item(item: str | int | None) -> str:
    if item is None:
        return "NULL"
    if isinstance(item, int):
        return str(item)
    escaped = item.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
