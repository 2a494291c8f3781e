"""Processes that are not our children, yet ours to end."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil  # of the extra `embedded`, so imported by whoever uses it


def descendants(pid: int) -> list[psutil.Process]:
    """Return the processes that ``pid`` has started, and those have started, and so on."""
    import psutil

    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def named(program: str, argument: str, pid: int) -> list[psutil.Process]:
    """Return the process ``pid`` if it runs ``program`` with that argument, and nothing otherwise.

    A number read from a file may long belong to somebody else.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        return [process] if process.name() == program and argument in process.cmdline() else []
    except psutil.Error:
        return []


def end(processes: Sequence[psutil.Process], number: signal.Signals, timeout: float = 10) -> bool:
    """Send a signal to each, wait until all are dead, and return whether there were any and they are."""
    import psutil

    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
    deadline = time.monotonic() + timeout
    while any(_lives(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        psutil.wait_procs(processes, timeout=0.02)
    return bool(processes)


def _lives(process: psutil.Process) -> bool:
    """Say whether it does anything still; what is dead but not reaped by its parent does not."""
    import psutil

    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
