"""Failure policies, join rules and error handlers on the real store, against what they say on paper."""

from uuid import UUID

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from celeriac.workflows.engine.graph import FailurePolicy
from celeriac.workflows.engine.states import RunStatus, StepStatus
from tests.support.graphs import graphs_with_rules
from tests.support.rules import FAILURES, on_paper, retried_on_paper, run_to_its_end
from tests.support.store import Store


def statuses_of(store: Store, run_id: UUID) -> list[StepStatus]:
    _, tasks = store.reader.projections(run_id)
    return [StepStatus(task.status) for task in tasks]


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
    found = statuses_of(store, run_id)
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
def test_a_failed_run_that_is_retried_ends_as_if_nothing_had_failed_but_the_failures_that_were_made_good(
    store, data, graph
):
    failing = data.draw(st.sets(st.integers(0, len(graph.nodes) - 1), min_size=1))
    run_id = run_to_its_end(store, graph, failing, data)
    assume(store.runs.status(run_id) is RunStatus.FAILED)
    before = statuses_of(store, run_id)
    attempts = [task.attempt for task in store.reader.projections(run_id)[1]]
    assert store.transitions.retry(run_id, graph, 60) is not None
    while not store.runs.status(run_id).is_terminal:
        ready = [name for name, status in store.statuses(run_id).items() if status == "ready"]
        store.complete(store.take(run_id, data.draw(st.sampled_from(ready))))
    assert store.runs.status(run_id) is RunStatus.COMPLETED
    after = statuses_of(store, run_id)
    assert after == retried_on_paper(graph, before)
    _, tasks = store.reader.projections(run_id)
    for task, status, count in zip(tasks, before, attempts, strict=True):
        is_kept = status is after[task.position] and status in (StepStatus.COMPLETED, StepStatus.FAILED)
        assert not is_kept or task.attempt == count, "what was done is not done again"
