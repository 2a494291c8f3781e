"""Options of steps and of their uses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celeriac.workflows.engine.graph import Needs
from celeriac.workflows.engine.retry import Retry, as_seconds
from celeriac.workflows.errors import DefinitionError
from celeriac.workflows.text import did_you_mean

_LOWEST_PRIORITY = 9  # as Celery on Redis has it; 0 is served first


@dataclass(frozen=True, kw_only=True, slots=True)
class StepOptions:
    """How a step is dispatched and tried. None leaves it to the step, then to the Celery app and the settings.

    Raises:
        ValueError: an option has a value that it cannot have; the message names both.
    """

    queue: str | None = None
    priority: int | None = None
    max_attempts: int | None = None
    retry: Retry | None = None
    timeout: float | timedelta | None = None
    total_timeout: float | timedelta | None = None
    heartbeat_timeout: float | timedelta | None = None
    needs: str | None = None  # a join rule, one of Needs
    on_error: Any = None  # the step that is called with the error if this one fails
    compensate: Any = None  # the step that undoes this one's work, in a saga

    def __post_init__(self) -> None:
        if self.needs is not None and self.needs not in list(Needs):
            hint = did_you_mean(str(self.needs), Needs) or f". There are: {', '.join(Needs)}"
            raise ValueError(f"needs={self.needs!r} is no rule for a join{hint.rstrip('?')}")
        for name in ("on_error", "compensate"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise ValueError(f"{name}={value!r} is neither a step nor a function")
        if self.queue is not None and not _is_text(self.queue):
            raise ValueError(f"queue={self.queue!r} is not the name of a queue")
        if self.priority is not None and (not _is_int(self.priority) or not 0 <= self.priority <= _LOWEST_PRIORITY):
            raise ValueError(
                f"priority={self.priority!r} is not a number from 0, served first, to {_LOWEST_PRIORITY}, served last"
            )
        if self.max_attempts is not None and (not _is_int(self.max_attempts) or self.max_attempts < 1):
            raise ValueError(f"max_attempts={self.max_attempts!r} is not a number from 1 up")
        if self.retry is not None and not isinstance(self.retry, Retry):
            raise ValueError(f"retry={self.retry!r} is not a policy, as in retry=Retry(max_attempts=5)")
        for name in ("timeout", "total_timeout", "heartbeat_timeout"):
            value = getattr(self, name)
            if value is not None and as_seconds(name, value) <= 0:
                raise ValueError(f"{name}={value!r} is not a time: give seconds above 0, or a timedelta")


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeOptions(StepOptions):
    """Options of one use of a step: those of the step, and what only a use can have."""

    name: str | None = None  # None: the step's, numbered if it is taken
    after: Any = ()  # symbols of nodes to wait for without using their results; checked when the step is called


def refuse_unknown(given: Iterable[str], known: Iterable[str], subject: str) -> None:
    """Do nothing if no option is given that is not known.

    Raises:
        DefinitionError: there is one; the message suggests the nearest known one, or lists them.
    """
    known = sorted(known)
    for name in given:
        hint = did_you_mean(name, known) or f". Options: {', '.join(known)}."
        raise DefinitionError(detail=f"Unknown option {name!r} for {subject}{hint}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
