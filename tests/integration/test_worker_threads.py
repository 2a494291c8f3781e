"""What a worker's parent process does beside its pool: reconciling, keeping leases, and letting children be forked."""

import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace

import pytest
from celery import Celery, signals

from celeriac.worker import lease_renewal, reconciler_thread
from celeriac.worker import runtime as runtimes
from celeriac.worker.installation import install
from celeriac.worker.lease_renewal import LeaseRenewer
from celeriac.worker.reconciler_thread import LEADER_LEASE, ReconcilerThread
from celeriac.worker.runtime import Runtime
from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.errors import DatabaseUnavailable
from celeriac.workflows.history.leases import LeaseStore, lease_name
from celeriac.workflows.settings import Settings
from tests.support.graphs import chain_of
from tests.support.store import ALIVE, DEAD, Store
from tests.support.waiting import wait_until

OLD = "UPDATE workflow_leases SET expires_at = now() - interval '2 hours' WHERE name = :name"


@pytest.fixture
def app(broker_url: str) -> Iterator[Celery]:
    with Celery("tested", broker=broker_url, set_as_current=False) as app:
        yield app


@pytest.fixture
def quick(settings: Settings) -> Settings:
    """Settings of a worker that reconciles all the time; Postgres has been up for longer than a lease of theirs."""
    return settings.model_copy(update={"reconcile_seconds": 0.01, "lease_seconds": 0.5})


@pytest.fixture
def runtime(app: Celery, quick: Settings) -> Iterator[Runtime]:
    runtime = Runtime(app, quick, Catalog.of())
    yield runtime
    runtime.process.stores.attempts.close()
    runtime.process.stores.database.close()


@pytest.fixture
def thread(runtime: Runtime) -> Iterator[ReconcilerThread]:
    thread = ReconcilerThread(runtime)
    yield thread
    thread.stop()


def leases(store: Store) -> list[str]:
    with store.database.autocommit() as connection:
        return list(connection.exec_driver_sql("SELECT name FROM workflow_leases ORDER BY name").scalars())


# --- the reconciler's thread


def test_leases_that_expired_long_ago_are_dropped_every_so_many_passes(store, thread, monkeypatch):
    monkeypatch.setattr(reconciler_thread, "_DROP_LEASES_EVERY", 3)
    store.leases.renew([DEAD], worker="gone", lease=timedelta(0))
    store.execute(OLD, name=DEAD)
    thread.start()
    wait_until(lambda: DEAD not in leases(store), 20, "the old lease is dropped")
    assert ALIVE in leases(store)


def test_the_reconciler_reconciles_while_it_holds_the_leader_lease_and_only_then(store, thread, monkeypatch):
    refused: list[str] = []
    acquire = LeaseStore.acquire_leader_lease

    def note_refusals(self, name: str, **options) -> bool:
        acquired = acquire(self, name, **options)
        if not acquired:
            refused.append(name)
        return acquired

    monkeypatch.setattr(LeaseStore, "acquire_leader_lease", note_refusals)
    store.leases.acquire_leader_lease(LEADER_LEASE, worker="other", lease=timedelta(minutes=1))
    run_id = store.start(chain_of(1))
    store.take(run_id, "s0", lease=DEAD)
    thread.start()
    wait_until(lambda: len(refused) >= 3, 20, "another worker leads")
    assert store.statuses(run_id) == {"s0": "running"}
    store.leases.expire([LEADER_LEASE])
    wait_until(lambda: store.statuses(run_id) == {"s0": "ready"}, 20, "the lost attempt is ended")


