"""Fixtures of the chaos tests."""

from collections.abc import Callable

import pytest

from celeriac import Client
from celeriac.workflows.settings import Settings
from tests.support.effects import Effects
from tests.support.fleet import (
    FLOWS,
    SAGAS,
    client,
    effects,
    flows,
    gate,
    make_client,
    once,
    saga_flows,
    short_lease_flows,
    start_worker,
)
from tests.support.servers import PrivateServers

__all__ = [
    "client",
    "effects",
    "flows",
    "gate",
    "make_client",
    "once",
    "saga_flows",
    "short_lease_flows",
    "start_worker",
]


@pytest.fixture
def breakable(private_servers: PrivateServers, effects: Effects) -> Settings:
    """Settings for the same workflows on servers of the test's own."""
    return private_servers.settings.model_copy(update={"imports": FLOWS})


@pytest.fixture
def breakable_sagas(breakable: Settings) -> Settings:
    """The same for sagas."""
    return breakable.model_copy(update={"imports": SAGAS})


@pytest.fixture
def breakable_client(breakable: Settings, make_client: Callable[[Settings], Client]) -> Client:
    return make_client(breakable)
