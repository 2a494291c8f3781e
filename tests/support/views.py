"""Views of runs, made by hand."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from rich.console import Console, RenderableType

from celeriac.workflows.engine.states import RunStatus, StepStatus
from celeriac.workflows.engine.views import ErrorView, RunView, StepView

RUN = UUID("0197a1b2-1111-7222-8333-444455556666")
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def step_view(name: str, parents: Sequence[str] = (), status: str = "completed", **fields: Any) -> StepView:
    """A step of 10 ms, as far as it is done."""
    begun = status not in ("pending", "ready")
    ended = status in ("completed", "failed", "retrying")
    values: dict[str, Any] = {
        "task": name,
        "attempt": int(begun),
        "lost": 0,
        "queue": None,
        "worker": "celery@host" if begun else None,
        "ready_at": None if status == "pending" else START,
        "started_at": START if begun else None,
        "finished_at": START + timedelta(milliseconds=10) if ended else None,
        "due_at": START + timedelta(seconds=6) if status == "retrying" else None,
        "error": None,
    }
    return StepView(name=name, position=0, parents=tuple(parents), status=StepStatus(status), **{**values, **fields})


def run_view(steps: Sequence[StepView], status: str = "running", **fields: Any) -> RunView:
    """A run of 3 seconds, if it is over. The steps take their positions from their order."""
    ended = RunStatus(status).is_terminal
    values: dict[str, Any] = {
        "id": RUN,
        "workflow": "order_processing",
        "version": "1",
        "graph_hash": "0" * 32,
        "tags": {},
        "idempotency_key": None,
        "created_at": START,
        "started_at": START,
        "finished_at": START + timedelta(seconds=3) if ended else None,
        "error": None,
    }
    placed = tuple(replace(step, position=position) for position, step in enumerate(steps))
    return RunView(status=RunStatus(status), steps=placed, **{**values, **fields})


def failed_order() -> RunView:
    """An order whose card was declined while the stock was being reserved."""
    declined = ErrorView(
        type="ValueError", message="card [bold]declined", traceback="Traceback …\nValueError: declined\n"
    )
    return run_view(
        [
            step_view("validate"),
            step_view("reserve", ["validate"], "running"),
            step_view("charge", ["validate"], "failed", error=declined, attempt=3, lost=2),
            step_view("ship", ["reserve", "charge"], "pending"),
        ],
        "failed",
        tags={"tenant": "acme"},
        idempotency_key="order-123",
        error=ErrorView(type="ValueError", message="card declined", step="charge"),
    )


def lines(renderable: RenderableType, width: int = 100) -> list[str]:
    """What is printed, without colours and trailing blanks."""
    console = Console(width=width, color_system=None, markup=False, emoji=False, highlight=False)
    with console.capture() as capture:
        console.print(renderable)
    return [line.rstrip() for line in capture.get().splitlines()]
