"""A broker that loses what it holds, or is not there at all."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.workflows.engine.states import RunStatus
from tests.support.flows_chaos import fork, fork_through, line, line_through, pass_gate
from tests.support.outcomes import (
    assert_all_completed_once,
    events_of,
    open_runs,
    redispatches,
    scalar,
    wait_for_all,
)
from tests.support.servers import redis_client
from tests.support.waiting import wait_until

REFILL_SECONDS = 10.0


def held_at(effects, gate: Path) -> int:
    """How many steps have come to a gate."""
    return sum(effect.note == gate.name for effect in effects.of(pass_gate.name))


def unfilled(client, flushed_at) -> int:
    """Steps whose message the flush took and that nobody has claimed or dispatched since."""
    query = "SELECT count(*) FROM workflow_tasks WHERE status = 'ready' AND dispatched_at < :flushed_at"
    return scalar(client, query, flushed_at=flushed_at)


def test_a_flushed_redis_is_refilled_within_10_seconds_and_500_runs_complete(
    private_servers, breakable, breakable_client, effects, start_worker, tmp_path
):
    """FIELD_FAILURES 3: a chord hangs because Redis no longer knows of it."""
    client, gates = breakable_client, [tmp_path / "first-gate", tmp_path / "second-gate"]
    start_worker(breakable, concurrency=4)
    runs = [
        client.start(fork_through if number % 5 else line_through, number, 0.01, str(gates[number // 250]))
        for number in range(500)
    ]
    for gate, still_open in zip(gates, (500, 250), strict=True):
        wait_until(lambda gate=gate: held_at(effects, gate) == 4, 60, f"all processes wait for the {gate.name}")
        assert open_runs(client) >= still_open
        private_servers.flush_redis()
        flushed_at, flushed = scalar(client, "SELECT now()"), time.monotonic()
        gate.touch()

    wait_until(lambda: unfilled(client, flushed_at) == 0, 30, "the broker is refilled", interval=0.1)
    assert time.monotonic() - flushed < REFILL_SECONDS
    wait_for_all(client, 60)
    assert redispatches(client) > 0
    assert_all_completed_once(client)
    assert [run.result(1) for run in runs] == [3 * (n + 3) if n % 5 else n + 3 for n in range(500)]


def test_messages_that_vanish_while_nobody_works_are_sent_again(client, flows, start_worker):
    """FIELD_FAILURES 20: a task is stuck in "queued" because the executor believes that it runs."""
    runs = [client.start(line, number, 0.0) for number in range(20)]
    with redis_client(flows.require_broker_url()) as broker:
        assert broker.delete("celery") == 1
    start_worker(flows)
    wait_for_all(client, REFILL_SECONDS)
    assert [run.result(1) for run in runs] == [number + 3 for number in range(20)]
    assert_all_completed_once(client)


def test_a_start_without_redis_commits_within_2_seconds_and_runs_when_redis_is_back(
    private_servers, breakable, breakable_client, start_worker
):
    """FIELD_FAILURES 9: tasks vanish when Redis restarts."""
    client = breakable_client
    start_worker(breakable)
    private_servers.redis.stop()

    runs = []
    for number in range(3):
        began = time.monotonic()
        runs.append(client.start(line, number, 0.0))
        assert time.monotonic() - began < 2
    assert [run.status for run in runs] == [RunStatus.PENDING] * 3

    private_servers.redis.start()
    wait_for_all(client, 30)
    assert [run.result(1) for run in runs] == [3, 4, 5]
    assert_all_completed_once(client)


def test_a_worker_whose_redis_dies_under_load_comes_back_by_itself(
    private_servers, breakable, breakable_client, start_worker
):
    """FIELD_FAILURES 9 and 10: the worker reconnects and looks healthy, but consumes nothing."""
    client = breakable_client
    start_worker(breakable, concurrency=4)
    for number in range(100):
        client.start(fork, number, 0.05)
    wait_until(lambda: events_of(client, "StepCompleted") >= 20, message="the fleet is at work")

    private_servers.redis.kill()
    wait_until(lambda: client.start(line, 1, 0.0), message="a run starts without a broker")
    private_servers.redis.start()

    wait_for_all(client, 45)
    assert_all_completed_once(client)


@pytest.fixture
def mute_broker() -> Iterator[str]:
    """A server that accepts connections and never says a word."""
    accepted = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    accepted.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    for connection in accepted:
        connection.close()


def test_a_start_on_a_redis_that_never_answers_commits_within_2_seconds(
    client, flows, make_client, mute_broker, start_worker
):
    deaf = make_client(flows.model_copy(update={"broker_url": type(flows.broker_url)(mute_broker)}))
    runs = []
    for number in range(3):
        began = time.monotonic()
        runs.append(deaf.start(line, number, 0.0))
        assert time.monotonic() - began < 2

    start_worker(flows)  # on a Redis that does answer
    wait_for_all(client, REFILL_SECONDS)
    assert [run.result(5) for run in runs] == [3, 4, 5]
    assert_all_completed_once(client)
