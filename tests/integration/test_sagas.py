"""Sagas on the real store: the compensations, their order, and the end of the run."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac.workflows.engine.graph import Graph, Node
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.history.records import UNLIMITED, Transition
from tests.support.graphs import graphs
from tests.support.store import DEAD, Store

ORDER: Mapping[str, Sequence[str]] = {"reserve": (), "charge": ("reserve",), "ship": ("charge",)}


def saga_of(parents: Mapping[str, Sequence[str]], *, hooks: Sequence[str] = ()) -> Graph:
    """A saga in which every step has a compensation."""
    nodes = [Node(name=name, task=name, after=tuple(after)) for name, after in parents.items()]
    nodes += [Node(name=f"{name}.compensate", task=f"compensate_{name}", compensates=name) for name in parents]
    nodes += [Node(name=hook, task=hook, hook=hook) for hook in hooks]
    return Graph(workflow="tested", version="1", nodes=tuple(nodes), saga=True)


class Saga:
    """A run of a saga."""

    def __init__(self, store: Store, graph: Graph) -> None:
        self.store, self.graph = store, graph
        self.transitions = store.transitions
        self.control = store.control
        self.id: UUID = store.start(graph)

    @property
    def status(self) -> RunStatus:
        return self.store.runs.status(self.id)

    def statuses(self) -> dict[str, str]:
        return self.store.statuses(self.id)

    def fails_at(self, *completed: str, step: str) -> "Saga":
        self.store.do(self.id, *completed)
        self.store.fail(self.store.take(self.id, step))
        return self

    def compensate(self) -> Transition | None:
        return self.transitions.compensate(self.id, self.graph)

    def plan(self) -> list[str]:
        transition = self.compensate()
        assert transition is not None
        return self.store.names(self.id, transition.ready)

    def do_compensations(self, *names: str) -> None:
        self.store.do(self.id, *(f"{name}.compensate" for name in names))


@pytest.fixture
def saga(store: Store) -> Saga:
    return Saga(store, saga_of(ORDER))


def test_a_saga_that_fails_compensates_completed_steps_the_latest_first_and_then_has_failed(saga):
    saga.fails_at("reserve", "charge", step="ship")
    assert saga.status is RunStatus.COMPENSATING
    assert saga.plan() == ["charge.compensate", "reserve.compensate"]
    saga.do_compensations("charge", "reserve")
    assert saga.status is RunStatus.COMPENSATING  # until the follow-up finds no compensation left
    assert saga.compensate().run_ended
    assert saga.status is RunStatus.FAILED
    assert "ship.compensate" not in saga.statuses()
    assert saga.store.history(saga.id)[-6:] == [
        "CompensationPlanned",
        "StepStarted charge.compensate 1",
        "StepCompleted charge.compensate 1",
        "StepStarted reserve.compensate 1",
        "StepCompleted reserve.compensate 1",
        "RunFailed",
    ]
    error = saga.store.reader.run(saga.id).error
    assert (error.step, error.type) == ("ship", "ValueError")


def test_only_one_compensation_at_a_time_is_to_be_had(saga):
    saga.fails_at("reserve", "charge", step="ship")
    saga.plan()
    assert saga.store.claim(saga.id, "reserve.compensate") is None
    assert saga.store.claim(saga.id, "charge.compensate") is not None


def test_a_saga_of_which_nothing_completed_fails_at_once(saga):
    saga.fails_at(step="reserve")
    transition = saga.compensate()
    assert (transition.run_status, transition.run_ended, transition.ready) == (RunStatus.FAILED, True, ())


def test_a_saga_waits_for_running_steps_and_compensates_them_too(store):
    saga = Saga(store, saga_of({"a": (), "b": ()}))
    b = store.take(saga.id, "b")
    saga.fails_at(step="a")
    assert saga.compensate() is None
    assert store.reconciling.compensable(1_000) == []
    store.complete(b)
    assert (saga.id, saga.graph.hash) in store.reconciling.compensable(1_000)
    assert saga.plan() == ["b.compensate"]


def test_parallel_branches_are_compensated_in_the_reverse_order_of_their_completion(store):
    saga = Saga(store, saga_of({"a": (), "b": (), "c": (), "join": ("a", "b", "c")}))
    saga.fails_at("b", "c", "a", step="join")
    assert saga.plan() == ["a.compensate", "c.compensate", "b.compensate"]


def test_a_plan_is_made_once(saga):
    saga.fails_at("reserve", "charge", step="ship")
    plans = saga.store.at_once([saga.compensate] * 4)
    assert sum(plan is not None for plan in plans) == 1


@pytest.mark.parametrize("steps_done", [0, 1, 2])
def test_a_cancelled_saga_is_compensated_and_then_is_cancelled(saga, steps_done):
    done = list(ORDER)[:steps_done]
    saga.store.do(saga.id, *done)
    assert saga.control.cancel([saga.id], "changed my mind") == {saga.id}
    assert saga.status is RunStatus.COMPENSATING
    assert saga.store.claim(saga.id, list(ORDER)[steps_done]) is None
    if done:
        assert saga.plan() == [f"{name}.compensate" for name in reversed(done)]
        saga.do_compensations(*reversed(done))
    assert saga.compensate().run_ended
    assert saga.status is RunStatus.CANCELLED
    assert saga.store.reader.run(saga.id).error.message == "changed my mind"


def test_a_running_step_of_a_cancelled_saga_is_asked_to_stop_and_one_of_a_failed_saga_is_not(store):
    for cancelled in (True, False):
        saga = Saga(store, saga_of({"a": (), "b": ()}))
        a, b = store.take(saga.id, "a"), store.take(saga.id, "b")
        if cancelled:
            saga.control.cancel([saga.id], None)
        else:
            store.fail(b)
        assert store.attempts.heartbeat(a, None, UNLIMITED) is not cancelled


def test_a_saga_whose_time_is_up_is_compensated(store):
    saga = Saga(store, saga_of(ORDER))
    store.do(saga.id, "reserve")
    store.execute("UPDATE workflow_runs SET timeout_at = now() - interval '1 s' WHERE id = :run", run=saga.id)
    assert saga.transitions.time_out(saga.id, saga.graph).run_status is RunStatus.COMPENSATING
    assert saga.transitions.time_out(saga.id, saga.graph) is None
    assert saga.plan() == ["reserve.compensate"]
    saga.do_compensations("reserve")
    saga.compensate()
    assert store.reader.run(saga.id).error.type == "RunTimedOut"


def test_a_terminated_saga_is_not_compensated(saga):
    saga.store.do(saga.id, "reserve")
    saga.control.terminate([saga.id], None)
    assert saga.compensate() is None
    assert saga.status is RunStatus.TERMINATED


def test_a_compensation_that_fails_leaves_the_run_in_a_state_of_its_own_and_can_be_retried(saga):
    saga.fails_at("reserve", "charge", step="ship")
    saga.plan()
    saga.store.fail(saga.store.take(saga.id, "charge.compensate"))
    assert saga.status is RunStatus.COMPENSATION_FAILED
    assert saga.store.reader.run(saga.id).error.step == "charge.compensate"
    assert saga.store.claim(saga.id, "reserve.compensate") is None
    assert saga.transitions.retry(saga.id, saga.graph, 60).run_status is RunStatus.COMPENSATING
    saga.do_compensations("charge", "reserve")
    saga.compensate()
    assert saga.status is RunStatus.FAILED
    assert saga.store.history(saga.id).count("StepCompleted reserve.compensate 1") == 1


def test_a_saga_that_was_compensated_cannot_be_retried_and_a_saga_without_compensations_can(store):
    compensated = Saga(store, saga_of(ORDER)).fails_at("reserve", step="charge")
    compensated.plan()
    compensated.do_compensations("reserve")
    compensated.compensate()
    assert compensated.transitions.retry(compensated.id, compensated.graph, 60) is None
    untouched = Saga(store, saga_of(ORDER)).fails_at(step="reserve")
    untouched.compensate()
    assert untouched.transitions.retry(untouched.id, untouched.graph, 60).run_status is RunStatus.RUNNING
    store.do(untouched.id, *ORDER)
    assert untouched.status is RunStatus.COMPLETED


def test_a_compensation_lost_with_its_worker_is_ready_again_and_the_next_waits_for_it(saga):
    saga.fails_at("reserve", "charge", step="ship")
    saga.plan()
    saga.store.take(saga.id, "charge.compensate", lease=DEAD)
    [lost] = saga.store.lose()
    assert (lost.name, lost.accepts_work) == ("charge.compensate", True)
    assert saga.store.claim(saga.id, "reserve.compensate") is None
    saga.do_compensations("charge", "reserve")


def test_a_fork_does_not_compensate_the_steps_that_it_reuses(store):
    original = Saga(store, saga_of(ORDER)).fails_at("reserve", "charge", step="ship")
    reused = [original.graph.position["reserve"]]
    fork_id, _ = store.runs.fork(original.graph, "{}", reused, original.id, tags={})
    fork = Saga(store, original.graph)
    fork.id = fork_id
    fork.fails_at("charge", step="ship")
    assert fork.plan() == ["charge.compensate"]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data(), plain=graphs(7))
def test_completed_steps_are_compensated_once_in_reverse_and_no_others(store, data, plain):
    parents = {plain.nodes[i].name: plain.nodes[i].parents for i in plain.in_order()}
    saga = Saga(store, saga_of(parents))
    completed: list[str] = []
    running = []
    while saga.status in (RunStatus.PENDING, RunStatus.RUNNING):
        ready = [name for name, status in saga.statuses().items() if status == "ready"]
        if ready and (not running or data.draw(st.booleans())):
            running.append(store.take(saga.id, data.draw(st.sampled_from(ready))))
            continue
        attempt = running.pop(data.draw(st.integers(0, len(running) - 1)))
        if data.draw(st.integers(0, 4)) == 0:
            store.fail(attempt)
        else:
            store.complete(attempt)
            completed.append(attempt.name)
    if saga.status is RunStatus.COMPLETED:
        assert set(completed) == set(parents)
        return
    for attempt in running:
        assert saga.compensate() is None
        store.complete(attempt)
        completed.append(attempt.name)
    if completed:
        assert saga.plan() == [f"{name}.compensate" for name in reversed(completed)]
        saga.do_compensations(*reversed(completed))
    assert saga.compensate().run_status is RunStatus.FAILED
