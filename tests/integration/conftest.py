"""Fixtures of the tests on a real Postgres and Redis."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from celeriac.workflows.dispatch import wakeups
from celeriac.workflows.dispatch.publisher import publishing_app
from celeriac.workflows.settings import Settings
from tests.support.broker import Broker
from tests.support.proxy import PostgresProxy, postgres_proxy
from tests.support.reconciling import Fleet
from tests.support.refusing import RefusingServer, refusing_server
from tests.support.store import Store


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """The stores of a database; at the end of the test the audit must be clean."""
    store = Store(database_url)
    yield store
    wrong = [] if store.is_damaged else store.audit()
    store.close()
    assert wrong == []


@pytest.fixture
def broker(broker_url: str) -> Iterator[Broker]:
    """The queues of the broker, which are empty at first."""
    broker = Broker(broker_url)
    yield broker
    broker.close()


@pytest.fixture
def fleet(store: Store, broker: Broker, settings: Settings) -> Iterator[Fleet]:
    """A reconciler beside the store and the broker; without workers."""
    with closing(publishing_app(settings)) as app:
        yield Fleet(store, broker, app, settings)


@pytest.fixture
def proxy(database_url: str) -> Iterator[PostgresProxy]:
    """A way to the database that loses what the test wants lost."""
    with postgres_proxy(database_url) as proxy:
        yield proxy


@pytest.fixture
def refusing() -> Iterator[RefusingServer]:
    """A broker that answers nobody, and counts those who ask."""
    with refusing_server() as server:
        yield server


@pytest.fixture
def only_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiters that listen do not poll: they wait until they are woken."""
    monkeypatch.setattr(wakeups, "FIRST_PAUSE_LISTENING_SECONDS", 20.0)
