"""Fold the events of a history into the states of a run and its steps. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from celeriac.workflows.engine import progress
from celeriac.workflows.engine.events import Event, EventType
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.progress import Progress
from celeriac.workflows.engine.states import RUN_STATUS_AFTER, STEP_STATUS_AFTER, Phase, RunStatus, StepStatus


@dataclass(kw_only=True, slots=True)
class StepState(Progress):
    """A step according to its events."""

    attempt: int = 0
    lost: int = 0
    ended_by: int | None = None  # sequence of the event that ended it

    def reset(self, status: StepStatus) -> None:
        """Start over in ``status``: the end and the lost attempts no longer count."""
        self.status = status
        self.lost = 0
        self.ended_by = None


@dataclass(kw_only=True, slots=True)
class RunState:
    """A run according to its events."""

    remaining: int  # steps that the end of the run waits for
    status: RunStatus = RunStatus.PENDING
    ended_by: int | None = None
    unhandled_failures: int = 0  # steps whose end fails the run
    compensations: int = 0  # planned and not completed
    steps: list[StepState] = field(default_factory=list)
    plan: list[int] = field(default_factory=list)  # compensations in order of execution
    decided: dict[int, StepStatus] = field(default_factory=dict)  # of pending steps; events follow

    @property
    def by_position(self) -> dict[int, Progress]:
        """The steps by position, as ``progress`` takes them."""
        return dict(enumerate(self.steps))


class IllegalEvent(ValueError):
    """An event cannot follow the events before it."""


def fold(events: Iterable[Event], graph: Graph) -> RunState:
    """Return the state that a history leads to.

    Events of steps that do not depend on each other may stand in either order.

    Raises:
        IllegalEvent: an event cannot follow the events before it.
    """
    run = RunState(
        remaining=len(graph.ends),
        steps=[StepState(remaining=step.remaining, status=step.status) for step in progress.initial_steps(graph)],
    )
    for number, event in enumerate(events):
        if (number == 0) != (event.type is EventType.RUN_STARTED):
            raise IllegalEvent(f"{event.type} as event number {number + 1} of the run")
        apply(run, event, graph)
    return run


def apply(run: RunState, event: Event, graph: Graph) -> None:
    """Apply an event to the state of its run. No I/O; changes ``run``.

    Raises:
        IllegalEvent: the event cannot happen in this state.
    """
    if event.type is EventType.RUN_STARTED:
        return
    if event.type in RUN_STATUS_AFTER:
        _end_run(run, event, graph)
    elif event.type is EventType.RUN_COMPENSATING:
        _expect(graph.saga and not run.status.is_terminal and run.status is not RunStatus.COMPENSATING, event, run)
        run.status = RunStatus.COMPENSATING
    elif event.type is EventType.COMPENSATION_PLANNED:
        _plan(run, event, graph)
    elif event.type is EventType.RUN_RETRIED:
        _retry_run(run, event, graph)
    elif event.type is EventType.RUN_PAUSED:
        _expect(run.status.accepts_work, event, run)
        run.status = RunStatus.PAUSED
    elif event.type is EventType.RUN_RESUMED:
        _expect(run.status is RunStatus.PAUSED, event, run)
        run.status = _forward_status(run)
    else:
        _apply_to_step(run, event, graph)


def _forward_status(run: RunState) -> RunStatus:
    return RunStatus.RUNNING if any(step.attempt for step in run.steps) else RunStatus.PENDING


def _end_run(run: RunState, event: Event, graph: Graph) -> None:
    status = RUN_STATUS_AFTER[event.type]
    legal = not run.status.is_terminal
    if status is RunStatus.COMPLETED:
        legal = (
            run.status in (RunStatus.RUNNING, RunStatus.PAUSED) and run.remaining == 0 and run.unhandled_failures == 0
        )
    elif status is RunStatus.COMPENSATION_FAILED:
        legal = run.status is RunStatus.COMPENSATING
    elif status is not RunStatus.TERMINATED:
        # A saga ends after its last compensation.
        legal = legal and (run.status is RunStatus.COMPENSATING) == graph.saga and not run.compensations
    _expect(legal, event, run)
    run.status = status
    run.ended_by = event.sequence
    hook = graph.hooks.get(status.hook or "")
    if hook is not None:
        _expect_step(run.steps[hook].status is StepStatus.DORMANT, event, hook, run, graph)
        run.steps[hook].status = StepStatus.READY


def _plan(run: RunState, event: Event, graph: Graph) -> None:
    _expect(run.status is RunStatus.COMPENSATING and not run.compensations, event, run)
    planned = _steps_of(event, run)
    compensated_by = {compensation: position for position, compensation in graph.compensations.items()}
    for position in planned:
        _expect_step(position in compensated_by, event, position, run, graph)
        compensated = compensated_by[position]
        _expect_step(run.steps[compensated].status is StepStatus.COMPLETED, event, compensated, run, graph)
        _expect_step(run.steps[position].status is StepStatus.DORMANT, event, position, run, graph)
        run.steps[position].status = StepStatus.PENDING
        run.steps[position].remaining = 1
    if planned:
        _free(run.steps[planned[0]])
    run.plan += planned
    run.compensations = len(planned)


def _retry_run(run: RunState, event: Event, graph: Graph) -> None:
    again = _steps_of(event, run)
    if run.status is RunStatus.COMPENSATION_FAILED:
        for position in again:
            _expect_step(run.steps[position].status is StepStatus.FAILED, event, position, run, graph)
            run.steps[position].reset(StepStatus.READY)
        run.status = RunStatus.COMPENSATING
    else:
        _expect(run.status is RunStatus.FAILED, event, run)
        _reset_failed(run, event, again, graph)
        run.status = _forward_status(run)
    run.ended_by = None
    hook = graph.hooks.get("on_failure")
    if hook is not None:
        run.steps[hook].reset(StepStatus.DORMANT)


def _reset_failed(run: RunState, event: Event, again: list[int], graph: Graph) -> None:
    steps = {position: step.bare() for position, step in enumerate(run.steps)}
    reset, decided = progress.reset_failed(graph, steps)
    if reset != again:
        raise IllegalEvent(f"{event.type} (sequence {event.sequence}) of steps {again}; it would be of {reset}")
    for position, decision in decided:  # the events of these decisions follow
        run.decided[position] = decision
        steps[position] = Progress(remaining=0)
    for position, after in steps.items():
        step = run.steps[position]
        if after.status is not step.status:
            step.ended_by = None
        step.assign(after)
    for position in reset:
        run.steps[position].reset(StepStatus.READY)
    run.remaining = progress.remaining(graph, run.by_position)
    run.unhandled_failures = progress.unhandled_failures(graph, run.by_position, graph.forward)


def _steps_of(event: Event, run: RunState) -> list[int]:
    """Return the positions of the steps that an event of a run names."""
    positions: list[int] = event.data.get("steps", [])
    if not all(position < len(run.steps) for position in positions):
        raise IllegalEvent(f"{event.type} (sequence {event.sequence}) on a step that is not in the graph")
    return positions


def _apply_to_step(run: RunState, event: Event, graph: Graph) -> None:
    position = event.position
    if position is None or position >= len(run.steps):
        raise IllegalEvent(f"{event.type} (sequence {event.sequence}) on a step that is not in the graph")
    step = run.steps[position]
    if event.type in STEP_STATUS_AFTER:
        decision = STEP_STATUS_AFTER[event.type]
        _expect_step(run.decided.pop(position, None) is decision, event, position, run, graph)
        _end_step(run, event, position, decision, graph)
        return
    if event.type is EventType.STEP_STARTED:
        _expect_step(step.status is StepStatus.READY, event, position, run, graph)
        if event.attempt != step.attempt + 1:
            name = graph.nodes[position].name
            raise IllegalEvent(
                f"{event.type} (sequence {event.sequence}) on attempt {event.attempt} after {step.attempt} of {name!r}"
            )
        step.status = StepStatus.RUNNING
        step.attempt += 1
        if run.status is RunStatus.PENDING:
            run.status = RunStatus.RUNNING
        return
    if event.attempt != step.attempt:
        raise IllegalEvent(
            f"{event.type} (sequence {event.sequence}) on attempt {event.attempt} of {graph.nodes[position].name!r}, "
            f"superseded by {step.attempt}"
        )
    if event.type is EventType.STEP_FAILED and step.status is StepStatus.READY and step.lost:
        # Too many attempts were lost: StepLost came first, at the same instant.
        _end_step(run, event, position, StepStatus.FAILED, graph)
    elif event.type is EventType.STEP_REUSED:
        _expect_step(step.status is StepStatus.READY, event, position, run, graph)
        _end_step(run, event, position, StepStatus.COMPLETED, graph)
    elif event.type is EventType.STEP_RETRY_DUE:
        _expect_step(step.status is StepStatus.RETRYING, event, position, run, graph)
        step.status = StepStatus.READY
    else:
        _expect_step(step.status is StepStatus.RUNNING, event, position, run, graph)
        _end_attempt(run, event, position, graph)


def _end_attempt(run: RunState, event: Event, position: int, graph: Graph) -> None:
    step = run.steps[position]
    if event.type is EventType.STEP_COMPLETED:
        _end_step(run, event, position, StepStatus.COMPLETED, graph)
    elif event.type is EventType.STEP_FAILED and event.data.get("retry_at"):
        step.status = StepStatus.RETRYING
    elif event.type is EventType.STEP_FAILED:
        _end_step(run, event, position, StepStatus.FAILED, graph)
    elif event.type is EventType.STEP_RELEASED:
        step.status = StepStatus.READY
    elif event.type is EventType.STEP_LOST:
        step.status = StepStatus.READY
        step.lost += 1


def _end_step(run: RunState, event: Event, position: int, status: StepStatus, graph: Graph) -> None:
    run.steps[position].status = status
    run.steps[position].ended_by = event.sequence
    phase = graph.nodes[position].phase
    if phase is Phase.FORWARD:
        run.remaining -= position in graph.ends
        run.unhandled_failures += progress.is_unhandled_failure(graph, position, status)
        for child, decision in progress.apply_end(graph, run.by_position, position):
            if decision is not StepStatus.READY:
                run.decided[child] = decision
    elif phase is Phase.COMPENSATION and status is StepStatus.COMPLETED:
        run.compensations -= 1
        following = next_planned(run.plan, position)
        if following is not None:
            _free(run.steps[following])


def next_planned(plan: Sequence[int], position: int) -> int | None:
    """Return the compensation after ``position`` in the plan; None after the last."""
    following = plan[plan.index(position) + 1 :]
    return following[0] if following else None


def _free(step: StepState) -> None:
    step.status = StepStatus.READY
    step.remaining = 0


def _expect(condition: bool, event: Event, run: RunState) -> None:  # noqa: FBT001  # reads as assert does
    if not condition:
        raise IllegalEvent(f"{event.type} (sequence {event.sequence}) on a {run.status} run")


def _expect_step(condition: bool, event: Event, position: int, run: RunState, graph: Graph) -> None:  # noqa: FBT001
    if not condition:
        name = graph.nodes[position].name
        status = run.steps[position].status
        raise IllegalEvent(f"{event.type} (sequence {event.sequence}) on step {name!r}, which is {status}")
