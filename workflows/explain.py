"""Why does it not move? A reason for every step that has not run. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from workflows.history.leases import LiveWorker
from workflows.states import RunStatus, StepStatus
from workflows.views import RunView, StepView


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why a step has not run to its end."""

    step: str  # its name in the run
    why: str


def explain(run: RunView, workers: Collection[LiveWorker], *, default_queue: str, now: datetime) -> tuple[Reason, ...]:
    """Return a reason for each step of a run that has neither completed nor failed, in the order of the graph.

    Args:
        run: The run with its steps.
        workers: Those alive now.
        default_queue: Where steps without a queue of their own go.
        now: The time.
    """
    open_steps = [step for step in run.steps if not step.status.is_terminal]
    done = {step.name for step in run.steps if step.status is StepStatus.COMPLETED}
    return tuple(
        Reason(
            step=step.name, why=_why(step, run, done) or _why_unclaimed(step, workers, step.queue or default_queue, now)
        )
        for step in open_steps
    )


def _why(step: StepView, run: RunView, done: set[str]) -> str | None:
    if step.status is StepStatus.RUNNING:
        return f"is running, attempt {step.attempt}, on {step.worker}"
    if run.status.is_terminal:
        return f"will not run, because the run is {run.status}"
    if step.status is StepStatus.PENDING:
        return "waits for " + ", ".join(parent for parent in step.parents if parent not in done)
    if step.status is StepStatus.RETRYING:
        reason = f" ({step.error.type}: {step.error.message})" if step.error else ""
        if run.status is RunStatus.PAUSED:
            return f"waits for its retry; the run is paused{reason}"
        return f"waits for its retry at {_clock(step.due_at)}, after attempt {step.attempt} failed{reason}"
    if run.status is RunStatus.PAUSED:
        return "is ready; the run is paused"
    return None


def _why_unclaimed(step: StepView, workers: Collection[LiveWorker], queue: str, now: datetime) -> str:
    if not workers:
        return f"waits for a worker on queue {queue!r} (no worker is alive)"
    serving = [worker for worker in workers if queue in worker.serves.queues or not worker.serves.queues]
    if not serving:
        return f"waits for a worker on queue {queue!r} (none alive)"
    able = [worker for worker in serving if step.step in worker.serves.steps or not worker.serves.queues]
    if not able:
        return f"waits for a worker that has step {step.step!r} (none on queue {queue!r} has its code)"
    since = 0.0 if step.ready_at is None else (now - step.ready_at).total_seconds()
    return f"is dispatched to queue {queue!r}, ready for {since:.0f} s; {len(able)} alive to take it"


def _clock(instant: datetime | None) -> str:
    return "once the run goes on" if instant is None else instant.astimezone().strftime("%H:%M:%S")
