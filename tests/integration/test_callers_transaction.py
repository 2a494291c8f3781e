"""Starts in a transaction of the caller's, of every kind: they commit and roll back with the caller's own work."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from celeriac import Client, ConfigurationError, IdempotencyKeyReused, InputInvalid, step, workflow
from celeriac.workflows.authoring.catalog import Catalog
from tests.support.store import Store
from tests.support.transactions import CREATE, KINDS, CallersSide, with_driver
from tests.support.waiting import wait_until


@step
def double(number: int) -> int:
    return 2 * number


@workflow
def doubling(number: int) -> int:
    return double(number)


@pytest.fixture
def client(settings, store) -> Iterator[Client]:
    with Client(settings, catalog=Catalog.of(doubling)) as client:
        yield client


@pytest.fixture(params=list(KINDS))
def caller(request, store: Store, database_url: str) -> Iterator[CallersSide]:
    store.execute(CREATE)
    with KINDS[request.param](database_url) as caller:
        yield caller


def orders(store: Store) -> int:
    return store.row("SELECT count(*) AS n FROM orders").n


def test_a_run_exists_and_is_dispatched_once_the_caller_commits(client, store, broker, caller):
    def nothing_is_seen_yet() -> None:
        assert client.list() == []
        assert broker.queues() == {}

    run_id = caller.start(client, doubling, 4, inside=nothing_is_seen_yet)
    assert client.get(run_id).history()[0].data == {"number": 4}
    assert orders(store) == 1
    wait_until(lambda: broker.ids() == [f"{run_id}.double"], 5, "the run is dispatched, though no reconciler runs")


def test_a_run_does_not_exist_if_the_caller_rolls_back(client, store, broker, caller):
    caller.start(client, doubling, 4, commit=False)
    committed = caller.start(client, doubling, 5)
    wait_until(lambda: broker.ids(), 5, "the committed run is dispatched")
    assert [view.id for view in client.list()] == [committed]
    assert broker.ids() == [f"{committed}.double"]
    assert orders(store) == 1


def test_a_key_holds_inside_and_outside_of_transactions(client, broker, caller):
    keyed = doubling.options(idempotency_key="order-1", tags={"tenant": "acme"})
    first = caller.start(client, keyed, 4)
    assert caller.start(client, keyed, 4) == client.start(keyed, 4).id == first
    with pytest.raises(IdempotencyKeyReused):
        caller.start(client, keyed, 5)
    assert client.get(first).view().tags == {"tenant": "acme"}
    wait_until(lambda: broker.ids() == [f"{first}.double"], 5)


def test_input_that_does_not_fit_leaves_the_callers_transaction_usable(client, store, broker, caller):
    def try_nonsense() -> None:
        with pytest.raises(InputInvalid):
            client.start(doubling, "many")

    run_id = caller.start(client, doubling, 4, inside=try_nonsense)
    wait_until(lambda: broker.ids() == [f"{run_id}.double"], 5)
    assert orders(store) == 1


def test_a_start_in_a_savepoint_that_is_rolled_back_leaves_nothing(client, store, broker, database_url):
    engine = sa.create_engine(with_driver(database_url, "psycopg"))
    with Session(engine) as session:
        kept = client.within(session).start(doubling, 1)
        savepoint = session.begin_nested()
        client.within(session).start(doubling, 2)
        savepoint.rollback()
        session.commit()
    engine.dispose()
    wait_until(lambda: broker.ids(), 5)
    assert [view.id for view in client.list()] == [kept.id]
    assert broker.ids() == [f"{kept.id}.double"]


def test_a_session_that_starts_runs_in_transaction_after_transaction_dispatches_each(client, broker, database_url):
    engine = sa.create_engine(with_driver(database_url, "psycopg"))
    with engine.connect() as connection:
        runs = []
        for number in range(3):
            runs.append(client.within(connection).start(doubling, number).id)
            connection.commit()
            wait_until(lambda: len(broker.ids()) == len(runs), 5)
    engine.dispose()
    assert broker.ids() == [f"{run_id}.double" for run_id in runs]


def test_a_run_that_was_rolled_back_with_its_savepoint_delays_no_other(client, broker, database_url):
    engine = sa.create_engine(with_driver(database_url, "psycopg"))
    with Session(engine) as session:
        savepoint = session.begin_nested()
        client.within(session).start(doubling, 1)
        savepoint.rollback()
        session.commit()
        run = client.within(session).start(doubling, 2)
        session.commit()
    engine.dispose()
    wait_until(lambda: broker.ids() == [f"{run.id}.double"], 2, "the thread still looks for the first")


def test_a_client_that_is_closed_right_after_the_commit_dispatches_first(settings, store, broker, database_url):
    engine = sa.create_engine(with_driver(database_url, "psycopg"))
    with Client(settings) as client, engine.begin() as connection:
        run = client.within(connection).start(doubling, 2)
    engine.dispose()
    assert broker.ids() == [f"{run.id}.double"]


def test_a_start_by_name_belongs_to_the_transaction_as_well(client, broker, database_url):
    engine = sa.create_engine(with_driver(database_url, "psycopg"))
    with engine.begin() as connection:
        run = client.within(connection).start_by_name("doubling", 4, tags={"kind": "json"})
        assert client.list() == []
    engine.dispose()
    assert run.view().tags == {"kind": "json"}
    wait_until(lambda: broker.ids() == [f"{run.id}.double"], 5)


@pytest.mark.parametrize("given", [object(), "postgresql://…", None])
def test_anything_else_is_refused_with_what_is_taken(client, given):
    with pytest.raises(ConfigurationError, match="It takes a SQLAlchemy Connection, Session"):
        client.within(given).start(doubling, 1)


def test_a_transaction_of_another_database_is_refused(client):
    with (
        sa.create_engine("sqlite://").connect() as connection,
        pytest.raises(ConfigurationError, match="got a connection to sqlite"),
    ):
        client.within(connection).start(doubling, 1)
