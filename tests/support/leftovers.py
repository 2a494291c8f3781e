"""Processes that a test session started and did not end."""

import os
from uuid import uuid4

import psutil

MARK = "CELERIAC_TEST_SESSION"


def mark_session() -> str:
    """Mark this process, and with it every process that will descend from it."""
    os.environ[MARK] = uuid4().hex
    return os.environ[MARK]


def marked_processes(mark: str) -> list[str]:
    """Describe each living process with the mark, but for this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(f"{process.pid}: {' '.join(process.cmdline())}")
        except psutil.Error:
            continue  # ended meanwhile, or somebody else's
    return found
