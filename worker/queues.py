"""Looking into the broker's queues, to distinguish lost from waiting messages."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from itertools import chain
from typing import Any

import redis
from celery import Celery
from redis.backoff import NoBackoff
from redis.retry import Retry

from celeriac.workflows.dispatch.wakeups import redis_address

_SEPARATOR = "\x06\x16"  # kombu's, between a queue's name and a priority
_PRIORITY_STEPS = (0, 3, 6, 9)
_TIMEOUT_SECONDS = 2.0
_LOOK_AT_A_TIME = 100
_LOOK_AT_MOST = 1_000
_SHORT = 5_000  # messages; a queue that has no more is searched whole


class RedisQueues:
    """Reads the lists in which kombu keeps queues on Redis.

    New messages are on the left, the next message is on the right.

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

    def queue_of(self, step: str, queue: str) -> str:
        """Return the name of the queue that a step's messages go to.

        The app's routes decide for a step without a queue of its own.
        """
        if queue:
            return queue
        routed = self._app.amqp.router.route({}, step).get("queue")
        return str(routed.name if routed is not None else self._app.conf.task_default_queue)

    def lists_of(self, queue: str) -> list[str]:
        """Return the keys of a queue's lists, a list for each priority.

        The priority that a message got cannot be read from its step.
        """
        return [
            f"{self._prefix}{queue}{self._separator}{step}" if step else f"{self._prefix}{queue}"
            for step in self._steps
        ]

    def next_tasks(self, key: str) -> Iterator[tuple[list[str], bool]]:
        """Yield pages of a list, the next messages first.

        Each page has the ids of its tasks, and whether the list ends with it.
        """
        for start in range(0, _LOOK_AT_MOST, _LOOK_AT_A_TIME):
            found: Any = self._client.lrange(key, -(start + _LOOK_AT_A_TIME), -(start + 1))
            at_end = len(found) < _LOOK_AT_A_TIME
            yield [_task_id(message) for message in reversed(found)], at_end
            if at_end:
                return

    def waiting(self, queue: str) -> Collection[str] | None:
        """Return the ids of all tasks in a queue, or None if the queue is too long."""
        keys = self.lists_of(queue)
        with self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.llen(key)
            if sum(pipeline.execute()) > _SHORT:
                return None
            for key in keys:
                pipeline.lrange(key, 0, -1)
            messages = chain.from_iterable(pipeline.execute())
            return {_task_id(message) for message in messages}


def queues_of(app: Celery) -> RedisQueues | None:
    """Return the queues of an app's broker, or None if the broker is not Redis."""
    address = redis_address(app.conf.broker_write_url or app.conf.broker_url or "")
    return RedisQueues(app, address) if address else None


def _task_id(message: bytes) -> str:
    """Return the id of a message's task; an empty string if it is no task message."""
    try:
        return str(json.loads(message)["headers"]["id"])
    except (ValueError, KeyError, TypeError):
        return ""
