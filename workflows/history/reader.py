"""Reading runs, steps and events, for people and for the audit; not used by steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Row

from celeriac.workflows.engine.events import Event, EventType
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.resolving import RecordedStep, RunValues
from celeriac.workflows.engine.states import RunStatus, StepStatus
from celeriac.workflows.engine.templates import evaluate, outcome_sources, result_sources
from celeriac.workflows.engine.views import ErrorView, RunView, StepView
from celeriac.workflows.errors import UnknownRun
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.leases import process_of
from celeriac.workflows.history.runs import RunStore
from celeriac.workflows.history.tables import EVENTS, RUNS, TASKS

_RUN_COLUMNS: tuple[sa.ColumnElement[Any], ...] = (
    *RUNS.c["id", "workflow", "version", "graph_hash", "status", "remaining", "unhandled_failures", "compensations"],
    *RUNS.c["tags", "idempotency_key", "ended_by", "created_at", "started_at", "finished_at"],
)
_TASK_COLUMNS: tuple[sa.ColumnElement[Any], ...] = (
    *TASKS.c["position", "name", "task_name", "queue", "status", "remaining", "attempt", "lost", "lease", "ended_by"],
    *TASKS.c["ready_at", "started_at", "finished_at"],
    # A parked wait is due at infinity, for which Python has no instant.
    sa.func.nullif(TASKS.c.due_at, sa.literal_column("'infinity'::timestamptz")).label("due_at"),
)
_CHUNK = 1_000  # rows fetched at a time


class Reader:
    """Assembles views of runs from projections and events."""

    def __init__(self, database: Database, runs: RunStore) -> None:
        self._database = database
        self._runs = runs

    def find(
        self,
        *,
        workflow: str | None = None,
        status: RunStatus | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int | None = None,
        after: UUID | None = None,
    ) -> list[RunView]:
        """Return runs without their steps, the latest first.

        Args:
            workflow: Only runs of this workflow.
            status: Only runs with this status.
            tags: Only runs with all of these tags.
            limit: The highest number of runs.
            after: Only runs that started before this run, for the next page.
        """
        query = _with_outcome().order_by(RUNS.c.id.desc())
        if workflow is not None:
            query = query.where(RUNS.c.workflow == workflow)
        if status is not None:
            query = query.where(RUNS.c.status == status.value)
        if tags:
            query = query.where(RUNS.c.tags.contains(dict(tags)))
        if after is not None:
            query = query.where(RUNS.c.id < after)
        with self._database.autocommit() as connection:
            return [_run_view(row) for row in connection.execute(query.limit(limit))]

    def run(self, run_id: UUID, *, steps: bool = True) -> RunView:
        """Return a run, with its steps by default.

        Raises:
            UnknownRun: there is no such run.
        """
        with self._database.autocommit() as connection:
            row = connection.execute(_with_outcome().where(RUNS.c.id == run_id)).one_or_none()
            if row is None:
                raise UnknownRun(run_id=run_id)
            if not steps:
                return _run_view(row)
            graph = self._runs.graph(row.graph_hash)
            tasks = connection.execute(
                sa.select(
                    *_TASK_COLUMNS,
                    _last_failure().label("error"),
                )
                .where(TASKS.c.run_id == run_id, TASKS.c.status != StepStatus.DORMANT.value)
                .order_by(TASKS.c.position)
            ).all()
        return _run_view(row, tuple(_step_view(task, graph) for task in tasks))

    def result(self, run_id: UUID) -> str | None:
        """Return the result of a completed run as JSON text.

        Returns:
            None if the workflow returns nothing.
        """
        with self._database.autocommit() as connection:
            graph_hash = connection.execute(sa.select(RUNS.c.graph_hash).where(RUNS.c.id == run_id)).scalar_one()
            graph = self._runs.graph(graph_hash)
            if graph.returns is None:
                return None
            names = {*result_sources(graph.returns), *outcome_sources(graph.returns)}
            needed = {graph.position[name] for name in names}
            needed |= {graph.handlers[position] for position in needed if position in graph.handlers}
            data = sa.cast(EVENTS.c.data, sa.Text).label("data")
            rows = connection.execute(
                sa.select(TASKS.c.position, TASKS.c.status, data)
                .select_from(TASKS.outerjoin(EVENTS, _ends_task()))
                .where(TASKS.c.run_id == run_id, TASKS.c.position.in_(needed))
            ).all()
            run_input = connection.execute(
                sa.select(data).where(EVENTS.c.run_id == run_id).order_by(EVENTS.c.sequence).limit(1)
            ).scalar_one()
        found = {row.position: RecordedStep(status=StepStatus(row.status), data=row.data) for row in rows}
        return evaluate(graph.returns, RunValues(graph=graph, run_input=run_input, recorded=found))

    def input(self, run_id: UUID) -> str:
        """Return the input of a run as JSON text."""
        query = (
            sa.select(sa.cast(EVENTS.c.data, sa.Text))
            .where(EVENTS.c.run_id == run_id)
            .order_by(EVENTS.c.sequence)
            .limit(1)
        )
        with self._database.autocommit() as connection:
            return connection.execute(query).scalar_one()

    def events(self, run_id: UUID) -> list[Event]:
        """Return the history of a run in order; empty if there is no such run."""
        query = sa.select(EVENTS).where(EVENTS.c.run_id == run_id).order_by(EVENTS.c.sequence)
        with self._database.autocommit() as connection:
            return [_event(row) for row in connection.execute(query)]

    def projections(self, run_id: UUID) -> tuple[Any, list[Any]]:
        """Return the row of a run and the rows of its tasks, for the audit.

        Raises:
            UnknownRun: there is no such run.
        """
        with self._database.autocommit() as connection:
            run = connection.execute(sa.select(*_RUN_COLUMNS).where(RUNS.c.id == run_id)).one_or_none()
            if run is None:
                raise UnknownRun(run_id=run_id)
            tasks = connection.execute(
                sa.select(*_TASK_COLUMNS).where(TASKS.c.run_id == run_id).order_by(TASKS.c.position)
            ).all()
        return run, list(tasks)

    def ids(self) -> Iterator[UUID]:
        """Yield the ids of all runs, the oldest first, in chunks."""
        last: UUID | None = None
        while True:
            query = sa.select(RUNS.c.id).order_by(RUNS.c.id).limit(_CHUNK)
            with self._database.autocommit() as connection:
                found = connection.scalars(query if last is None else query.where(RUNS.c.id > last)).all()
            yield from found
            if len(found) < _CHUNK:
                return
            last = found[-1]


def _with_outcome() -> sa.Select[Any]:
    """Select runs, each with the event that ended it, and with the cause and its error.

    The cause is the step that failed the run.
    """
    run_failed = EVENTS.alias("run_failed")
    step_failed = EVENTS.alias("step_failed")
    cause = TASKS.alias("cause")
    ended_badly = RUNS.c.status != RunStatus.COMPLETED.value
    return sa.select(
        *_RUN_COLUMNS,
        cause.c.name.label("failed_step"),
        step_failed.c.data.label("error"),
        run_failed.c.data.label("ending"),
    ).select_from(
        RUNS.outerjoin(
            run_failed,
            sa.and_(ended_badly, run_failed.c.run_id == RUNS.c.id, run_failed.c.sequence == RUNS.c.ended_by),
        )
        .outerjoin(
            cause,
            sa.and_(cause.c.run_id == run_failed.c.run_id, cause.c.name == run_failed.c.data["step"].as_string()),
        )
        .outerjoin(
            step_failed,
            sa.and_(step_failed.c.run_id == cause.c.run_id, step_failed.c.sequence == cause.c.ended_by),
        )
    )


def _last_failure() -> sa.ScalarSelect[Any]:
    """Select the data of a step's last failed attempt, unless the step completed."""
    return (
        sa.select(EVENTS.c.data)
        .where(
            EVENTS.c.run_id == TASKS.c.run_id,
            EVENTS.c.position == TASKS.c.position,
            EVENTS.c.type == EventType.STEP_FAILED.value,
            TASKS.c.status != StepStatus.COMPLETED.value,
            TASKS.c.attempt > 0,
        )
        .order_by(EVENTS.c.sequence.desc())
        .limit(1)
        .correlate(TASKS)
        .scalar_subquery()
    )


