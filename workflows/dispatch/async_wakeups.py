"""Waiting for a run in an event loop, to be woken through the broker's Redis.

Without Redis a waiter polls.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

import redis
import redis.asyncio
from redis.asyncio.client import PubSub

from celeriac.workflows.dispatch.wakeups import (
    FIRST_PAUSE_LISTENING_SECONDS,
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    TIMEOUT_SECONDS,
    channel_of,
)


@contextlib.asynccontextmanager
async def listening(address: str | None, run_id: UUID) -> AsyncIterator[AsyncWaiter]:
    """Listen for a run; a wake-up after the waiter was returned is not missed.

    Args:
        address: The address of the broker's Redis; None if the broker is not Redis.
        run_id: The run.
    """
    if address is None:
        yield AsyncWaiter(None)
        return
    client = redis.asyncio.Redis.from_url(
        address, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
    )
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    try:
        try:
            await pubsub.subscribe(channel_of(run_id))
            listener: PubSub | None = pubsub
        except redis.RedisError:
            listener = None
        yield AsyncWaiter(listener)
    finally:
        with contextlib.suppress(redis.RedisError):
            await pubsub.aclose()  # type: ignore[no-untyped-call]
        await client.aclose()


class AsyncWaiter:
    """Waits to be woken, or for a while."""

    def __init__(self, pubsub: PubSub | None) -> None:
        self._pubsub = pubsub
        self._pause = FIRST_PAUSE_SECONDS if pubsub is None else FIRST_PAUSE_LISTENING_SECONDS

    async def wait(self, seconds: float) -> None:
        """Return when woken, or after a pause that grows with each call.

        Args:
            seconds: The longest pause.
        """
        pause = min(seconds, self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        if self._pubsub is None:
            await asyncio.sleep(pause)
            return
        until = asyncio.get_running_loop().time() + pause
        try:
            while (left := until - asyncio.get_running_loop().time()) > 0:
                if await self._pubsub.get_message(timeout=left) is not None:
                    return
        except redis.RedisError:
            self._pubsub = None
            await asyncio.sleep(max(0.0, until - asyncio.get_running_loop().time()))
