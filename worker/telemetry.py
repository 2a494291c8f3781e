"""Task events for steps that continue inline.

A worker's parent process sends the events of the steps that came by message.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from celery import Celery, states
from kombu.exceptions import KombuError, OperationalError

logger = logging.getLogger(__name__)
_BATCH_SECONDS = 0.2


class Telemetry:
    """Sends events in batches from a thread; a step does not wait for the broker.

    Its weakness: events are for watching. While the broker is down they are dropped.

    Args:
        app: The app to whose broker the events go.
        hostname: The worker's name, as Flower lists it.
        is_enabled: Returns whether events are wanted; called for each event.
    """

    def __init__(self, app: Celery, hostname: str, is_enabled: Callable[[], bool]) -> None:
        self._app = app
        self._hostname = hostname
        self._is_enabled = is_enabled
        self._lock = threading.Lock()
        self._pending: list[tuple[str, dict[str, Any]]] = []
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def started(self, uuid: str, name: str, kwargs: str, root_id: str, parent_id: str) -> None:
        """Send the events of a step that was received and started."""
        if not self._is_enabled():
            return
        received = {
            "uuid": uuid,
            "name": name,
            "args": "()",
            "kwargs": kwargs,
            "root_id": root_id,
            "parent_id": parent_id,
            "retries": 0,
            "eta": None,
            "expires": None,
        }
        self._put(("task-received", received), ("task-started", {"uuid": uuid}))

    def succeeded(self, uuid: str, result: str, runtime: float) -> None:
        """Send the event of a step that succeeded after ``runtime`` seconds."""
        if self._is_enabled():
            self._put(("task-succeeded", {"uuid": uuid, "result": result, "runtime": runtime}))

    def ended(self, uuid: str, trace: Any, runtime: float) -> None:
        """Send the event of a step that ended.

        Args:
            uuid: The id of the step's task.
            trace: The value that Celery's tracer returned.
            runtime: How long the step took, in seconds.
        """
        if not self._is_enabled():
            return
        result, info, _, text = trace
        if info is None:
            self.succeeded(uuid, text, runtime)
        elif info.state == states.RETRY:
            error = info.retval.exc
            self._put(("task-retried", {"uuid": uuid, "exception": repr(error), "traceback": str(result.traceback)}))
        elif info.state == states.FAILURE:
            self._put(
                ("task-failed", {"uuid": uuid, "exception": repr(info.retval), "traceback": str(result.traceback)})
            )

    def _put(self, *events: tuple[str, dict[str, Any]]) -> None:
        now = time.time()
        with self._lock:
            self._pending += [(kind, {"timestamp": now, **fields}) for kind, fields in events]
            if self._thread is None:
                self._thread = threading.Thread(target=self._send_batches, name="celeriac-telemetry", daemon=True)
                self._thread.start()
        self._wanted.set()

    def _send_batches(self) -> None:
        while True:
            self._wanted.wait()
            time.sleep(_BATCH_SECONDS)
            self._wanted.clear()
            self.flush()

    def flush(self) -> None:
        """Send the pending events. Events that the broker does not take are dropped."""
        with self._lock:
            pending = self._pending
            self._pending = []
        if not pending:
            return
        try:
            with (
                self._app.pool.acquire(block=True) as connection,
                self._app.events.Dispatcher(connection, hostname=self._hostname, buffer_group={"task"}) as dispatcher,
            ):
                for kind, fields in pending:
                    dispatcher.send(kind, **fields)
                dispatcher.flush()
        except (OperationalError, KombuError, OSError) as error:
            logger.debug("%d task events are dropped: %s", len(pending), error)
