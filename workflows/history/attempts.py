"""Claiming a step, and recording what became of the attempt: the statements that every step takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from workflows.history.database import Database
from workflows.history.direct import DirectConnections
from workflows.history.patience import patiently
from workflows.history.statements import driver_sql


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Next:
    """A step that the completing statement is to claim as well, if it frees it."""

    position: int
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """What a completion brought about."""

    goes_on: bool  # whether the run may start steps; if not, nothing is to be dispatched
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

    def claim(self, run_id: UUID, position: int, name: str, lease: str, inputs: Sequence[int]) -> Claim | None:
        """Claim a ready step, or return None if it is not to be had."""
        return patiently(
            lambda: self._take("claim", run_id, position, name, lease, inputs),
            after_outage=lambda: self._take("adopt", run_id, position, name, lease, inputs),
        )

    def adopt(self, attempt: Attempt, inputs: Sequence[int]) -> Claim | None:
        """Return what a step that a completion claimed is called with, or None if the attempt is superseded.

        Not part of the completing statement: that one may have waited for another completion, whose result
        it does not see.
        """
        return patiently(
            lambda: self._take("adopt", attempt.run_id, attempt.position, attempt.name, attempt.lease, inputs)
        )

    def _take(  # noqa: PLR0917  # what `claim` takes, and how
        self, how: str, run_id: UUID, position: int, name: str, lease: str, inputs: Sequence[int]
    ) -> Claim | None:
        parameters = {"run": run_id, "position": position, "lease": lease, "inputs": _array(inputs)}
        row = self._direct.execute(how, parameters)
        if row is None:
            return None
        attempt = Attempt(run_id=run_id, position=position, name=name, attempt=row.attempt, lease=lease)
        return Claim(attempt=attempt, run_input=row.input, results=dict(zip(inputs, row.results, strict=True)))

    def complete(
        self,
        attempt: Attempt,
        result: str,
        *,
        dependents: Sequence[int],
        is_sink: bool,
        next_step: Next | None = None,
        transaction: Connection | None = None,
    ) -> Completion | None:
        """Record a result, or return None if the attempt is superseded.

        With ``transaction``, the caller's connection, the statement joins its work and both commit together; the
        caller commits. It is tried once, because a broken connection has lost that work.
        """
        parameters = {
            "run": attempt.run_id,
            "position": attempt.position,
            "attempt": attempt.attempt,
            "lease": attempt.lease,
            "result": result,
            "dependents": _array(dependents),
            "is_sink": is_sink,
            "next": None if next_step is None else next_step.position,
        }
        if transaction is not None:
            joined = transaction.exec_driver_sql(driver_sql("complete"), parameters).one_or_none()
            return self._completion(attempt, next_step, joined)
        return patiently(
            lambda: self._completion(attempt, next_step, self._direct.execute("complete", parameters)),
            after_outage=lambda: self.landed(attempt, next_step),
        )

    @staticmethod
    def _completion(attempt: Attempt, next_step: Next | None, row: Any | None) -> Completion | None:
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
            goes_on=row.goes_on,
            run_ended=row.run_ended,
            ready=tuple(row.ready),
            next=claimed,
        )

    def fail(self, attempt: Attempt, error: Mapping[str, Any]) -> bool | None:
        """Record a failure. Return whether it ended the run, or None if the attempt is superseded."""
        parameters = {
            "run": attempt.run_id,
            "position": attempt.position,
            "attempt": attempt.attempt,
            "name": attempt.name,
            "error": json.dumps(error),
        }

        def once() -> bool | None:
            row = self._direct.execute("fail", parameters)
            return None if row is None else row.run_ended

        return patiently(once, after_outage=lambda: True if self.landed(attempt, None) else None)

    def landed(self, attempt: Attempt, next_step: Next | None) -> Completion | None:
        """Tell whether an outcome whose commit got no answer was recorded; None if it was not.

        What it freed is not known any more: the step that it claimed is taken up, the rest is the
        reconciler's to dispatch.
        """
        parameters = {"run": attempt.run_id, "position": attempt.position, "attempt": attempt.attempt}

        def once() -> Completion | None:
            if self._direct.execute("attempt_outcome", parameters) is None:
                return None
            claim = next_step and self._take(
                "adopt", attempt.run_id, next_step.position, next_step.name, attempt.lease, ()
            )
            return Completion(
                goes_on=claim is not None,
                run_ended=False,
                ready=(),
                next=claim.attempt if claim else None,
            )

        return patiently(once)


def _array(positions: Sequence[int]) -> str:
    """Return positions as Postgres writes an array; the driver would take its time over a list."""
    return "{" + ",".join(map(str, positions)) + "}"
