"""The parts that a process needs to run steps, made once per process after the fork."""

from __future__ import annotations

import os
import socket
import threading
from functools import cached_property
from multiprocessing.sharedctypes import RawValue
from secrets import token_hex
from uuid import UUID

from celery import Celery

from celeriac.worker.attempt_timeouts import AttemptTimeouts
from celeriac.worker.backend import HistoryBackend
from celeriac.worker.continuation import InlineContinuation
from celeriac.worker.execution import StepExecutor
from celeriac.worker.telemetry import Telemetry
from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.dispatch.dispatch import Dispatch
from celeriac.workflows.dispatch.publisher import publishing_app_like
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.leases import lease_name
from celeriac.workflows.history.stores import Stores
from celeriac.workflows.history.tasks import Task, find_task
from celeriac.workflows.settings import Settings


class Runtime:
    """The runtime of an installed app, in a worker's parent process and its children.

    Attributes:
        hostname: The worker's name; set when the worker starts.
        events_enabled: Whether task events are wanted, in memory that the parent shares
            with its children.
    """

    def __init__(self, app: Celery, settings: Settings, catalog: Catalog) -> None:
        self.app = app
        self.settings = settings
        self.catalog = catalog
        self.hostname = f"celery@{socket.gethostname()}"
        self.token = token_hex(4)  # distinguishes workers that have the same name, also over time
        self.events_enabled = RawValue("b", 0)
        self.concurrency = 1
        self.has_time_limit = False  # whether Celery has a time limit for the worker's tasks
        self._process: Process | None = None
        self._lock = threading.Lock()

    @cached_property
    def backend(self) -> HistoryBackend:
        """The history as a result backend."""
        return HistoryBackend(self.app, self._find_task)

    def _find_task(self, run_id: UUID, name: str) -> Task | None:
        return find_task(self.process.stores.database, run_id, name)

    @property
    def process(self) -> Process:
        """The parts of this process; a forked child gets its own."""
        process = self._process
        if process is None or process.pid != os.getpid():
            with self._lock:
                process = self._process
                if process is None or process.pid != os.getpid():
                    process = self._process = Process(self)
        return process

    def reset_lock(self) -> None:
        """Replace the lock, which another thread may have locked at the fork.

        Called first in each child process.
        """
        self._lock = threading.Lock()


class Process:
    """The connections and the state of a process that runs steps."""

    def __init__(self, runtime: Runtime) -> None:
        self.pid = os.getpid()
        settings = runtime.settings
        app = publishing_app_like(runtime.app)
        self.stores = Stores.of(Database.of(settings, pool_size=max(2, runtime.concurrency)))
        self.dispatch = Dispatch.of(app, self.stores)
        self.lease = lease_name(runtime.hostname, self.pid, runtime.token)
        self.telemetry = Telemetry(app, runtime.hostname, lambda: bool(runtime.events_enabled.value))
        self.attempt_timeouts = AttemptTimeouts(self.stores, self.dispatch.follow_up, settings.retry)
        self.executor = StepExecutor(self.stores, self.dispatch, self.lease, settings)
        # Celery would apply its time limit to all steps that continue inline together,
        # as to a single task.
        seconds = 0.0 if runtime.has_time_limit else settings.inline_seconds
        self.continuation = InlineContinuation(runtime.app, self.telemetry, seconds, self.executor.release)

    def take_lease(self, runtime: Runtime) -> None:
        """Take the lease of this process, before its first claim.

        Raises:
            DatabaseUnavailable: Postgres does not answer. The lease renewer will take
                the lease.
        """
        self.stores.leases.renew([self.lease], worker=runtime.hostname, lease=runtime.settings.lease)
