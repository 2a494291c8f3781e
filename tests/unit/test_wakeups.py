"""Where the broker's Redis is, and how often one looks who waits for a run in vain."""

from types import SimpleNamespace

import pytest

from celeriac.workflows.dispatch import wakeups
from celeriac.workflows.dispatch.wakeups import Waiter, redis_address


@pytest.mark.parametrize(
    ("broker_url", "address"),
    [
        ("redis://:secret@redis.shop:6379/1", "redis://:secret@redis.shop:6379/1"),
        ("rediss://redis.shop/0", "rediss://redis.shop/0"),
        ("redis://first/0;redis://second/0", "redis://first/0"),
        ("redis+socket:///run/redis.sock", "unix:///run/redis.sock?db=0"),
        ("redis+socket:///run/redis.sock?virtual_host=3", "unix:///run/redis.sock?db=3"),
        ("amqp://guest@rabbit//", None),
        ("", None),
    ],
)
def test_the_address_of_redis_is_that_of_the_first_broker(broker_url, address):
    assert redis_address(broker_url) == address


def test_one_who_is_not_woken_looks_less_and_less_often_but_at_least_every_4_seconds(monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(wakeups, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=slept.append))
    waiter = Waiter(None)
    for _ in range(9):
        waiter.wait(60)
    assert slept == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 4.0, 4.0]


def test_one_who_waits_returns_when_its_own_time_is_over(monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(wakeups, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=slept.append))
    Waiter(None).wait(0.03)
    assert slept == [0.03]
