"""The states of runs and steps, the events behind them, and the facts that follow."""

from __future__ import annotations

from enum import StrEnum

from celeriac.workflows.engine.events import EventType


class Phase(StrEnum):
    """The part of a run's life in which a step may run."""

    FORWARD = "forward"
    COMPENSATION = "compensation"  # a saga failed or was cancelled
    HOOK = "hook"  # after the end


class RunStatus(StrEnum):
    """State of a run. The last five are terminal."""

    PENDING = "pending"  # started; no step has been claimed yet
    RUNNING = "running"  # the first step was claimed
    PAUSED = "paused"  # on request: running steps finish, no step starts
    COMPENSATING = "compensating"  # a saga that failed or was cancelled: completed steps are being compensated
    COMPLETED = "completed"  # all steps ended, and no failure is left unhandled
    FAILED = "failed"  # a step failed, or time ran out; running steps may finish, no step starts
    CANCELLED = "cancelled"  # on request; running steps are asked to stop, no step starts
    COMPENSATION_FAILED = "compensation_failed"  # a compensation failed for good; a person has to look at it
    TERMINATED = "terminated"  # on request; running steps are killed where the pool can, no step starts

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended."""
        return self in _RUN_ENDED_BY

    @property
    def is_open(self) -> bool:
        """Whether the run is on its way to an end of its own.

        It may be paused, time out or be cancelled.
        """
        return self in (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED)

    @property
    def accepts_work(self) -> bool:
        """Whether steps of the forward phase may start."""
        return self.phase is Phase.FORWARD

    @property
    def phase(self) -> Phase | None:
        """The phase whose steps may be claimed; None if no step may.

        The tables have it as a generated column.
        """
        return _RUN_PHASES.get(self)

    @property
    def ended_by(self) -> EventType:
        """The event that leads to this status, which is terminal."""
        return _RUN_ENDED_BY[self]

    @property
    def hook(self) -> str | None:
        """The hook that is called when a run ends so; None if there is none."""
        return _RUN_HOOKS.get(self)


_RUN_ENDED_BY = {
    RunStatus.COMPLETED: EventType.RUN_COMPLETED,
    RunStatus.FAILED: EventType.RUN_FAILED,
    RunStatus.CANCELLED: EventType.RUN_CANCELLED,
    RunStatus.COMPENSATION_FAILED: EventType.RUN_COMPENSATION_FAILED,
    RunStatus.TERMINATED: EventType.RUN_TERMINATED,
}
_RUN_HOOKS = {
    RunStatus.COMPLETED: "on_complete",
    RunStatus.FAILED: "on_failure",
    RunStatus.COMPENSATION_FAILED: "on_failure",
}
_RUN_PHASES = {
    RunStatus.PENDING: Phase.FORWARD,
    RunStatus.RUNNING: Phase.FORWARD,
    RunStatus.COMPENSATING: Phase.COMPENSATION,
    RunStatus.COMPLETED: Phase.HOOK,
    RunStatus.FAILED: Phase.HOOK,
    RunStatus.COMPENSATION_FAILED: Phase.HOOK,
}

RUN_STATUS_AFTER = {event: status for status, event in _RUN_ENDED_BY.items()}
"""The terminal status that an event leads to."""


class StepStatus(StrEnum):
    """State of a step of a run. The last four are terminal."""

    DORMANT = "dormant"  # a compensation or a hook that is not needed yet
    PENDING = "pending"  # waits for parents
    READY = "ready"  # free to be claimed: parents have ended, a wait is over, or an attempt was lost
    RUNNING = "running"  # claimed by an attempt that holds a lease
    RETRYING = "retrying"  # an attempt failed; waits for the next attempt
    COMPLETED = "completed"  # an attempt returned
    FAILED = "failed"  # an attempt failed and no other follows, or too many were lost
    UPSTREAM_FAILED = "upstream_failed"  # it needs a step that failed; it will not run
    SKIPPED = "skipped"  # it is not needed, as an error handler without an error; it will not run

    @property
    def is_terminal(self) -> bool:
        """Whether the step has ended."""
        return self in (StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.UPSTREAM_FAILED, StepStatus.SKIPPED)

    @property
    def is_failure(self) -> bool:
        """Whether steps that need this one to succeed cannot run."""
        return self in (StepStatus.FAILED, StepStatus.UPSTREAM_FAILED)

    @property
    def decision(self) -> EventType | None:
        """The event by which a step gets this status without running.

        None if the step gets it otherwise.
        """
        return _STEP_DECISIONS.get(self)


_STEP_DECISIONS = {
    StepStatus.UPSTREAM_FAILED: EventType.STEP_UPSTREAM_FAILED,
    StepStatus.SKIPPED: EventType.STEP_SKIPPED,
}

STEP_STATUS_AFTER = {event: status for status, event in _STEP_DECISIONS.items()}
"""The status that an event gives a step which does not run."""
