"""Steps that do not end in time, on real workers: stopped where the pool can, superseded everywhere."""

import psutil
import pytest

from celeriac import RunFailed
from tests.support.flows_chaos import line
from tests.support.flows_steer import (
    beating,
    block_interpreter,
    blocking,
    hang_once,
    hanging,
    held_for_a_second,
    hold_open,
    loop_forever,
    looping,
    sleep_in_c,
    sleeping_in_c,
    swallow_errors,
    swallowing,
)
from tests.support.outcomes import assert_all_completed_once, events_of, step_events
from tests.support.waiting import wait_until

STOPPED = [
    ("StepStarted", 1),
    ("StepFailed", 1),
    ("StepRetryDue", 1),
    ("StepStarted", 2),
    ("StepCompleted", 2),
]


def failure_of(client, run) -> str:
    [failed] = [event for event in run.history() if event.type == "StepFailed"]
    return failed.data["type"]


@pytest.mark.parametrize(
    ("workflow", "step"),
    [
        (looping, loop_forever),
        (sleeping_in_c, sleep_in_c),
        (blocking, block_interpreter),
        (swallowing, swallow_errors),
    ],
)
def test_a_step_that_does_not_yield_is_stopped_under_prefork_and_the_pool_recovers(
    client, short_lease_flows, effects, start_worker, workflow, step
):
    """A loop in Python, calls into C that keep the interpreter's lock, and code that catches the time-out."""
    worker = start_worker(short_lease_flows, concurrency=1)
    run = client.start(workflow)
    wait_until(lambda: effects.of(step.name), message="the first attempt runs")
    assert run.result(30) == 2
    assert failure_of(client, run) == "StepTimedOut"
    assert step_events(client, run.id, 0) == STOPPED
    assert client.start(line, 1, 0.0).result(20) == 4
    wait_until(lambda: len(worker.children()) == 1, 10, "the pool has its one process")
    assert worker.running
    assert_all_completed_once(client)


def test_a_process_that_cannot_be_interrupted_is_killed_and_replaced(client, short_lease_flows, effects, start_worker):
    start_worker(short_lease_flows, concurrency=1)
    run = client.start(blocking)
    assert run.result(30) == 2
    [first, second] = [effect.pid for effect in effects.of(block_interpreter.name)]
    assert first != second
    assert not psutil.pid_exists(first)
    assert_all_completed_once(client)


def test_a_step_that_hangs_under_threads_is_fenced_off(client, short_lease_flows, effects, gate, start_worker):
    worker = start_worker(short_lease_flows, pool="threads", concurrency=2)
    run = client.start(hanging, str(gate))
    assert run.result(30) == 2
    gate.touch()
    worker.wait_for_output("Attempt 1 of step hang_once is superseded")
    assert step_events(client, run.id, 0) == STOPPED
    assert [effect.attempt for effect in effects.of(hang_once.name)] == [1, 2]
    assert_all_completed_once(client)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_silent_step_is_late_and_the_next_attempt_has_what_it_last_told(
    client, short_lease_flows, gate, start_worker, pool
):
    start_worker(short_lease_flows, pool=pool, concurrency=2)
    run = client.start(beating, str(gate))
    assert run.result(40) == 4
    gate.touch()
    assert failure_of(client, run) == "StepTimedOut"
    started, failed = (event.at for event in run.history()[1:3])
    assert (failed - started).total_seconds() > 2.5, "heartbeats kept it alive beyond one time-out"
    assert_all_completed_once(client)


def test_a_run_that_takes_too_long_fails_and_its_running_step_may_finish(
    client, short_lease_flows, effects, gate, start_worker
):
    start_worker(short_lease_flows, concurrency=1)
    run = client.start(held_for_a_second, str(gate))
    with pytest.raises(RunFailed, match="The run did not end within its time") as caught:
        run.result(20)
    assert caught.value.type == "RunTimedOut"
    gate.touch()
    wait_until(lambda: events_of(client, "StepCompleted") == 1, message="the step has finished")
    assert effects.of(hold_open.name)
    assert [step.status for step in run.steps()] == ["completed", "ready"]
    assert client.audit() == []
