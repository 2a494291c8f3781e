"""A change to one run in one transaction: what it locks, what it gathers, and how that is written."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from celeriac.workflows.engine.events import EventType
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.progress import Progress
from celeriac.workflows.engine.states import Phase, RunStatus, StepStatus
from celeriac.workflows.history.arrays import array_of
from celeriac.workflows.history.statements import statement

FORWARD = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED)
_ENDS = {
    RunStatus.COMPLETED: EventType.RUN_COMPLETED,
    RunStatus.FAILED: EventType.RUN_FAILED,
    RunStatus.CANCELLED: EventType.RUN_CANCELLED,
    RunStatus.COMPENSATION_FAILED: EventType.RUN_COMPENSATION_FAILED,
}
_HOOKS = {
    RunStatus.COMPLETED: "on_complete",
    RunStatus.FAILED: "on_failure",
    RunStatus.COMPENSATION_FAILED: "on_failure",
}
_VERDICTS = {StepStatus.UPSTREAM_FAILED: EventType.STEP_UPSTREAM_FAILED, StepStatus.SKIPPED: EventType.STEP_SKIPPED}
_PHASES = {
    RunStatus.PENDING: Phase.FORWARD,
    RunStatus.RUNNING: Phase.FORWARD,
    RunStatus.COMPENSATING: Phase.COMPENSATION,
    RunStatus.COMPLETED: Phase.HOOK,
    RunStatus.FAILED: Phase.HOOK,
    RunStatus.COMPENSATION_FAILED: Phase.HOOK,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """What the end of a step, or a request, brought about.

    Attributes:
        status: Of the run.
        run_ended: Whether the run ended with this.
        ready: Steps to be dispatched now, in the order in which they are to run.
    """

    status: RunStatus
    run_ended: bool = False
    ready: tuple[int, ...] = ()


@dataclass(kw_only=True, slots=True)
class LockedStep(Progress):
    """A step whose row is locked."""

    attempt: int
    next_position: int | None
    ended_by: int | None
    lost: int = 0  # attempts lost by this change
    again: bool = False  # whether this change takes back all earlier attempts


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
    is_late: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class NewEvent:
    """An event that is to be appended."""

    type: EventType
    position: int | None = None
    attempt: int | None = None
    data: str | None = None


class LockedSteps(dict[int, LockedStep]):
    """Steps of a run that are locked; locks what is asked for.

    Attributes:
        before: Copies of them as they were.
    """

    def __init__(self, connection: Connection, run_id: UUID, graph: Graph, position: int | None = None) -> None:
        super().__init__()
        self._connection, self._run_id = connection, run_id
        self._graph, self._position = graph, position
        self.before: dict[int, LockedStep] = {}

    def lock(self, positions: Iterable[int]) -> None:
        """Lock steps, those that are not locked yet, in one order."""
        wanted = sorted(set(positions) - self.keys())
        if not wanted:
            return
        rows = self._connection.execute(statement("lock_steps"), {"run": self._run_id, "positions": array_of(wanted)})
        for row in rows:
            self[row.position] = LockedStep(
                status=StepStatus(row.status),
                attempt=row.attempt,
                remaining=row.remaining,
                failed=row.failed,
                skipped=row.skipped,
                next_position=row.next_position,
                ended_by=row.ended_by,
            )
            self.before[row.position] = replace(self[row.position])

    def lock_all(self) -> None:
        """Lock all steps of the run."""
        self.lock(range(len(self._graph.nodes)))

    def __missing__(self, position: int) -> LockedStep:
        # The end of a step spreads further than to those that wait for it directly.
        reached = set() if self._position is None else self._graph.descendants(self._position)
        self.lock({*reached, position})
        return self[position]


class RunTransaction:
    """What a transaction does to one run, gathered before it is written.

    Locks the run; so the steps are locked before, as whatever else changes both does.

    Attributes:
        steps: Those that are locked; changed in place.
        run: Changed in place.
        events: To be appended, in order.
        ready: Steps that this makes ready.
    """

    def __init__(self, connection: Connection, run_id: UUID, graph: Graph, steps: LockedSteps) -> None:
        self.connection, self.run_id, self.graph, self.steps = connection, run_id, graph, steps
        self.run = _lock_run(connection, run_id)
        self.events: list[NewEvent] = []
        self.ready: list[int] = []
        self._ended = False

    def record(
        self,
        kind: EventType,
        data: Any | None = None,
        *,
        text: str | None = None,
        position: int | None = None,
        attempt: int | None = None,
    ) -> None:
        """Append an event; what it holds as JSON data, or as JSON text."""
        if data is not None:
            text = json.dumps(data)
        self.events.append(NewEvent(type=kind, position=position, attempt=attempt, data=text))

    def record_decisions(self, decided: Iterable[tuple[int, StepStatus]]) -> None:
        """Append the events of steps that are blocked or skipped."""
        for position, verdict in decided:
            if verdict in _VERDICTS:
                self.record(_VERDICTS[verdict], position=position)

    def fail(self, data: dict[str, Any]) -> None:
        """Fail the run; a saga is undone first."""
        if not self.graph.saga:
            self.end(RunStatus.FAILED, data)
            return
        self.run.status, self.run.final_status = RunStatus.COMPENSATING, RunStatus.FAILED.value
        self.record(EventType.RUN_COMPENSATING, {"final_status": self.run.final_status, **data})

    def end(self, status: RunStatus, data: dict[str, Any] | None) -> None:
        """End the run, and make the hook ready that this end calls."""
        self.run.status, self._ended = status, True
        self.record(_ENDS[status], data)
        hook = self.graph.hooks.get(_HOOKS.get(status, ""))
        if hook is not None:
            self.steps[hook].status = StepStatus.READY
            self.ready.append(hook)

    def write(self) -> Transition:
        """Write everything, and tell what is to be dispatched."""
        run = self.run
        for event, sequence in zip(self.events, self._append_events(), strict=True):
            if event.position is not None:
                self.steps[event.position].ended_by = sequence
            elif run.status.is_terminal:
                run.ended_by = sequence
        self._write_steps()
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
        if run.status not in FORWARD:
            self.connection.execute(statement("park"), {"run": self.run_id})
        phase = _PHASES.get(run.status)
        ready = tuple(position for position in self.ready if self.graph.nodes[position].phase is phase)
        return Transition(status=run.status, run_ended=self._ended, ready=ready)

    def _append_events(self) -> list[int]:
        written = self.connection.scalars(
            statement("append_events"),
            {
                "run": self.run_id,
                "types": [event.type.value for event in self.events],
                "positions": [event.position for event in self.events],
                "attempts": [event.attempt for event in self.events],
                "data": [event.data for event in self.events],
            },
        )
        return sorted(written)

    def _write_steps(self) -> None:
        changed = {i: step for i, step in self.steps.items() if step != self.steps.before[i]}
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
                "again": [step.again for step in steps],
            },
        )


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
        is_late=row.is_late,
    )
