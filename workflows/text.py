"""Parts of messages."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, get_args

# The names of modules, classes and functions before the last dot.
_QUALIFIERS = re.compile(r"(?<!['\w])(?:(?:[A-Za-z_]\w*|<locals>)\.)+(?=[A-Za-z_])")


def describe(annotation: Any) -> str:
    """Return an annotation as people write it: ``Order``, ``list[int]``."""
    shown = annotation.__qualname__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
    return _QUALIFIERS.sub("", shown)


def sentence(text: str) -> str:
    """Return ``text`` with a full stop, unless it ends in a mark already."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'charge'?`` for the known name nearest to ``name``.

    If no known name is near, return the empty string.
    """
    near = difflib.get_close_matches(name, [str(each) for each in known], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
