"""Making a Celery app that runs workflows, or adding workflows to a team's app."""

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
    """Return a Celery app that runs only the workflows of ``settings.imports``.

    Args:
        settings: The addresses of database and broker.
        catalog: The workflows to run instead of those of the settings.

    Raises:
        ConfigurationError: the settings have no database or no broker.
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
            # kombu would keep a copy of each message that a worker took in Redis, to
            # deliver the message again if the worker dies: two round trips for each. A
            # message is only a hint; the reconciler redispatches the steps.
            "ack_emulation": False,
            # So that a worker soon notices that the broker is back.
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
    )
    install(app, settings, catalog)
    return app


def install(app: Celery, settings: Settings | None = None, catalog: Catalog | None = None) -> Runtime:
    """Add workflows to a Celery app.

    Each step becomes a task of the app; a worker of the app renews leases and
    reconciles. The app's other tasks, its result backend and its settings stay as they
    are.

    Args:
        app: The team's app.
        settings: The settings; None reads the environment.
        catalog: The workflows to run; None imports those of ``settings.imports``.

    Returns:
        The runtime, with the connections of each process.

    Raises:
        ConfigurationError: the settings have no database, or a step has the name of a
            task of the app.
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
    """Acts on the signals of a worker of the app.

    Celery sends its signals to the receivers of all apps, so each checks the app.
    """

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
        self._take_lease()  # in pools without child processes, where no fork has done so
        self._threads = [LeaseRenewer(self._runtime, sender), ReconcilerThread(self._runtime)]
        for thread in self._threads:
            thread.start()

    def _take_lease(self) -> None:
        """Take the lease before the first claim: an attempt without it is lost."""
        try:
            self._runtime.process.take_lease(self._runtime)
        except DatabaseUnavailable:
            return  # the lease renewer takes it when the database is back; no claim comes earlier

    def _on_shutdown(self, sender: Any, **kwargs: Any) -> None:
        if sender.app is not self._runtime.app:
            return
        for thread in reversed(self._threads):
            thread.stop()


def _require_schema(runtime: Runtime) -> None:
    """Refuse to start on a database of another schema, where every claim would fail."""
    try:
        schema.check(runtime.process.stores.database)
    except CeleriacError as error:
        raise SystemExit(f"celeriac: {error}") from None
