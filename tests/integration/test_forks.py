"""Forks on the real store: new runs that start with results of others, and run the rest anew."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from celeriac import Client, DefinitionError, step, workflow
from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.engine.graph import Graph, Node
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.engine.templates import InputPart, ResultPart
from celeriac.workflows.settings import Settings
from tests.support.broker import Broker
from tests.support.forks import completed_steps, counts, fork, reused_by, started
from tests.support.graphs import IRREGULAR, chain_of, graph_of
from tests.support.store import DEAD, Store


@step
def pay(amount: int) -> int:
    return amount


@step
def pack(paid: int) -> int:
    return paid


@workflow
def ordering(amount: int):
    return pack(pay(amount))


@workflow(name="ordering", version="2")
def ordering_in_parts(amount: int, parts: int = 2):
    paid = pay(amount)
    return [pack(paid), pack.options(name="pack-more")(paid)]


@pytest.fixture
def client(store: Store, settings: Settings) -> Iterator[Client]:
    catalog = Catalog.of(ordering, ordering_in_parts)
    with closing(Client(settings, catalog=catalog)) as client:
        yield client


# --- what a fork starts with


def test_a_fork_takes_over_results_and_has_the_rest_to_do(store):
    original = store.start(graph_of(IRREGULAR), '{"n": 1}')
    for name in ("prepare", "a", "b", "c", "aggregate"):
        store.complete(store.take(original, name), f'{{"by": "{name}"}}')
    store.fail(store.take(original, "validate"))
    before = store.history(original)
    run_id, transition = fork(store, original, "validate")
    assert reused_by(store, run_id) == {name: {"by": name} for name in ("prepare", "a", "b", "c", "aggregate")}
    assert (transition.run_status, transition.run_ended) == (RunStatus.PENDING, False)
    assert store.names(run_id, transition.ready) == ["validate"]
    assert store.statuses(run_id) == {
        **dict.fromkeys(("prepare", "a", "b", "c", "aggregate"), "completed"),
        "validate": "ready",
        "notify": "pending",
    }
    assert store.task(run_id, "notify").remaining == 1
    assert counts(store, run_id) == (1, 0)
    assert store.reader.input(run_id) == store.reader.input(original)
    assert store.history(original) == before
    assert store.audit() == []


def test_a_fork_tells_of_what_it_took_over_in_the_order_of_the_graph_and_as_no_attempt(store):
    original = store.start(chain_of(4))
    store.do(original, "s0", "s1", "s2", "s3")
    run_id, _ = fork(store, original, "s2")
    assert store.history(run_id) == ["RunStarted", "StepReused s0 0", "StepReused s1 0"]
    task = store.task(run_id, "s0")
    assert (task.attempt, task.lease, task.started_at) == (0, None, None)
    assert task.finished_at is not None


def test_a_fork_runs_what_is_left_and_nothing_else(store):
    original = store.start(graph_of(IRREGULAR))
    store.do(original, *IRREGULAR)
    run_id, transition = fork(store, original, "c")
    assert set(reused_by(store, run_id)) == {"prepare", "a", "b"}
    assert store.names(run_id, transition.ready) == ["c"]
    assert all(store.claim(run_id, name) is None for name in ("prepare", "a", "b", "aggregate"))
    store.do(run_id, "c", "validate", "aggregate", "notify")
    assert store.runs.status(run_id) is RunStatus.COMPLETED
    assert started(store, run_id) == {"c", "validate", "aggregate", "notify"}


def test_a_fork_from_a_first_step_runs_everything_but_what_does_not_depend_on_it(store):
    original = store.start(graph_of({"a": [], "b": [], "after_a": ["a"], "after_b": ["b"]}))
    store.do(original, "a", "b", "after_a", "after_b")
    run_id, transition = fork(store, original, "a")
    assert set(reused_by(store, run_id)) == {"b", "after_b"}
    assert store.names(run_id, transition.ready) == ["a"]
    assert counts(store, run_id) == (1, 0)


def test_steps_that_the_original_had_not_come_to_are_ready_in_the_fork_as_well(store):
    original = store.start(graph_of({"a": [], "b": [], "c": ["a"], "d": ["a"]}))
    store.do(original, "a")
    run_id, transition = fork(store, original, "c")  # the original still goes on
    assert store.names(run_id, transition.ready) == ["b", "c", "d"]
    assert store.runs.status(original) is RunStatus.RUNNING


def test_a_step_that_is_called_with_a_reused_result_gets_the_very_text(store):
    graph = Graph(
        workflow="tested",
        version="1",
        nodes=(
            Node(name="a", task="a", arguments={"n": InputPart(parameter="n")}),
            Node(name="b", task="b", arguments={"a": ResultPart(node="a")}),
        ),
    )
    original = store.start(graph, '{"n": 1.50}')
    store.complete(store.take(original, "a"), '{"z": 1.0, "a": "é\\u00e9", "z": 1E2}')
    run_id, _ = fork(store, original, "b")
    claim = store.claim(run_id, "b", inputs=["a"])
    assert claim.results == {0: '{"z": 1.0, "a": "é\\u00e9", "z": 1E2}'}
    assert (claim.attempt.attempt, claim.run_input) == (1, store.reader.input(original))


def test_a_fork_of_a_fork_takes_over_what_that_one_took_over_and_what_it_did(store):
    original = store.start(chain_of(4))
    store.complete(store.take(original, "s0"), '"first"')
    store.complete(store.take(original, "s1"), '"old"')
    between, _ = fork(store, original, "s1")
    store.complete(store.take(between, "s1"), '"new"')
    run_id, transition = fork(store, between, "s2")
    assert reused_by(store, run_id) == {"s0": "first", "s1": "new"}
    assert store.names(run_id, transition.ready) == ["s2"]
    origin = "SELECT forked_from FROM workflow_runs WHERE id = :run"
    assert [store.row(origin, run=run).forked_from for run in (run_id, between, original)] == [between, original, None]


@pytest.mark.parametrize("how", ["completed", "failed", "cancelled", "terminated", "paused"])
def test_a_run_in_any_state_can_be_forked(store, how):
    original = store.start(chain_of(2))
    store.complete(store.take(original, "s0"), "7")
    control = store.control
    if how == "completed":
        store.do(original, "s1")
    elif how == "failed":
        store.fail(store.take(original, "s1"))
    elif how == "paused":
        control.pause([original])
    else:
        (control.cancel if how == "cancelled" else control.terminate)([original], None)
    run_id, transition = fork(store, original, "s1")
    assert (store.runs.status(run_id), transition.ready) == (RunStatus.PENDING, (1,))
    store.do(run_id, "s1")
    assert store.runs.status(run_id) is RunStatus.COMPLETED
    assert store.runs.status(original) == how


# --- hooks and compensations


def test_hooks_and_compensations_are_not_forked_from_and_not_taken_over(store):
    graph = Graph(
        workflow="tested",
        version="1",
        saga=True,
        nodes=(
            Node(name="a", task="a"),
            Node(name="b", task="b", after=("a",)),
            Node(name="a.compensate", task="undo_a", compensates="a"),
            Node(name="on_failure", task="alert", hook="on_failure"),
        ),
    )
    transitions = store.transitions
    original = store.start(graph)
    store.do(original, "a")
    store.fail(store.take(original, "b"))
    transitions.compensate(original, graph)
    store.do(original, "a.compensate")
    transitions.compensate(original, graph)
    store.do(original, "on_failure")
    assert {"a.compensate", "on_failure"} <= completed_steps(store, original)
    for name in ("a.compensate", "on_failure", "nothing"):
        with pytest.raises(DefinitionError, match=rf"'tested' has no step '{name}' to fork from\. Steps: a, b\."):
            fork(store, original, name)
    run_id, transition = fork(store, original, "b")
    assert (set(reused_by(store, run_id)), store.names(run_id, transition.ready)) == ({"a"}, ["b"])
    assert store.statuses(run_id) == {"a": "completed", "b": "ready"}
    assert all(store.claim(run_id, name) is None for name in ("a.compensate", "on_failure"))


# --- as one transaction


def test_a_fork_that_asks_for_a_result_that_is_not_there_is_not_started(store):
    original = store.start(chain_of(3))
    store.do(original, "s0")
    with pytest.raises(KeyError):
        store.runs.fork(chain_of(3), "{}", [0, 1], original, tags={})
    assert list(store.reader.ids()) == [original]
    assert store.row("SELECT count(*) AS n FROM workflow_events WHERE run_id <> :run", run=original).n == 0


def test_forks_at_once_of_a_run_that_goes_on_are_whole_each(store):
    original = store.start(graph_of({"a": [], "b": ["a"], "c": ["b"]}))
    store.do(original, "a")
    attempt = store.take(original, "b")
    forks = store.at_once([lambda: fork(store, original, "c")] * 4 + [lambda: store.complete(attempt)])[:4]
    assert len({run_id for run_id, _ in forks}) == 4
    for run_id, transition in forks:
        [ready] = store.names(run_id, transition.ready)
        assert list(reused_by(store, run_id)) == (["a", "b"] if ready == "c" else ["a"])
        store.do(run_id, *("b", "c")[ready == "c" :])
        assert store.runs.status(run_id) is RunStatus.COMPLETED


# --- what becomes of it


def test_a_fork_fails_and_is_retried_like_any_run_and_keeps_what_it_took_over(store):
    original = store.start(chain_of(3))
    store.do(original, "s0", "s1", "s2")
    run_id, _ = fork(store, original, "s1")
    store.fail(store.take(run_id, "s1"))
    assert store.runs.status(run_id) is RunStatus.FAILED
    transition = store.transitions.retry(run_id, store.graph(run_id), 60)
    assert transition.run_status is RunStatus.RUNNING
    assert store.statuses(run_id) == {"s0": "completed", "s1": "ready", "s2": "pending"}
    store.do(run_id, "s1", "s2")
    assert started(store, run_id) == {"s1", "s2"}


def test_a_step_of_a_fork_that_is_lost_is_ready_again_and_dispatched_beside_the_results_it_has(store):
    store.scope = True
    original = store.start(graph_of(IRREGULAR))
    store.do(original, *IRREGULAR)
    run_id, _ = fork(store, original, "aggregate")
    store.take(run_id, "aggregate", lease=DEAD)
    [lost] = store.lose()
    assert (lost.run_id, lost.name, lost.accepts_work) == (run_id, "aggregate", True)
    completed = store.reconciling.completed([run_id])[run_id]
    assert store.names(run_id, sorted(completed)) == ["prepare", "a", "b", "c", "validate"]
    assert run_id not in [stalled for stalled, _ in store.reconciling.stalled(10)]


# --- through the client


def test_forking_dispatches_what_is_ready_at_once(store, client, broker: Broker):
    run = client.start(ordering.options(tags={"tenant": "acme"}), 3)
    store.complete(store.take(run.id, "pay"), "3")
    store.complete(store.take(run.id, "pack"), "3")
    broker.flush()
    forked = run.fork(from_step="pack")
    assert broker.steps() == ["pack"]
    assert forked.view().tags == {"tenant": "acme"}
    store.do(forked.id, "pack")
    assert forked.status is RunStatus.COMPLETED


def test_a_fork_into_another_version_reuses_results_by_name_and_runs_what_is_new(store, client, broker: Broker):
    run = client.start(ordering, 3)
    store.complete(store.take(run.id, "pay"), "3")
    store.complete(store.take(run.id, "pack"), "3")
    broker.flush()
    forked = run.fork(from_step="pack", version="2")
    assert forked.view().version == "2"
    assert reused_by(store, forked.id) == {"pay": 3}
    assert sorted(broker.steps()) == ["pack", "pack-more"]
    store.do(forked.id, "pack", "pack-more")
    assert forked.status is RunStatus.COMPLETED
