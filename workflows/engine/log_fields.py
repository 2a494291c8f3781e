"""The fields of log lines about a run or an attempt, for programs that read logs.

Each line has all of them, so that a format may name any: ``run_id``, ``step``,
``attempt`` and ``action``, the event that the line reports.
"""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID


class NamedAttempt(Protocol):
    """A record that identifies an attempt."""

    @property
    def run_id(self) -> UUID:
        """The run."""

    @property
    def name(self) -> str:
        """The name of the step in the run."""

    @property
    def attempt(self) -> int:
        """The number of the attempt."""


def attempt_fields(attempt: NamedAttempt, action: str) -> dict[str, Any]:
    """Return the ``extra`` of a log line about an attempt."""
    return {"run_id": str(attempt.run_id), "step": attempt.name, "attempt": attempt.attempt, "action": action}


def step_fields(run_id: UUID | str, step: str, action: str) -> dict[str, Any]:
    """Return the ``extra`` of a log line about a step of a run."""
    return {"run_id": str(run_id), "step": step, "attempt": None, "action": action}


def run_fields(run_id: UUID, action: str) -> dict[str, Any]:
    """Return the ``extra`` of a log line about a run."""
    return {"run_id": str(run_id), "step": None, "attempt": None, "action": action}
