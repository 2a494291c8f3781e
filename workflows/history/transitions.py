"""Transitions that do more than free steps: failures, joins, sagas, hooks, retries.

Each is a transaction in Python. It locks the steps that the change may reach and then
the run, decides by ``progress``, appends the events, and writes the projections. A
completion that can only free steps and complete the run is a single statement instead;
see ``AttemptStore.complete``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

from sqlalchemy import Connection

from celeriac.workflows.engine import progress
from celeriac.workflows.engine.events import EventType
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.states import Phase, RunStatus, StepStatus
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.records import Attempt, AttemptEnd, Transition
from celeriac.workflows.history.run_transaction import LockedStep, RunTransaction
from celeriac.workflows.history.statements import statement


class TransitionStore:
    """Changes runs. Each method is a transaction, unless it takes the caller's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def end_attempt(
        self, attempt: Attempt, graph: Graph, end: AttemptEnd, *, transaction: Connection | None = None
    ) -> Transition | None:
        """Record how an attempt ends, and the changes to its run that follow.

        Args:
            attempt: The attempt.
            graph: The graph of the run.
            end: How the attempt ends.
            transaction: The caller's transaction to join; the caller commits.

        Returns:
            None if the attempt is superseded, or if it is recorded as lost and its
            lease was renewed.
        """
        position = attempt.position
        with self._joined(transaction) as connection:
            affected = graph.affected_by(position, end.status)
            tx = RunTransaction.open(connection, attempt.run_id, graph, steps=affected)
            step = tx.steps[position]
            if not _is_running(step, attempt):
                return None
            if end.lost_with is not None and not _is_over(connection, end.lost_with):
                return None
            step.status = end.status
            step.lost = int(end.lost_with is not None)
            phase = graph.nodes[position].phase
            decided = progress.propagate(graph, tx.steps, position) if phase is Phase.FORWARD else []
            _record_end(tx, attempt, end)
            tx.record_decisions(decided)
            tx.ready = [child for child, status in decided if status is StepStatus.READY]
            if phase is Phase.FORWARD:
                _count_down(tx, [(position, end.status), *decided])
            elif phase is Phase.COMPENSATION:
                _continue_plan(tx, position)
            return tx.write()

    def compensate(self, run_id: UUID, graph: Graph) -> Transition | None:
        """Plan the compensations of completed steps, or end the run if there are none.

        Returns:
            None if nothing is to do now: the run is not compensating, a step still
            runs, or a plan is under way. Otherwise ``ready`` has the whole plan in
            order.
        """
        with self._database.transaction() as connection:
            # A worker that claims a step now either has locked its row, or will find
            # the run compensating.
            tx = RunTransaction.open_whole(connection, run_id, graph)
            if tx.run.status is not RunStatus.COMPENSATING or tx.run.compensations:
                return None
            if any(step.status is StepStatus.RUNNING for step in tx.steps.values()):
                return None
            plan = _plan(graph, tx.steps)
            if not plan:
                data = dict(connection.scalar(statement("final_data"), {"run": run_id}))
                tx.end(RunStatus(data.pop("final_status")), data)
                return tx.write()
            for position, following in zip(plan, [*plan[1:], None], strict=True):
                step = tx.steps[position]
                step.status = StepStatus.PENDING
                step.remaining = 1
                step.next_position = following
            first = tx.steps[plan[0]]
            first.status = StepStatus.READY
            first.remaining = 0
            tx.run.compensations = len(plan)
            tx.record(EventType.COMPENSATION_PLANNED, {"steps": plan})
            return replace(tx.write(), ready=tuple(plan))

    def time_out(self, run_id: UUID, graph: Graph) -> Transition | None:
        """Fail a run whose time is over.

        Returns:
            None if the run has time left, is compensating, or has ended.
        """
        with self._database.transaction() as connection:
            tx = RunTransaction.open(connection, run_id, graph, steps=graph.hooks.values())
            if not tx.run.status.is_open or not tx.run.is_timed_out:
                return None
            tx.fail({"type": "RunTimedOut", "message": "The run did not end within its time."})
            return tx.write()

    def retry(self, run_id: UUID, graph: Graph, timeout: float) -> Transition | None:
        """Retry a run from its failed steps, or a saga from the failed compensation.

        Returns:
            None if the run has not failed, or is a saga that was compensated. Otherwise
            ``ready`` has every step that is ready now, also beside the failed steps.
        """
        with self._database.transaction() as connection:
            tx = RunTransaction.open_whole(connection, run_id, graph)
            if tx.run.status is RunStatus.COMPENSATION_FAILED:
                failed = [i for i in sorted(graph.compensations.values()) if tx.steps[i].status is StepStatus.FAILED]
                decided: list[tuple[int, StepStatus]] = []
                tx.run.status = RunStatus.COMPENSATING
                tx.run.ended_by = None
            elif tx.run.status is RunStatus.FAILED and not _is_compensated(graph, tx.steps):
                failed, decided = _reset_failed(graph, tx.steps)
                _reopen(tx)
                connection.execute(statement("extend_run"), {"run": run_id, "timeout": timeout})
            else:
                return None
            for position in failed:
                tx.steps[position].status = StepStatus.READY
                tx.steps[position].reset = True
            if "on_failure" in graph.hooks:
                hook = tx.steps[graph.hooks["on_failure"]]
                hook.status = StepStatus.DORMANT
                hook.reset = True
            tx.record(EventType.RUN_RETRIED, {"steps": failed})
            tx.record_decisions(decided)
            tx.ready = [position for position, step in tx.steps.items() if step.status is StepStatus.READY]
            transition = tx.write()
            # In this transaction: if the client died before another, the reconciler
            # would not find the parked steps.
            connection.execute(statement("unpark"), {"run": run_id})
            return transition

    def reuse(self, run_id: UUID, graph: Graph, results: Mapping[int, str], transaction: Connection) -> Transition:
        """Complete steps of a new run with results of another run.

        Args:
            run_id: The run, which was started in ``transaction``.
            graph: The graph of the run.
            results: JSON texts by position, parents before their dependents.
            transaction: The caller's transaction to join; the caller commits.
        """
        tx = RunTransaction.open_whole(transaction, run_id, graph)
        for position, result in results.items():
            tx.steps[position].status = StepStatus.COMPLETED
            tx.steps[position].remaining = 0
            decided = progress.propagate(graph, tx.steps, position)
            tx.record(EventType.STEP_REUSED, text=result, position=position, attempt=0)
            tx.record_decisions(decided)
        tx.run.remaining = progress.remaining(graph, tx.steps)
        tx.ready = [position for position in graph.forward if tx.steps[position].status is StepStatus.READY]
        return tx.write()

    @contextmanager
    def _joined(self, transaction: Connection | None) -> Iterator[Connection]:
        if transaction is not None:
            yield transaction
            return
        with self._database.transaction() as own:
            yield own


