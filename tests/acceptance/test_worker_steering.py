"""Runs that are paused, resumed, cancelled and terminated while real workers run them."""

import signal
from datetime import datetime

import psutil
import pytest

from tests.support.flows_chaos import line, line_through, tell
from tests.support.flows_steer import failing_once, hold_open, holding_open, watch, watching
from tests.support.outcomes import (
    assert_all_completed_once,
    events_of,
    let_reconcile,
    redispatches,
    runs_in,
    step_events,
    wait_for_all,
)
from tests.support.waiting import wait_until

LATENESS = 0.5


def test_1000_runs_paused_by_filter_and_resumed_are_neither_lost_nor_doubled(
    client, short_lease_flows, effects, gate, start_worker
):
    """The last 500 wait for the gate, so that no worker is fast enough to complete them before they are paused."""
    tagged = line_through.options(tags={"batch": "x"})
    runs = [client.start(tagged, number, 0.0, "" if number < 500 else str(gate)) for number in range(1_000)]
    start_worker(short_lease_flows, concurrency=2)
    wait_until(lambda: events_of(client, "StepCompleted") >= 50, 20, "the fleet is at work")
    paused = client.pause(tags={"batch": "x"})
    assert len(paused) >= 500
    gate.touch()
    assert client.pause(tags={"batch": "x"}) == []
    running = "SELECT count(*) FROM workflow_tasks WHERE status = 'running'"
    with client.services.stores.database.autocommit() as connection:
        wait_until(lambda: connection.exec_driver_sql(running).scalar() == 0, 20, "what runs has finished")
    started = events_of(client, "StepStarted")
    still_paused = runs_in(client, "paused")
    let_reconcile(client, 2)
    assert events_of(client, "StepStarted") == started, "nothing new starts"

    resumed = client.resume(tags={"batch": "x"})
    assert len(resumed) == still_paused
    wait_for_all(client, 90)

    assert_all_completed_once(client)
    assert len(effects.per_step()) == 3_000
    assert set(effects.per_step().values()) == {1}
    assert runs[-1].result(1) == 1_002


def test_nothing_starts_while_a_run_is_paused_and_it_goes_on_at_once_when_it_is_resumed(
    client, short_lease_flows, effects, gate, start_worker
):
    start_worker(short_lease_flows, concurrency=1)
    run = client.start(holding_open, str(gate))
    wait_until(lambda: effects.of(hold_open.name), message="the step runs")
    run.pause()
    gate.touch()
    wait_until(lambda: events_of(client, "StepCompleted") == 1, message="what runs has finished")
    assert client.start(line, 1, 0.0).result(20) == 4, "the worker is free"
    assert effects.of(tell.name) == []
    assert [reason.why for reason in run.explain()] == ["is ready; the run is paused"]

    run.resume()
    assert run.result(10) == 1
    assert redispatches(client) == 0, "resuming has dispatched it, not the reconciler"
    assert_all_completed_once(client)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
@pytest.mark.parametrize("act", ["cancel", "terminate"])
def test_a_running_step_sees_that_its_run_was_ended(client, short_lease_flows, effects, start_worker, pool, act):
    if (pool, act) == ("prefork", "terminate"):
        pytest.skip("its process is killed; see the test of that")
    start_worker(short_lease_flows, pool=pool, concurrency=1)
    run = client.start(watching)
    wait_until(lambda: effects.of(watch.name), message="the step runs")
    getattr(run, act)("no longer wanted")
    wait_until(lambda: events_of(client, "StepCompleted") == 1, 10, "the step has stopped of itself")
    assert [effect.note for effect in effects.of(watch.name)] == ["", "cancelled"]
    assert client.start(line, 1, 0.0).result(20) == 4
    assert effects.of(tell.name) == [], "its completion freed nothing"
    assert run.status == {"cancel": "cancelled", "terminate": "terminated"}[act]
    assert [step.status for step in run.steps()] == ["completed", "ready"]
    assert client.audit() == []


def test_terminating_a_run_kills_the_process_of_its_step_and_the_pool_recovers(
    client, short_lease_flows, effects, gate, start_worker
):
    worker = start_worker(short_lease_flows, concurrency=1)
    run = client.start(holding_open, str(gate))
    [effect] = wait_until(lambda: effects.of(hold_open.name), message="the step runs")
    run.terminate("stuck")
    wait_until(lambda: not psutil.pid_exists(effect.pid), 10, "its process is gone")
    assert client.start(line, 1, 0.0).result(30) == 4
    wait_until(lambda: events_of(client, "StepLost") == 1, 20, "the attempt is lost")
    assert worker.running
    assert run.status == "terminated"
    assert step_events(client, run.id, 0) == [("StepStarted", 1), ("StepLost", 1)]
    assert len(effects.of(hold_open.name)) == 1
    assert client.audit() == []


def test_a_retry_fires_within_half_a_second_of_its_time_on_an_idle_fleet(client, short_lease_flows, start_worker):
    start_worker(short_lease_flows, concurrency=2)
    runs = [client.start(failing_once, delay) for delay in (2.0, 2.3, 0.7)]
    assert [run.result(20) for run in runs] == [2, 2, 2]
    late = sorted(lateness(run) for run in runs)
    assert 0 <= late[0] < LATENESS, "a machine that stumbles delays one of them, not all"
    assert_all_completed_once(client)


def lateness(run) -> float:
    events = run.history()
    due = datetime.fromisoformat(next(e.data["retry_at"] for e in events if e.type == "StepFailed"))
    return (next(e.at for e in events if e.type == "StepRetryDue") - due).total_seconds()


def test_a_worker_that_is_told_to_end_finishes_its_step_and_leaves_the_rest_to_others(
    client, short_lease_flows, effects, gate, start_worker
):
    worker = start_worker(short_lease_flows, concurrency=1)
    run = client.start(holding_open, str(gate))
    wait_until(lambda: effects.of(hold_open.name), message="the step runs")
    waiting = [client.start(line, number, 0.0) for number in range(5)]
    worker.send(signal.SIGTERM)
    worker.wait_for_output("Warm shutdown")
    gate.touch()
    assert worker.wait(20) == 0
    assert events_of(client, "StepLost") == 0

    start_worker(short_lease_flows, concurrency=1)
    assert run.result(10) == 1
    assert [other.result(10) for other in waiting] == [number + 3 for number in range(5)]
    assert events_of(client, "StepFailed") + events_of(client, "StepLost") == 0
    assert set(effects.per_step().values()) == {1}
    assert_all_completed_once(client)
