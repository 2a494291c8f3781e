"""The task events that Flower reads, received as Flower does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.events.receiver import EventReceiver

from tests.support.waiting import wait_until


class ReceivedEvents:
    """Events of tasks, in the order in which they came."""

    def __init__(self) -> None:
        self._received: list[dict[str, Any]] = []

    def add(self, event: dict[str, Any]) -> None:
        self._received.append(event)

    def of(self, task_id: str) -> list[dict[str, Any]]:
        return [event for event in self._received if event.get("uuid") == task_id]

    def wait_for(self, kind: str) -> dict[str, Any]:
        """Return the first event of a kind."""
        return wait_until(lambda: next((event for event in self._received if event["type"] == kind), None), 10, kind)


class _Receiver(EventReceiver):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_ready = threading.Event()

    def on_consume_ready(self, *_args: Any, **_kwargs: Any) -> None:
        self.is_ready.set()


@contextmanager
def task_events(app: Celery) -> Iterator[ReceivedEvents]:
    """Receive the events that anybody sends to the broker of an app from now on."""
    received = ReceivedEvents()
    with app.connection_for_read() as connection:
        receiver = _Receiver(connection, handlers={"*": received.add}, app=app)
        thread = threading.Thread(target=receiver.capture, kwargs={"wakeup": False}, daemon=True)
        thread.start()
        assert receiver.is_ready.wait(10)
        yield received
        receiver.should_stop = True
        thread.join(10)
