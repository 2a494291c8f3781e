"""Forks of runs with join rules and error handlers."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from celeriac import DefinitionError
from celeriac.workflows.engine.graph import FailurePolicy, Graph, Needs, Node
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.engine.templates import ResultPart
from tests.support.forks import completed_steps, counts, fork, reused_by, started
from tests.support.graphs import graph_of, graphs_with_rules
from tests.support.rules import run_to_its_end

# `charge` may fail for all that `ship` cares: its handler then says what to go on with.
HANDLED = Graph(
    workflow="tested",
    version="1",
    nodes=(
        Node(name="reserve", task="reserve"),
        Node(name="charge", task="charge", after=("reserve",)),
        Node(name="charge.on_error", task="apologise", handles="charge"),
        Node(name="ship", task="ship", arguments={"paid": ResultPart(node="charge")}),
    ),
)


def test_the_handler_of_a_reused_step_is_skipped_and_what_waits_for_that_step_is_ready(store):
    original = store.start(HANDLED)
    store.do(original, "reserve", "charge")
    store.fail(store.take(original, "ship"))
    run_id, transition = fork(store, original, "ship")
    assert store.history(run_id) == [
        "RunStarted",
        "StepReused reserve 0",
        "StepReused charge 0",
        "StepSkipped charge.on_error None",
    ]
    assert store.statuses(run_id) == {
        "reserve": "completed",
        "charge": "completed",
        "charge.on_error": "skipped",
        "ship": "ready",
    }
    assert store.names(run_id, transition.ready) == ["ship"]
    assert counts(store, run_id) == (1, 0)
    assert store.audit() == []
    store.do(run_id, "ship")
    assert store.runs.status(run_id) is RunStatus.COMPLETED


def test_a_step_that_failed_and_was_handled_runs_anew_in_a_fork_and_its_handler_with_it(store):
    original = store.start(HANDLED)
    store.do(original, "reserve")
    store.fail(store.take(original, "charge"))
    store.do(original, "charge.on_error", "ship")
    assert store.runs.status(original) is RunStatus.COMPLETED
    run_id, transition = fork(store, original, "ship")
    assert set(reused_by(store, run_id)) == {"reserve"}
    assert store.names(run_id, transition.ready) == ["charge"]
    store.fail(store.take(run_id, "charge"))
    store.do(run_id, "charge.on_error", "ship")
    assert store.runs.status(run_id) is RunStatus.COMPLETED


def test_a_step_that_is_ready_only_for_a_failure_is_skipped_with_what_follows_on_it(store):
    graph = Graph(
        workflow="tested",
        version="1",
        nodes=(
            *(Node(name=name, task=name) for name in ("a", "b")),
            Node(name="alarm", task="alarm", after=("a", "b"), needs=Needs.ONE_FAILED),
            Node(name="apologise", task="apologise", after=("alarm",)),
            Node(name="report", task="report", after=("a", "b")),
        ),
    )
    original = store.start(graph)
    store.do(original, "a", "b", "report")
    assert store.runs.status(original) is RunStatus.COMPLETED
    run_id, transition = fork(store, original, "report")
    assert store.history(run_id)[-2:] == ["StepSkipped alarm None", "StepSkipped apologise None"]
    assert store.names(run_id, transition.ready) == ["report"]
    assert counts(store, run_id) == (1, 0)
    store.do(run_id, "report")
    assert store.runs.status(run_id) is RunStatus.COMPLETED


def test_a_join_that_is_content_with_one_result_is_ready_although_its_other_parent_runs_anew(store):
    join = Node(name="join", task="join", after=("a", "b"), needs=Needs.ANY_SUCCEEDED)
    graph = Graph(workflow="tested", version="1", nodes=(*(Node(name=name, task=name) for name in ("a", "b")), join))
    original = store.start(graph)
    store.do(original, "a", "b", "join")
    run_id, transition = fork(store, original, "b")
    assert set(reused_by(store, run_id)) == {"a"}
    assert store.names(run_id, transition.ready) == ["b", "join"]
    assert counts(store, run_id) == (2, 0)
    store.do(run_id, "join", "b")
    assert store.runs.status(run_id) is RunStatus.COMPLETED


def test_steps_that_are_upstream_failed_in_the_original_wait_in_a_fork(store):
    graph = replace(graph_of({"a": [], "b": ["a"], "c": ["b"], "d": []}), failure_policy=FailurePolicy.CONTINUE)
    original = store.start(graph)
    store.do(original, "a", "d")
    store.fail(store.take(original, "b"))
    assert store.statuses(original)["c"] == "upstream_failed"
    run_id, transition = fork(store, original, "b")
    assert set(reused_by(store, run_id)) == {"a", "d"}
    assert (store.names(run_id, transition.ready), store.statuses(run_id)["c"]) == (["b"], "pending")
    assert counts(store, run_id) == (2, 0)
    store.do(run_id, "b", "c")
    assert store.runs.status(run_id) is RunStatus.COMPLETED


def test_a_fork_from_a_step_that_it_would_skip_is_refused(store):
    alarmed = Graph(
        workflow="tested",
        version="1",
        nodes=(Node(name="a", task="a"), Node(name="alarm", task="alarm", after=("a",), needs=Needs.ONE_FAILED)),
    )
    for graph, done, from_step in (
        (HANDLED, ("reserve", "charge", "ship"), "charge.on_error"),
        (alarmed, ("a",), "alarm"),
    ):
        original = store.start(graph)
        store.do(original, *done)
        with pytest.raises(DefinitionError, match=f"from step '{from_step}' of workflow 'tested' would skip it"):
            fork(store, original, from_step)


def test_a_fork_does_not_reuse_what_was_there_for_a_failure_that_has_been_made_good(store):
    graph = Graph(
        workflow="tested",
        version="1",
        failure_policy=FailurePolicy.CONTINUE,
        nodes=(
            Node(name="a", task="a"),
            Node(name="child", task="child", after=("a",)),
            Node(name="alarm", task="alarm", after=("a",), needs=Needs.ONE_FAILED),
            Node(name="z", task="z"),
        ),
    )
    original = store.start(graph)
    store.fail(store.take(original, "a"))
    store.do(original, "alarm", "z")
    assert store.transitions.retry(original, graph, 60) is not None
    store.do(original, "a", "child")
    run_id, _ = fork(store, original, "z")
    assert store.statuses(run_id) == {"a": "completed", "child": "completed", "alarm": "skipped", "z": "ready"}


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data(), graph=graphs_with_rules())
def test_whatever_became_of_a_run_a_fork_runs_what_depends_on_its_step_anew_and_reuses_no_more_than_it_may(
    store, data, graph
):
    failing = data.draw(st.sets(st.integers(0, len(graph.nodes) - 1)))
    original = run_to_its_end(store, graph, failing, data)
    ran = [name for name, status in store.statuses(original).items() if status in ("completed", "failed")]
    assume(ran)
    from_step = data.draw(st.sampled_from(ran))
    run_id, transition = fork(store, original, from_step)
    position = graph.position[from_step]
    reused = {graph.position[name] for name in reused_by(store, run_id)}
    assert not reused & {position, *graph.descendants(position)}
    assert reused <= {graph.position[name] for name in completed_steps(store, original)}
    assert all(set(graph.parents[i]) <= reused for i in reused)
    ready = {graph.position[name] for name, status in store.statuses(run_id).items() if status == "ready"}
    assert set(transition.ready) == ready
    assert store.audit() == []
    while not store.runs.status(run_id).is_terminal:
        free = [name for name, status in store.statuses(run_id).items() if status == "ready"]
        store.do(run_id, data.draw(st.sampled_from(free)))
    assert store.runs.status(run_id) is RunStatus.COMPLETED
    assert from_step in started(store, run_id) or store.statuses(run_id)[from_step] == "skipped"
