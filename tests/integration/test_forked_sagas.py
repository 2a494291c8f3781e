"""Forks of sagas: a result that was compensated, or may yet be, is never reused."""

from collections.abc import Iterator

import pytest

from celeriac import Client, InvalidRunState, step, workflow
from celeriac.workflows.authoring.catalog import Catalog
from tests.support.store import Store


@step
def refund(order: str, result: str) -> None:
    del order, result


@step(compensate=refund)
def charge(order: str) -> str:
    return order


@step
def check(order: str) -> str:
    return order


@step
def ship(payment: str, checked: str) -> str:
    return payment + checked


@workflow(saga=True)
def ordering(order: str) -> str:
    return ship(charge(order), check(order))


@pytest.fixture
def client(store: Store, settings) -> Iterator[Client]:
    with Client(settings, catalog=Catalog.of(ordering)) as client:
        yield client


@pytest.fixture
def failed(client: Client, store: Store):
    """A run whose shipping failed, so that its payment is to be refunded."""
    run = client.start(ordering, "a")
    store.complete(store.take(run.id, "charge"), '"paid"')
    store.complete(store.take(run.id, "check"), '"checked"')
    store.fail(store.take(run.id, "ship"))
    return run


def test_a_fork_of_a_compensated_saga_charges_again_before_it_ships(client, store, failed):
    store.transitions.compensate(failed.id, ordering.graph)
    store.do(failed.id, "charge.compensate")
    store.transitions.compensate(failed.id, ordering.graph)
    assert failed.status == "failed"
    fork = failed.fork("ship")
    assert store.statuses(fork.id) == {"charge": "ready", "check": "completed", "ship": "pending"}


def test_a_saga_whose_compensation_failed_keeps_the_rest_from_being_reused(client, store, failed):
    store.transitions.compensate(failed.id, ordering.graph)
    store.fail(store.take(failed.id, "charge.compensate"))
    assert failed.status == "compensation_failed"
    assert store.statuses(failed.fork("ship").id)["charge"] == "ready"


def test_a_saga_that_may_yet_compensate_cannot_be_forked(client, store, failed):
    open_run = client.start(ordering, "b")
    for run in (failed, open_run):
        with pytest.raises(InvalidRunState, match="may yet be compensated; it cannot be forked"):
            run.fork("ship")
    assert len(client.list()) == 2


def test_a_saga_that_completed_or_was_terminated_keeps_its_results_for_a_fork(client, store):
    completed, terminated = client.start(ordering, "a"), client.start(ordering, "b")
    for run in (completed, terminated):
        store.do(run.id, "charge", "check")
    store.do(completed.id, "ship")
    terminated.terminate()
    for run in (completed, terminated):
        assert store.statuses(run.fork("ship").id) == {"charge": "completed", "check": "completed", "ship": "ready"}
