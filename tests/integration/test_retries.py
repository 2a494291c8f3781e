"""Attempts that are followed by others: waits are rows, fired when they are due, whoever was restarted meanwhile."""

import json
from datetime import datetime, timedelta

import pytest

from celeriac.worker.reconciler.reconciler import SHORTEST_PAUSE_SECONDS, Reconciled
from celeriac.workflows.history.control import ControlStore
from celeriac.workflows.history.records import UNLIMITED, Attempt, Limits
from tests.support.graphs import chain_of, graph_of
from tests.support.store import ALIVE, ERROR, Store

SOON, LATER = 0.0, 7_200.0


@pytest.fixture
def control(store: Store) -> ControlStore:
    return store.control


def claim(store: Store, run_id, name: str = "s0", limits: Limits = UNLIMITED) -> Attempt:
    found = store.attempts.claim(store.key(run_id, name), lease=ALIVE, limits=limits)
    assert found is not None, f"{name} is not to be had"
    return found.attempt


def failure_event(store: Store, run_id):
    return next(event for event in store.reader.events(run_id) if event.type == "StepFailed")


def fire(store: Store) -> int:
    return len(store.reconciling.fire_retries(1_000))


# --- waiting


def test_a_failure_with_a_retry_makes_the_step_wait_and_leaves_the_run_going(store):
    run_id = store.start(chain_of(2))
    assert store.fail(claim(store, run_id), LATER) is False
    step, following = store.reader.run(run_id).steps
    assert (step.status, step.attempt, following.status) == ("retrying", 1, "pending")
    assert 7_190 < (step.due_at - step.finished_at).total_seconds() <= 7_200
    assert (step.error.type, step.error.message) == ("ValueError", "no stock")
    assert store.runs.status(run_id) == "running"
    event = failure_event(store, run_id)
    assert datetime.fromisoformat(event.data["retry_at"]) == step.due_at
    assert event.data["traceback"] == "Traceback …"


def test_a_failure_for_good_names_no_retry(store):
    run_id = store.start(chain_of(1))
    store.fail(claim(store, run_id))
    assert "retry_at" not in failure_event(store, run_id).data


def test_a_step_that_waits_cannot_be_claimed_completed_or_failed(store):
    run_id = store.start(chain_of(1))
    attempt = claim(store, run_id)
    store.fail(attempt, LATER)
    before = store.history(run_id)
    assert store.claim(run_id, "s0") is None
    assert store.complete(attempt) is None
    assert store.fail(attempt) is None
    assert store.fail(attempt, SOON) is None
    assert store.history(run_id) == before


def test_every_attempt_is_in_the_history_with_its_error(store):
    run_id = store.start(chain_of(1))
    for number in range(1, 4):
        error = {"type": "ValueError", "message": f"try {number}"}
        store.attempts.fail(claim(store, run_id), error, store.graph(run_id), SOON if number < 3 else None)
        assert fire(store) == (1 if number < 3 else 0)
    assert store.history(run_id) == [
        "RunStarted",
        *("StepStarted s0 1", "StepFailed s0 1", "StepRetryDue s0 1"),
        *("StepStarted s0 2", "StepFailed s0 2", "StepRetryDue s0 2"),
        *("StepStarted s0 3", "StepFailed s0 3"),
        "RunFailed",
    ]
    messages = [event.data["message"] for event in store.reader.events(run_id) if event.type == "StepFailed"]
    assert messages == ["try 1", "try 2", "try 3"]
    assert store.reader.run(run_id).error.message == "try 3"


def test_a_step_that_completes_in_the_end_has_no_error(store):
    run_id = store.start(chain_of(1))
    store.fail(claim(store, run_id), SOON)
    fire(store)
    store.complete(claim(store, run_id))
    assert store.reader.run(run_id).steps[0].error is None
    assert store.runs.status(run_id) == "completed"


# --- firing


def test_only_waits_that_are_over_are_fired(store):
    soon, later = store.start(chain_of(1)), store.start(chain_of(1))
    store.fail(claim(store, soon), SOON)
    store.fail(claim(store, later), LATER)
    assert [due.run_id for due in store.reconciling.fire_retries(1_000)] == [soon]
    assert store.statuses(later) == {"s0": "retrying"}
    assert LATER - 60 < store.reconciling.seconds_to_next_due() <= LATER


def test_reconcilers_at_once_fire_each_wait_once(store):
    runs = [store.start(chain_of(1)) for _ in range(30)]
    for run_id in runs:
        store.fail(claim(store, run_id), SOON)
    assert sum(store.at_once([lambda: fire(store)] * 4)) == 30
    assert all(store.history(run_id).count("StepRetryDue s0 1") == 1 for run_id in runs)


