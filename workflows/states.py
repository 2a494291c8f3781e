"""The states of runs and steps, and what leads to each."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """State of a run. The last four are terminal."""

    PENDING = "pending"  # started; no step has been claimed yet
    RUNNING = "running"  # the first step was claimed
    PAUSED = "paused"  # by request: what runs finishes, nothing new starts
    COMPLETED = "completed"  # the last step without dependents completed
    FAILED = "failed"  # a step failed, or time ran out; what runs may finish, nothing new starts
    CANCELLED = "cancelled"  # by request; what runs is asked to stop, nothing new starts
    TERMINATED = "terminated"  # by request; what runs is stopped by force where the pool can, nothing new starts

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended."""
        return self not in (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED)


class StepStatus(StrEnum):
    """State of a step of a run. The last two are terminal."""

    PENDING = "pending"  # waits for parents
    READY = "ready"  # all parents completed, a wait is over, or an attempt was lost: free to be claimed
    RUNNING = "running"  # claimed by an attempt that holds a lease
    RETRYING = "retrying"  # an attempt failed; waits for its next one
    COMPLETED = "completed"  # an attempt returned
    FAILED = "failed"  # an attempt failed and no other follows, or too many were lost

    @property
    def is_terminal(self) -> bool:
        """Whether nothing leads out of this state."""
        return self in (StepStatus.COMPLETED, StepStatus.FAILED)
