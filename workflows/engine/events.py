"""The events of a history. What happened, as noun and past participle; never changed once written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class EventType(StrEnum):
    """What happened, and what its data hold."""

    RUN_STARTED = "RunStarted"  # data: the input, by parameter name
    STEP_STARTED = "StepStarted"  # data: worker
    STEP_COMPLETED = "StepCompleted"  # data: the result
    STEP_FAILED = "StepFailed"  # data: type, message, public, traceback; retry_at if another attempt follows
    STEP_UPSTREAM_FAILED = "StepUpstreamFailed"  # it needs what failed
    STEP_SKIPPED = "StepSkipped"  # it is not needed
    STEP_RETRY_DUE = "StepRetryDue"  # the wait is over; the step is ready for its next attempt
    STEP_RELEASED = "StepReleased"  # a worker that stopped handed it back; it is ready again
    STEP_LOST = "StepLost"  # data: worker; the attempt's lease expired, the step is ready again or fails
    RUN_COMPLETED = "RunCompleted"  # data: none; the result is made of the results of steps
    STEP_REUSED = "StepReused"  # data: the result that the run which this one was forked from has
    RUN_RETRIED = "RunRetried"  # data: steps, the failed ones that are ready again
    RUN_COMPENSATING = "RunCompensating"  # data: ending, the status to end in; and what that ending's event will hold
    COMPENSATION_PLANNED = "CompensationPlanned"  # data: steps, the compensations in the order in which they run
    RUN_COMPENSATION_FAILED = "RunCompensationFailed"  # data: step, the compensation that failed
    RUN_PAUSED = "RunPaused"
    RUN_RESUMED = "RunResumed"
    RUN_FAILED = "RunFailed"  # data: step, the one that failed; or type and message, if the run's time ran out
    RUN_CANCELLED = "RunCancelled"  # data: reason
    RUN_TERMINATED = "RunTerminated"  # data: reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One line of a history."""

    run_id: UUID
    sequence: int  # ascending; an event that caused another has the lower number
    type: EventType
    at: datetime
    position: int | None = None  # of the step in the graph; None for events of the run
    attempt: int | None = None
    data: Any = field(default_factory=dict)

    def to_json(self) -> Mapping[str, Any]:
        """Return the event as plain JSON data."""
        return {
            "run_id": str(self.run_id),
            "sequence": self.sequence,
            "type": self.type.value,
            "at": self.at.isoformat(),
            "position": self.position,
            "attempt": self.attempt,
            "data": self.data,
        }
