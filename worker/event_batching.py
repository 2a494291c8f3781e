"""Sending the task events of a worker's parent process in batches."""

from __future__ import annotations

from typing import Any

from celery import bootsteps

_SECONDS = 0.1


class BatchedEvents(bootsteps.StartStopStep):
    """Gathers task events for 0.1 s before they are sent.

    Celery sends the events of each turn of its event loop, which are a single event or
    two: a round trip to the broker each time, and nearly half of the work of a busy
    worker's parent process. Full buffers are sent at once, as before. Flower sees an
    event a moment later; its timestamp is the same.
    """

    requires = ("celery.worker.consumer.events:Events",)

    def start(self, parent: Any) -> None:
        """Take over from the consumer; called again after each reconnection."""
        dispatcher = parent.event_dispatcher
        hub = parent.hub
        if dispatcher is None or hub is None:
            return
        waiting = False

        def flush() -> None:
            nonlocal waiting
            waiting = False
            dispatcher.flush()

        def gather() -> None:
            nonlocal waiting
            if not waiting:
                waiting = True
                hub.call_later(_SECONDS, flush)

        dispatcher.on_send_buffered = gather
