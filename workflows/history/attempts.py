"""Claiming a step, and recording what became of the attempt: the statements that every step takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.outcomes import error_info
from celeriac.workflows.engine.resolving import RecordedStep
from celeriac.workflows.engine.states import RunStatus, StepStatus
from celeriac.workflows.history.arrays import array_of
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.direct import DirectConnections
from celeriac.workflows.history.outage import retry_through_outage
from celeriac.workflows.history.statements import driver_sql
from celeriac.workflows.history.transitions import AttemptEnd, TransitionStore


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """The right to run a step, and later to record its outcome."""

    run_id: UUID
    position: int
    name: str  # of the step in the run
    attempt: int
    lease: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A claimed attempt and what its step is called with, as JSON texts."""

    attempt: Attempt
    run_input: str
    results: Mapping[int, str]  # of the parents asked for, by position
    lost: int = 0  # attempts before this one that were lost with their worker
    uncounted_attempts: int = 0  # earlier attempts that do not count: see attempts_before
    heartbeat_details: str | None = None  # what an earlier attempt last told of itself
    seconds_left: float | None = None  # to the step's deadline


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How long an attempt may take, in seconds; None is for ever."""

    timeout: float | None = None
    total: float | None = None  # of all attempts of the step, from its first claim on
    heartbeat: float | None = None  # between two heartbeats


UNLIMITED = Limits()


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimNext:
    """A step that the completing statement is to claim as well, if it frees it."""

    position: int
    name: str
    limits: Limits = UNLIMITED


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """What a failure brought about."""

    run_ended: bool
    retry_at: datetime | None  # None: the step has failed
    ready: tuple[int, ...] = ()  # steps to be dispatched now
    undoes: bool = False  # the run is a saga that is to be undone now


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """What a completion brought about."""

    accepts_work: bool  # whether the run may start those steps; if not, nothing is to be dispatched
    run_ended: bool
    ready: tuple[int, ...]  # steps that it freed, ascending, without the one that it claimed
    next: Attempt | None  # the step that it claimed


class AttemptStore:
    """Runs the statements of one attempt after another, and waits through outages of the database.

    It waits for as long as it takes: an attempt that gave up while its process lives on would keep its
    lease, and nobody would run the step again.
    """

    def __init__(self, database: Database) -> None:
        self._direct = DirectConnections(database)
        self._transitions = TransitionStore(database)

    def claim(  # noqa: PLR0917  # as the statement has them
        self,
        run_id: UUID,
        position: int,
        name: str,
        lease: str,
        inputs: Sequence[int],
        limits: Limits = UNLIMITED,
    ) -> Claim | None:
        """Claim a ready step, or return None if it is not to be had."""
        return retry_through_outage(
            lambda: self._take(
                "claim",
                run_id,
                position,
                name,
                lease,
                inputs,
                timeout=limits.timeout,
                total_timeout=limits.total,
                heartbeat_timeout=limits.heartbeat,
            ),
            if_committed=lambda: self._take("adopt", run_id, position, name, lease, inputs),
        )

    def adopt(self, attempt: Attempt, inputs: Sequence[int]) -> Claim | None:
        """Return what a step that a completion claimed is called with, or None if the attempt is superseded.

        Not part of the completing statement: that one may have waited for another completion, whose result
        it does not see.
        """
        return retry_through_outage(
            lambda: self._take("adopt", attempt.run_id, attempt.position, attempt.name, attempt.lease, inputs)
        )

    def _take(  # noqa: PLR0917  # what `claim` takes, and how
        self, how: str, run_id: UUID, position: int, name: str, lease: str, inputs: Sequence[int], **limits: Any
    ) -> Claim | None:
        parameters = {"run": run_id, "position": position, "lease": lease, "inputs": array_of(inputs), **limits}
        row = self._direct.execute(how, parameters)
        if row is None:
            return None
        attempt = Attempt(run_id=run_id, position=position, name=name, attempt=row.attempt, lease=lease)
        return Claim(
            attempt=attempt,
            run_input=row.input,
            results=dict(zip(inputs, row.results, strict=True)),
            lost=row.lost,
            uncounted_attempts=row.uncounted_attempts,
            heartbeat_details=row.heartbeat_details,
            seconds_left=None if row.seconds_left is None else float(row.seconds_left),
        )

    def complete(
        self,
        attempt: Attempt,
        result: str,
        graph: Graph,
        *,
        next_step: ClaimNext | None = None,
        transaction: Connection | None = None,
    ) -> Completion | None:
        """Record a result, or return None if the attempt is superseded.

        ``next_step`` counts only for steps that are simple in the graph; see ``Graph.is_simple``.

        With ``transaction``, the caller's connection, the statement joins its work and both commit together; the
        caller commits. It is tried once, because a broken connection has lost that work.
        """
        if not graph.is_simple[attempt.position]:
            return self._settle_completion(attempt, result, graph, transaction)
        parameters = {
            "run": attempt.run_id,
            "position": attempt.position,
            "attempt": attempt.attempt,
            "lease": attempt.lease,
            "result": result,
            "dependents": array_of(graph.dependents[attempt.position]),
            "is_sink": attempt.position in graph.ends,
            "next": None if next_step is None else next_step.position,
            "next_timeout": None if next_step is None else next_step.limits.timeout,
            "next_total_timeout": None if next_step is None else next_step.limits.total,
            "next_heartbeat_timeout": None if next_step is None else next_step.limits.heartbeat,
        }
        if transaction is not None:
            joined = transaction.exec_driver_sql(driver_sql("complete"), parameters).one_or_none()
            return self._completion(attempt, next_step, joined)
        return retry_through_outage(
            lambda: self._completion(attempt, next_step, self._direct.execute("complete", parameters)),
            if_committed=lambda: self.find_recorded_completion(attempt, next_step),
        )

    def _settle_completion(
        self, attempt: Attempt, result: str, graph: Graph, transaction: Connection | None
    ) -> Completion | None:
        end = AttemptEnd(status=StepStatus.COMPLETED, data=result)

        def once() -> Completion | None:
            settled = self._transitions.settle(
                attempt.run_id, attempt.position, attempt.attempt, graph, end, transaction=transaction
            )
            if settled is None:
                return None
            accepts_work = bool(settled.ready) or settled.status in (RunStatus.PENDING, RunStatus.RUNNING)
            return Completion(accepts_work=accepts_work, run_ended=settled.run_ended, ready=settled.ready, next=None)

        if transaction is not None:
            return once()
        return retry_through_outage(once, if_committed=lambda: self.find_recorded_completion(attempt, None))

    @staticmethod
    def _completion(attempt: Attempt, next_step: ClaimNext | None, row: Any | None) -> Completion | None:
        if row is None:
            return None
        claimed = None
        if next_step is not None and row.next_attempt is not None:
            claimed = Attempt(
                run_id=attempt.run_id,
                position=next_step.position,
                name=next_step.name,
                attempt=row.next_attempt,
                lease=attempt.lease,
            )
        return Completion(
            accepts_work=row.accepts_work,
            run_ended=row.run_ended,
            ready=tuple(row.ready),
            next=claimed,
        )

    def fail(
        self, attempt: Attempt, error: Mapping[str, Any], graph: Graph, retry_in: float | None = None
    ) -> Failure | None:
        """Record that an attempt failed, or return None if it is superseded.

        Args:
            attempt: The attempt.
            error: Its type, message and traceback.
            graph: Of the run.
            retry_in: Seconds to the next attempt; None if none is to follow. If the step's deadline comes first, none
                follows either.
        """
        text = json.dumps(error)
        parameters = {
            "run": attempt.run_id,
            "position": attempt.position,
            "attempt": attempt.attempt,
            "error": text,
            "retry_in": retry_in,
        }

        def once() -> Failure | None:
            if retry_in is not None and (row := self._direct.execute("await_retry", parameters)) is not None:
                return Failure(run_ended=False, retry_at=row.due_at)
            return self._settle_failure(attempt, graph, AttemptEnd(status=StepStatus.FAILED, data=text))

        return retry_through_outage(once, if_committed=lambda: self._failed(attempt))

    def lose(self, attempt: Attempt, error: Mapping[str, Any], graph: Graph) -> Failure | None:
        """Record that an attempt was lost with its worker and no other follows; None if it is superseded, or alive."""
        end = AttemptEnd(status=StepStatus.FAILED, data=json.dumps(error), lost_with=attempt.lease)
        return self._settle_failure(attempt, graph, end)

    def _settle_failure(self, attempt: Attempt, graph: Graph, end: AttemptEnd) -> Failure | None:
        settled = self._transitions.settle(attempt.run_id, attempt.position, attempt.attempt, graph, end)
        if settled is None:
            return None
        return Failure(
            run_ended=settled.run_ended,
            retry_at=None,
            ready=settled.ready,
            undoes=settled.status is RunStatus.COMPENSATING,
        )

    def _failed(self, attempt: Attempt) -> Failure | None:
        """Return what is known of a failure whose commit got no answer; the reconciler does what follows on it."""
        row = self._outcome(attempt)
        return None if row is None else Failure(run_ended=row.status == StepStatus.FAILED, retry_at=row.due_at)

    def recorded_steps(self, run_id: UUID, positions: Sequence[int]) -> dict[int, RecordedStep]:
        """Return what became of some steps of a run."""
        parameters = {"run": run_id, "positions": array_of(positions)}
        rows = retry_through_outage(lambda: self._direct.execute_all("recorded_steps", parameters))
        return {row.position: RecordedStep(status=StepStatus(row.status), data=row.data) for row in rows}

    def run_error(self, run_id: UUID) -> Mapping[str, Any] | None:
        """Return why a run failed, as JSON data of an ``ErrorInfo``; None if it has not."""
        row = retry_through_outage(lambda: self._direct.execute("run_error", {"run": run_id}))
        if row is None:
            return None
        return error_info(json.loads(row.error or row.ending), row.step)

    def heartbeat(self, attempt: Attempt, details: str | None, limits: Limits) -> bool:
        """Note that an attempt lives, and what it tells of itself; return whether it is to go on.

        It is not if it is superseded, or if its run was cancelled or terminated.

        Raises:
            psycopg.Error: Postgres does not answer; the next heartbeat may.
        """
        parameters = {
            "run": attempt.run_id,
            "position": attempt.position,
            "attempt": attempt.attempt,
            "details": details,
            "timeout": limits.timeout,
            "heartbeat_timeout": limits.heartbeat,
        }
        row = self._direct.execute("heartbeat", parameters)
        return row is not None and row.accepts_work

    def release(self, attempt: Attempt) -> bool:
        """Make a claimed step ready again, as a worker that stops does; return whether the attempt was its own.

        Raises:
            psycopg.Error: Postgres does not answer; a worker that stops does not wait for it.
        """
        parameters = {"run": attempt.run_id, "position": attempt.position, "attempt": attempt.attempt}
        return self._direct.execute("release", parameters) is not None

    def find_recorded_completion(self, attempt: Attempt, next_step: ClaimNext | None) -> Completion | None:
        """Tell whether a completion whose commit got no answer was recorded; None if it was not.

        What it freed is not known any more: the step that it claimed is taken up, the rest is the
        reconciler's to dispatch.
        """

        def once() -> Completion | None:
            outcome = self._outcome(attempt)
            if outcome is None or outcome.status != StepStatus.COMPLETED:
                return None  # a time-out may have failed the attempt meanwhile
            claim = next_step and self._take(
                "adopt", attempt.run_id, next_step.position, next_step.name, attempt.lease, ()
            )
            return Completion(
                accepts_work=claim is not None,
                run_ended=False,
                ready=(),
                next=claim.attempt if claim else None,
            )

        return retry_through_outage(once)

    def _outcome(self, attempt: Attempt) -> Any | None:
        parameters = {"run": attempt.run_id, "position": attempt.position, "attempt": attempt.attempt}
        return self._direct.execute("attempt_outcome", parameters)
