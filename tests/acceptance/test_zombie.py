"""A worker that was silent for longer than its lease, and then goes on as if nothing had happened."""

import pytest

from tests.support.flows_chaos import hold_apart, holding_apart, holding_once, line
from tests.support.outcomes import assert_all_completed_once, events_of, scalar, step_events
from tests.support.waiting import wait_until


@pytest.fixture
def flows(flows):
    """A lease that is short enough to wait for often."""
    return flows.model_copy(update={"lease_seconds": 2.0})


SUPERSEDED = [("StepStarted", 1), ("StepLost", 1), ("StepStarted", 2), ("StepCompleted", 2)]


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_zombie_cannot_commit_and_its_successor_stands(client, flows, effects, gate, start_worker, pool):
    """FIELD_FAILURES 22: a late heartbeat fails a finished run, or a late result overwrites it."""
    zombie = start_worker(flows, pool=pool, concurrency=1)
    run = client.start(holding_once, str(gate))
    wait_until(lambda: effects.of("hold_once"), message="the first attempt runs")

    zombie.suspend()
    start_worker(flows, pool=pool, concurrency=1)
    assert run.result(20) == 2
    assert scalar(client, "SELECT array_agg(attempt) FROM effects") == [2]

    gate.touch()
    zombie.resume()
    zombie.wait_for_output("Attempt 1 of step hold_once is superseded")
    assert step_events(client, run.id, 0) == SUPERSEDED
    assert [effect.attempt for effect in effects.of("hold_once")] == [1, 2]
    assert scalar(client, "SELECT array_agg(attempt) FROM effects") == [2]
    assert_all_completed_once(client)


def test_a_zombie_that_ends_first_does_not_end_the_attempt_of_its_successor(client, flows, effects, gate, start_worker):
    zombie = start_worker(flows, concurrency=1)
    run = client.start(holding_apart, str(gate))
    wait_until(lambda: effects.of(hold_apart.name), message="the first attempt runs")
    zombie.suspend()
    successor = start_worker(flows, concurrency=1)
    wait_until(lambda: len(effects.of(hold_apart.name)) == 2, 20, "the successor runs")

    gate.with_suffix(".1").touch()
    zombie.resume()
    zombie.wait_for_output("Attempt 1 of step hold_apart is superseded")
    assert step_events(client, run.id, 0) == SUPERSEDED[:3]
    gate.with_suffix(".2").touch()
    assert run.result(20) == 2
    assert step_events(client, run.id, 0) == SUPERSEDED

    successor.kill()
    assert client.start(line, 1, 0.0).result(20) == 4  # the zombie, thawed, is a worker like any other
    assert events_of(client, "StepLost") == 1
    assert_all_completed_once(client)
