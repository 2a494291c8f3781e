"""What join rules, error handlers and failure policies make of a run: on paper, and on the real store."""

from hypothesis import strategies as st

from celeriac.workflows.engine.graph import Graph, Needs
from celeriac.workflows.engine.states import StepStatus
from tests.support.store import Store

FAILURES = {StepStatus.FAILED, StepStatus.UPSTREAM_FAILED}


def on_paper(graph: Graph, failing: set[int]) -> list[StepStatus]:
    """What becomes of every step if all of them come to their turn, without any order of events."""
    statuses: list[StepStatus] = []

    def slot(parent: int) -> StepStatus:
        handler = graph.handlers.get(parent)
        if statuses[parent] is StepStatus.FAILED and handler is not None:
            return statuses[handler]
        return statuses[parent]

    def runs(position: int) -> StepStatus:
        return StepStatus.FAILED if position in failing else StepStatus.COMPLETED

    for position, node in enumerate(graph.nodes):
        if position in graph.handled:
            status = statuses[graph.handled[position]]
            statuses.append(runs(position) if status is StepStatus.FAILED else StepStatus.SKIPPED)
            continue
        ends = [slot(parent) for parent in graph.parents[position]]
        failed = any(end in FAILURES for end in ends)
        completed = StepStatus.COMPLETED in ends
        skipped = StepStatus.SKIPPED in ends
        match node.needs or Needs.ALL_SUCCEEDED:
            case Needs.ALL_SUCCEEDED:
                verdict = StepStatus.UPSTREAM_FAILED if failed else StepStatus.SKIPPED if skipped else None
            case Needs.NONE_FAILED:
                verdict = StepStatus.UPSTREAM_FAILED if failed else None
            case Needs.ANY_SUCCEEDED:
                verdict = None if completed else StepStatus.UPSTREAM_FAILED if failed else StepStatus.SKIPPED
            case Needs.ONE_FAILED:
                verdict = None if failed else StepStatus.SKIPPED
            case Needs.ALL_DONE:
                verdict = None
        statuses.append(verdict or runs(position))
    return statuses


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
