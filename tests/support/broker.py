"""Looking into the broker's queues, and taking messages out of them, with nothing but Redis."""

import base64
import json
from typing import Any

import redis

from tests.support.servers import redis_client


class Broker:
    """The queues of a Redis broker.

    Args:
        url: The broker's address.
    """

    def __init__(self, url: str) -> None:
        self.redis: redis.Redis = redis_client(url)

    def close(self) -> None:
        self.redis.close()

    def messages(self, queue: str = "celery") -> list[dict[str, Any]]:
        """The messages in a queue, the next one first."""
        return [self.parse(message) for message in reversed(self.redis.lrange(queue, 0, -1))]

    @staticmethod
    def parse(message: bytes) -> dict[str, Any]:
        """A message as data, without its body's encoding undone."""
        return json.loads(message)

    def ids(self, queue: str = "celery") -> list[str]:
        """The ids of the tasks in a queue, the next one first."""
        return [message["headers"]["id"] for message in self.messages(queue)]

    def steps(self, queue: str = "celery") -> list[str]:
        """The names of the steps in a queue, the next one first."""
        return [task.partition(".")[2] for task in self.ids(queue)]

    def take(self, queue: str = "celery") -> dict[str, Any]:
        """Take the next message, as a worker does; it is acknowledged at once."""
        message = self.redis.rpop(queue)
        assert message is not None, f"queue {queue} is empty"
        return self.parse(message)

    def queues(self) -> dict[str, int]:
        """How many messages each queue holds; empty ones are not there."""
        return {key: self.redis.llen(key) for key in self.keys() if self.redis.type(key) == b"list"}

    def keys(self) -> list[str]:
        """All that Redis holds."""
        return [key.decode() for key in self.redis.scan_iter()]

    def flush(self) -> None:
        self.redis.flushdb()


def body_of(message: dict[str, Any]) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """Return the arguments of a message's task, and what is embedded with them: its chain and its chord."""
    return json.loads(base64.b64decode(message["body"]))
