"""What join rules, error handlers and failure policies make of a run: on paper, and on the real store."""

from collections.abc import Collection, Sequence

from hypothesis import strategies as st

from celeriac.workflows.engine.graph import Graph, Needs
from celeriac.workflows.engine.states import StepStatus
from tests.support.store import Store

FAILURES = {StepStatus.FAILED, StepStatus.UPSTREAM_FAILED}


def on_paper(graph: Graph, failing: Collection[int]) -> list[StepStatus]:
    """What becomes of every step if all of them come to their turn, without any order of events."""
    statuses: list[StepStatus] = []
    for position in range(len(graph.nodes)):
        decided = _decision(graph, position, statuses)
        runs = StepStatus.FAILED if position in failing else StepStatus.COMPLETED
        statuses.append(decided or runs)
    return statuses


def retried_on_paper(graph: Graph, before: Sequence[StepStatus]) -> list[StepStatus]:
    """What becomes of every step of a failed run if it is retried, and every step that runs then completes.

    Args:
        graph: Of the run.
        before: The statuses of all steps when the run is retried.
    """

    def was_made_good(position: int) -> bool:
        handler = graph.handlers.get(position)
        if handler is not None and before[handler] is not StepStatus.FAILED:
            return True
        joins = graph.dependents[position]
        return bool(joins) and {before[join] for join in joins} == {StepStatus.COMPLETED}

    statuses: list[StepStatus] = []
    for position, status in enumerate(before):
        handled = graph.handled.get(position)
        if status is StepStatus.COMPLETED or (handled is None and status is StepStatus.READY):
            statuses.append(StepStatus.COMPLETED)
        elif status is StepStatus.FAILED and handled is None:
            statuses.append(StepStatus.FAILED if was_made_good(position) else StepStatus.COMPLETED)
        else:
            statuses.append(_decision(graph, position, statuses) or StepStatus.COMPLETED)
    return statuses


def _decision(graph: Graph, position: int, statuses: Sequence[StepStatus]) -> StepStatus | None:
    """Return what the steps before it make of a step; None if it runs."""
    if position in graph.handled:
        return None if statuses[graph.handled[position]] is StepStatus.FAILED else StepStatus.SKIPPED

    def end_of(parent: int) -> StepStatus:
        handler = graph.handlers.get(parent)
        return statuses[handler] if statuses[parent] is StepStatus.FAILED and handler is not None else statuses[parent]

    ends = [end_of(parent) for parent in graph.parents[position]]
    failed = any(end in FAILURES for end in ends)
    completed, skipped = StepStatus.COMPLETED in ends, StepStatus.SKIPPED in ends
    match graph.nodes[position].needs or Needs.ALL_SUCCEEDED:
        case Needs.ALL_SUCCEEDED:
            return StepStatus.UPSTREAM_FAILED if failed else StepStatus.SKIPPED if skipped else None
        case Needs.NONE_FAILED:
            return StepStatus.UPSTREAM_FAILED if failed else None
        case Needs.ANY_SUCCEEDED:
            return None if completed else StepStatus.UPSTREAM_FAILED if failed else StepStatus.SKIPPED
        case Needs.ONE_FAILED:
            return None if failed else StepStatus.SKIPPED
        case Needs.ALL_DONE:
            return None


def run_to_its_end(store: Store, graph: Graph, failing: set[int], data: st.DataObject):
    """Claim and end steps in a random order until nothing is ready."""
    run_id = store.start(graph)
    while True:
        _, tasks = store.reader.projections(run_id)
        ready = [task.position for task in tasks if task.status == "ready"]
        if not ready or store.runs.status(run_id).is_terminal:
            return run_id
        position = data.draw(st.sampled_from(ready))
        attempt = store.take(run_id, graph.nodes[position].name)
        if position in failing:
            store.fail(attempt)
        else:
            store.complete(attempt)
