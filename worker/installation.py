"""Making a Celery app that runs workflows, or adding them to a team's own."""

from __future__ import annotations

from typing import Any

from celery import Celery, signals

from celeriac.worker.event_batching import BatchedEvents
from celeriac.worker.lease_renewal import LeaseRenewer
from celeriac.worker.reconciler_thread import ReconcilerThread
from celeriac.worker.runtime import Runtime
from celeriac.worker.task import StepTask, task_of
from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.errors import CeleriacError, ConfigurationError, DatabaseUnavailable
from celeriac.workflows.history import schema
from celeriac.workflows.settings import Settings


def create_app(settings: Settings, catalog: Catalog | None = None) -> Celery:
    """Return a Celery app that runs the workflows of ``settings.imports`` and nothing else.

    Args:
        settings: Where database and broker are.
        catalog: The workflows to run instead of those of the settings.

    Raises:
        ConfigurationError: there is no database or no broker.
        ImportFailed: a module cannot be imported.
    """
    app = Celery("celeriac", broker=settings.require_broker_url(), set_as_current=False)
    app.conf.update(
        task_default_queue=settings.queue,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        worker_send_task_events=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            # kombu would keep a copy in Redis of each message that a worker has taken, to deliver it again if the
            # worker dies: two round trips for each. A message is only a hint here; the reconciler does better.
            "ack_emulation": False,
            # A worker should notice soon that a broker which it waits for is back.
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
    )
    install(app, settings, catalog)
    return app


def install(app: Celery, settings: Settings | None = None, catalog: Catalog | None = None) -> Runtime:
    """Make a Celery app run workflows, beside whatever else it does.

    Its other tasks, its result backend and its settings stay as they are. Each step becomes a task of
    the app; a worker of the app keeps leases and reconciles.

    Args:
        app: The team's app.
        settings: By default those of the environment.
        catalog: The workflows to run; by default those of ``settings.imports``.

    Returns:
        The runtime, with the connections of each process.

    Raises:
        ConfigurationError: there is no database, or a step has the name of a task of the app.
        ImportFailed: a module cannot be imported.
    """
    settings = settings or Settings.from_env()
    settings.require_database_url()
    catalog = catalog or Catalog.load(settings.imports)
    runtime = Runtime(app, settings, catalog)
    for step in catalog.steps.values():
        if isinstance(app.tasks.get(step.name), StepTask):
            raise ConfigurationError(detail=f"celeriac.install was called twice for the app {app.main!r}.")
        if step.name in app.tasks:
            raise ConfigurationError(
                detail=f"Step {step.name!r} has the name of a task that the app {app.main!r} has already. "
                "Name the step with @step(name=…)."
            )
        app.register_task(task_of(step, runtime))
    app.steps["consumer"].add(BatchedEvents)
    _Hooks(runtime).connect()
    return runtime


class _Hooks:
    """Follows a worker of one app through its life. Celery's signals are for all apps, so each checks whose it is."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._threads: list[LeaseRenewer | ReconcilerThread] = []

    def connect(self) -> None:
        signals.celeryd_after_setup.connect(self._on_setup, weak=False)
        signals.worker_process_init.connect(self._on_fork, weak=False)
        signals.worker_ready.connect(self._on_ready, weak=False)
        signals.worker_shutdown.connect(self._on_shutdown, weak=False)

    def _on_setup(self, sender: str, instance: Any, **kwargs: Any) -> None:
        if instance.app is not self._runtime.app:
            return
        self._runtime.hostname = sender
        self._runtime.concurrency = instance.concurrency or 1
        self._runtime.events_enabled.value = bool(instance.task_events)
        self._runtime.has_time_limit = bool(instance.time_limit or instance.soft_time_limit)
        _require_schema(self._runtime)

    def _on_fork(self, sender: str | None = None, **kwargs: Any) -> None:
        if sender != self._runtime.hostname:
            return
        self._runtime.reset_lock()
        self._take_lease()

    def _on_ready(self, sender: Any, **kwargs: Any) -> None:
        if sender.app is not self._runtime.app:
            return
        self._take_lease()  # pools without children have not done it
        self._threads = [LeaseRenewer(self._runtime, sender), ReconcilerThread(self._runtime)]
        for thread in self._threads:
            thread.start()

    def _take_lease(self) -> None:
        """Make the process known before it claims anything: a step without a lease is taken for lost."""
        try:
            self._runtime.process.take_lease(self._runtime)
        except DatabaseUnavailable:
            return  # the keeper does it as soon as the database is back; until then nothing can be claimed either

    def _on_shutdown(self, sender: Any, **kwargs: Any) -> None:
        if sender.app is not self._runtime.app:
            return
        for thread in reversed(self._threads):
            thread.stop()


def _require_schema(runtime: Runtime) -> None:
    """Refuse to start on a database without our tables, where every claim would fail."""
    try:
        schema.check(runtime.process.stores.database)
    except CeleriacError as error:
        raise SystemExit(f"celeriac: {error}") from None
