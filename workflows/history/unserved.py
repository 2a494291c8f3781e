"""What waits for a worker now, for people who look for the reason."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import sqlalchemy as sa

from celeriac.workflows.engine.states import RunStatus, StepStatus
from celeriac.workflows.engine.views import Waiting
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.reconciliation import ReadyGroup
from celeriac.workflows.history.tables import RUNS, TASKS

_MOST_RUNS = 5  # that are named, of as many as there may be


def waiting(database: Database, groups: Collection[ReadyGroup]) -> list[Waiting]:
    """Return which of the groups wait in runs that go on; runs that are paused or have ended leave steps ready too."""
    found: dict[tuple[str, str], list[UUID]] = {}
    with database.autocommit() as connection:
        for group in groups:
            query = (
                sa.select(RUNS.c.id)
                .select_from(TASKS.join(RUNS, RUNS.c.id == TASKS.c.run_id))
                .where(
                    TASKS.c.status == StepStatus.READY.value,
                    TASKS.c.task_name == group.task,
                    TASKS.c.queue == group.queue,
                    TASKS.c.priority == group.priority,
                    RUNS.c.status.in_([RunStatus.PENDING.value, RunStatus.RUNNING.value]),
                )
                .limit(_MOST_RUNS)
            )
            if runs := connection.scalars(query).all():
                found.setdefault((group.task, group.queue), []).extend(runs)
    return [
        Waiting(task=task, queue=queue, runs=tuple(sorted(set(runs))[:_MOST_RUNS]))
        for (task, queue), runs in sorted(found.items())
    ]
