"""The events of a history, named by noun and past participle. No event ever changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class EventType(StrEnum):
    """The types of events; the comments list their data."""

    RUN_STARTED = "RunStarted"  # data: the input, by parameter name
    STEP_STARTED = "StepStarted"  # data: worker
    STEP_COMPLETED = "StepCompleted"  # data: the result
    STEP_FAILED = "StepFailed"  # data: type, message, public, traceback; retry_at if retried
    STEP_UPSTREAM_FAILED = "StepUpstreamFailed"  # the step needs a step that failed
    STEP_SKIPPED = "StepSkipped"  # the step is not needed
    STEP_RETRY_DUE = "StepRetryDue"  # the wait is over; the step is ready for its next attempt
    STEP_RELEASED = "StepReleased"  # a worker that stops released the step; ready again
    STEP_LOST = "StepLost"  # data: worker; the lease expired; the step is ready or fails
    RUN_COMPLETED = "RunCompleted"  # data: none; results of steps make up the result
    STEP_REUSED = "StepReused"  # data: the result, from the run that was forked
    RUN_RETRIED = "RunRetried"  # data: steps, which had failed and are ready again
    RUN_COMPENSATING = "RunCompensating"  # data: final_status, and the data of its event
    COMPENSATION_PLANNED = "CompensationPlanned"  # data: steps, the compensations in order
    RUN_COMPENSATION_FAILED = "RunCompensationFailed"  # data: step, the compensation that failed
    RUN_PAUSED = "RunPaused"
    RUN_RESUMED = "RunResumed"
    RUN_FAILED = "RunFailed"  # data: step, which failed; or type and message of a timeout
    RUN_CANCELLED = "RunCancelled"  # data: reason
    RUN_TERMINATED = "RunTerminated"  # data: reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """An entry of a history."""

    run_id: UUID
    sequence: int  # ascending; a cause has a lower number than its effect
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
