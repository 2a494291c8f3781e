"""Attempts and runs that take too long, as the history and the reconciler see to them."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from celeriac import Retry
from celeriac.worker.attempt_timeouts import AttemptTimeouts
from celeriac.worker.reconciler.reconciler import Reconciled
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.history.records import Limits
from tests.support.graphs import chain_of, graph_of
from tests.support.reconciling import Fleet
from tests.support.store import ALIVE, Store

NO_GRACE = timedelta(0)
A_MINUTE = Limits(timeout=60)


@pytest.fixture
def attempt_timeouts(store: Store, fleet: Fleet) -> AttemptTimeouts:
    return AttemptTimeouts(store.stores, fleet.dispatch.follow_up, Retry(max_attempts=2, delay=0))


def timed_out_run(store: Store, graph=None, limits: Limits = A_MINUTE, seconds: float = 61, **options):
    """A run whose first step has run for so long."""
    run_id = store.start(graph or chain_of(2), **options)
    assert store.attempts.claim(store.key(run_id, "s0"), lease=ALIVE, limits=limits) is not None
    store.execute(
        "UPDATE workflow_tasks SET started_at = started_at - make_interval(secs => :s),"
        " timeout_at = timeout_at - make_interval(secs => :s), deadline_at = deadline_at - make_interval(secs => :s)"
        " WHERE run_id = :run AND status = 'running'",
        run=run_id,
        s=seconds,
    )
    return run_id


def timed_out(store: Store, **options):
    return store.reconciling.timed_out(**{"grace": NO_GRACE, "batch": 100, **options})


def test_an_attempt_is_timed_out_when_its_time_and_the_grace_are_over(store):
    run_id = timed_out_run(store, seconds=61)
    timed_out_run(store, seconds=59)
    assert [found.attempt.run_id for found in timed_out(store)] == [run_id]
    assert timed_out(store, grace=timedelta(seconds=5)) == []
    assert timed_out(store, leases=[ALIVE]) == timed_out(store)
    assert timed_out(store, leases=["process:other:1:0"]) == []


def test_an_attempt_that_timed_out_fails_and_is_retried(store, attempt_timeouts):
    run_id = timed_out_run(store)
    [attempt] = attempt_timeouts.fail(timed_out(store))
    assert (attempt.run_id, attempt.attempt) == (run_id, 1)
    step = store.reader.run(run_id).steps[0]
    assert (step.status, step.error.type) == ("retrying", "StepTimedOut")
    assert step.error.message == "Attempt 1 of step 's0' did not end within its time."
    assert store.complete(attempt) is None, "whatever it still does is superseded"
    assert attempt_timeouts.fail(timed_out(store)) == []


def test_a_step_whose_attempts_all_time_out_fails_with_its_run(store, attempt_timeouts):
    run_id = timed_out_run(store)
    attempt_timeouts.fail(timed_out(store))
    store.reconciling.fire_retries(10)
    assert store.attempts.claim(store.key(run_id, "s0"), lease=ALIVE, limits=Limits(timeout=60)).attempt.attempt == 2
    store.execute("UPDATE workflow_tasks SET timeout_at = now() - interval '1 s' WHERE status = 'running'")
    attempt_timeouts.fail(timed_out(store))
    view = store.reader.run(run_id)
    assert (view.status, view.error.type, view.error.step) == ("failed", "StepTimedOut", "s0")


def test_attempts_before_a_run_was_retried_by_request_do_not_count(store, attempt_timeouts):
    run_id = store.start(chain_of(1))
    store.fail(store.take(run_id, "s0"))
    assert store.transitions.retry(run_id, store.graph(run_id), 60) is not None
    for status in ("retrying", "failed"):
        assert store.attempts.claim(store.key(run_id, "s0"), lease=ALIVE, limits=A_MINUTE) is not None
        store.execute("UPDATE workflow_tasks SET timeout_at = now() - interval '1 s' WHERE status = 'running'")
        assert len(attempt_timeouts.fail(timed_out(store))) == 1
        assert store.statuses(run_id) == {"s0": status}
        store.reconciling.fire_retries(10)


def test_past_the_deadline_of_all_attempts_none_follows(store, attempt_timeouts):
    run_id = timed_out_run(store, limits=Limits(timeout=300, total=60))
    [found] = timed_out(store)
    assert found.past_deadline
    attempt_timeouts.fail([found])
    assert store.statuses(run_id)["s0"] == "failed"
    assert store.runs.status(run_id) == "failed"


def test_an_attempt_without_heartbeats_is_timed_out_before_its_own_time_is_over(store):
    run_id = timed_out_run(store, limits=Limits(timeout=300, heartbeat=10), seconds=11)
    assert [found.attempt.run_id for found in timed_out(store)] == [run_id]


def test_two_that_fail_a_timed_out_attempt_at_once_record_it_once(store, attempt_timeouts):
    run_id = timed_out_run(store)
    found = timed_out(store)
    assert sorted(map(len, store.at_once([lambda: attempt_timeouts.fail(found)] * 4))) == [0, 0, 0, 1]
    assert store.history(run_id).count("StepFailed s0 1") == 1


def test_a_completion_beside_a_time_out_leaves_one_outcome(store, attempt_timeouts):
    for _ in range(6):
        run_id = timed_out_run(store, chain_of(1))
        found = timed_out(store)
        completed, failed = store.at_once(
            [lambda found=found: store.complete(found[0].attempt), lambda found=found: attempt_timeouts.fail(found)]
        )
        assert (completed is None) == bool(failed)
        outcomes = [e for e in store.history(run_id) if e.startswith(("StepCompleted", "StepFailed"))]
        assert len(outcomes) == 1


def test_the_reconciler_ends_attempts_that_no_worker_stopped(fleet):
    timed_out_run(fleet.store, seconds=70)
    done = fleet.reconciler.run_once()
    assert done == Reconciled(timed_out=1)
    assert fleet.store.reader.find()[0].status == "running"


# --- runs


def time_out_runs(store: Store) -> list[UUID]:
    """Fail runs that take too long, as the reconciler does; return those that this failed."""
    transitions = store.transitions
    found = store.reconciling.timed_out_runs(100)
    return [run_id for run_id, graph_hash in found if transitions.time_out(run_id, store.runs.graph(graph_hash))]


def expire(store: Store, run_id) -> None:
    assert store.execute("UPDATE workflow_runs SET timeout_at = now() - interval '1 s' WHERE id = :run", run=run_id)


@pytest.mark.parametrize("state", ["pending", "running", "paused"])
def test_a_run_that_took_too_long_fails_in_whatever_state_it_is(store, state):
    run_id = store.start(graph_of({"a": [], "b": []}), timeout=60)
    if state == "running":
        store.do(run_id, "a")
    if state == "paused":
        store.control.pause([run_id])
    assert time_out_runs(store) == []
    expire(store, run_id)
    assert time_out_runs(store) == [run_id]
    assert time_out_runs(store) == []
    view = store.reader.run(run_id)
    assert (view.status, view.error.type, view.error.step) == ("failed", "RunTimedOut", None)
    assert view.error.message == "The run did not end within its time."
    assert store.claim(run_id, "b") is None


def test_a_step_that_runs_when_its_run_times_out_may_finish(store):
    run_id = store.start(chain_of(2), timeout=60)
    attempt = store.take(run_id, "s0")
    expire(store, run_id)
    time_out_runs(store)
    assert not store.complete(attempt).run_status.accepts_work
    assert store.statuses(run_id) == {"s0": "completed", "s1": "ready"}
    assert store.runs.status(run_id) is RunStatus.FAILED


def test_a_run_that_has_ended_does_not_time_out(store):
    run_id = store.start(chain_of(1), timeout=60)
    store.do(run_id, "s0")
    expire(store, run_id)
    assert time_out_runs(store) == []
    assert store.runs.status(run_id) == "completed"


def test_reconcilers_at_once_time_a_run_out_once(store):
    runs = [store.start(chain_of(1), timeout=60) for _ in range(10)]
    for run_id in runs:
        expire(store, run_id)
    found = store.at_once([lambda: time_out_runs(store)] * 4)
    assert sorted(run_id for part in found for run_id in part) == sorted(runs)


def test_the_time_of_the_graph_wins_over_the_callers(store):
    own, default = store.start(replace(chain_of(1), timeout=60.0), timeout=600), store.start(chain_of(1), timeout=600)
    left = "SELECT extract(epoch FROM timeout_at - created_at) AS s FROM workflow_runs WHERE id = :run"
    assert round(store.row(left, run=own).s) == 60
    assert round(store.row(left, run=default).s) == 600


def test_a_run_that_is_retried_has_its_whole_time_again(store):
    run_id = store.start(chain_of(1), timeout=60)
    store.fail(store.take(run_id, "s0"))
    expire(store, run_id)
    assert store.transitions.retry(run_id, store.graph(run_id), 60) is not None
    assert time_out_runs(store) == []
