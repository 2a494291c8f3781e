"""Failure policies, join rules and error handlers on the real store, against what they say on paper."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac.workflows.engine.graph import FailurePolicy
from celeriac.workflows.engine.states import RunStatus, StepStatus
from tests.support.graphs import graphs_with_rules
from tests.support.rules import FAILURES, on_paper, run_to_its_end


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
