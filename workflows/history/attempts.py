"""Claiming steps and recording the ends of attempts, which every step takes."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Connection

from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.outcomes import error_info
from celeriac.workflows.engine.resolving import RecordedStep
from celeriac.workflows.engine.states import RunStatus, StepStatus
from celeriac.workflows.history.arrays import array_of
from celeriac.workflows.history.database import Database, is_transient
from celeriac.workflows.history.direct import DirectConnections
from celeriac.workflows.history.outage import retry_through_outage
from celeriac.workflows.history.records import (
    UNLIMITED,
    Attempt,
    AttemptEnd,
    Claim,
    ClaimNext,
    Limits,
    StepKey,
    Transition,
)
from celeriac.workflows.history.statements import driver_sql
from celeriac.workflows.history.transitions import TransitionStore

logger = logging.getLogger(__name__)


class AttemptStore:
    """Claims steps and records the ends of attempts. Waits through outages of Postgres.

    A method that does not say otherwise waits for as long as an outage lasts. If it
    abandoned an attempt while the process lives, the process would keep its lease, and
    no other worker would run the step.
    """

    def __init__(self, database: Database, transitions: TransitionStore) -> None:
        self._direct = DirectConnections(database)
        self._transitions = transitions

    def claim(
        self, step: StepKey, *, lease: str, inputs: Sequence[int] = (), limits: Limits = UNLIMITED
    ) -> Claim | None:
        """Claim a ready step.

        Args:
            step: The step.
            lease: The lease of this process.
            inputs: Positions of the parents whose results the step needs, ascending.
            limits: How long the attempt may take.

        Returns:
            None if the step is taken, finished, or its run accepts no work.
        """
        return retry_through_outage(
            lambda: self._take(
                "claim",
                step,
                lease,
                inputs,
                timeout=limits.timeout,
                total_timeout=limits.total,
                heartbeat_timeout=limits.heartbeat,
            ),
            if_committed=lambda: self._take("adopt", step, lease, inputs),
        )

    def adopt(self, attempt: Attempt, inputs: Sequence[int]) -> Claim | None:
        """Return the claim of a step that a completion claimed.

        A statement of its own, because the completing statement may have waited for
        another completion, whose result it does not see.

        Returns:
            None if the attempt is superseded.
        """
        return retry_through_outage(lambda: self._take("adopt", attempt.step, attempt.lease, inputs))

    def _take(self, how: str, step: StepKey, lease: str, inputs: Sequence[int], **limits: Any) -> Claim | None:
        parameters = {
            "run": step.run_id,
            "position": step.position,
            "lease": lease,
            "inputs": array_of(inputs),
            **limits,
        }
        row = self._direct.execute(how, parameters)
        if row is None:
            return None
        return Claim(
            attempt=step.attempt(row.attempt, lease),
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
    ) -> Transition | None:
        """Record the result of an attempt.

        Args:
            attempt: The attempt.
            result: The result as JSON text.
            graph: The graph of the run.
            next_step: The step to claim as well. Counts only if the completed step is
                simple in the graph; see ``Graph.is_simple``.
            transaction: The caller's connection, whose work commits together with the
                result; the caller commits. The statement is tried once, because a
                broken connection has lost that work.

        Returns:
            None if the attempt is superseded.
        """
        if not graph.is_simple[attempt.position]:
            end = AttemptEnd(status=StepStatus.COMPLETED, data=result)
            if transaction is not None:
                return self._transitions.end_attempt(attempt, graph, end, transaction=transaction)
            return retry_through_outage(
                lambda: self._transitions.end_attempt(attempt, graph, end),
                if_committed=lambda: self.find_recorded_completion(attempt, None),
            )
        parameters = _completion_parameters(attempt, result, graph, next_step)
        if transaction is not None:
            joined = transaction.exec_driver_sql(driver_sql("complete"), parameters).one_or_none()
            return _completion(attempt, next_step, joined)
        return retry_through_outage(
            lambda: _completion(attempt, next_step, self._direct.execute("complete", parameters)),
            if_committed=lambda: self.find_recorded_completion(attempt, next_step),
        )

    def fail(
        self, attempt: Attempt, error: Mapping[str, Any], graph: Graph, retry_in: float | None = None
    ) -> Transition | None:
        """Record that an attempt failed.

        Args:
            attempt: The attempt.
            error: The error's type, message and traceback.
            graph: The graph of the run.
            retry_in: Seconds to the next attempt; None if no attempt is to follow. If
                the step's deadline comes first, no attempt follows either.

        Returns:
            None if the attempt is superseded.
        """
        text = json.dumps(error)
        parameters = {
            **_parameters(attempt),
            "error": text,
            "retry_in": retry_in,
        }

        def once() -> Transition | None:
            if retry_in is not None and (row := self._direct.execute("await_retry", parameters)) is not None:
                return Transition(run_status=RunStatus(row.run_status), retry_at=row.due_at)
            return self._transitions.end_attempt(attempt, graph, AttemptEnd(status=StepStatus.FAILED, data=text))

        return retry_through_outage(once, if_committed=lambda: self._find_recorded_failure(attempt))

    def lose(self, attempt: Attempt, error: Mapping[str, Any], graph: Graph) -> Transition | None:
        """Record that an attempt was lost with its worker and that no other follows.

        Does not wait through an outage.

        Returns:
            None if the attempt is superseded, or its lease was renewed.
        """
        end = AttemptEnd(status=StepStatus.FAILED, data=json.dumps(error), lost_with=attempt.lease)
        return self._transitions.end_attempt(attempt, graph, end)

    def recorded_steps(self, run_id: UUID, positions: Sequence[int]) -> dict[int, RecordedStep]:
        """Return steps of a run by position, each with its status, result or error."""
        parameters = {"run": run_id, "positions": array_of(positions)}
        rows = retry_through_outage(lambda: self._direct.execute_all("recorded_steps", parameters))
        return {row.position: RecordedStep(status=StepStatus(row.status), data=row.data) for row in rows}

    def run_error(self, run_id: UUID) -> Mapping[str, Any] | None:
        """Return why a run failed, as data of an ``ErrorInfo``; None if it has not."""
        row = retry_through_outage(lambda: self._direct.execute("run_error", {"run": run_id}))
        if row is None:
            return None
        return error_info(json.loads(row.error or row.ending), row.step)

    def heartbeat(self, attempt: Attempt, details: str | None, limits: Limits) -> bool:
        """Record that an attempt lives, and the details that it reports.

        Returns:
            Whether the attempt should continue; False if it is superseded, or if its
            run was cancelled or terminated. True during an outage of Postgres, which
            says neither; the next heartbeat may succeed.
        """
        parameters = {
            **_parameters(attempt),
            "details": details,
            "timeout": limits.timeout,
            "heartbeat_timeout": limits.heartbeat,
        }
        try:
            row = self._direct.execute("heartbeat", parameters)
        except psycopg.Error as error:
            if not is_transient(error):
                raise
            logger.warning("A heartbeat of step %s was not recorded: %s", attempt.name, error)
            return True
        return row is not None and row.accepts_work

    def release(self, attempt: Attempt) -> bool:
        """Make a claimed step ready again, as a worker that stops does.

        Returns:
            Whether the attempt was still running; False if it is superseded.

        Raises:
            psycopg.Error: Postgres does not answer; a worker that stops does not wait.
        """
        parameters = _parameters(attempt)
        return self._direct.execute("release", parameters) is not None

    def find_recorded_completion(self, attempt: Attempt, next_step: ClaimNext | None) -> Transition | None:
        """Return the transition of a completion whose commit got no answer.

        The transition lacks the steps that the completion freed. The step that the
        completion claimed is adopted; the reconciler dispatches the others.

        Returns:
            None if the completion was not recorded.
        """

        def once() -> Transition | None:
            outcome = self._outcome(attempt)
            if outcome is None or outcome.status != StepStatus.COMPLETED:
                return None  # a timeout may have failed the attempt meanwhile
            claim = next_step and self._take("adopt", next_step.key(attempt.run_id), attempt.lease, ())
            status = RunStatus(outcome.run_status)
            return Transition(run_status=status, run_ended=status.is_terminal, claimed=claim.attempt if claim else None)

        return retry_through_outage(once)

    def _find_recorded_failure(self, attempt: Attempt) -> Transition | None:
        """Return the transition of a failure whose commit got no answer.

        The reconciler follows it up.

        Returns:
            None if the failure was not recorded.
        """
        outcome = self._outcome(attempt)
        if outcome is None:
            return None
        status = RunStatus(outcome.run_status)
        return Transition(run_status=status, run_ended=status.is_terminal, retry_at=outcome.due_at)

    def _outcome(self, attempt: Attempt) -> Any | None:
        parameters = _parameters(attempt)
        return self._direct.execute("attempt_outcome", parameters)

    def close(self) -> None:
        """Close the connection of this thread."""
        self._direct.close()


def _parameters(attempt: Attempt) -> dict[str, object]:
    return {
        "run": attempt.run_id,
        "position": attempt.position,
        "attempt": attempt.attempt,
        "lease": attempt.lease,
    }


def _completion_parameters(
    attempt: Attempt, result: str, graph: Graph, next_step: ClaimNext | None
) -> Mapping[str, object]:
    limits = UNLIMITED if next_step is None else next_step.limits
    return {
        **_parameters(attempt),
        "result": result,
        "dependents": array_of(graph.dependents[attempt.position]),
        "is_sink": attempt.position in graph.ends,
        "next": None if next_step is None else next_step.position,
        "next_timeout": limits.timeout,
        "next_total_timeout": limits.total,
        "next_heartbeat_timeout": limits.heartbeat,
    }


def _completion(attempt: Attempt, next_step: ClaimNext | None, row: Any | None) -> Transition | None:
    if row is None:
        return None
    status = RunStatus.COMPLETED if row.run_ended else RunStatus(row.run_status)
    claimed = None
    if next_step is not None and row.next_attempt is not None:
        claimed = next_step.key(attempt.run_id).attempt(row.next_attempt, attempt.lease)
    return Transition(
        run_status=status,
        run_ended=row.run_ended,
        ready=tuple(row.ready) if status.accepts_work else (),
        claimed=claimed,
    )
