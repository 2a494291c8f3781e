"""What a history amounts to: the projections, computed from the events alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from workflows.events import Event, EventType
from workflows.graph import Graph
from workflows.states import RunStatus, StepStatus


@dataclass(kw_only=True, slots=True)
class StepState:
    """A step as the events tell it."""

    remaining: int  # parents that have not completed
    status: StepStatus = StepStatus.PENDING
    attempt: int = 0
    lost: int = 0
    outcome: int | None = None  # sequence of the event that ended it


@dataclass(kw_only=True, slots=True)
class RunState:
    """A run as the events tell it."""

    remaining: int  # sinks that have not completed
    status: RunStatus = RunStatus.PENDING
    outcome: int | None = None
    steps: list[StepState] = field(default_factory=list)


_ENDINGS = {
    EventType.RUN_FAILED: RunStatus.FAILED,
    EventType.RUN_CANCELLED: RunStatus.CANCELLED,
    EventType.RUN_TERMINATED: RunStatus.TERMINATED,
}


class IllegalEvent(ValueError):
    """An event that cannot follow on the ones before it."""


def fold(events: Iterable[Event], graph: Graph) -> RunState:
    """Return the state that a history leads to.

    Events of steps that do not depend on each other may stand in either order.

    Raises:
        IllegalEvent: an event cannot happen in the state that those before it lead to.
    """
    run = RunState(remaining=len(graph.sinks), steps=[StepState(remaining=len(parents)) for parents in graph.parents])
    for number, event in enumerate(events):
        if (number == 0) != (event.type is EventType.RUN_STARTED):
            raise IllegalEvent(f"{event.type} as event number {number + 1} of the run")
        _apply(run, event, graph)
    return run


def _apply(run: RunState, event: Event, graph: Graph) -> None:
    if event.type is EventType.RUN_STARTED:
        for step in run.steps:
            step.status = StepStatus.READY if step.remaining == 0 else StepStatus.PENDING
    elif event.type is EventType.RUN_COMPLETED:
        _expect(
            run.status in (RunStatus.RUNNING, RunStatus.PAUSED) and run.remaining == 0, event, f"a {run.status} run"
        )
        run.status, run.outcome = RunStatus.COMPLETED, event.sequence
    elif event.type in _ENDINGS:
        _expect(not run.status.is_terminal, event, f"a {run.status} run")
        run.status, run.outcome = _ENDINGS[event.type], event.sequence
    elif event.type is EventType.RUN_RETRIED:
        _expect(run.status is RunStatus.FAILED, event, f"a {run.status} run")
        run.status, run.outcome = _going_on(run), None
        for position in event.data["steps"]:
            step = run.steps[position]
            _expect(
                step.status is StepStatus.FAILED, event, f"step {graph.nodes[position].name!r}, which is {step.status}"
            )
            step.status, step.lost, step.outcome = StepStatus.READY, 0, None
    elif event.type is EventType.RUN_PAUSED:
        _expect(run.status in (RunStatus.PENDING, RunStatus.RUNNING), event, f"a {run.status} run")
        run.status = RunStatus.PAUSED
    elif event.type is EventType.RUN_RESUMED:
        _expect(run.status is RunStatus.PAUSED, event, f"a {run.status} run")
        run.status = _going_on(run)
    else:
        _apply_to_step(run, event, graph)


def _going_on(run: RunState) -> RunStatus:
    return RunStatus.RUNNING if any(step.attempt for step in run.steps) else RunStatus.PENDING


def _apply_to_step(run: RunState, event: Event, graph: Graph) -> None:
    _expect(event.position is not None and event.position < len(run.steps), event, "a step that is not in the graph")
    assert event.position is not None
    step = run.steps[event.position]
    name = graph.nodes[event.position].name
    if event.type is EventType.STEP_STARTED:
        _expect(step.status is StepStatus.READY, event, f"step {name!r}, which is {step.status}")
        _expect(event.attempt == step.attempt + 1, event, f"attempt {event.attempt} after {step.attempt} of {name!r}")
        step.status, step.attempt = StepStatus.RUNNING, step.attempt + 1
        if run.status is RunStatus.PENDING:
            run.status = RunStatus.RUNNING
        return
    _expect(event.attempt == step.attempt, event, f"attempt {event.attempt} of {name!r}, superseded by {step.attempt}")
    if event.type is EventType.STEP_FAILED and step.status is StepStatus.READY and step.lost:
        # Too many attempts were lost: the loss comes first, the failure in the same instant.
        step.status, step.outcome = StepStatus.FAILED, event.sequence
        return
    if event.type is EventType.STEP_REUSED:
        _expect(step.status is StepStatus.READY, event, f"step {name!r}, which is {step.status}")
        step.status, step.outcome = StepStatus.COMPLETED, event.sequence
        _free(run, event.position, graph)
        return
    if event.type is EventType.STEP_RETRIED:
        _expect(step.status is StepStatus.RETRYING, event, f"step {name!r}, which is {step.status}")
        step.status = StepStatus.READY
        return
    _expect(step.status is StepStatus.RUNNING, event, f"step {name!r}, which is {step.status}")
    if event.type is EventType.STEP_COMPLETED:
        step.status, step.outcome = StepStatus.COMPLETED, event.sequence
        _free(run, event.position, graph)
    elif event.type is EventType.STEP_FAILED and event.data.get("retry_at"):
        step.status = StepStatus.RETRYING
    elif event.type is EventType.STEP_FAILED:
        step.status, step.outcome = StepStatus.FAILED, event.sequence
    elif event.type is EventType.STEP_RETURNED:
        step.status = StepStatus.READY
    elif event.type is EventType.STEP_LOST:
        step.status, step.lost = StepStatus.READY, step.lost + 1


def _free(run: RunState, position: int, graph: Graph) -> None:
    for child in graph.dependents[position]:
        waiting = run.steps[child]
        waiting.remaining -= 1
        if waiting.remaining == 0:
            waiting.status = StepStatus.READY
    if position in graph.sinks:
        run.remaining -= 1


def _expect(condition: bool, event: Event, what: str) -> None:  # noqa: FBT001  # reads as assert does
    if not condition:
        raise IllegalEvent(f"{event.type} (sequence {event.sequence}) on {what}")
