"""Views of runs, made by hand."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from workflows.states import RunStatus, StepStatus
from workflows.views import RunView, StepView

RUN = UUID("0197a1b2-1111-7222-8333-444455556666")
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def step_view(name: str, parents: Sequence[str] = (), status: str = "completed", **fields: Any) -> StepView:
    """A step of 10 ms, as far as it is done."""
    begun = status not in ("pending", "ready")
    ended = status in ("completed", "failed")
    values: dict[str, Any] = {
        "step": name,
        "attempt": int(begun),
        "lost": 0,
        "queue": None,
        "worker": "celery@host" if begun else None,
        "ready_at": None if status == "pending" else START,
        "started_at": START if begun else None,
        "finished_at": START + timedelta(milliseconds=10) if ended else None,
        "error": None,
    }
    return StepView(name=name, position=0, parents=tuple(parents), status=StepStatus(status), **{**values, **fields})


def run_view(steps: Sequence[StepView], status: str = "running", **fields: Any) -> RunView:
    """A run of 3 seconds, if it is over. The steps take their positions from their order."""
    ended = status in ("completed", "failed")
    values: dict[str, Any] = {
        "id": RUN,
        "workflow": "order_processing",
        "version": "1",
        "definition": "0" * 32,
        "tags": {},
        "idempotency_key": None,
        "created_at": START,
        "started_at": START,
        "finished_at": START + timedelta(seconds=3) if ended else None,
        "error": None,
    }
    placed = tuple(replace(step, position=position) for position, step in enumerate(steps))
    return RunView(status=RunStatus(status), steps=placed, **{**values, **fields})
