"""Find and end processes that are not our children, but belong to our servers."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil  # of the extra `embedded`, so imported on use


def descendants(pid: int) -> list[psutil.Process]:
    """Return the children of ``pid``, their children, and so on."""
    import psutil

    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def named(program: str, argument: str, pid: int) -> list[psutil.Process]:
    """Return process ``pid`` if it runs ``program`` with ``argument``; else nothing.

    A number read from a file may belong to another process by now.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        return [process] if process.name() == program and argument in process.cmdline() else []
    except psutil.Error:
        return []


def end(processes: Sequence[psutil.Process], number: signal.Signals, timeout: float = 10) -> bool:
    """Send a signal to each process and wait until all are dead.

    Returns:
        False if there is no process, or if a process lives on after ``timeout``
        seconds.
    """
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
    """Return whether a process is alive; a zombie, dead but not reaped, is not."""
    import psutil

    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
