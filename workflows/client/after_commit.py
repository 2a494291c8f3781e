"""Dispatching runs that a caller's transaction started, after its commit."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from dataclasses import dataclass
from uuid import UUID

from celeriac.workflows.dispatch.publisher import Publisher
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.errors import CeleriacError
from celeriac.workflows.history.runs import RunStore

logger = logging.getLogger(__name__)
_FIRST_PAUSE_SECONDS = 0.002
_LONGEST_PAUSE_SECONDS = 0.1
_GIVE_UP_AFTER_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StartedRun:
    """A run whose start belongs to the caller's transaction."""

    run_id: UUID
    graph: Graph


class AfterCommit:
    """Publishes runs from a thread, as soon as other connections see them.

    SQLAlchemy calls its commit listeners before it sends the commit, and a savepoint
    may have been rolled back before. So the thread looks for the run's row, and
    publishes when the row is there: a message that overtook the commit would find no
    run and be dropped.

    Its weakness: a process that ends right after its commit publishes nothing, and the
    thread does not wait for a commit that takes longer than 5 s. The reconciler
    dispatches both.
    """

    def __init__(self, runs: RunStore, publisher: Publisher) -> None:
        self._runs = runs
        self._publisher = publisher
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[list[StartedRun]] = queue.SimpleQueue()
        self._pid: int | None = None  # of the process that has the thread; a forked child has none

    def dispatch(self, started: list[StartedRun]) -> None:
        """Publish runs once they are visible. Returns at once."""
        with self._lock:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                self._queue = queue.SimpleQueue()
                threading.Thread(
                    target=self._run, args=(self._queue,), name="celeriac-after-commit", daemon=True
                ).start()
        self._queue.put(started)

    def _run(self, waiting: queue.SimpleQueue[list[StartedRun]]) -> None:
        while True:
            started = waiting.get()
            try:
                self._publish(started)
            except CeleriacError as error:
                logger.warning("%d started runs are left to the reconciler: %s", len(started), error)
            except Exception:
                # The thread must live: all transactions of the process need it.
                logger.exception("%d started runs are left to the reconciler", len(started))

    def _publish(self, started: list[StartedRun]) -> None:
        pending = {run.run_id: run for run in started}
        pause = _FIRST_PAUSE_SECONDS
        until = time.monotonic() + _GIVE_UP_AFTER_SECONDS
        while pending and time.monotonic() < until:
            for run_id in self._runs.visible(pending):
                self._publisher.dispatch(pending.pop(run_id).graph, run_id, frozenset())
            if pending:
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
