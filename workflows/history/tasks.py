"""Reading a step for Celery's result backend."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from celeriac.workflows.engine.states import StepStatus
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.statements import statement


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A step's status, and the data of the event that ended it."""

    status: StepStatus
    data: Any  # the result, or the error; None while the step has neither
    finished_at: datetime | None


def find_task(database: Database, run_id: UUID, name: str) -> Task | None:
    """Return the step of a run by its name, or None if the run has no such step."""
    with database.autocommit() as connection:
        row = connection.execute(statement("find_task"), {"run": run_id, "name": name}).one_or_none()
    return None if row is None else Task(status=StepStatus(row.status), data=row.data, finished_at=row.finished_at)
