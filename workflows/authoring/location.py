"""Where in the user's code something is: ``shop/flows.py:23``."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

_NOT_THE_USER = {
    "celeriac",
    "pydantic",
    *sys.stdlib_module_names,
}  # they may stand between the user's line and a check


def of_function(function: Callable[..., Any]) -> str:
    """Return the file and line at which ``function`` is defined, or its type for what has no code."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return f"a {type(function).__name__}"
    return in_file(code.co_filename, code.co_firstlineno)


def of_caller() -> str:
    """Return the file and line that the user's code is at, seen from inside Celeriac."""
    return _innermost(reversed(list(traceback.walk_stack(inspect.currentframe()))))


def of_error(error: BaseException) -> str:
    """Return the file and line in the user's code that ``error`` comes from."""
    return _innermost(traceback.walk_tb(error.__traceback__))


def _innermost(frames: Iterable[tuple[FrameType, int]]) -> str:
    theirs = [(frame, line) for frame, line in frames if _package(frame) not in _NOT_THE_USER]
    return in_file(theirs[-1][0].f_code.co_filename, theirs[-1][1]) if theirs else "unknown place"


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def in_file(path: str, line: int) -> str:
    """Return ``path:line``, with the path relative to the current folder if it is inside of it."""
    return f"{path.removeprefix(f'{Path.cwd()}{os.sep}')}:{line}"
