"""What a process needs to run steps: made once per process, after the fork."""

from __future__ import annotations

import os
import socket
import threading
from functools import cached_property
from multiprocessing.sharedctypes import RawValue
from secrets import token_hex

from celery import Celery

from celeriac.worker.attempt_timeouts import AttemptTimeouts
from celeriac.worker.backend import HistoryBackend
from celeriac.worker.continuation import InlineContinuation
from celeriac.worker.execution import StepExecutor
from celeriac.worker.telemetry import Telemetry
from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.dispatch.follow_up import FollowUp
from celeriac.workflows.dispatch.publisher import Publisher, publishing_app_like
from celeriac.workflows.dispatch.wakeups import Wakeups
from celeriac.workflows.history.attempts import AttemptStore
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.leases import LeaseStore, lease_name
from celeriac.workflows.history.runs import RunStore
from celeriac.workflows.history.transitions import TransitionStore
from celeriac.workflows.settings import Settings


class Runtime:
    """Of one installed app, shared by a worker's parent process and its children.

    Attributes:
        hostname: The worker's name; set when the worker starts.
        events_enabled: Shared memory through which the parent tells its children whether anybody wants task events.
    """

    def __init__(self, app: Celery, settings: Settings, catalog: Catalog) -> None:
        self.app = app
        self.settings = settings
        self.catalog = catalog
        self.hostname = f"celery@{socket.gethostname()}"
        self.token = token_hex(4)  # tells this worker from others of its name, and from its own past
        self.events_enabled = RawValue("b", 0)
        self.concurrency = 1
        self.has_time_limit = False  # Celery's, of the whole worker
        self._process: Process | None = None
        self._lock = threading.Lock()

    @cached_property
    def backend(self) -> HistoryBackend:
        """The history as a result backend."""
        return HistoryBackend(self.app, runtime=self)

    @property
    def process(self) -> Process:
        """What belongs to this process; a forked child gets its own."""
        process = self._process
        if process is None or process.pid != os.getpid():
            with self._lock:
                process = self._process
                if process is None or process.pid != os.getpid():
                    process = self._process = Process(self)
        return process

    def reset_lock(self) -> None:
        """Forget a lock that another thread held at the moment of a fork. Called first in each child."""
        self._lock = threading.Lock()


class Process:
    """Connections and state of one process that runs steps."""

    def __init__(self, runtime: Runtime) -> None:
        self.pid = os.getpid()
        settings = runtime.settings
        self.database = Database.of(settings, pool_size=max(2, runtime.concurrency))
        self.runs = RunStore(self.database)
        self.leases = LeaseStore(self.database)
        publisher_app = publishing_app_like(runtime.app)
        self.publisher = Publisher(publisher_app)
        self.wakeups = Wakeups(publisher_app.conf.broker_url)
        self.lease = lease_name(runtime.hostname, self.pid, runtime.token)
        self.telemetry = Telemetry(publisher_app, runtime.hostname, lambda: bool(runtime.events_enabled.value))
        self.attempts = AttemptStore(self.database)
        self.transitions = TransitionStore(self.database)
        self.follow_up = FollowUp(self.transitions, self.publisher, self.wakeups)
        self.overdue = AttemptTimeouts(
            attempts=self.attempts, runs=self.runs, follow_up=self.follow_up, retry=settings.retry
        )
        self.delivery = StepExecutor(
            attempts=self.attempts,
            database=self.database,
            publisher=self.publisher,
            wakeups=self.wakeups,
            follow_up=self.follow_up,
            lease=self.lease,
            settings=settings,
        )
        # Celery would take the steps that are carried on with for one task, and hold them to its limit together.
        carry_on_seconds = 0.0 if runtime.has_time_limit else settings.carry_on_seconds
        self.carrier = InlineContinuation(runtime.app, self.telemetry, carry_on_seconds, self.delivery.release)

    def take_lease(self, runtime: Runtime) -> None:
        """Make this process known before it claims anything.

        Raises:
            DatabaseUnavailable: Postgres does not answer. The keeper will do it.
        """
        self.leases.renew([self.lease], worker=runtime.hostname, lease=runtime.settings.lease)
