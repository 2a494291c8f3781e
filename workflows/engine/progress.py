"""How the end of a step decides about others: join rules, error handlers, failed runs.

The store and ``fold`` both apply these rules, so that the tables and the events agree.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

from celeriac.workflows.engine.graph import FailurePolicy, Graph, Needs
from celeriac.workflows.engine.states import Phase, StepStatus

_TOLERANT = (Needs.ALL_DONE, Needs.ANY_SUCCEEDED, Needs.ONE_FAILED)


@dataclass(kw_only=True, slots=True)
class Progress:
    """The part of a step's state that other steps decide.

    The counts stay at 0 once the step is no longer pending.
    """

    remaining: int  # parents that have not ended
    status: StepStatus = StepStatus.PENDING
    failed: int = 0  # parents that failed or are upstream_failed
    skipped: int = 0  # parents that were skipped

    def clear(self) -> None:
        """Set the counts to 0, because the step is decided."""
        self.remaining = 0
        self.failed = 0
        self.skipped = 0

    def assign(self, other: Progress) -> None:
        """Take over the status and the counts of ``other``."""
        self.status = other.status
        self.remaining = other.remaining
        self.failed = other.failed
        self.skipped = other.skipped

    def bare(self) -> Progress:
        """Return a copy of the status and the counts alone."""
        return Progress(remaining=self.remaining, status=self.status, failed=self.failed, skipped=self.skipped)


P = TypeVar("P", bound=Progress)


def decide(needs: Needs, *, remaining: int, succeeded: int, failed: int, skipped: int) -> StepStatus:
    """Return the status that a join rule gives a step, from counts of its parents.

    Returns:
        ``pending`` (too early to tell), ``ready``, ``upstream_failed`` (it needs a step
        that failed) or ``skipped`` (not needed).
    """
    done = remaining == 0
    match needs:
        case Needs.ALL_SUCCEEDED:
            if failed:
                return StepStatus.UPSTREAM_FAILED
            if done and skipped:
                return StepStatus.SKIPPED
        case Needs.NONE_FAILED:
            if failed:
                return StepStatus.UPSTREAM_FAILED
        case Needs.ANY_SUCCEEDED:
            if succeeded:
                return StepStatus.READY
            if done:
                return StepStatus.UPSTREAM_FAILED if failed else StepStatus.SKIPPED
        case Needs.ONE_FAILED:
            if failed:
                return StepStatus.READY
            if done:
                return StepStatus.SKIPPED
        case Needs.ALL_DONE:
            pass
    return StepStatus.READY if done else StepStatus.PENDING


def initial_steps(graph: Graph) -> list[Progress]:
    """Return the steps of a run that has just started."""
    steps = []
    for position, parents in enumerate(graph.parents):
        if graph.nodes[position].phase is not Phase.FORWARD:
            status = StepStatus.DORMANT
        else:
            status = StepStatus.PENDING if parents else StepStatus.READY
        steps.append(Progress(remaining=len(parents), status=status))
    return steps


def apply_end(graph: Graph, steps: dict[int, P], position: int) -> list[tuple[int, StepStatus]]:
    """Apply a step's end to its dependents.

    No I/O; changes ``steps``. A failure that ends the run is not counted: the
    dependents then wait for a retry of the run.

    Returns:
        Each dependent that this decides, with the decision. A dependent that becomes
        ready has that status already. A dependent that becomes skipped or
        upstream_failed stays pending until the caller ends it.
    """
    decided: list[tuple[int, StepStatus]] = []
    ended = steps[position].status
    if fails_run(graph, position, ended):
        return decided
    handler = graph.handlers.get(position)
    if handler is not None and steps[handler].status is StepStatus.PENDING and steps[handler].remaining:
        steps[handler].remaining = 0
        if ended is StepStatus.FAILED:
            steps[handler].status = StepStatus.READY
            return [(handler, StepStatus.READY)]
        decided.append((handler, StepStatus.SKIPPED))
    if position in graph.handled and ended is StepStatus.SKIPPED:
        return decided  # the step whose error it would have handled counts itself
    for child in graph.dependents[position]:
        waiting = steps[child]
        if waiting.status is not StepStatus.PENDING or not waiting.remaining:
            continue
        waiting.remaining -= 1
        waiting.failed += ended.is_failure
        waiting.skipped += ended is StepStatus.SKIPPED
        decision = _decision(graph, child, waiting)
        if decision is StepStatus.PENDING:
            continue
        waiting.clear()
        if decision is StepStatus.READY:
            waiting.status = decision
        decided.append((child, decision))
    return decided


def propagate(graph: Graph, steps: dict[int, P], position: int) -> list[tuple[int, StepStatus]]:
    """Apply a step's end, and each skip and upstream failure that follows in turn.

    No I/O; changes ``steps``.

    Returns:
        Each step that this decides, with the decision.
    """
    found: list[tuple[int, StepStatus]] = []
    todo = [position]
    for ended in todo:
        for child, decision in apply_end(graph, steps, ended):
            found.append((child, decision))
            if decision is not StepStatus.READY:
                steps[child].status = decision
                todo.append(child)
    return found


def _decision(graph: Graph, position: int, step: Progress) -> StepStatus:
    ended = len(graph.parents[position]) - step.remaining
    return decide(
        graph.nodes[position].needs or Needs.ALL_SUCCEEDED,
        remaining=step.remaining,
        succeeded=ended - step.failed - step.skipped,
        failed=step.failed,
        skipped=step.skipped,
    )


def fails_run(graph: Graph, position: int, status: StepStatus) -> bool:
    """Return whether a step that ended with ``status`` fails its run at once."""
    if graph.failure_policy is FailurePolicy.CONTINUE or not _is_failure(graph, position, status):
        return False
    dependents = graph.dependents[position]
    return not dependents or any(graph.nodes[child].needs not in _TOLERANT for child in dependents)


def is_unhandled_failure(graph: Graph, position: int, status: StepStatus) -> bool:
    """Return whether a step that ended with ``status`` fails its run in the end.

    No other step can prevent that.
    """
    return _is_failure(graph, position, status) and not graph.dependents[position]


def _is_failure(graph: Graph, position: int, status: StepStatus) -> bool:
    return status is StepStatus.UPSTREAM_FAILED or (status is StepStatus.FAILED and position not in graph.handlers)


def reset_failed(graph: Graph, steps: dict[int, Progress]) -> tuple[list[int], list[tuple[int, StepStatus]]]:
    """Reset the failed steps of a run that is retried. No I/O; changes ``steps``.

    A failed step becomes ready, unless its error handler did not fail, or all its
    dependents completed in spite of it. Steps that were pending, upstream_failed or
    skipped are decided anew.

    Returns:
        The steps that are ready again, ascending; and the steps that are newly
        upstream_failed or skipped, each with its status.
    """
    reset = [
        position
        for position in graph.forward
        if steps[position].status is StepStatus.FAILED
        and position not in graph.handled
        and not _was_tolerated(graph, steps, position)
    ]
    not_run = (StepStatus.PENDING, StepStatus.UPSTREAM_FAILED, StepStatus.SKIPPED)
    undecided = [i for i in graph.in_order() if steps[i].status in not_run and graph.nodes[i].phase is Phase.FORWARD]
    undecided += [handler for handler, handled in graph.handled.items() if handled in reset]
    for position in reset:
        steps[position] = Progress(remaining=0, status=StepStatus.READY)
    decided: list[tuple[int, StepStatus]] = []
    for position in undecided:
        before = steps[position].status
        steps[position] = _recompute(graph, steps, position)
        after = steps[position].status
        if after is not before and after in (StepStatus.UPSTREAM_FAILED, StepStatus.SKIPPED):
            decided.append((position, after))
    return reset, decided


def _was_tolerated(graph: Graph, steps: Mapping[int, Progress], position: int) -> bool:
    handler = graph.handlers.get(position)
    if handler is not None and steps[handler].status is not StepStatus.FAILED:
        return True
    dependents = graph.dependents[position]
    return bool(dependents) and all(steps[child].status is StepStatus.COMPLETED for child in dependents)


def _recompute(graph: Graph, steps: Mapping[int, Progress], position: int) -> Progress:
    """Return the progress of a step that has not run, by the status of its parents."""
    if position in graph.handled:
        handled = steps[graph.handled[position]].status
        if handled is StepStatus.FAILED:
            return Progress(remaining=0, status=StepStatus.READY)
        if handled in (StepStatus.COMPLETED, StepStatus.SKIPPED, StepStatus.UPSTREAM_FAILED):
            return Progress(remaining=0, status=StepStatus.SKIPPED)
        return Progress(remaining=1)
    ends = [ended_as(graph, steps, parent) for parent in graph.parents[position]]
    found = Progress(
        remaining=sum(end is None for end in ends),
        failed=sum(end is not None and end.is_failure for end in ends),
        skipped=sum(end is StepStatus.SKIPPED for end in ends),
    )
    decision = _decision(graph, position, found) if ends else StepStatus.READY
    return found if decision is StepStatus.PENDING else Progress(remaining=0, status=decision)


def ended_as(graph: Graph, steps: Mapping[int, Progress], position: int) -> StepStatus | None:
    """Return the status that counts at a step's dependents; None before its end.

    If the step failed, the status of its error handler counts.
    """
    status = steps[position].status
    if status is StepStatus.FAILED and position in graph.handlers:
        status = steps[graph.handlers[position]].status
    return status if status.is_terminal else None


def remaining(graph: Graph, steps: Mapping[int, Progress]) -> int:
    """Return the number of steps that the end of the run waits for."""
    return sum(not steps[position].status.is_terminal for position in graph.ends)


def unhandled_failures(graph: Graph, steps: Mapping[int, Progress], positions: Collection[int]) -> int:
    """Return the number of steps, among ``positions``, whose end fails the run."""
    return sum(is_unhandled_failure(graph, position, steps[position].status) for position in positions)