def _ends_task() -> sa.ColumnElement[bool]:
    return sa.and_(EVENTS.c.run_id == TASKS.c.run_id, EVENTS.c.sequence == TASKS.c.ended_by)


def _run_view(row: Row[Any], steps: tuple[StepView, ...] = ()) -> RunView:
    return RunView(
        id=row.id,
        workflow=row.workflow,
        version=row.version,
        graph_hash=row.graph_hash,
        status=RunStatus(row.status),
        tags=row.tags,
        idempotency_key=row.idempotency_key,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        error=_error_view(row.error, row.failed_step) or _ending_view(RunStatus(row.status), row.ending),
        steps=steps,
    )


def _step_view(row: Any, graph: Graph) -> StepView:
    node = graph.nodes[row.position]
    return StepView(
        name=row.name,
        task=row.task_name,
        position=row.position,
        parents=tuple(graph.nodes[parent].name for parent in graph.parents[row.position]),
        status=StepStatus(row.status),
        attempt=row.attempt,
        lost=row.lost,
        queue=row.queue or None,
        worker=row.lease and process_of(row.lease),
        ready_at=row.ready_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        due_at=row.due_at,
        error=_error_view(row.error),
        needs=node.needs and node.needs.value,
        handles=node.handles,
        compensates=node.compensates,
        hook=node.hook,
    )


def _error_view(data: Mapping[str, Any] | None, step: str | None = None) -> ErrorView | None:
    if data is None:
        return None
    return ErrorView(
        type=data["type"],
        message=data["message"],
        traceback=data.get("traceback"),
        step=step,
        public=data.get("public", False),
    )


def _ending_view(status: RunStatus, data: Mapping[str, Any] | None) -> ErrorView | None:
    """Return why a run ended although no step failed it."""
    if data is None:
        return None
    if "type" in data:
        return ErrorView(type=data["type"], message=data["message"])
    return ErrorView(type=f"Run{status.capitalize()}", message=data.get("reason") or "by request")


def _event(row: Row[Any]) -> Event:
    at: datetime = row.at
    return Event(
        run_id=row.run_id,
        sequence=row.sequence,
        type=EventType(row.type),
        at=at,
        position=row.position,
        attempt=row.attempt,
        data=row.data,
    )
