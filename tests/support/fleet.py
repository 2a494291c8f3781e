"""Fixtures that tests with real workers share."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from celeriac import Client
from celeriac.workflows.settings import Settings
from tests.support.effects import VARIABLE, Effects
from tests.support.outcomes import execute
from tests.support.processes import WorkerProcess

FLOWS = ("tests.support.flows_chaos", "tests.support.flows_steer")
SAGAS = ("tests.support.flows_sagas",)


@pytest.fixture
def effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Effects:
    """Where the steps of this test leave their marks."""
    file = tmp_path / "effects"
    monkeypatch.setenv(VARIABLE, str(file))
    return Effects(file)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that steps wait for; ``gate.touch()`` lets them go on."""
    return tmp_path / "gate"


@pytest.fixture
def start_worker(start_worker: Callable[..., WorkerProcess]) -> Callable[..., WorkerProcess]:
    """As everywhere, but without the second that a worker takes to look for neighbours at its start."""

    def start(settings: Settings, *, arguments: Sequence[str] = (), **options: Any) -> WorkerProcess:
        return start_worker(settings, arguments=["--without-mingle", *arguments], **options)

    return start


@pytest.fixture
def make_client() -> Iterator[Callable[[Settings], Client]]:
    """``make_client(settings)``: a client with the table that transactional steps write to."""
    with ExitStack() as stack:

        def make(settings: Settings) -> Client:
            client = stack.enter_context(Client(settings))
            execute(client, "CREATE TABLE IF NOT EXISTS effects (key text NOT NULL, attempt integer NOT NULL)")
            return client

        yield make


@pytest.fixture
def flows(settings: Settings, effects: Effects) -> Settings:
    """Settings for the workflows of ``FLOWS`` on the shared servers."""
    return settings.model_copy(update={"imports": FLOWS})


@pytest.fixture
def short_lease_flows(settings: Settings, effects: Effects) -> Settings:
    """The same, with a lease that is short enough to wait for often."""
    return settings.model_copy(update={"imports": FLOWS, "lease_seconds": 2.0})


@pytest.fixture
def saga_flows(settings: Settings, effects: Effects) -> Settings:
    """Settings for the workflows of ``SAGAS`` on the shared servers."""
    return settings.model_copy(update={"imports": SAGAS})


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of this test try a step once, unless it has a policy of its own."""
    monkeypatch.setenv("CELERIAC_RETRY_MAX_ATTEMPTS", "1")


@pytest.fixture
def client(flows: Settings, make_client: Callable[[Settings], Client]) -> Client:
    return make_client(flows)
