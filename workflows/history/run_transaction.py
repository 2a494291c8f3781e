"""A change to a run in a transaction: locked rows, new events, and writing both."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Self
from uuid import UUID

from sqlalchemy import Connection

from celeriac.workflows.engine.events import EventType
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.progress import Progress
from celeriac.workflows.engine.states import RunStatus, StepStatus
from celeriac.workflows.history.arrays import array_of
from celeriac.workflows.history.records import Transition
from celeriac.workflows.history.statements import statement


@dataclass(kw_only=True, slots=True)
class LockedStep(Progress):
    """A step whose row is locked."""

    attempt: int
    lease: str | None  # of the last attempt
    next_position: int | None
    ended_by: int | None
    lost: int = 0  # attempts that this transaction ends as lost
    reset: bool = False  # whether this transaction makes earlier attempts not count


@dataclass(kw_only=True, slots=True)
class LockedRun:
    """A run whose row is locked."""

    status: RunStatus
    remaining: int
    unhandled_failures: int
    compensations: int
    final_status: str | None
    ended_by: int | None
    is_started: bool
    is_timed_out: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class NewEvent:
    """An event to append."""

    type: EventType
    position: int | None = None
    attempt: int | None = None
    data: str | None = None


class RunTransaction:
    """Rows of a run, locked by ``open``, changed in memory, written by ``write``.

    Lock order: steps by position, then the run. Every statement that changes both keeps
    to this order, so no two of them can deadlock. A transaction opens with all steps
    that it may change; another step is a KeyError.

    Attributes:
        steps: The locked steps by position; changed in place.
        run: The locked run; changed in place.
        ready: Steps that this transaction makes ready, in the order in which they
            should run.
    """

    def __init__(
        self, connection: Connection, run_id: UUID, graph: Graph, steps: dict[int, LockedStep], run: LockedRun
    ) -> None:
        self.connection = connection
        self.run_id = run_id
        self.graph = graph
        self.steps = steps
        self.run = run
        self.ready: list[int] = []
        self._before = {position: replace(step) for position, step in steps.items()}
        self._events: list[NewEvent] = []
        self._run_ended = False

    @classmethod
    def open(cls, connection: Connection, run_id: UUID, graph: Graph, *, steps: Iterable[int]) -> Self:
        """Lock steps of a run, ascending, and then the run.

        Args:
            connection: A connection in a transaction; the caller commits.
            run_id: The run.
            graph: The graph of the run.
            steps: Positions of all steps that the transaction may change.
        """
        locked = _lock_steps(connection, run_id, sorted(set(steps)))
        return cls(connection, run_id, graph, locked, _lock_run(connection, run_id))

    @classmethod
    def open_whole(cls, connection: Connection, run_id: UUID, graph: Graph) -> Self:
        """Lock all steps of a run, and then the run."""
        return cls.open(connection, run_id, graph, steps=range(len(graph.nodes)))

    def record(
        self,
        kind: EventType,
        data: Any | None = None,
        *,
        text: str | None = None,
        position: int | None = None,
        attempt: int | None = None,
    ) -> None:
        """Append an event with ``data``, or with ``text`` if that is JSON already."""
        if data is not None:
            text = json.dumps(data)
        self._events.append(NewEvent(type=kind, position=position, attempt=attempt, data=text))

    def record_decisions(self, decided: Iterable[tuple[int, StepStatus]]) -> None:
        """Append the events of steps that are skipped, or failed upstream."""
        for position, status in decided:
            if status.decision is not None:
                self.record(status.decision, position=position)

    def fail(self, data: dict[str, Any]) -> None:
        """Fail the run; a saga is compensated first."""
        if not self.graph.saga:
            self.end(RunStatus.FAILED, data)
            return
        self.run.status = RunStatus.COMPENSATING
        self.run.final_status = RunStatus.FAILED.value
        self.record(EventType.RUN_COMPENSATING, {"final_status": self.run.final_status, **data})

    def end(self, status: RunStatus, data: dict[str, Any] | None) -> None:
        """End the run, and make the hook that this end calls ready."""
        self.run.status = status
        self._run_ended = True
        self.record(status.ended_by, data)
        hook = self.graph.hooks.get(status.hook or "")
        if hook is not None:
            self.steps[hook].status = StepStatus.READY
            self.ready.append(hook)

    def write(self) -> Transition:
        """Write the events and rows; return the steps to dispatch."""
        for event, sequence in zip(self._events, self._append_events(), strict=True):
            if event.position is not None:
                self.steps[event.position].ended_by = sequence
            elif self.run.status.is_terminal:
                self.run.ended_by = sequence
        self._write_steps()
        self._write_run()
        phase = self.run.status.phase
        return Transition(
            run_status=self.run.status,
            run_ended=self._run_ended,
            ready=tuple(position for position in self.ready if self.graph.nodes[position].phase is phase),
        )

    def _append_events(self) -> list[int]:
        written = self.connection.scalars(
            statement("append_events"),
            {
                "run": self.run_id,
                "types": [event.type.value for event in self._events],
                "positions": [event.position for event in self._events],
                "attempts": [event.attempt for event in self._events],
                "data": [event.data for event in self._events],
            },
        )
        return sorted(written)

    def _write_steps(self) -> None:
        changed = {position: step for position, step in self.steps.items() if step != self._before[position]}
        if not changed:
            return
        steps = changed.values()
        self.connection.execute(
            statement("write_steps"),
            {
                "run": self.run_id,
                "positions": list(changed),
                "statuses": [step.status.value for step in steps],
                "remaining": [step.remaining for step in steps],
                "failed": [step.failed for step in steps],
                "skipped": [step.skipped for step in steps],
                "next_positions": [step.next_position for step in steps],
                "ended_by": [step.ended_by for step in steps],
                "lost": [step.lost for step in steps],
                "reset": [step.reset for step in steps],
            },
        )

    def _write_run(self) -> None:
        run = self.run
        self.connection.execute(
            statement("write_run"),
            {
                "run": self.run_id,
                "status": run.status.value,
                "remaining": run.remaining,
                "unhandled_failures": run.unhandled_failures,
                "compensations": run.compensations,
                "final_status": run.final_status,
                "ended_by": run.ended_by,
            },
        )


def _lock_steps(connection: Connection, run_id: UUID, positions: list[int]) -> dict[int, LockedStep]:
    rows = connection.execute(statement("lock_steps"), {"run": run_id, "positions": array_of(positions)})
    return {
        row.position: LockedStep(
            status=StepStatus(row.status),
            attempt=row.attempt,
            lease=row.lease,
            remaining=row.remaining,
            failed=row.failed,
            skipped=row.skipped,
            next_position=row.next_position,
            ended_by=row.ended_by,
        )
        for row in rows
    }


def _lock_run(connection: Connection, run_id: UUID) -> LockedRun:
    row = connection.execute(statement("lock_run"), {"run": run_id}).one()
    return LockedRun(
        status=RunStatus(row.status),
        remaining=row.remaining,
        unhandled_failures=row.unhandled_failures,
        compensations=row.compensations,
        final_status=row.final_status,
        ended_by=row.ended_by,
        is_started=row.is_started,
        is_timed_out=row.is_timed_out,
    )
