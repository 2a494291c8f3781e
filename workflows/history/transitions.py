"""Recording what does more than free other steps: failures, joins by rule, sagas, hooks, retries by request.

One transaction each, in Python: it locks the steps that the outcome may reach, in order of their positions, then the
run; decides by ``progress``; appends the events; and writes the projections. A completion that can do no more than
free others and complete the run goes by one statement instead; see ``AttemptStore.complete``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import Connection

from celeriac.workflows.engine import progress
from celeriac.workflows.engine.events import EventType
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.progress import Progress
from celeriac.workflows.engine.states import Phase, RunStatus, StepStatus
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.run_transaction import (
    FORWARD,
    LockedStep,
    LockedSteps,
    RunTransaction,
    Transition,
)
from celeriac.workflows.history.statements import statement


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptEnd:
    """How an attempt ends.

    Attributes:
        status: ``completed`` or ``failed``.
        data: The result, or the error, as JSON text.
        lost_with: The lease that expired, if the attempt was lost with its worker.
    """

    status: StepStatus
    data: str
    lost_with: str | None = None


class TransitionStore:
    """Settles one run at a time. Each method is a transaction of its own, unless it is given one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def settle(
        self,
        run_id: UUID,
        position: int,
        attempt: int,
        graph: Graph,
        end: AttemptEnd,
        *,
        transaction: Connection | None = None,
    ) -> Transition | None:
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
            steps = LockedSteps(connection, run_id, graph, position)
            steps.lock({position, *_reached_first(graph, position)})
            step = steps[position]
            if step.status is not StepStatus.RUNNING or step.attempt != attempt:
                return None
            if end.lost_with is not None and not _is_over(connection, end.lost_with):
                return None
            if step.next_position is not None:
                steps.lock({step.next_position})
            step.status, step.lost = end.status, int(end.lost_with is not None)
            decided = progress.propagate(graph, steps, position) if _is_forward(graph, position) else []
            change = RunTransaction(connection, run_id, graph, steps)
            if end.lost_with is not None:
                change.record(EventType.STEP_LOST, {"worker": end.lost_with}, position=position, attempt=attempt)
            completed = end.status is StepStatus.COMPLETED
            kind = EventType.STEP_COMPLETED if completed else EventType.STEP_FAILED
            change.record(kind, text=end.data, position=position, attempt=attempt)
            change.record_decisions(decided)
            change.ready = [child for child, verdict in decided if verdict is StepStatus.READY]
            if _is_forward(graph, position):
                _count(change, [(position, end.status), *decided])
            elif graph.nodes[position].phase is Phase.COMPENSATION:
                _compensated(change, position)
            return change.write()

    def compensate(self, run_id: UUID, graph: Graph) -> Transition | None:
        """Undo a saga: plan the compensations of what has completed, or end the run if nothing is left to undo.

        Returns:
            None if there is nothing to do now: the run is not being undone, a step still runs, or a plan is under way.
        """
        with self._database.transaction() as connection:
            # Whoever is claiming a step at this moment either has its row, or will find the run being undone.
            steps = LockedSteps(connection, run_id, graph)
            steps.lock_all()
            change = RunTransaction(connection, run_id, graph, steps)
            if change.run.status is not RunStatus.COMPENSATING or change.run.compensations:
                return None
            if connection.scalar(statement("has_running"), {"run": run_id}):
                return None
            plan = _plan(graph, steps)
            if plan:
                for position, following in zip(plan, [*plan[1:], None], strict=True):
                    step = steps[position]
                    step.status, step.remaining, step.next_position = StepStatus.PENDING, 1, following
                steps[plan[0]].status, steps[plan[0]].remaining = StepStatus.READY, 0
                change.run.compensations = len(plan)
                change.record(EventType.COMPENSATION_PLANNED, {"steps": plan})
                return replace(change.write(), ready=tuple(plan))
            data = dict(connection.scalar(statement("final_data"), {"run": run_id}))
            change.end(RunStatus(data.pop("final_status")), data)
            return change.write()

    def time_out(self, run_id: UUID, graph: Graph) -> Transition | None:
        """Fail a run that has taken too long; return None if it has not, or has ended."""
        with self._database.transaction() as connection:
            change = RunTransaction(connection, run_id, graph, LockedSteps(connection, run_id, graph))
            if change.run.status not in FORWARD or not change.run.is_late:
                return None
            change.fail({"type": "RunTimedOut", "message": "The run did not end within its time."})
            return change.write()

    def retry(self, run_id: UUID, graph: Graph, timeout: float) -> Transition | None:
        """Let a failed run go on from its failed steps, or a saga from the compensation that failed.

        Returns:
            None if the run has not failed, or is a saga that has been undone.
        """
        with self._database.transaction() as connection:
            steps = LockedSteps(connection, run_id, graph)
            steps.lock_all()
            change = RunTransaction(connection, run_id, graph, steps)
            run = change.run
            if run.status is RunStatus.COMPENSATION_FAILED:
                again = [i for i in sorted(graph.compensations.values()) if steps[i].status is StepStatus.FAILED]
                decided: list[tuple[int, StepStatus]] = []
                run.status, run.ended_by = RunStatus.COMPENSATING, None
            elif run.status is RunStatus.FAILED and not _is_undone(graph, steps):
                again, decided = _again(graph, steps)
                run.status = RunStatus.RUNNING if run.is_started else RunStatus.PENDING
                run.remaining = progress.remaining(graph, steps)
                run.unhandled_failures = progress.unhandled_failures(graph, steps, graph.forward)
                run.final_status = run.ended_by = None
                connection.execute(statement("extend_run"), {"run": run_id, "timeout": timeout})
            else:
                return None
            for position in again:
                steps[position].status, steps[position].again = StepStatus.READY, True
            if "on_failure" in graph.hooks:
                hook = steps[graph.hooks["on_failure"]]
                hook.status, hook.again = StepStatus.DORMANT, True
            change.record(EventType.RUN_RETRIED, {"steps": again})
            change.record_decisions(decided)
            return change.write()

    def reuse(self, run_id: UUID, graph: Graph, results: Mapping[int, str], transaction: Connection) -> Transition:
        """Complete steps of a run that has just been started with results that another run has.

        Args:
            run_id: The run.
            graph: Of the run.
            results: JSON texts by position, parents before what depends on them.
            transaction: The caller's, who commits.
        """
        steps = LockedSteps(transaction, run_id, graph)
        steps.lock_all()
        change = RunTransaction(transaction, run_id, graph, steps)
        for position, result in results.items():
            steps[position].status, steps[position].remaining = StepStatus.COMPLETED, 0
            decided = progress.propagate(graph, steps, position)
            change.record(EventType.STEP_REUSED, text=result, position=position, attempt=0)
            change.record_decisions(decided)
        change.run.remaining = progress.remaining(graph, steps)
        change.ready = [position for position in graph.forward if steps[position].status is StepStatus.READY]
        return change.write()

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


