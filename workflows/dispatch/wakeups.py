"""Waking the waiters of a run through the broker's Redis.

A hint, as every message is: a waiter that is not woken polls, with pauses that grow.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.05  # between two polls of a waiter that is never woken
FIRST_PAUSE_LISTENING_SECONDS = 1.0  # of a waiter that should be woken
LONGEST_PAUSE_SECONDS = 4.0
_REST_SECONDS = 5.0  # how long a Redis that did not answer is left alone


def redis_address(broker_url: str) -> str | None:
    """Return the address of the broker's Redis as redis-py reads it.

    Args:
        broker_url: The address as Celery reads it. If it lists brokers to fail over
            between, the first broker counts.

    Returns:
        None if the broker is not Redis.
    """
    broker_url = broker_url.partition(";")[0]
    parts = urlsplit(broker_url)
    if parts.scheme in ("redis", "rediss"):
        return broker_url
    if parts.scheme in ("redis+socket", "socket", "unix"):
        database = parse_qs(parts.query).get("virtual_host", ["0"])[0]
        return f"unix://{parts.path}?db={database}"
    return None


class Wakeups:
    """Wakes waiters and waits, through a channel per run. Never raises errors of Redis.

    Args:
        broker_url: The broker's address; if it is not Redis, no waiter is woken.
    """

    def __init__(self, broker_url: str | None) -> None:
        self.address = redis_address(broker_url) if broker_url else None
        self._client = self.address and redis.Redis.from_url(
            self.address,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._rest_until = 0.0

    def wake(self, run_id: UUID) -> None:
        """Wake the waiters of the run."""
        if not self._client or time.monotonic() < self._rest_until:
            return
        try:
            self._client.publish(channel_of(run_id), b"ended")
        except redis.RedisError:
            self._rest_until = time.monotonic() + _REST_SECONDS

    @contextlib.contextmanager
    def listening(self, run_id: UUID) -> Iterator[Waiter]:
        """Listen for the run; a wake-up after the waiter was returned is not missed."""
        if not self._client:
            yield Waiter(None)
            return
        with self._client.pubsub(ignore_subscribe_messages=True) as pubsub:  # type: ignore[no-untyped-call]
            try:
                pubsub.subscribe(channel_of(run_id))
            except redis.RedisError:
                yield Waiter(None)
                return
            yield Waiter(pubsub)


class Waiter:
    """Waits to be woken, or for a while."""

    def __init__(self, pubsub: redis.client.PubSub | None) -> None:
        self._pubsub = pubsub
        self._pause = FIRST_PAUSE_SECONDS if pubsub is None else FIRST_PAUSE_LISTENING_SECONDS

    def wait(self, seconds: float) -> None:
        """Return when woken, or after a pause that grows with each call.

        Args:
            seconds: The longest pause.
        """
        pause = min(seconds, self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        until = time.monotonic() + pause
        if self._pubsub is not None:
            try:
                while (left := until - time.monotonic()) > 0:
                    if self._pubsub.get_message(timeout=left) is not None:
                        return
            except redis.RedisError:
                self._pubsub = None
        time.sleep(max(0.0, until - time.monotonic()))


def channel_of(run_id: UUID) -> str:
    """Return the name of a run's channel."""
    return f"celeriac.run.{run_id}"
