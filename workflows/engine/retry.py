"""Retry policies: whether another attempt follows a failed attempt, and when.

A policy is data, so that the graph stores it and any worker can apply it: exceptions
are named, and a back-off of your own is a function that can be imported.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Literal, TypeAlias

from celeriac.workflows.errors import DefinitionError
from celeriac.workflows.text import did_you_mean

Backoff: TypeAlias = Literal["exponential", "linear", "constant"]
Seconds: TypeAlias = float | timedelta
_BACKOFFS = ("exponential", "linear", "constant")


class GiveUp(Exception):
    """Raised by a step to fail at once, even if attempts are left."""


class RetryAfter(Exception):
    """Raised by a step to be retried after a delay, if an attempt is left.

    For example, after the time that a 429's ``Retry-After`` gives.

    Args:
        delay: Seconds, or a timedelta.
        reason: The error's message in the history.
    """

    def __init__(self, delay: Seconds, reason: str = "") -> None:
        self.delay = as_seconds("delay", delay)
        super().__init__(reason or f"asked to be tried again after {self.delay:g} s")
        self._reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return RetryAfter, (self.delay, self._reason)


@dataclass(frozen=True, kw_only=True, slots=True, init=False)
class Retry:
    """How often a step is tried, and how long it waits between attempts.

    The wait after the n-th failure is ``delay`` (constant), ``n * delay`` (linear),
    ``delay * 2**(n-1)`` (exponential), or the return value of a function for n; never
    more than ``max_delay``. Jitter shortens the wait by a random part, up to that share
    of it, so that steps that failed together do not come back together.

    Args:
        max_attempts: Attempts in all, the first included. Lost attempts count too.
        backoff: ``"exponential"``, ``"linear"``, ``"constant"``, or a function of a
            module, from the number of failures to seconds.
        delay: The first wait, in seconds or as a timedelta.
        max_delay: The longest wait; by default 300 s, or ``delay`` if that is longer.
        jitter: From 0 (none) to 1.
        retry_on: Only these exceptions, and their subclasses, are retried.
        give_up_on: These exceptions are not retried, even if ``retry_on`` has them.

    Raises:
        DefinitionError: an option is unknown or cannot have this value.
    """

    max_attempts: int
    backoff: str  # a name of the three, or "module:function"
    delay: float
    max_delay: float
    jitter: float
    retry_on: tuple[str, ...]  # "module.Class"
    give_up_on: tuple[str, ...]

    def __init__(
        self,
        *,
        max_attempts: int = 3,
        backoff: Backoff | Callable[[int], Seconds] = "exponential",
        delay: Seconds = 1.0,
        max_delay: Seconds | None = None,
        jitter: float = 0.1,
        retry_on: Iterable[type[BaseException]] | type[BaseException] = (Exception,),
        give_up_on: Iterable[type[BaseException]] | type[BaseException] = (),
        **unknown: Any,
    ) -> None:
        for name in unknown:
            known = sorted(field.name for field in fields(self))
            hint = did_you_mean(name, known) or f". Options: {', '.join(known)}."
            raise DefinitionError(detail=f"Unknown option {name!r} for Retry{hint}")
        if not _is_number(max_attempts, int) or max_attempts < 1:
            raise DefinitionError(
                detail=f"Bad option for Retry: max_attempts={max_attempts!r} is not a number from 1 up."
            )
        if not _is_number(jitter, int | float) or not 0 <= jitter <= 1:
            raise DefinitionError(detail=f"Bad option for Retry: jitter={jitter!r} is not a number from 0 to 1.")
        self._set("max_attempts", max_attempts)
        self._set("backoff", _backoff_name(backoff))
        self._set("delay", as_seconds("delay", delay))
        self._set("max_delay", max(300.0, self.delay) if max_delay is None else as_seconds("max_delay", max_delay))
        self._set("jitter", float(jitter))
        self._set("retry_on", _exception_names("retry_on", retry_on))
        self._set("give_up_on", _exception_names("give_up_on", give_up_on))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def to_json(self) -> dict[str, Any]:
        """Return the policy as plain JSON data."""
        return {
            "max_attempts": self.max_attempts,
            "backoff": self.backoff,
            "delay": self.delay,
            "max_delay": self.max_delay,
            "jitter": self.jitter,
            "retry_on": list(self.retry_on),
            "give_up_on": list(self.give_up_on),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Retry:
        """Return the policy that ``to_json`` wrote as ``data``."""
        policy = cls.__new__(cls)
        for name, value in data.items():
            object.__setattr__(policy, name, tuple(value) if isinstance(value, list) else value)
        return policy

    def retries(self, error_names: Iterable[str]) -> bool:
        """Return whether to retry an error.

        Args:
            error_names: Names of the error's class and base classes.
        """
        names = set(error_names)
        if _name_of(GiveUp) in names or names.intersection(self.give_up_on):
            return False
        return _name_of(RetryAfter) in names or bool(names.intersection(self.retry_on))

    def wait(self, failures: int, share: float) -> float:
        """Return how many seconds to wait after a failure.

        Args:
            failures: Number of failures so far, the last included.
            share: A random number from 0 to 1, for the jitter.
        """
        if self.backoff == "exponential":
            # A large exponent would overflow long after it has passed the limit.
            seconds = self.delay * 2.0 ** min(failures - 1, 60)
        elif self.backoff == "linear":
            seconds = self.delay * failures
        elif self.backoff == "constant":
            seconds = self.delay
        else:
            seconds = as_seconds("backoff", _imported(self.backoff)(failures))
        return min(seconds, self.max_delay) * (1 - self.jitter * share)


def error_names(error: BaseException) -> tuple[str, ...]:
    """Return the names of an error's class and base classes, as policies name them."""
    return tuple(_name_of(kind) for kind in type(error).__mro__)


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _exception_names(option: str, kinds: Any) -> tuple[str, ...]:
    kinds = tuple(kinds) if isinstance(kinds, Iterable) and not isinstance(kinds, type) else (kinds,)
    for kind in kinds:
        if not isinstance(kind, type) or not issubclass(kind, BaseException):
            raise DefinitionError(
                detail=f"Bad option for Retry: {option} has {kind!r}, which is not an exception class."
            )
    return tuple(_name_of(kind) for kind in kinds)


def _backoff_name(backoff: Any) -> str:
    if isinstance(backoff, str):
        if backoff not in _BACKOFFS:
            hint = did_you_mean(backoff, _BACKOFFS) or f". There are: {', '.join(_BACKOFFS)}, or a function."
            raise DefinitionError(detail=f"Bad option for Retry: backoff={backoff!r} is not known{hint}")
        return backoff
    name = f"{getattr(backoff, '__module__', None)}:{getattr(backoff, '__qualname__', None)}"
    if not callable(backoff) or "<" in name or "None" in name.split(":"):
        raise DefinitionError(
            detail=f"Bad option for Retry: backoff={backoff!r} cannot be imported by another process. "
            "Give a function that a module defines at its top level."
        )
    return name


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _imported(name: str) -> Callable[[int], Seconds]:
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]


def as_seconds(option: str, value: Any) -> float:
    """Return a time given in seconds or as a timedelta, in seconds.

    Raises:
        DefinitionError: the value is neither, or below 0.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if not _is_number(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise DefinitionError(detail=f"{option}={value!r} is not a time: give seconds from 0 up, or a timedelta.")
    return float(seconds)
