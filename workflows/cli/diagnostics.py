"""Gather the facts for `celeriac doctor`, from disk, database and broker."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib.machinery import PathFinder
from importlib.resources import files
from pathlib import Path

from celery import Celery
from sqlalchemy import text

from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.cli import broker, checks
from celeriac.workflows.cli.checks import Check, CheckStatus
from celeriac.workflows.engine.views import LiveWorker, Waiting
from celeriac.workflows.errors import CeleriacError
from celeriac.workflows.history import schema
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.leases import LeaseStore
from celeriac.workflows.history.reconciliation import ReconcilerStore
from celeriac.workflows.history.unserved import waiting
from celeriac.workflows.settings import Settings


def examine(read_settings: Callable[[], Settings]) -> list[Check]:
    """Make all checks and return them.

    Takes about two seconds, because workers get time to answer.
    """
    package = checks.check_package(_here(), found_package([str(Path.cwd()), *sys.path]))
    try:
        settings = read_settings()
    except CeleriacError as problem:
        return [checks.error("settings", str(problem)), package]
    return [checks.ok("settings", "can be read"), package, *_with_settings(settings)]


def _here() -> Path:
    return Path(str(files("celeriac"))).resolve() / "__init__.py"


def found_package(path: Sequence[str]) -> Path | None:
    """Return the file that ``import celeriac`` finds on a search path, or None."""
    spec = PathFinder.find_spec("celeriac", path)
    return Path(spec.origin).resolve() if spec is not None and spec.origin else None


def _with_settings(settings: Settings) -> Iterator[Check]:
    imports, catalog = _imports(settings)
    yield imports
    with ExitStack() as opened:
        reachable, database = _database(settings)
        yield reachable
        migrated = _schema(database)
        yield migrated
        living: Sequence[LiveWorker] = ()
        ready: Sequence[Waiting] = ()
        waited = checks.skipped("waiting", "the schema")
        if database is not None:
            opened.callback(database.close)
            if migrated.status is CheckStatus.OK:
                leases = LeaseStore(database)
                living = leases.live_workers()
                ready = waiting(database, ReconcilerStore(database).ready_groups())
                waited = checks.check_waiting(leases.oldest_ready())
        reached, app = _broker(settings)
        yield reached
        if app is None:
            yield from (checks.skipped(name, "the broker") for name in ("workers", "queues"))
        else:
            opened.callback(app.close)
            yield from _fleet(broker.consumers(app), living, checks.queues_needed(catalog, settings.queue, ready))
        if living:
            yield checks.check_code(ready, [worker.scope for worker in living])
        else:
            yield checks.skipped("code", "a worker")
        yield waited


def _fleet(
    consumers: Mapping[str, Collection[str]], living: Sequence[LiveWorker], needed: Mapping[str, Collection[str]]
) -> Iterator[Check]:
    yield checks.check_workers(consumers, [worker.name for worker in living])
    # Leases name the queues as well, because a solo pool cannot answer during a step.
    consumed = set[str]().union(*consumers.values(), *(worker.scope.queues for worker in living))
    if consumed:
        yield checks.check_queues(needed, consumed)
    else:
        yield checks.skipped("queues", "a worker")


def _imports(settings: Settings) -> tuple[Check, Catalog]:
    try:
        catalog = Catalog.load(settings.imports)
    except CeleriacError as problem:
        return checks.error("imports", str(problem)), Catalog.of()
    return checks.check_imports(catalog, settings.imports), catalog


def _database(settings: Settings) -> tuple[Check, Database | None]:
    try:
        database = Database.of(settings, pool_size=1)
        with database.autocommit() as connection:
            version = connection.execute(text("SELECT current_setting('server_version')")).scalar_one()
    except CeleriacError as problem:
        return checks.error("database", str(problem)), None
    return checks.ok("database", f"Postgres {version} at {database.address}"), database


def _schema(database: Database | None) -> Check:
    if database is None:
        return checks.skipped("schema", "the database")
    try:
        schema.check(database)
    except CeleriacError as problem:
        return checks.error("schema", str(problem))
    return checks.ok("schema", f"at {schema.head_revision()}, as this version needs it")


def _broker(settings: Settings) -> tuple[Check, Celery | None]:
    try:
        app = broker.app_for(settings.require_broker_url())
        return checks.ok("broker", f"answers at {broker.reach(app)}"), app
    except CeleriacError as problem:
        return checks.error("broker", str(problem)), None
