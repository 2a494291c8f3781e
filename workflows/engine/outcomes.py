"""The outcome of a step as later steps see it, and the error that they may show.

The message of an exception may hold anything: an address, a statement, a customer's
data. So ``ErrorInfo.message`` is fit for anybody, and the exception's message stands
apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from celeriac.workflows.engine.states import StepStatus

T = TypeVar("T")


class PublicError(Exception):
    """Raised by a step to fail with a message that people outside may read.

    For example: 'The card was declined.'
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorInfo:
    """The error of a step or a run that failed.

    Attributes:
        type: Name of the exception's class.
        message: Fit for anybody: a ``PublicError``'s message, or that the step failed.
        raw_message: The exception's message; for logs and decisions, not for people
            outside.
        step: The name, in the run, of the step that failed; None if the run failed
            without a failed step, as at its timeout.
    """

    type: str
    message: str
    raw_message: str
    step: str | None


@dataclass(frozen=True, kw_only=True)  # no slots: ``Outcome[int](…)`` could not be made with them
class Outcome(Generic[T]):
    """The outcome of a step.

    Attributes:
        status: ``completed``, ``failed``, ``upstream_failed`` or ``skipped``; any
            status if a join did not wait for the step.
        value: The result, or the error handler's in its place; None without either.
        error: The error; None if the step did not fail.
    """

    status: StepStatus
    value: T | None = None
    error: ErrorInfo | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the step, or its error handler, has completed."""
        return self.status is StepStatus.COMPLETED


def error_info(data: Mapping[str, Any], step: str | None) -> dict[str, Any]:
    """Return an error of the history as the JSON data of an ``ErrorInfo``."""
    failed = "The run failed." if step is None else f"Step '{step}' failed."
    return {
        "type": data["type"],
        "message": data["message"] if data.get("public") else failed,
        "raw_message": data["message"],
        "step": step,
    }
