"""The states of runs and steps, and what leads to each."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """State of a run. The last five are terminal."""

    PENDING = "pending"  # started; no step has been claimed yet
    RUNNING = "running"  # the first step was claimed
    PAUSED = "paused"  # by request: what runs finishes, nothing new starts
    COMPENSATING = "compensating"  # a saga that failed or was cancelled: what completed is being undone
    COMPLETED = "completed"  # all steps ended, and none of them failed in a way that matters
    FAILED = "failed"  # a step failed, or time ran out; what runs may finish, nothing new starts
    CANCELLED = "cancelled"  # by request; what runs is asked to stop, nothing new starts
    COMPENSATION_FAILED = "compensation_failed"  # a compensation failed for good; somebody has to look at it
    TERMINATED = "terminated"  # by request; what runs is stopped by force where the pool can, nothing new starts

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended."""
        return self not in (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.COMPENSATING)


class StepStatus(StrEnum):
    """State of a step of a run. The last four are terminal."""

    DORMANT = "dormant"  # a compensation or a hook, which is not needed as yet
    PENDING = "pending"  # waits for parents
    READY = "ready"  # all it waits for is there, a wait is over, or an attempt was lost: free to be claimed
    RUNNING = "running"  # claimed by an attempt that holds a lease
    RETRYING = "retrying"  # an attempt failed; waits for its next one
    COMPLETED = "completed"  # an attempt returned
    FAILED = "failed"  # an attempt failed and no other follows, or too many were lost
    UPSTREAM_FAILED = "upstream_failed"  # it needs what a parent failed to bring about; it will not run
    SKIPPED = "skipped"  # it is not needed, as an error handler without an error; it will not run

    @property
    def is_terminal(self) -> bool:
        """Whether the step has ended."""
        return self in (StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.UPSTREAM_FAILED, StepStatus.SKIPPED)
