"""What became of a step, as the steps after it see it, and what they may show of an error.

An error's own message may hold anything: an address, a statement, a customer's data. So ``ErrorInfo.message`` is one
that anybody may read, and what the error said stands apart from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from celeriac.workflows.engine.states import StepStatus

T = TypeVar("T")


class PublicError(Exception):
    """Raised by a step to fail with a message that is meant for people outside, such as 'The card was declined.'."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorInfo:
    """Why a step failed.

    Attributes:
        type: Name of the exception's class.
        message: Fit to be shown to anybody: what a ``PublicError`` says, or that the step failed.
        raw_message: What the exception said; for logs and decisions, not for people outside.
        step: The name, in the run, of the step that failed; None if the run failed without one, as at its timeout.
    """

    type: str
    message: str
    raw_message: str
    step: str | None


@dataclass(frozen=True, kw_only=True)  # no slots: ``Outcome[int](…)`` could not be made with them
class Outcome(Generic[T]):
    """What became of a step.

    Attributes:
        status: ``completed``, ``failed``, ``upstream_failed`` or ``skipped``;
            of a parent that a join did not wait for, any.
        value: The result, or what an error handler put in its place; None if there is neither.
        error: Why it failed; None if it did not.
    """

    status: StepStatus
    value: T | None = None
    error: ErrorInfo | None = None

    @property
    def succeeded(self) -> bool:
        """Whether there is a result."""
        return self.status is StepStatus.COMPLETED


def error_info(data: Mapping[str, Any], step: str | None) -> dict[str, Any]:
    """Return an error as the history has it in the form of an ``ErrorInfo``, as JSON data."""
    failed = "The run failed." if step is None else f"Step '{step}' failed."
    return {
        "type": data["type"],
        "message": data["message"] if data.get("public") else failed,
        "raw_message": data["message"],
        "step": step,
    }
