"""The states of runs and steps, and what leads to each."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """State of a run. ``completed`` and ``failed`` are terminal: nothing leads out of them."""

    PENDING = "pending"  # started; no step has been claimed yet
    RUNNING = "running"  # the first step was claimed
    COMPLETED = "completed"  # the last step without dependents completed
    FAILED = "failed"  # a step failed; its siblings that run may finish, nothing new starts

    @property
    def is_terminal(self) -> bool:
        """Whether nothing leads out of this state."""
        return self in (RunStatus.COMPLETED, RunStatus.FAILED)


class StepStatus(StrEnum):
    """State of a step of a run. ``completed`` and ``failed`` are terminal."""

    PENDING = "pending"  # waits for parents
    READY = "ready"  # all parents completed, or an attempt was lost: free to be claimed
    RUNNING = "running"  # claimed by an attempt that holds a lease
    COMPLETED = "completed"  # an attempt returned
    FAILED = "failed"  # an attempt raised, or too many were lost

    @property
    def is_terminal(self) -> bool:
        """Whether nothing leads out of this state."""
        return self in (StepStatus.COMPLETED, StepStatus.FAILED)
