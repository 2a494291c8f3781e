"""Looking into the broker's queues, to tell a lost message from one that waits."""

from __future__ import annotations

import json
from bisect import bisect
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import redis
from celery import Celery
from redis.backoff import NoBackoff
from redis.retry import Retry

from workflows.wakeup import redis_address

_SEPARATOR = "\x06\x16"  # kombu's, between a queue's name and a priority
_PRIORITY_STEPS = (0, 3, 6, 9)
_TIMEOUT_SECONDS = 2.0
_LOOK_AT_A_TIME = 100
_LOOK_AT_MOST = 1_000
_SHORT = 5_000  # a queue of at most so many messages is searched whole


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueKey:
    """One list in Redis: a queue and a priority."""

    name: str


class RedisQueues:
    """Reads the lists in which kombu keeps queues on Redis: new messages on the left, the next one on the right.

    Raises:
        redis.RedisError: from every method, when Redis does not answer.
    """

    def __init__(self, app: Celery, address: str) -> None:
        self._app = app
        options = app.conf.broker_transport_options or {}
        self._prefix = options.get("global_keyprefix", "")
        self._separator = options.get("sep", _SEPARATOR)
        self._steps = tuple(options.get("priority_steps", _PRIORITY_STEPS))
        self._client = redis.Redis.from_url(
            address,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    def key(self, step: str, queue: str, priority: int) -> QueueKey:
        """Return the list that a step's messages go to."""
        if not queue:
            routed = self._app.amqp.router.route({}, step).get("queue")
            queue = routed.name if routed is not None else self._app.conf.task_default_queue
        nearest = self._steps[max(0, bisect(self._steps, priority) - 1)]
        return QueueKey(
            name=f"{self._prefix}{queue}{self._separator}{nearest}" if nearest else f"{self._prefix}{queue}"
        )

    def next_tasks(self, key: QueueKey) -> Iterator[tuple[list[str], bool]]:
        """Yield page after page the ids of the tasks that are next, and whether the queue ends there."""
        for start in range(0, _LOOK_AT_MOST, _LOOK_AT_A_TIME):
            found: Any = self._client.lrange(key.name, -(start + _LOOK_AT_A_TIME), -(start + 1))
            at_end = len(found) < _LOOK_AT_A_TIME
            yield [_task_id(message) for message in reversed(found)], at_end
            if at_end:
                return

    def waiting(self, key: QueueKey) -> Collection[str] | None:
        """Return the ids of all tasks in a queue, or None if it is too long to be worth it."""
        length: Any = self._client.llen(key.name)
        if length > _SHORT:
            return None
        messages: Any = self._client.lrange(key.name, 0, -1)
        return {_task_id(message) for message in messages}


def queues_of(app: Celery) -> RedisQueues | None:
    """Return a view of the queues of an app's broker, or None if it is not Redis."""
    address = redis_address(app.conf.broker_write_url or app.conf.broker_url or "")
    return RedisQueues(app, address) if address else None


def _task_id(message: bytes) -> str:
    """Return the id of a message's task; an empty string for what is no task message."""
    try:
        return str(json.loads(message)["headers"]["id"])
    except (ValueError, KeyError, TypeError):
        return ""