def _is_running(step: LockedStep, attempt: Attempt) -> bool:
    """Return whether an attempt still runs its step.

    The number alone does not tell: claims commit without waiting for the disk, so after
    a crash of Postgres two workers may hold attempts of the same number.
    """
    number, lease = attempt.attempt, attempt.lease
    return step.status is StepStatus.RUNNING and step.attempt == number and step.lease == lease


def _is_over(connection: Connection, lease: str) -> bool:
    return bool(connection.scalar(statement("lease_is_over"), {"lease": lease}))


def _record_end(tx: RunTransaction, attempt: Attempt, end: AttemptEnd) -> None:
    position = attempt.position
    number = attempt.attempt
    if end.lost_with is not None:
        tx.record(EventType.STEP_LOST, {"worker": end.lost_with}, position=position, attempt=number)
    kind = EventType.STEP_COMPLETED if end.status is StepStatus.COMPLETED else EventType.STEP_FAILED
    tx.record(kind, text=end.data, position=position, attempt=number)


def _count_down(tx: RunTransaction, ended: list[tuple[int, StepStatus]]) -> None:
    """Decrement the run's counters for the ended steps, and end the run if none remain.

    ``ended[0]`` caused the others.
    """
    graph = tx.graph
    run = tx.run
    ended = [(position, status) for position, status in ended if status.is_terminal]
    run.remaining -= sum(position in graph.ends for position, _ in ended)
    run.unhandled_failures += sum(progress.is_unhandled_failure(graph, *step) for step in ended)
    if not run.status.is_open:
        return
    cause = graph.nodes[ended[0][0]].name
    if any(progress.fails_run(graph, position, status) for position, status in ended):
        tx.fail({"step": cause})
    elif run.remaining == 0 and run.unhandled_failures:
        tx.fail({"step": cause if ended[0][1] is StepStatus.FAILED else _first_failure(tx) or cause})
    elif run.remaining == 0:
        tx.end(RunStatus.COMPLETED, None)


def _first_failure(tx: RunTransaction) -> str | None:
    """Return the step that failed first, among those whose error no handler took."""
    failed = list(tx.connection.scalars(statement("first_failure"), {"run": tx.run_id}))
    unhandled = [i for i in failed if tx.graph.handlers.get(i) is None or tx.graph.handlers[i] in failed]
    return tx.graph.nodes[unhandled[0]].name if unhandled else None


def _continue_plan(tx: RunTransaction, position: int) -> None:
    """Make the next planned compensation ready; end the run if this failed."""
    run = tx.run
    step = tx.steps[position]
    if step.status is StepStatus.FAILED:
        if run.status is RunStatus.COMPENSATING:
            tx.end(RunStatus.COMPENSATION_FAILED, {"step": tx.graph.nodes[position].name})
        return
    run.compensations -= 1
    if step.next_position is not None:
        following = tx.steps[step.next_position]
        following.status = StepStatus.READY
        following.remaining = 0
        tx.ready.append(step.next_position)


def _plan(graph: Graph, steps: Mapping[int, LockedStep]) -> list[int]:
    """Return the compensations to plan, that of the latest completed step first.

    Leaves out compensations that an earlier plan had.
    """
    uncompensated = [
        position
        for position, compensation in graph.compensations.items()
        if steps[position].status is StepStatus.COMPLETED
        and steps[position].attempt  # a fork leaves the results that it reuses to the original run
        and steps[compensation].status is StepStatus.DORMANT
    ]
    latest_first = sorted(uncompensated, key=lambda i: steps[i].ended_by or 0, reverse=True)
    return [graph.compensations[position] for position in latest_first]


def _is_compensated(graph: Graph, steps: Mapping[int, LockedStep]) -> bool:
    return any(steps[position].status is not StepStatus.DORMANT for position in graph.compensations.values())


def _reset_failed(graph: Graph, steps: Mapping[int, LockedStep]) -> tuple[list[int], list[tuple[int, StepStatus]]]:
    """Reset the failed steps among locked steps; see ``progress.reset_failed``."""
    bare = {position: step.bare() for position, step in steps.items()}
    failed, decided = progress.reset_failed(graph, bare)
    for position, after in bare.items():
        steps[position].assign(after)
    return failed, decided


def _reopen(tx: RunTransaction) -> None:
    run = tx.run
    run.status = RunStatus.RUNNING if run.is_started else RunStatus.PENDING
    run.remaining = progress.remaining(tx.graph, tx.steps)
    run.unhandled_failures = progress.unhandled_failures(tx.graph, tx.steps, tx.graph.forward)
    run.final_status = None
    run.ended_by = None
