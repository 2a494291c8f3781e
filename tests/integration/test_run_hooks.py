"""Hooks on the real store: steps that are ready once their run has ended."""

import pytest

from celeriac.workflows.engine.graph import Graph, Node
from celeriac.workflows.engine.states import RunStatus
from tests.integration.test_sagas import Saga, saga_of
from tests.support.store import DEAD, Store

HOOKED = Graph(
    workflow="tested",
    version="1",
    nodes=(
        Node(name="a", task="a"),
        Node(name="b", task="b", after=("a",)),
        Node(name="on_complete", task="praise", hook="on_complete"),
        Node(name="on_failure", task="alert", hook="on_failure"),
    ),
)


def hooks(store: Store, run_id) -> dict[str, str]:
    return {name: status for name, status in store.statuses(run_id).items() if name.startswith("on_")}


def test_the_hook_of_the_end_that_came_is_ready_and_the_other_stays_out_of_sight(store):
    completed, failed = store.start(HOOKED), store.start(HOOKED)
    assert hooks(store, completed) == {}
    assert store.claim(completed, "on_complete") is None
    store.do(completed, "a", "b")
    assert hooks(store, completed) == {"on_complete": "ready"}
    store.do(failed, "a")
    store.fail(store.take(failed, "b"))
    assert hooks(store, failed) == {"on_failure": "ready"}
    store.do(completed, "on_complete")
    store.do(failed, "on_failure")
    assert store.runs.status(completed) is RunStatus.COMPLETED
    assert store.runs.status(failed) is RunStatus.FAILED


def test_a_hook_that_fails_leaves_the_run_as_it_ended(store):
    run_id = store.start(HOOKED)
    store.do(run_id, "a", "b")
    store.fail(store.take(run_id, "on_complete"))
    assert store.runs.status(run_id) is RunStatus.COMPLETED
    assert hooks(store, run_id) == {"on_complete": "failed"}
    assert store.reader.run(run_id).error is None


def test_a_hook_is_retried_and_lost_and_dispatched_again_like_any_step(store):
    store.scope = True
    run_id = store.start(HOOKED)
    store.do(run_id, "a", "b")
    store.fail(store.take(run_id, "on_complete"), retry_in=0)
    assert (run_id, HOOKED.position["on_complete"]) in {
        (due.run_id, due.position) for due in store.reconciling.fire_retries(1_000)
    }
    store.take(run_id, "on_complete", lease=DEAD)
    [lost] = store.lose()
    assert lost.accepts_work
    [group] = [group for group in store.reconciling.ready_groups() if group.task == "praise"]
    found = store.reconciling.unclaimed(group, store.reconciling.now(), 1_000)
    assert [step.run_id for step in found] == [run_id]


@pytest.mark.parametrize("how", ["cancel", "terminate"])
def test_a_run_that_is_ended_by_request_calls_no_hook(store, how):
    run_id = store.start(HOOKED)
    getattr(store.control, how)([run_id], None)
    assert hooks(store, run_id) == {}


def test_a_run_whose_time_is_up_calls_its_hook(store):
    run_id = store.start(HOOKED)
    store.execute("UPDATE workflow_runs SET timeout_at = now() - interval '1 s' WHERE id = :run", run=run_id)
    transition = store.transitions.time_out(run_id, HOOKED)
    assert store.names(run_id, transition.ready) == ["on_failure"]


def test_a_run_that_is_retried_and_fails_again_calls_its_hook_again(store):
    transitions = store.transitions
    run_id = store.start(HOOKED)
    store.fail(store.take(run_id, "a"))
    store.do(run_id, "on_failure")
    zombie = None
    for attempt in (2, 3):
        assert transitions.retry(run_id, HOOKED, 60) is not None
        assert hooks(store, run_id) == {}
        assert zombie is None or store.complete(zombie) is None
        store.fail(store.take(run_id, "a"))
        zombie = store.take(run_id, "on_failure")
        assert zombie.attempt == attempt


def test_the_hook_of_a_saga_is_called_once_it_is_compensated_or_cannot_be(store):
    graph = saga_of({"a": (), "b": ("a",)}, hooks=["on_failure"])
    compensated = Saga(store, graph).fails_at("a", step="b")
    compensated.plan()
    assert hooks(store, compensated.id) == {}
    compensated.do_compensations("a")
    assert store.names(compensated.id, compensated.compensate().ready) == ["on_failure"]
    stuck = Saga(store, graph).fails_at("a", step="b")
    stuck.plan()
    store.fail(store.take(stuck.id, "a.compensate"))
    assert hooks(store, stuck.id) == {"on_failure": "ready"}


def test_a_failed_run_is_retried_although_its_hook_waits_for_a_retry_of_its_own(store):
    run_id = store.start(HOOKED)
    store.fail(store.take(run_id, "a"))
    store.fail(store.take(run_id, "on_failure"), retry_in=60.0)
    assert hooks(store, run_id) == {"on_failure": "retrying"}
    assert store.transitions.retry(run_id, HOOKED, 60).ready == (0,)
    store.do(run_id, "a", "b")
    assert store.runs.status(run_id) == "completed"
