"""Failure policies, join rules and error handlers on the real store, against what they say on paper."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac.workflows.engine.graph import FailurePolicy, Graph, Needs
from celeriac.workflows.engine.states import RunStatus, StepStatus
from tests.support.graphs import graphs_with_rules
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


def any_run(test):
    return settings(
        max_examples=120,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )(given(data=st.data(), graph=graphs_with_rules())(test))


@any_run
def test_a_run_ends_as_its_rules_say_whatever_the_order_of_events(store, data, graph):
    failing = data.draw(st.sets(st.integers(0, len(graph.nodes) - 1)))
    run_id = run_to_its_end(store, graph, failing, data)
    paper = on_paper(graph, failing)
    _, tasks = store.reader.projections(run_id)
    found = [StepStatus(task.status) for task in tasks]
    status = store.runs.status(run_id)
    assert status in (RunStatus.COMPLETED, RunStatus.FAILED)
    if graph.failure_policy is FailurePolicy.CONTINUE or status is RunStatus.COMPLETED:
        assert found == paper
        lost = {i for i in range(len(graph.nodes)) if paper[i] in FAILURES and not graph.dependents[i]}
        lost -= {i for i in graph.handlers if paper[i] is StepStatus.FAILED}
        assert status == ("failed" if lost else "completed")
    else:
        assert all(now == end for now, end in zip(found, paper, strict=True) if now.is_terminal)


@any_run
def test_a_failed_run_that_is_retried_and_then_goes_well_ends_as_if_nothing_had_failed_but_what_was_made_good(
    store, data, graph
):
    failing = data.draw(st.sets(st.integers(0, len(graph.nodes) - 1), min_size=1))
    run_id = run_to_its_end(store, graph, failing, data)
    if store.runs.status(run_id) is RunStatus.COMPLETED:
        return
    assert store.transitions.retry(run_id, graph, 60) is not None
    before = store.statuses(run_id)
    while not store.runs.status(run_id).is_terminal:
        statuses = store.statuses(run_id)
        ready = [name for name, status in statuses.items() if status == "ready"]
        store.complete(store.take(run_id, data.draw(st.sampled_from(ready))))
    assert store.runs.status(run_id) is RunStatus.COMPLETED
    after = store.statuses(run_id)
    assert all(after[name] == "completed" for name, status in before.items() if status == "completed")
