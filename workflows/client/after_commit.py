"""Dispatching runs that a caller's transaction started, after its commit."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Collection
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
        self._arrivals: queue.SimpleQueue[list[StartedRun] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._pid: int | None = None  # of the process that has the thread; a forked child has none

    def dispatch(self, started: list[StartedRun]) -> None:
        """Publish runs once they are visible. Returns at once."""
        with self._lock:
            if self._pid != os.getpid():
                self._pid = os.getpid()
                self._arrivals = queue.SimpleQueue()
                self._thread = threading.Thread(
                    target=self._run, args=(self._arrivals,), name="celeriac-after-commit", daemon=True
                )
                self._thread.start()
            self._arrivals.put(started)

    def close(self) -> None:
        """Publish the runs that are visible by now, and end the thread."""
        with self._lock:
            thread = self._thread if self._pid == os.getpid() else None
            self._thread = self._pid = None
        if thread is not None:
            self._arrivals.put(None)
            thread.join(timeout=_GIVE_UP_AFTER_SECONDS)

    def _run(self, arrivals: queue.SimpleQueue[list[StartedRun] | None]) -> None:
        pending = _PendingRuns()
        closing = False
        while pending or not closing:
            arrived = pending.wait(arrivals)
            if arrived is None:
                closing = True
                pending.hurry()
            else:
                pending.add(arrived)
            try:
                self._publish_visible(pending)
            except CeleriacError as error:
                logger.warning("%d started runs are not dispatched yet: %s", len(pending), error)
            except Exception:
                # The thread must live: all transactions of the process need it.
                logger.exception("%d started runs are not dispatched yet", len(pending))
            pending.drop_late()

    def _publish_visible(self, pending: _PendingRuns) -> None:
        if pending:
            for run_id in self._runs.visible(pending.run_ids):
                self._publisher.dispatch(pending.take(run_id), run_id, frozenset())


class _PendingRuns:
    """Runs that are not visible yet.

    Each has the time until which the thread looks for it.
    """

    def __init__(self) -> None:
        self._runs: dict[UUID, tuple[Graph, float]] = {}
        self._pause = _FIRST_PAUSE_SECONDS

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def run_ids(self) -> Collection[UUID]:
        """The runs."""
        return list(self._runs)

    def wait(self, arrivals: queue.SimpleQueue[list[StartedRun] | None]) -> list[StartedRun] | None:
        """Return the next arrival.

        None, if it is time to look for the pending runs again.
        """
        try:
            arrived = arrivals.get(timeout=self._pause if self._runs else None)
        except queue.Empty:
            self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
            return []
        self._pause = _FIRST_PAUSE_SECONDS
        return arrived

    def add(self, started: list[StartedRun]) -> None:
        """Look for runs from now on."""
        until = time.monotonic() + _GIVE_UP_AFTER_SECONDS
        self._runs.update({run.run_id: (run.graph, until) for run in started})

    def take(self, run_id: UUID) -> Graph:
        """Stop looking for a run; return its graph."""
        graph, _ = self._runs.pop(run_id)
        return graph

    def hurry(self) -> None:
        """Look for the runs a little longer only."""
        until = time.monotonic() + _LONGEST_PAUSE_SECONDS
        self._runs = {run_id: (graph, min(limit, until)) for run_id, (graph, limit) in self._runs.items()}

    def drop_late(self) -> None:
        """Stop looking for runs whose time is over.

        They were rolled back, or the reconciler dispatches them.
        """
        now = time.monotonic()
        self._runs = {run_id: pair for run_id, pair in self._runs.items() if pair[1] > now}
