"""The records that workers and the history exchange: claims, ends of attempts, and the transitions that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from celeriac.workflows.engine.states import RunStatus, StepStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class StepKey:
    """One step of one run."""

    run_id: UUID
    position: int
    name: str  # of the step in the run

    def attempt(self, number: int, lease: str) -> Attempt:
        """Return an attempt of the step."""
        return Attempt(run_id=self.run_id, position=self.position, name=self.name, attempt=number, lease=lease)


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """The right to run a step, and later to record how it ended."""

    run_id: UUID
    position: int
    name: str  # of the step in the run
    attempt: int
    lease: str

    @property
    def step(self) -> StepKey:
        """The step."""
        return StepKey(run_id=self.run_id, position=self.position, name=self.name)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A claimed attempt and the values that its step is called with, as JSON texts."""

    attempt: Attempt
    run_input: str
    results: Mapping[int, str]  # of the requested parents, by position
    lost: int = 0  # earlier attempts that were lost with their worker
    uncounted_attempts: int = 0  # earlier attempts that use up none of the step's attempts
    heartbeat_details: str | None = None  # reported last by an earlier attempt
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
    """A step that the completing statement claims as well, if the completion frees it."""

    position: int
    name: str
    limits: Limits = UNLIMITED

    def key(self, run_id: UUID) -> StepKey:
        """Return the step of a run."""
        return StepKey(run_id=run_id, position=self.position, name=self.name)


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """The effect of a recorded change on its run; ``FollowUp.after`` acts on it.

    Attributes:
        run_status: Of the run, after the change.
        run_ended: Whether this change ended the run.
        ready: Steps to dispatch now, in the order in which they are to run. Empty when
            the run accepts no work, and without the claimed step.
        claimed: The step that the same statement claimed for the caller.
        retry_at: When the failed step is tried again; None if it is not.
    """

    run_status: RunStatus
    run_ended: bool = False
    ready: tuple[int, ...] = ()
    claimed: Attempt | None = None
    retry_at: datetime | None = None