def test_the_reconciler_dispatches_what_it_fires(fleet, broker):
    run_id = fleet.start(chain_of(2))
    broker.flush()
    fleet.store.fail(claim(fleet.store, run_id), SOON)
    assert fleet.reconciler.run_once() == Reconciled(retried=1)
    assert broker.steps() == ["s0"]
    assert fleet.reconciler.run_once() == Reconciled()
    assert broker.steps() == ["s0"]


def test_the_reconciler_wakes_up_when_the_next_wait_is_over(fleet):
    assert fleet.reconciler.seconds_to_next_pass(0.5) == 0.5
    run_id = fleet.start(graph_of({"a": [], "b": []}))
    fleet.store.fail(claim(fleet.store, run_id, "a"), LATER)
    assert fleet.reconciler.seconds_to_next_pass(0.5) == 0.5
    fleet.store.fail(claim(fleet.store, run_id, "b"), 0.3)
    assert 0 < fleet.reconciler.seconds_to_next_pass(0.5) <= 0.3
    fleet.store.execute("UPDATE workflow_tasks SET due_at = now() - interval '1 hour' WHERE name = 'b'")
    assert fleet.reconciler.seconds_to_next_pass(0.5) == SHORTEST_PAUSE_SECONDS


def test_a_run_that_only_waits_for_a_retry_is_not_stalled(store):
    run_id = store.start(chain_of(2))
    store.fail(claim(store, run_id), LATER)
    assert store.reconciling.stalled(10) == []


# --- beside pause, cancel and the end of the run


def test_the_waits_of_a_paused_run_are_fired_when_it_goes_on(store, control):
    run_id = store.start(chain_of(1))
    store.fail(claim(store, run_id), SOON)
    control.pause([run_id])
    assert fire(store) == 0
    assert store.reconciling.seconds_to_next_due() is None
    control.resume([run_id])
    assert fire(store) == 1


@pytest.mark.parametrize("end", [ControlStore.cancel, ControlStore.terminate])
def test_the_waits_of_a_run_that_has_ended_are_put_out_of_the_way_and_can_still_be_read(store, control, end):
    run_id = store.start(chain_of(2))
    store.fail(claim(store, run_id), SOON)
    assert end(control, [run_id], None) == {run_id}
    assert fire(store) == 0
    assert store.statuses(run_id) == {"s0": "retrying", "s1": "pending"}
    parked = "SELECT count(*) AS n FROM workflow_tasks WHERE status = 'retrying' AND due_at <= now()"
    assert store.row(parked).n == 0
    assert store.reconciling.seconds_to_next_due() is None
    assert store.reader.run(run_id).steps[0].due_at is None


def test_a_retried_run_takes_up_its_waits_at_once(store):
    run_id = store.start(graph_of({"a": [], "b": []}))
    store.fail(claim(store, run_id, "a"), SOON)
    store.fail(claim(store, run_id, "b"))
    assert fire(store) == 0
    assert store.transitions.retry(run_id, store.graph(run_id), 60) is not None
    assert store.statuses(run_id) == {"a": "retrying", "b": "ready"}
    assert fire(store) == 1
    store.do(run_id, "a", "b")
    assert store.runs.status(run_id) == "completed"


def test_a_failure_that_is_to_be_retried_after_its_run_ended_does_not_end_it_again(store, control):
    run_id = store.start(chain_of(1))
    attempt = claim(store, run_id)
    control.cancel([run_id], None)
    assert store.fail(attempt, SOON) is False
    assert fire(store) == 0
    assert store.runs.status(run_id) == "cancelled"


# --- deadlines over all attempts


def test_the_deadline_counts_from_the_first_attempt_and_not_from_the_last(store):
    run_id = store.start(chain_of(1))
    limits = Limits(total=100)
    first = claim(store, run_id, limits=limits)
    deadline = store.task(run_id, "s0").deadline_at
    store.fail(first, SOON)
    fire(store)
    claim(store, run_id, limits=limits)
    task = store.task(run_id, "s0")
    assert task.deadline_at == deadline
    assert task.timeout_at == deadline


def test_a_retry_that_would_come_after_the_deadline_is_none(store):
    run_id = store.start(chain_of(1))
    attempt = claim(store, run_id, limits=Limits(total=100))
    assert store.fail(attempt, 99.0) is False
    other = store.start(chain_of(1))
    attempt = claim(store, other, limits=Limits(total=100))
    assert store.fail(attempt, 101.0) is True
    assert store.statuses(other) == {"s0": "failed"}


