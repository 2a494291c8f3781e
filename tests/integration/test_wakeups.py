"""Waking those who wait for a run, on a Redis that answers and on one that does not."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from celeriac.workflows.dispatch import wakeups
from celeriac.workflows.dispatch.wakeups import Wakeups
from celeriac.workflows.embedded import EmbeddedRedis
from tests.support.servers import server_folder

RUN = uuid4()
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def own_redis() -> Iterator[EmbeddedRedis]:
    with server_folder() as folder:
        server = EmbeddedRedis(folder)
        server.start()
        yield server
        server.stop()


def test_one_who_listens_is_woken(broker_url, only_woken):
    waking = Wakeups(broker_url)
    with ThreadPoolExecutor(1) as pool, waking.listening(RUN) as waiter:
        waiting = pool.submit(waiter.wait, 60)
        waking.wake(RUN)
        waiting.result(timeout=10)


def test_one_who_listens_is_not_woken_for_another_run(broker_url, only_woken):
    waking = Wakeups(broker_url)
    with waking.listening(RUN) as waiter:
        waking.wake(uuid4())
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(waiter.wait, 60)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
            waking.wake(RUN)
            waiting.result(timeout=10)


def test_a_redis_that_did_not_answer_is_left_alone_for_a_while(refusing, monkeypatch):
    """Each step that ends a run wakes its waiters: none of them is to wait for a Redis that is away."""
    waking = Wakeups(refusing.url)
    for _ in range(5):
        waking.wake(RUN)
    assert refusing.connections == 1

    monkeypatch.setattr(wakeups, "_REST_SECONDS", 0.0)
    rested = Wakeups(refusing.url)
    for _ in range(5):
        rested.wake(RUN)
    assert refusing.connections == 1 + 5


@pytest.mark.parametrize("broker", [NOWHERE, "amqp://127.0.0.1/", None])
def test_without_redis_nobody_is_woken_and_nobody_fails(broker):
    waking = Wakeups(broker)
    waking.wake(RUN)
    with waking.listening(RUN) as waiter:
        waiter.wait(0.01)
        waiter.wait(0.01)


def test_one_who_waits_when_redis_dies_goes_on_to_wait(own_redis):
    with Wakeups(own_redis.url).listening(RUN) as waiter:
        own_redis.kill()
        waiter.wait(0.01)
        waiter.wait(0.01)