@pytest.mark.parametrize("error", [DatabaseUnavailable(address="here", reason="away"), ZeroDivisionError("a mistake")])
def test_the_reconciler_goes_on_after_an_error(store, runtime, thread, monkeypatch, error):
    """Without its thread, lost work stays lost until another worker notices."""
    errors = [error, error]
    reconciliation = type(runtime.process.stores.reconciliation)
    real = reconciliation.lose_attempts

    def fail_twice(self, **options):
        if errors:
            raise errors.pop()
        return real(self, **options)

    monkeypatch.setattr(reconciliation, "lose_attempts", fail_twice)
    run_id = store.start(chain_of(1))
    store.take(run_id, "s0", lease=DEAD)
    thread.start()
    wait_until(lambda: store.statuses(run_id) == {"s0": "ready"}, 20, "the lost attempt is ended")


# --- the leases


class Pool:
    """A consumer with a prefork pool of which the test says which children live."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.children: list[int] = []
        self.event_dispatcher = SimpleNamespace(enabled=True)
        self.pool = self
        monkeypatch.setattr(lease_renewal.prefork, "TaskPool", Pool)

    @property
    def info(self) -> dict[str, list[int]]:
        return {"processes": self.children}


def test_the_leases_of_the_children_that_live_are_renewed_and_those_of_ended_ones_given_up(store, runtime, monkeypatch):
    runtime.settings = runtime.settings.model_copy(update={"lease_seconds": 60.0})
    worker, consumer = runtime.hostname, Pool(monkeypatch)
    renewer = LeaseRenewer(runtime, consumer)
    consumer.children = [11, 12]
    renewer.run_once()
    assert {found.name: found.processes for found in store.leases.live_workers()}[worker] == 2
    consumer.children = [12, 13]
    renewer.run_once()
    left = [name for name in leases(store) if worker in name]
    assert [name.split(":")[2] for name in left] == ["11", "12", "13"]
    assert {found.name: found.processes for found in store.leases.live_workers()}[worker] == 2
    renewer.start()
    renewer.stop()
    assert worker not in {found.name for found in store.leases.live_workers()}


def test_a_child_whose_step_takes_too_long_is_killed_and_the_worker_itself_never(store, runtime, monkeypatch):
    """Pools without children run steps in the worker's own process, which serves others as well."""
    runtime.settings = runtime.settings.model_copy(update={"lease_seconds": 60.0})
    killed: list[int] = []
    monkeypatch.setattr(lease_renewal.os, "kill", lambda pid, _number: killed.append(pid))
    consumer = Pool(monkeypatch)
    consumer.children = [11, 12, os.getpid()]
    renewer = LeaseRenewer(runtime, consumer)
    renewer.run_once()
    for pid in (12, os.getpid()):
        run_id = store.start(chain_of(1))
        store.take(run_id, "s0", lease=lease_name(runtime.hostname, pid, runtime.token))
        store.execute("UPDATE workflow_tasks SET timeout_at = now() - interval '1 minute' WHERE status = 'running'")
    renewer.run_once()
    assert killed == [12]
    statuses = "SELECT array_agg(DISTINCT status) AS all FROM workflow_tasks"
    assert store.row(statuses).all == ["retrying"]


# --- children


def test_a_child_does_not_wait_for_a_lock_that_its_parent_held_when_it_was_forked(store, app, quick, monkeypatch):
    runtime = install(app, quick, Catalog.of())
    runtime.hostname = "forking@here"
    made: list[runtimes.Process] = []
    holds_the_lock, release = threading.Event(), threading.Event()
    make = runtimes.Process

    def make_slowly_at_first(of: Runtime) -> runtimes.Process:
        if not holds_the_lock.is_set():
            holds_the_lock.set()
            release.wait(60)
        made.append(make(of))
        return made[-1]

    monkeypatch.setattr(runtimes, "Process", make_slowly_at_first)
    parent = threading.Thread(target=lambda: runtime.process, daemon=True)
    parent.start()
    assert holds_the_lock.wait(10)
    child = threading.Thread(target=lambda: signals.worker_process_init.send(sender="forking@here"), daemon=True)
    child.start()
    child.join(10)
    assert not child.is_alive()
    assert "forking@here" in {worker.name for worker in store.leases.live_workers()}
    release.set()
    parent.join(10)
    for process in made:
        process.stores.database.close()
