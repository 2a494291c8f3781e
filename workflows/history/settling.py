"""Recording what ends a step in more ways than by simply freeing others: failures, joins by rule, sagas, hooks, retries.

One transaction each, in Python: it locks the steps that the outcome may reach, in order of their positions, then the run;
decides by ``progress``; appends the events; and writes the projections. A completion that can do no more than
free others and complete the run goes by one statement instead; see ``AttemptStore.complete``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from workflows import progress
from workflows.events import EventType
from workflows.graph import Graph, Phase
from workflows.history.arrays import array_of
from workflows.history.database import Database
from workflows.history.statements import statement
from workflows.progress import Progress
from workflows.states import RunStatus, StepStatus

_GOING_ON = (RunStatus.PENDING, RunStatus.RUNNING)
_FORWARD = (*_GOING_ON, RunStatus.PAUSED)
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
_VERDICTS = {StepStatus.BLOCKED: EventType.STEP_BLOCKED, StepStatus.SKIPPED: EventType.STEP_SKIPPED}


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How an attempt ends.

    Attributes:
        status: ``completed`` or ``failed``.
        data: The result, or the error, as JSON text.
        lost_with: The lease that expired, if the attempt was lost with its worker.
    """

    status: StepStatus
    data: str
    lost_with: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
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
class _Step(Progress):
    attempt: int
    next_position: int | None
    outcome: int | None
    lost: int = 0  # attempts lost now
    again: bool = False


@dataclass(kw_only=True, slots=True)
class _Run:
    status: RunStatus
    remaining: int
    losses: int
    compensations: int
    ending: str | None
    outcome: int | None
    is_started: bool
    is_late: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Event:
    type: EventType
    position: int | None = None
    attempt: int | None = None
    data: str | None = None


class _Steps(dict[int, _Step]):
    """Steps of a run that are locked; locks what is asked for.

    Attributes:
        before: Copies of them as they were.
    """

    def __init__(self, connection: Connection, run_id: UUID, graph: Graph, position: int | None = None) -> None:
        super().__init__()
        self._connection, self._run_id = connection, run_id
        self._graph, self._position = graph, position
        self.before: dict[int, _Step] = {}

    def lock(self, positions: Iterable[int]) -> None:
        """Lock steps, those that are not locked yet, in one order."""
        wanted = sorted(set(positions) - self.keys())
        if not wanted:
            return
        rows = self._connection.execute(
            statement("lock_steps"), {"run": self._run_id, "positions": array_of(wanted)}
        )
        for row in rows:
            self[row.position] = _Step(
                status=StepStatus(row.status),
                attempt=row.attempt,
                remaining=row.remaining,
                failed=row.failed,
                skipped=row.skipped,
                next_position=row.next_position,
                outcome=row.outcome,
            )
            self.before[row.position] = replace(self[row.position])

    def lock_all(self) -> None:
        """Lock all steps of the run."""
        self.lock(range(len(self._graph.nodes)))

    def __missing__(self, position: int) -> _Step:
        # The end of a step spreads further than to those that wait for it directly.
        reached = set() if self._position is None else self._graph.descendants(self._position)
        self.lock({*reached, position})
        return self[position]


@dataclass(kw_only=True, slots=True)
class _Change:
    """A transaction's changes to one run, gathered before they are written."""

    connection: Connection
    run_id: UUID
    graph: Graph
    run: _Run
    steps: _Steps
    events: list[_Event] = field(default_factory=list)
    ready: list[int] = field(default_factory=list)
    ended: bool = False