def test_the_deadline_shortens_the_time_of_the_attempt(store):
    run_id = store.start(chain_of(1))
    found = store.attempts.claim(store.key(run_id, "s0"), lease=ALIVE, limits=Limits(timeout=300, total=100))
    assert 99 < found.seconds_left <= 100
    task = store.task(run_id, "s0")
    assert task.timeout_at == task.deadline_at


def test_what_a_completion_claims_has_its_limits_too(store):
    run_id = store.start(chain_of(2))
    attempt = claim(store, run_id)
    following = store.next(attempt, "s1")
    object.__setattr__(following, "limits", Limits(timeout=300, total=100, heartbeat=20))
    store.attempts.complete(attempt, "1", store.graph(run_id), next_step=following)
    task = store.task(run_id, "s1")
    assert round((task.deadline_at - task.started_at).total_seconds()) == 100
    assert round((task.timeout_at - task.started_at).total_seconds()) == 20


# --- heartbeats


def test_details_of_a_heartbeat_reach_the_next_attempt(store):
    run_id = store.start(chain_of(1))
    attempt = claim(store, run_id)
    assert store.attempts.heartbeat(attempt, json.dumps({"page": 7}), Limits())
    assert store.attempts.heartbeat(attempt, None, Limits()), "no details leave the earlier ones"
    store.fail(attempt, SOON)
    fire(store)
    again = store.attempts.claim(store.key(run_id, "s0"), lease=ALIVE)
    assert json.loads(again.heartbeat_details) == {"page": 7}


def test_a_heartbeat_pushes_the_time_out_but_not_past_the_attempts_own(store):
    run_id = store.start(chain_of(1))
    limits = Limits(timeout=300, heartbeat=10)
    attempt = claim(store, run_id, limits=limits)
    store.execute(
        "UPDATE workflow_tasks SET started_at = started_at - interval '9 s', timeout_at = now() - interval '1 s'"
    )
    assert store.attempts.heartbeat(attempt, None, limits)
    left = "SELECT extract(epoch FROM timeout_at - now()) AS s FROM workflow_tasks"
    assert 9 < store.row(left).s <= 10
    store.execute("UPDATE workflow_tasks SET started_at = now() - interval '295 s'")
    assert store.attempts.heartbeat(attempt, None, limits)
    assert 4 < store.row(left).s <= 5


def test_a_superseded_attempt_is_told_to_stop_and_leaves_no_details(store):
    run_id = store.start(chain_of(1))
    stale = claim(store, run_id)
    store.fail(stale, SOON)
    fire(store)
    claim(store, run_id)
    assert store.attempts.heartbeat(stale, '"stale"', Limits()) is False
    assert store.task(run_id, "s0").heartbeat_details is None


# --- outages


@pytest.mark.parametrize("what", ["request", "answer"])
def test_a_wait_whose_connection_breaks_is_recorded_once_and_known(store, proxy, what):
    run_id = store.start(chain_of(1))
    attempt, graph = claim(store, run_id), store.graph(run_id)
    with store.through(proxy.url):
        proxy.lose_next(what)
        failure = store.attempts.fail(attempt, ERROR, graph, LATER)
        assert proxy.has_lost
    assert failure is not None
    assert failure.retry_at == store.task(run_id, "s0").due_at
    assert not failure.run_ended
    assert store.history(run_id)[1:] == ["StepStarted s0 1", "StepFailed s0 1"]


def test_what_became_of_an_attempt_can_be_asked_when_its_wait_is_parked(store, control):
    run_id = store.start(chain_of(1))
    attempt = claim(store, run_id)
    store.fail(attempt, 0)
    control.cancel([run_id], None)
    fire(store)
    assert store.statuses(run_id) == {"s0": "retrying"}
    assert store.attempts.find_recorded_completion(attempt, None) is None


def test_a_retry_dispatches_parked_siblings_in_its_own_transaction(store):
    """A client that dies right after the retry leaves no step that nobody would find."""
    run_id = store.start(graph_of({"a": [], "b": []}))
    store.fail(store.take(run_id, "a"))
    for group in store.reconciling.ready_groups():
        assert store.reconciling.unclaimed(group, store.reconciling.now() + timedelta(seconds=1), 10) == []
    assert store.task(run_id, "b").dispatched_at is None, "the reconciler has parked it"
    assert store.transitions.retry(run_id, store.graph(run_id), 60).ready == (0, 1)
    assert store.task(run_id, "b").dispatched_at is not None
    store.do(run_id, "a", "b")
    assert store.runs.status(run_id) == "completed"
