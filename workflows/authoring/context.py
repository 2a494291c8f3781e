"""The context of a running step."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

if TYPE_CHECKING:
    from sqlalchemy import Connection


_ASK_EVERY_SECONDS = 1.0


class TransactionSource(Protocol):
    """Opens the transaction that will commit together with the step's completion."""

    def open(self) -> Connection:
        """Return the connection, in its transaction; each call returns the same."""


class StepContext:
    """Handed to a step that declares a parameter annotated ``StepContext``.

    Attributes:
        run_id: Id of the run; None when the step is called as a plain function.
        step: The step's name in the run.
        attempt: 1 for the first try; attempts lost with their worker count too.
        idempotency_key: The same for every attempt; hand it to external services.
        heartbeat_details: The last details that an earlier attempt gave to
            ``heartbeat``; None if there are none.
        logger: Names the run, the step and the attempt in each line.
    """

    def __init__(
        self,
        *,
        run_id: UUID | None,
        step: str,
        attempt: int,
        transactions: TransactionSource | None = None,
        beat: Callable[[str | None], bool] | None = None,
        heartbeat_details: Any = None,
    ) -> None:
        self.run_id = run_id
        self.step = step
        self.attempt = attempt
        self.idempotency_key = f"{run_id}.{step}"
        self.logger = _StepLogger(
            logging.getLogger(f"celeriac.step.{step}"), {"run_id": str(run_id), "step": step, "attempt": attempt}
        )
        self.heartbeat_details = heartbeat_details
        self._transactions = transactions
        self._beat = beat
        self._cancelled = False
        self._asked_at = 0.0

    @classmethod
    def detached(cls, step: str) -> StepContext:
        """Return the context of a step called as a plain function, outside of a run."""
        return cls(run_id=None, step=step, attempt=1)

    @property
    def transaction(self) -> Connection:
        """A SQLAlchemy connection that commits with the step's completion, or never.

        Statements on this connection take effect exactly once, even when the step's
        code runs more often. Do not commit or close the connection.

        Raises:
            RuntimeError: the step runs outside of a run, so there is no completion to
                commit with.
        """
        if self._transactions is None:
            raise RuntimeError(f"Step {self.step!r} runs outside of a run; there is no transaction to join.")
        return self._transactions.open()

    def heartbeat(self, details: Any = None) -> None:
        """Report that the step is alive, as steps with ``heartbeat_timeout`` must.

        Args:
            details: JSON data, such as the progress of this attempt, that the next
                attempt finds in ``heartbeat_details``.

        Raises:
            TypeError: the details are not JSON data.
        """
        text = None if details is None else json.dumps(details, allow_nan=False)
        if self._beat is not None:
            self._cancelled = not self._beat(text)
            self._asked_at = time.monotonic()

    @property
    def cancelled(self) -> bool:
        """Whether the step should stop.

        True once the run was cancelled or terminated, or another attempt has taken
        over. Asks the database once a second at most, so that a loop can afford it.
        """
        if self._beat is not None and time.monotonic() - self._asked_at > _ASK_EVERY_SECONDS:
            self.heartbeat()
        return self._cancelled


class _StepLogger(logging.LoggerAdapter[logging.Logger]):
    def process(self, msg: object, kwargs: object) -> tuple[object, object]:  # type: ignore[override]
        extra = self.extra or {}
        return f"[{extra['run_id']} {extra['step']} attempt {extra['attempt']}] {msg}", kwargs
