"""Finding ready steps that wait for a worker, for people who look for the reason."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import sqlalchemy as sa

from celeriac.workflows.engine.states import RunStatus, StepStatus
from celeriac.workflows.engine.views import Waiting
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.reconciliation import ReadyGroup
from celeriac.workflows.history.tables import RUNS, TASKS

_MOST_RUNS = 5  # named per step, although more may wait


def waiting(database: Database, groups: Collection[ReadyGroup]) -> list[Waiting]:
    """Return the groups that have ready steps in runs that accept work.

    Runs that are paused or have ended have ready steps too; they are left out.
    """
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
