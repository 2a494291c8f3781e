"""Renewing the leases of a worker's processes, from a thread of its parent process.

The parent renews the leases of its children, so a step that holds the interpreter's
lock for minutes does not lose its lease. Its weakness: with the threads and solo pools,
the renewer shares that lock with the steps.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from celery.concurrency import prefork
from celery.worker import state as worker_state

from celeriac.worker.runtime import Runtime
from celeriac.worker.task import StepTask
from celeriac.workflows.engine.views import WorkerScope
from celeriac.workflows.errors import CeleriacError
from celeriac.workflows.history.leases import lease_name

logger = logging.getLogger(__name__)
_RENEWALS_PER_LEASE = 4
_GRACE = timedelta(seconds=1)  # for a step to be interrupted from inside, and to clean up
_PREFETCHED_LIMIT = 2_000  # ids; a worker that prefetches more does not profit from a list


class LeaseRenewer:
    """Renews leases, and expires the leases of child processes that ended.

    Args:
        runtime: The runtime of the installed app.
        consumer: The worker's consumer, which has the pool and the event dispatcher.
    """

    def __init__(self, runtime: Runtime, consumer: Any) -> None:
        self._runtime = runtime
        self._consumer = consumer
        self._known: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="celeriac-lease-renewer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and expire all leases: other workers take over unfinished steps."""
        self._stop.set()
        self._thread.join(timeout=5)
        try:
            self._runtime.process.stores.leases.expire([self._name(pid) for pid in self._known])
        except CeleriacError as error:
            logger.warning("Leases are left to expire: %s", error)

    def _run(self) -> None:
        pause = self._runtime.settings.lease_seconds / _RENEWALS_PER_LEASE
        while True:
            try:
                self.run_once()
            except CeleriacError as error:
                logger.warning("Leases could not be renewed: %s", error)
            except Exception:
                # The thread must live: without it other workers would take over the
                # steps of this worker.
                logger.exception("Leases could not be renewed")
            if self._stop.wait(pause):
                return

    def run_once(self) -> None:
        """Renew the leases of living processes; enable or disable their events.

        Raises:
            DatabaseUnavailable: Postgres does not answer; the leases last until they
                expire.
        """
        dispatcher = self._consumer.event_dispatcher
        self._runtime.events_enabled.value = bool(dispatcher and dispatcher.enabled)
        living = set(self._pids())
        leases = self._runtime.process.stores.leases
        if ended := self._known - living:
            leases.expire([self._name(pid) for pid in ended])
        self._known = living
        if not living:
            return
        names = [self._name(pid) for pid in sorted(living)]
        leases.renew(
            names,
            worker=self._runtime.hostname,
            lease=self._runtime.settings.lease,
            scope=WorkerScope(
                queues=frozenset(self._runtime.app.amqp.queues.consume_from),
                tasks=frozenset(self._runtime.catalog.steps),
            ),
            holder=names[0],
            prefetched=prefetched_tasks(worker_state.reserved_requests),
        )
        self._stop_timed_out_attempts(names)

    def _stop_timed_out_attempts(self, names: list[str]) -> None:
        """Fail this worker's attempts that timed out, and kill their processes.

        Processes that run steps of terminated runs are killed too. The pool replaces a
        process that was killed.
        """
        process = self._runtime.process
        store = process.stores.reconciliation
        timed_out = process.attempt_timeouts.fail(store.timed_out(grace=_GRACE, batch=len(names), leases=names))
        unwanted = {attempt.lease for attempt in timed_out} | store.terminated(names)
        for pid in self._known - {os.getpid()}:
            if self._name(pid) in unwanted:
                logger.warning("Process %d is stopped: its step took too long, or its run was terminated", pid)
                os.kill(pid, signal.SIGKILL)

    def _pids(self) -> Iterable[int]:
        pool = self._consumer.pool
        if not isinstance(pool, prefork.TaskPool):
            return [os.getpid()]
        try:
            return list(pool.info["processes"])
        except AttributeError:  # the worker stops: the pool and its children have ended
            return []

    def _name(self, pid: int) -> str:
        return lease_name(self._runtime.hostname, pid, self._runtime.token)


def prefetched_tasks(requests: Iterable[Any]) -> list[str]:
    """Return the task ids of the steps among a worker's requests.

    These steps were received from the broker and have not finished.
    """
    while True:
        try:
            ids = [request.id for request in list(requests) if isinstance(request.task, StepTask)]
        except RuntimeError:  # the set changed while it was copied
            continue
        return ids[:_PREFETCHED_LIMIT]
