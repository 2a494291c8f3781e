"""Places in the user's code: ``shop/flows.py:23``."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

# Frames of these packages may stand between the user's line and a check.
_NOT_THE_USER = {"celeriac", "pydantic", *sys.stdlib_module_names}


def of_function(function: Callable[..., Any]) -> str:
    """Return the file and line of a function, or its type if it has no code."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return f"a {type(function).__name__}"
    return in_file(code.co_filename, code.co_firstlineno)


def of_caller() -> str:
    """Return the file and line of the user's code that is calling Celeriac."""
    return _innermost(reversed(list(traceback.walk_stack(inspect.currentframe()))))


def of_error(error: BaseException) -> str:
    """Return the file and line of the user's code that ``error`` comes from."""
    return _innermost(traceback.walk_tb(error.__traceback__))


def _innermost(frames: Iterable[tuple[FrameType, int]]) -> str:
    of_user = [(frame, line) for frame, line in frames if _package(frame) not in _NOT_THE_USER]
    if not of_user:
        return "unknown place"
    frame, line = of_user[-1]
    return in_file(frame.f_code.co_filename, line)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def in_file(path: str, line: int) -> str:
    """Return ``path:line``; the path is relative if it is inside the current folder."""
    return f"{path.removeprefix(f'{Path.cwd()}{os.sep}')}:{line}"
