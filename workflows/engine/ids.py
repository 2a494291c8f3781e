"""Ids of runs, and of the Celery tasks that run their steps."""

from __future__ import annotations

import os
import time
from uuid import UUID


def new_run_id() -> UUID:
    """Return a UUID of version 7 (RFC 9562), ascending by the millisecond.

    So runs sort in the order of their start.
    """
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & (1 << 48) - 1) << 80 | random
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return UUID(int=value)


def task_id(run_id: UUID | str, step: str) -> str:
    """Return the id of a step's Celery task: the run's id, a dot, the step's name.

    All attempts have the same id, so that Flower shows a step as a single task.
    """
    return f"{run_id}.{step}"


def parse_task_id(value: str) -> tuple[UUID, str] | None:
    """Return the run's id and the step's name; None if ``value`` has another form."""
    run_id, dot, step = value.partition(".")
    if not dot:
        return None
    try:
        return UUID(run_id), step
    except ValueError:
        return None
