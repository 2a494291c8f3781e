"""Workers that die by ``kill -9``: whole, a child alone, the parent alone."""

import os
import signal
import time

import psutil
import pytest

from tests.support.flows_chaos import fork_through, holding_then_telling, line, line_through, pass_gate
from tests.support.outcomes import (
    assert_all_completed_once,
    events_of,
    open_runs,
    runs_in,
    scalar,
    step_events,
    wait_for_all,
)
from tests.support.waiting import wait_until

STEP_SECONDS = 0.1
RECOVERY_SECONDS = 10.0


def steps_left(client) -> int:
    return scalar(client, "SELECT count(*) FROM workflow_tasks WHERE status <> 'completed'")


def start(client, number: int, gate: str):
    return client.start(line_through if number % 2 else fork_through, number, STEP_SECONDS, gate)


def held(effects) -> int:
    """How many steps have come to the gate."""
    return sum(bool(effect.note) for effect in effects.of(pass_gate.name))


@pytest.mark.parametrize(("pool", "concurrency"), [("prefork", 4), ("threads", 25)])
def test_a_killed_worker_costs_its_50_runs_less_than_10_seconds(
    client, flows, effects, gate, start_worker, pool, concurrency
):
    """Every process of the worker is in a step when it is killed; half of the 50 runs wait for the gate by then."""
    worker = start_worker(flows, pool=pool, concurrency=concurrency)
    runs = [start(client, number, "" if number < 25 else str(gate)) for number in range(50)]
    wait_until(lambda: held(effects) == concurrency, 60, "all processes are in a step")

    worker.kill()
    gate.touch()
    killed_at = time.monotonic()
    assert open_runs(client) >= 25
    work = steps_left(client) * STEP_SECONDS / concurrency
    start_worker(flows, pool=pool, concurrency=concurrency)
    wait_for_all(client, 60)
    took = time.monotonic() - killed_at

    assert took < RECOVERY_SECONDS + work
    assert events_of(client, "StepLost") == concurrency
    assert_all_completed_once(client)
    assert [run.result(1) for run in runs] == [n + 3 if n % 2 else 3 * (n + 3) for n in range(50)]
    assert set(effects.per_step().values()) <= {1, 2}


def test_a_killed_child_costs_its_steps_less_than_10_seconds(client, flows, effects, gate, start_worker):
    """FIELD_FAILURES 8: a child killed for want of memory loses its task."""
    worker = start_worker(flows, concurrency=2)
    runs = [client.start(line_through, number, 0.5, str(gate)) for number in range(6)]
    wait_until(lambda: held(effects) == 2, 30, "both children run a second step")

    work = steps_left(client) * 0.5 / 2
    killed_at = time.monotonic()
    for child in worker.children():
        child.send_signal(signal.SIGKILL)
    gate.touch()
    wait_for_all(client, 60)

    assert time.monotonic() - killed_at < RECOVERY_SECONDS + work
    assert events_of(client, "StepLost") == 2
    assert worker.running
    assert_all_completed_once(client)
    assert [run.result(1) for run in runs] == [number + 3 for number in range(6)]


def test_children_that_outlive_their_parent_are_fenced(client, flows, effects, gate, start_worker):
    """Nobody renews the leases of orphans, so their steps are taken over, and what they still do is not recorded."""
    worker = start_worker(flows, concurrency=2)
    held = client.start(holding_then_telling, str(gate))
    wait_until(lambda: effects.of("hold"), message="one child holds a step")
    runs = [client.start(line, number, STEP_SECONDS) for number in range(20)]
    wait_until(lambda: events_of(client, "StepCompleted") >= 4, message="the other is at work")
    orphans = worker.children()

    work = steps_left(client) * STEP_SECONDS
    killed_at = time.monotonic()
    os.kill(worker.pid, signal.SIGKILL)
    start_worker(flows, concurrency=2)
    wait_until(lambda: runs_in(client, "completed") == len(runs), 60, "all runs but the one that is held")
    assert time.monotonic() - killed_at < RECOVERY_SECONDS + work
    wait_until(lambda: len(effects.of("hold")) == 2, 20, "another worker has the held step as well")
    gate.touch()

    assert held.result(20) == 2
    psutil.wait_procs(orphans, timeout=20)
    assert not [orphan for orphan in orphans if orphan.is_running()]
    expected = [("StepStarted", 1), ("StepLost", 1), ("StepStarted", 2), ("StepCompleted", 2)]
    assert step_events(client, held.id, 0) == expected
    assert [run.result(1) for run in runs] == [number + 3 for number in range(20)]
    assert_all_completed_once(client)
