"""Reasons why steps of a run have not run. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from celeriac.workflows.engine.states import RunStatus, StepStatus
from celeriac.workflows.engine.views import LiveWorker, RunView, StepView


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why a step has not run to its end."""

    step: str  # its name in the run
    why: str


def explain(run: RunView, workers: Collection[LiveWorker], *, default_queue: str, now: datetime) -> tuple[Reason, ...]:
    """Return a reason for each step that has not run to its end, in the graph's order.

    Args:
        run: The run with its steps.
        workers: The workers that are alive now.
        default_queue: The queue of steps without a queue of their own.
        now: The time.
    """
    open_steps = [step for step in run.steps if step.status not in (StepStatus.COMPLETED, StepStatus.FAILED)]
    known = {step.name: step for step in run.steps}
    return tuple(
        Reason(
            step=step.name,
            why=_why(step, run, known) or _why_unclaimed(step, workers, step.queue or default_queue, now),
        )
        for step in open_steps
    )


def _why(step: StepView, run: RunView, known: Mapping[str, StepView]) -> str | None:
    if step.status is StepStatus.RUNNING:
        return f"is running, attempt {step.attempt}, on {step.worker}"
    if step.status in (StepStatus.UPSTREAM_FAILED, StepStatus.SKIPPED):
        return _why_not(step, known)
    if step.compensates is None and step.hook is None:
        if run.status is RunStatus.COMPENSATING:
            return "will not run, because the run is compensating"
        if run.status.is_terminal:
            return f"will not run, because the run is {_in_words(run.status)}"
    elif run.status in (RunStatus.CANCELLED, RunStatus.TERMINATED):
        return f"will not run, because the run is {run.status}"
    if step.status is StepStatus.PENDING and step.compensates is not None:
        return _why_not_compensating(run)
    if step.status is StepStatus.PENDING:
        return "waits for " + ", ".join(name for name in step.parents if not known[name].status.is_terminal)
    if step.status is StepStatus.RETRYING:
        reason = f" ({step.error.type}: {step.error.message})" if step.error else ""
        if run.status is RunStatus.PAUSED:
            return f"waits for its retry; the run is paused{reason}"
        return f"waits for its retry {_clock(step.due_at)}, after attempt {step.attempt} failed{reason}"
    if run.status is RunStatus.PAUSED:
        return "is ready; the run is paused"
    return None


def _why_not(step: StepView, known: Mapping[str, StepView]) -> str:
    """Return why a step that is upstream_failed or skipped will not run."""
    if step.handles is not None:
        return f"is not needed: {step.handles} has not failed"
    ends = {name: known[name].status for name in step.parents}
    if step.status is StepStatus.UPSTREAM_FAILED:
        causes = [name for name, status in ends.items() if status in (StepStatus.FAILED, StepStatus.UPSTREAM_FAILED)]
        return (
            f"will not run: it needs {', '.join(causes)}, which {_ended(ends[causes[0]])}" if causes else "will not run"
        )
    skipped = [name for name, status in ends.items() if status is StepStatus.SKIPPED]
    return f"is not needed: {', '.join(skipped)} was skipped" if skipped else "is not needed: nothing before it failed"


def _why_not_compensating(run: RunView) -> str:
    """Return why a compensation waits that is not the next in the plan."""
    stuck = [step.name for step in run.steps if step.compensates and step.status is StepStatus.FAILED]
    if stuck:
        return f"waits for {stuck[0]}, which failed; once that can succeed, retry the run"
    return "waits for the compensations of steps that completed later"


def _in_words(status: RunStatus) -> str:
    return "failed, and a compensation failed too" if status is RunStatus.COMPENSATION_FAILED else status.value


def _why_unclaimed(step: StepView, workers: Collection[LiveWorker], queue: str, now: datetime) -> str:
    if not workers:
        return f"waits for a worker on queue {queue!r} (no worker is alive)"
    serving = [worker for worker in workers if queue in worker.scope.queues or not worker.scope.queues]
    if not serving:
        return f"waits for a worker on queue {queue!r} (none alive)"
    able = [worker for worker in serving if step.task in worker.scope.tasks or not worker.scope.queues]
    if not able:
        return f"waits for a worker that has step {step.task!r} (none on queue {queue!r} has its code)"
    since = 0.0 if step.ready_at is None else (now - step.ready_at).total_seconds()
    return f"is dispatched to queue {queue!r}, ready for {since:.0f} s; {len(able)} alive to take it"


def _clock(instant: datetime | None) -> str:
    return "once the run accepts work" if instant is None else instant.astimezone().strftime("at %H:%M:%S")


def _ended(status: StepStatus) -> str:
    return "failed" if status is StepStatus.FAILED else "failed upstream"