class SettlementStore:
    """Settles one run at a time. Each method is a transaction of its own, unless it is given one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def settle(
        self, run_id: UUID, position: int, attempt: int, graph: Graph, end: End, transaction: Connection | None = None
    ) -> Settled | None:
        """Record how an attempt ends, and all that follows; return None if it is superseded.

        Args:
            run_id: The run.
            position: Of the step.
            attempt: The number of the attempt.
            graph: Of the run.
            end: How it ends.
            transaction: The caller's, to be part of; the caller commits.
        """
        with self._joined(transaction) as connection:
            steps = _Steps(connection, run_id, graph, position)
            steps.lock({position, *_reached_first(graph, position)})
            step = steps[position]
            if step.status is not StepStatus.RUNNING or step.attempt != attempt:
                return None
            if end.lost_with is not None and not _is_over(connection, end.lost_with):
                return None
            if step.next_position is not None:
                steps.lock({step.next_position})
            step.status, step.lost = end.status, int(end.lost_with is not None)
            decided = progress.spread(graph, steps, position) if _is_forward(graph, position) else []
            run = _lock_run(connection, run_id)  # after all the steps
            change = _Change(connection=connection, run_id=run_id, graph=graph, run=run, steps=steps)
            if end.lost_with is not None:
                change.events.append(_lost(position, attempt, end.lost_with))
            change.events.append(_outcome(position, attempt, end))
            change.events += _verdicts(decided)
            change.ready = [child for child, verdict in decided if verdict is StepStatus.READY]
            if _is_forward(graph, position):
                _count(change, [(position, end.status), *decided])
            elif graph.nodes[position].phase is Phase.COMPENSATION:
                _compensated(change, position)
            return _write(change)

    def compensate(self, run_id: UUID, graph: Graph) -> Settled | None:
        """Undo a saga: plan the compensations of what has completed, or end the run if nothing is left to undo.

        Returns:
            None if there is nothing to do now: the run is not being undone, a step still runs, or a plan is carried out.
        """
        with self._database.transaction() as connection:
            # Whoever is claiming a step at this moment either has its row, or will find the run being undone.
            steps = _Steps(connection, run_id, graph)
            steps.lock_all()
            run = _lock_run(connection, run_id)
            if run.status is not RunStatus.COMPENSATING or run.compensations:
                return None
            if connection.scalar(statement("has_running"), {"run": run_id}):
                return None
            change = _Change(connection=connection, run_id=run_id, graph=graph, run=run, steps=steps)
            plan = _plan(graph, steps)
            if plan:
                for position, following in zip(plan, [*plan[1:], None], strict=True):
                    step = steps[position]
                    step.status, step.remaining, step.next_position = StepStatus.PENDING, 1, following
                steps[plan[0]].status, steps[plan[0]].remaining = StepStatus.READY, 0
                run.compensations = len(plan)
                change.events.append(_Event(type=EventType.COMPENSATION_PLANNED, data=json.dumps({"steps": plan})))
                settled = _write(change)
                return replace(settled, ready=tuple(plan))
            data = dict(connection.scalar(statement("ending_data"), {"run": run_id}))
            _end(change, RunStatus(data.pop("ending")), data)
            return _write(change)

    def time_out(self, run_id: UUID, graph: Graph) -> Settled | None:
        """Fail a run that has taken too long; return None if it has not, or has ended."""
        with self._database.transaction() as connection:
            run = _lock_run(connection, run_id)
            if run.status not in _FORWARD or not run.is_late:
                return None
            steps = _Steps(connection, run_id, graph)
            change = _Change(connection=connection, run_id=run_id, graph=graph, run=run, steps=steps)
            _fail(change, {"type": "RunTimedOut", "message": "The run did not end within its time."})
            return _write(change)

    def retry(self, run_id: UUID, graph: Graph, timeout: float) -> Settled | None:
        """Let a failed run go on from its failed steps, or a saga from the compensation that failed.

        Returns:
            None if the run has not failed, or is a saga that has been undone.
        """
        with self._database.transaction() as connection:
            steps = _Steps(connection, run_id, graph)
            steps.lock_all()
            run = _lock_run(connection, run_id)
            change = _Change(connection=connection, run_id=run_id, graph=graph, run=run, steps=steps)
            if run.status is RunStatus.COMPENSATION_FAILED:
                again = [i for i in sorted(graph.compensations.values()) if steps[i].status is StepStatus.FAILED]
                decided: list[tuple[int, StepStatus]] = []
                run.status, run.outcome = RunStatus.COMPENSATING, None
            elif run.status is RunStatus.FAILED and not _is_undone(graph, steps):
                again, decided = _again(graph, steps)
                run.status = RunStatus.RUNNING if run.is_started else RunStatus.PENDING
                run.remaining = progress.remaining(graph, steps)
                run.losses = progress.losses(graph, steps, graph.forward)
                run.ending = run.outcome = None
                connection.execute(statement("extend_run"), {"run": run_id, "timeout": timeout})
            else:
                return None
            for position in again:
                steps[position].status, steps[position].again = StepStatus.READY, True
            if "on_failure" in graph.hooks:
                hook = steps[graph.hooks["on_failure"]]
                hook.status, hook.again = StepStatus.DORMANT, True
            change.events.append(_Event(type=EventType.RUN_RETRIED, data=json.dumps({"steps": again})))
            change.events += _verdicts(decided)
            return _write(change)

    def reuse(self, run_id: UUID, graph: Graph, results: Mapping[int, str], transaction: Connection) -> Settled:
        """Complete steps of a run that has just been started with results that another run has.

        Args:
            run_id: The run.
            graph: Of the run.
            results: JSON texts by position, parents before what depends on them.
            transaction: The caller's, who commits.
        """
        steps = _Steps(transaction, run_id, graph)
        steps.lock_all()
        run = _lock_run(transaction, run_id)
        change = _Change(connection=transaction, run_id=run_id, graph=graph, run=run, steps=steps)
        for position, result in results.items():
            steps[position].status, steps[position].remaining = StepStatus.COMPLETED, 0
            decided = progress.spread(graph, steps, position)
            change.events.append(_Event(type=EventType.STEP_REUSED, position=position, attempt=0, data=result))
            change.events += _verdicts(decided)
        run.remaining = progress.remaining(graph, steps)
        change.ready = [position for position in graph.forward if steps[position].status is StepStatus.READY]
        return _write(change)

    @contextmanager
    def _joined(self, transaction: Connection | None) -> Iterator[Connection]:
        if transaction is not None:
            yield transaction
            return
        with self._database.transaction() as own:
            yield own


def _reached_first(graph: Graph, position: int) -> set[int]:
    if not _is_forward(graph, position):
        return set()
    handler = graph.handlers.get(position)
    return {*graph.dependents[position], *(() if handler is None else (handler,))}


def _is_forward(graph: Graph, position: int) -> bool:
    return graph.nodes[position].phase is Phase.FORWARD


def _lock_run(connection: Connection, run_id: UUID) -> _Run:
    row = connection.execute(statement("lock_run"), {"run": run_id}).one()
    return _Run(
        status=RunStatus(row.status),
        remaining=row.remaining,
        losses=row.losses,
        compensations=row.compensations,
        ending=row.ending,
        outcome=row.outcome,
        is_started=row.is_started,
        is_late=row.is_late,
    )


def _is_over(connection: Connection, lease: str) -> bool:
    return bool(connection.scalar(statement("lease_is_over"), {"lease": lease}))


def _lost(position: int, attempt: int, lease: str) -> _Event:
    data = json.dumps({"worker": lease})
    return _Event(type=EventType.STEP_LOST, position=position, attempt=attempt, data=data)


def _outcome(position: int, attempt: int, end: End) -> _Event:
    kind = EventType.STEP_COMPLETED if end.status is StepStatus.COMPLETED else EventType.STEP_FAILED
    return _Event(type=kind, position=position, attempt=attempt, data=end.data)


def _verdicts(decided: Iterable[tuple[int, StepStatus]]) -> list[_Event]:
    return [_Event(type=_VERDICTS[verdict], position=position) for position, verdict in decided if verdict in _VERDICTS]


def _count(change: _Change, ended: list[tuple[int, StepStatus]]) -> None:
    """Count steps that ended down at the run, and end it if that is so; the first of them is what the rest follow from."""
    graph, run = change.graph, change.run
    ended = [(position, status) for position, status in ended if status.is_terminal]
    run.remaining -= sum(position in graph.ends for position, _ in ended)
    run.losses += sum(progress.is_loss(graph, position, status) for position, status in ended)
    if run.status not in _FORWARD:
        return
    cause = graph.nodes[ended[0][0]].name
    if any(progress.fails_run(graph, position, status) for position, status in ended):
        _fail(change, {"step": cause})
    elif run.remaining == 0 and run.losses:
        _fail(change, {"step": cause if ended[0][1] is StepStatus.FAILED else _first_failure(change) or cause})
    elif run.remaining == 0:
        _end(change, RunStatus.COMPLETED, None)


def _first_failure(change: _Change) -> str | None:
    """Return the step whose failure came first and was not made good by an error handler."""
    failed = list(change.connection.scalars(statement("first_failure"), {"run": change.run_id}))
    lost = [i for i in failed if change.graph.handlers.get(i) is None or change.graph.handlers[i] in failed]
    return change.graph.nodes[lost[0]].name if lost else None


def _compensated(change: _Change, position: int) -> None:
    """Carry on with the plan after a compensation has ended."""
    run, step = change.run, change.steps[position]
    if step.status is StepStatus.FAILED:
        if run.status is RunStatus.COMPENSATING:
            _end(change, RunStatus.COMPENSATION_FAILED, {"step": change.graph.nodes[position].name})
        return
    run.compensations -= 1
    if step.next_position is not None:
        following = change.steps[step.next_position]
        following.status, following.remaining = StepStatus.READY, 0
        change.ready.append(step.next_position)


def _fail(change: _Change, data: dict[str, Any]) -> None:
    if not change.graph.saga:
        _end(change, RunStatus.FAILED, data)
        return
    change.run.status, change.run.ending = RunStatus.COMPENSATING, RunStatus.FAILED.value
    ending = {"ending": change.run.ending, **data}
    change.events.append(_Event(type=EventType.RUN_COMPENSATING, data=json.dumps(ending)))


def _end(change: _Change, status: RunStatus, data: dict[str, Any] | None) -> None:
    change.run.status, change.ended = status, True
    change.events.append(_Event(type=_ENDS[status], data=None if data is None else json.dumps(data)))
    hook = change.graph.hooks.get(_HOOKS.get(status, ""))
    if hook is not None:
        change.steps[hook].status = StepStatus.READY
        change.ready.append(hook)


def _plan(graph: Graph, steps: Mapping[int, _Step]) -> list[int]:
    """Return the compensations of completed steps that have not been planned yet, of the step that completed last first."""
    undone = [
        position
        for position, compensation in graph.compensations.items()
        if steps[position].status is StepStatus.COMPLETED
        and steps[position].attempt  # results that a fork took over are the original's to undo
        and steps[compensation].status is StepStatus.DORMANT
    ]
    return [graph.compensations[i] for i in sorted(undone, key=lambda i: steps[i].outcome or 0, reverse=True)]


def _is_undone(graph: Graph, steps: Mapping[int, _Step]) -> bool:
    return any(steps[position].status is not StepStatus.DORMANT for position in graph.compensations.values())


def _again(graph: Graph, steps: Mapping[int, _Step]) -> tuple[list[int], list[tuple[int, StepStatus]]]:
    """Take back what failed in steps that are locked; see ``progress.again``."""
    bare: dict[int, Progress] = {
        i: Progress(remaining=step.remaining, status=step.status, failed=step.failed, skipped=step.skipped)
        for i, step in steps.items()
    }
    again, decided = progress.again(graph, bare)
    for position, after in bare.items():
        step = steps[position]
        step.status, step.remaining = after.status, after.remaining
        step.failed, step.skipped = after.failed, after.skipped
    return again, decided


def _write(change: _Change) -> Settled:
    """Write what was gathered, and tell what is to be dispatched."""
    events, run = change.events, change.run
    written = change.connection.scalars(
        statement("append_events"),
        {
            "run": change.run_id,
            "types": [event.type.value for event in events],
            "positions": [event.position for event in events],
            "attempts": [event.attempt for event in events],
            "data": [event.data for event in events],
        },
    )
    for event, sequence in zip(events, sorted(written), strict=True):
        if event.position is None:
            run.outcome = sequence if run.status.is_terminal else None
        else:
            change.steps[event.position].outcome = sequence
    _write_steps(change)
    change.connection.execute(
        statement("write_run"),
        {
            "run": change.run_id,
            "status": run.status.value,
            "remaining": run.remaining,
            "losses": run.losses,
            "compensations": run.compensations,
            "ending": run.ending,
            "outcome": run.outcome,
        },
    )
    if run.status not in _FORWARD:
        change.connection.execute(statement("park"), {"run": change.run_id})
    return Settled(status=run.status, run_ended=change.ended, ready=_dispatchable(change))


def _write_steps(change: _Change) -> None:
    changed = {i: step for i, step in change.steps.items() if step != change.steps.before[i]}
    if not changed:
        return
    steps = changed.values()
    change.connection.execute(
        statement("write_steps"),
        {
            "run": change.run_id,
            "positions": list(changed),
            "statuses": [step.status.value for step in steps],
            "remaining": [step.remaining for step in steps],
            "failed": [step.failed for step in steps],
            "skipped": [step.skipped for step in steps],
            "next_positions": [step.next_position for step in steps],
            "outcomes": [step.outcome for step in steps],
            "lost": [step.lost for step in steps],
            "again": [step.again for step in steps],
        },
    )


_PHASES = {
    RunStatus.PENDING: Phase.FORWARD,
    RunStatus.RUNNING: Phase.FORWARD,
    RunStatus.COMPENSATING: Phase.COMPENSATION,
    RunStatus.COMPLETED: Phase.HOOK,
    RunStatus.FAILED: Phase.HOOK,
    RunStatus.COMPENSATION_FAILED: Phase.HOOK,
}


def _dispatchable(change: _Change) -> tuple[int, ...]:
    phase = _PHASES.get(change.run.status)
    return tuple(position for position in change.ready if change.graph.nodes[position].phase is phase)
