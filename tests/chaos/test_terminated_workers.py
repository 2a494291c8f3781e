"""Workers that are asked to end, gently or not, while steps run."""

import os
import signal

import pytest

from tests.support.flows_chaos import hold_once, holding_once
from tests.support.outcomes import assert_all_completed_once, events_of, scalar
from tests.support.waiting import wait_until


def end_child(worker) -> None:
    for child in worker.children():
        child.send_signal(signal.SIGTERM)


def end_group(worker) -> None:
    """As a container's init or Ctrl-C in a terminal does: to the worker and to all its children."""
    os.killpg(worker.pid, signal.SIGTERM)


def end_cold(worker) -> None:
    worker.send(signal.SIGQUIT)


@pytest.mark.parametrize("end", [end_child, end_group, end_cold])
def test_a_step_whose_process_is_told_to_end_is_released_not_failed(
    client, short_lease_flows, effects, gate, start_worker, end
):
    worker = start_worker(short_lease_flows, concurrency=1)
    run = client.start(holding_once, str(gate))
    wait_until(lambda: effects.of(hold_once.name), message="the step runs")
    end(worker)
    start_worker(short_lease_flows, concurrency=1)
    wait_until(lambda: len(effects.of(hold_once.name)) == 2, 20, "the step is taken over")
    gate.touch()  # for a worker that lets its step end in order

    assert run.result(20) == 2
    assert events_of(client, "StepFailed") == 0
    assert events_of(client, "StepReleased") == 1
    assert events_of(client, "StepLost") == 0
    assert scalar(client, "SELECT array_agg(attempt) FROM effects") == [2]
    assert_all_completed_once(client)