def _is_over(connection: Connection, lease: str) -> bool:
    return bool(connection.scalar(statement("lease_is_over"), {"lease": lease}))


def _count(change: RunTransaction, ended: list[tuple[int, StepStatus]]) -> None:
    """Count steps that ended down at the run, and end it if that is so. The rest follow from the first of them."""
    graph, run = change.graph, change.run
    ended = [(position, status) for position, status in ended if status.is_terminal]
    run.remaining -= sum(position in graph.ends for position, _ in ended)
    run.unhandled_failures += sum(progress.is_unhandled_failure(graph, position, status) for position, status in ended)
    if run.status not in FORWARD:
        return
    cause = graph.nodes[ended[0][0]].name
    if any(progress.fails_run(graph, position, status) for position, status in ended):
        change.fail({"step": cause})
    elif run.remaining == 0 and run.unhandled_failures:
        change.fail({"step": cause if ended[0][1] is StepStatus.FAILED else _first_failure(change) or cause})
    elif run.remaining == 0:
        change.end(RunStatus.COMPLETED, None)


def _first_failure(change: RunTransaction) -> str | None:
    """Return the step whose failure came first and was not made good by an error handler."""
    failed = list(change.connection.scalars(statement("first_failure"), {"run": change.run_id}))
    lost = [i for i in failed if change.graph.handlers.get(i) is None or change.graph.handlers[i] in failed]
    return change.graph.nodes[lost[0]].name if lost else None


def _compensated(change: RunTransaction, position: int) -> None:
    """Carry on with the plan after a compensation has ended."""
    run, step = change.run, change.steps[position]
    if step.status is StepStatus.FAILED:
        if run.status is RunStatus.COMPENSATING:
            change.end(RunStatus.COMPENSATION_FAILED, {"step": change.graph.nodes[position].name})
        return
    run.compensations -= 1
    if step.next_position is not None:
        following = change.steps[step.next_position]
        following.status, following.remaining = StepStatus.READY, 0
        change.ready.append(step.next_position)


def _plan(graph: Graph, steps: Mapping[int, LockedStep]) -> list[int]:
    """Return the compensations of completed steps that are not planned yet, of the step that completed last first."""
    undone = [
        position
        for position, compensation in graph.compensations.items()
        if steps[position].status is StepStatus.COMPLETED
        and steps[position].attempt  # results that a fork took over are the original's to undo
        and steps[compensation].status is StepStatus.DORMANT
    ]
    return [graph.compensations[i] for i in sorted(undone, key=lambda i: steps[i].ended_by or 0, reverse=True)]


def _is_undone(graph: Graph, steps: Mapping[int, LockedStep]) -> bool:
    return any(steps[position].status is not StepStatus.DORMANT for position in graph.compensations.values())


def _again(graph: Graph, steps: Mapping[int, LockedStep]) -> tuple[list[int], list[tuple[int, StepStatus]]]:
    """Take back what failed in steps that are locked; see ``progress.reset_failed``."""
    bare: dict[int, Progress] = {
        i: Progress(remaining=step.remaining, status=step.status, failed=step.failed, skipped=step.skipped)
        for i, step in steps.items()
    }
    again, decided = progress.reset_failed(graph, bare)
    for position, after in bare.items():
        step = steps[position]
        step.status, step.remaining = after.status, after.remaining
        step.failed, step.skipped = after.failed, after.skipped
    return again, decided
