"""Sagas whose workers die, and whose broker forgets, in the middle of undoing them."""

import pytest

from celeriac.workflows.engine.states import RunStatus
from tests.support.flows_sagas import order_saga
from tests.support.outcomes import events_of
from tests.support.waiting import wait_until

UNDONE = ["refund", "release"]


def undoing(run) -> list[str]:
    """The compensations that completed, in order."""
    steps = {step.position: step.task for step in run.steps()}
    return [
        steps[event.position]
        for event in run.history()
        if event.type == "StepCompleted" and steps[event.position] in UNDONE
    ]


def assert_undone_once(client, run) -> None:
    assert run.wait(30) is RunStatus.FAILED
    assert undoing(run) == UNDONE
    assert not [step for step in run.steps() if step.task == "unpack"]
    assert client.audit() == []


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_saga_is_undone_once_and_in_reverse_when_its_worker_is_killed_while_it_undoes(
    client, saga_flows, effects, gate, start_worker, pool
):
    worker = start_worker(saga_flows, pool=pool, concurrency=2)
    run = client.start(order_saga, "shoes", str(gate))
    wait_until(lambda: effects.of("charge.compensate"), 20, "the payment is being refunded")
    assert run.status is RunStatus.COMPENSATING

    worker.kill()
    start_worker(saga_flows, pool=pool, concurrency=2)
    assert_undone_once(client, run)
    assert len(effects.of("charge.compensate")) == 2  # the attempt that was killed, and the one that completed
    assert len(effects.of("reserve.compensate")) == 1
    assert events_of(client, "StepLost") == 1


def test_a_saga_is_undone_once_and_in_reverse_when_redis_is_flushed_while_it_undoes(
    private_servers, breakable_sagas, breakable_client, effects, gate, start_worker
):
    start_worker(breakable_sagas, concurrency=2)
    run = breakable_client.start(order_saga, "shoes", str(gate))
    wait_until(lambda: effects.of("charge.compensate"), 20, "the payment is being refunded")

    private_servers.flush_redis()
    gate.touch()
    assert_undone_once(breakable_client, run)
    assert {name: len(effects.of(name)) for name in ("charge.compensate", "reserve.compensate")} == {
        "charge.compensate": 1,
        "reserve.compensate": 1,
    }


def test_sagas_that_fail_while_redis_is_flushed_again_and_again_are_all_undone(
    private_servers, breakable_sagas, breakable_client, start_worker
):
    start_worker(breakable_sagas, concurrency=4)
    runs = [breakable_client.start(order_saga, str(number)) for number in range(60)]
    for done in (5, 20, 40):
        wait_until(lambda done=done: events_of(breakable_client, "RunCompensating") >= done, 60, f"{done} are undone")
        private_servers.flush_redis()
    for run in runs:
        assert_undone_once(breakable_client, run)
