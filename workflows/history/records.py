"""The records that workers and the history exchange: claims, ends, transitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from celeriac.workflows.engine.states import RunStatus, StepStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class StepKey:
    """A step of a run."""

    run_id: UUID
    position: int
    name: str  # of the step in the run

    def attempt(self, number: int, lease: str) -> Attempt:
        """Return an attempt of the step."""
        return Attempt(run_id=self.run_id, position=self.position, name=self.name, attempt=number, lease=lease)


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """The right to run a step, and then to record how it ended."""

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
    """A claimed attempt, and the values that its step is called with as JSON texts."""

    attempt: Attempt
    run_input: str
    results: Mapping[int, str]  # of the requested parents, by position
    lost: int = 0  # earlier attempts that were lost with their worker
    uncounted_attempts: int = 0  # earlier attempts that use up none of the step's attempts
    heartbeat_details: str | None = None  # that an earlier attempt last reported
    seconds_left: float | None = None  # to the step's deadline


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How long an attempt may take, in seconds; None: without limit."""

    timeout: float | None = None
    total: float | None = None  # of all attempts of the step, from its first claim on
    heartbeat: float | None = None  # between two heartbeats


UNLIMITED = Limits()


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimNext:
    """A step that the completing statement claims too, if the completion frees it."""

    position: int
    name: str
    limits: Limits = UNLIMITED

    def key(self, run_id: UUID) -> StepKey:
        """Return the step in a run."""
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
        run_status: The status of the run after the change.
        run_ended: Whether this change ended the run.
        ready: Steps to dispatch now, in the order in which they should run. Empty if
            the run accepts no work. Does not contain the claimed step.
        claimed: The step that the same statement claimed for the caller.
        retry_at: When the failed step is retried; None if it is not.
    """

    run_status: RunStatus
    run_ended: bool = False
    ready: tuple[int, ...] = ()
    claimed: Attempt | None = None
    retry_at: datetime | None = None
