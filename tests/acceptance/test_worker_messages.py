"""What goes over the wire: small, and harmless when it arrives more than once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from celeriac.workflows.engine.states import RunStatus
from tests.support.flows_chaos import hold, holding, irregular, line
from tests.support.flows_wide import CHAIN, FAN, chain, chain_of_long_names, fan, fan_of_long_names, loose
from tests.support.outcomes import assert_all_completed_once, events_of, redispatches, wait_for_all
from tests.support.servers import redis_client
from tests.support.waiting import wait_until

LARGEST = 16 * 1024


@pytest.fixture
def wide(flows):
    """Each step goes through the broker, so that every message there can be is sent."""
    return flows.model_copy(update={"imports": ("tests.support.flows_wide",), "inline_seconds": 0.0})


@contextmanager
def messages_pushed(broker_url: str) -> Iterator[list[int]]:
    """Collect the sizes of all messages that anybody puts into a queue."""
    sizes: list[int] = []
    stopped, listening = threading.Event(), threading.Event()

    def watch(client: redis.Redis) -> None:
        with client.monitor() as monitor:
            listening.set()
            for command in monitor.listen():
                if stopped.is_set():
                    return
                if command["command"].startswith("LPUSH "):
                    # The monitor escapes each quote of the JSON text with a backslash.
                    sizes.append(len(command["command"].replace("\\", "").partition("{")[2]))

    with redis_client(broker_url) as client, redis_client(broker_url) as last:
        thread = threading.Thread(target=watch, args=(client,), daemon=True)
        thread.start()
        assert listening.wait(5)
        yield sizes
        stopped.set()
        last.ping()  # one more command for the monitor to wake up on
        thread.join(5)


@pytest.mark.parametrize("flow", [chain, fan, loose])
def test_no_message_of_a_start_is_large(client, flows, flow):
    client.start(flow, 1)
    with redis_client(flows.require_broker_url()) as broker:
        assert 0 < max(map(len, broker.lrange("celery", 0, -1))) <= LARGEST
    assert client.audit() == []


@pytest.mark.parametrize(
    ("flow", "expected", "steps"),
    [(chain_of_long_names, 1 + CHAIN, CHAIN), (fan_of_long_names, FAN * 3, FAN + 2)],
    ids=["chain", "fan"],
)
def test_no_message_grows_with_the_run(client, wide, start_worker, flow, expected, steps):
    """FIELD_FAILURES 2: messages grow with the canvas until workers run out of memory."""
    with messages_pushed(wide.require_broker_url()) as sizes:
        run = client.start(flow, 1)
        start_worker(wide, pool="threads", concurrency=4)
        assert run.result(90) == expected
    assert len(sizes) >= steps
    assert max(sizes) <= LARGEST
    assert redispatches(client) == 0
    assert_all_completed_once(client)


@pytest.mark.parametrize(("pool", "concurrency"), [("prefork", 3), ("threads", 6)])
def test_a_message_delivered_three_times_runs_its_step_once(client, flows, effects, start_worker, pool, concurrency):
    """FIELD_FAILURES 1: a part that returns twice breaks the chord's count."""
    gate = effects.path.parent / "open"
    gate.touch()

    def start_thrice(flow, *arguments):
        run = client.start(flow, *arguments)
        for _ in range(2):
            assert client.services.dispatch.publisher.dispatch(flow.graph, run.id, frozenset())
        return run

    runs = [start_thrice(line, number, 0.02) for number in range(10)]
    knots = [start_thrice(irregular, str(gate)) for _ in range(10)]
    start_worker(flows, pool=pool, concurrency=concurrency)
    wait_for_all(client, 30)

    for run in runs:  # late, when all is done
        assert client.services.dispatch.publisher.dispatch(line.graph, run.id, frozenset())
    assert client.start(line, 100, 0.0).result(10) == 103
    assert set(effects.per_step().values()) == {1}
    assert [run.result(1) for run in runs] == [number + 3 for number in range(10)]
    assert [run.result(1) for run in knots] == [13] * 10
    assert_all_completed_once(client)


def test_a_message_redelivered_while_its_step_runs_does_not_disturb_it(client, flows, effects, gate, start_worker):
    """FIELD_FAILURES 7: the redelivery of a running task marks it failed."""
    start_worker(flows, concurrency=2)
    run = client.start(holding, str(gate))
    wait_until(lambda: effects.of(hold.name), message="the step runs")
    assert client.services.dispatch.publisher.dispatch(holding.graph, run.id, frozenset())
    assert client.start(line, 1, 0.0).result(10) == 4  # by then the other process has seen the second message
    assert run.status is RunStatus.RUNNING
    gate.touch()
    assert run.result(10) == 1
    assert events_of(client, "StepStarted") == 4
    assert_all_completed_once(client)


def test_nothing_of_a_run_stays_in_redis(client, flows, start_worker):
    """FIELD_FAILURES 16: Redis fills with results and reply keys."""
    start_worker(flows)
    with redis_client(flows.require_broker_url()) as broker:
        client.start(line, 0, 0.0).result(20)
        before = set(broker.keys("*"))
        runs = [client.start(line, number, 0.0) for number in range(50)]
        assert [run.result(20) for run in runs] == [number + 3 for number in range(50)]
        wait_until(lambda: broker.llen("celery") == 0 and not broker.hlen("unacked"), message="all is acknowledged")
        assert {key for key in broker.keys("*") if b"unacked" not in key} <= before
        assert not [key for key in broker.keys("*") if b"celery-task-meta" in key]
    assert client.audit() == []
