"""Task events of a worker's parent process, sent a few times a second instead of one by one."""

from __future__ import annotations

from typing import Any

from celery import bootsteps

_SECONDS = 0.1


class BatchedEvents(bootsteps.StartStopStep):
    """Lets task events gather for a moment before they are sent.

    Celery sends what gathered during one turn of its event loop, which is one or two events: a round trip to the
    broker for each, and nearly half of what the parent process of a busy worker does. Full buffers are sent at
    once, as before. Flower sees an event a moment later; its timestamp is the same.
    """

    requires = ("celery.worker.consumer.events:Events",)

    def start(self, parent: Any) -> None:
        """Take over from the consumer; called again after each reconnection."""
        dispatcher, hub = parent.event_dispatcher, parent.hub
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
