from collections.abc import Iterator

import pytest

from tests.support.broker import Broker
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
