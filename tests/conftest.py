"""Fixtures: servers, databases and worker processes. See tests/support for what they are made of."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac.workflows.settings import Settings
from tests.support.leftovers import mark_session, marked_processes
from tests.support.processes import BackgroundProcess, WorkerProcess, environment
from tests.support.servers import (
    Databases,
    PrivateServers,
    SharedServers,
    redis_client,
    shared_servers,
)
from tests.support.servers import (
    private_servers as run_private_servers,
)
from tests.support.waiting import wait_until

PROCESSES = pytest.StashKey[list[BackgroundProcess]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The folder that a test lies in is its marker."""
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in {"unit", "integration", "acceptance", "chaos"}:
            item.add_marker(folder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the logs of a failed test's processes."""
    report = yield
    if report.failed:
        for process in item.stash.get(PROCESSES, []):
            report.sections.append((f"log of {process.name}", process.output[-20_000:]))
    return report


@pytest.fixture(scope="session", autouse=True)
def no_process_left() -> Iterator[None]:
    """Fail the session when a process that a test started outlives it."""
    mark = mark_session()
    yield
    wait_until(lambda: not marked_processes(mark), 5, f"processes left: {marked_processes(mark)}")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on what the developer has configured."""
    for name in os.environ:
        if name.startswith("CELERIAC_") and not name.startswith("CELERIAC_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def servers(no_process_left: None) -> Iterator[SharedServers]:
    with shared_servers() as servers:
        yield servers


@pytest.fixture(scope="session")
def databases(servers: SharedServers) -> Iterator[Databases]:
    databases = Databases(servers.database_url)
    yield databases
    databases.close()


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """A migrated database of the test's own."""
    with databases.clone() as url:
        yield url


@pytest.fixture
def empty_database_url(databases: Databases) -> Iterator[str]:
    """A database without a schema."""
    with databases.empty() as url:
        yield url


@pytest.fixture
def broker_url(servers: SharedServers) -> str:
    """A broker that holds nothing."""
    with redis_client(servers.broker_url) as client:
        client.flushdb()
    return servers.broker_url


@pytest.fixture
def settings(database_url: str, broker_url: str) -> Settings:
    return Settings(database_url=database_url, broker_url=broker_url)


@pytest.fixture
def private_servers(no_process_left: None) -> Iterator[PrivateServers]:
    """Postgres and Redis of the test's own, to stop, kill and flush; migrated."""
    with run_private_servers() as servers:
        yield servers


@pytest.fixture
def track_process(request: pytest.FixtureRequest) -> Iterator[Callable[[BackgroundProcess], BackgroundProcess]]:
    """Have a process killed when the test is over, and its log shown if the test failed."""
    processes = request.node.stash.setdefault(PROCESSES, [])

    def track(process: BackgroundProcess) -> BackgroundProcess:
        processes.append(process)
        return process

    yield track
    for process in processes:
        process.kill()


@pytest.fixture
def start_process(track_process: Callable[..., Any], tmp_path: Path) -> Callable[..., BackgroundProcess]:
    """``start_process(command, name="beat", settings=settings, env={…}, cwd=…)``."""

    def start(
        command: list[str],
        *,
        name: str,
        settings: Settings | None = None,
        env: dict[str, str] | None = None,
        **more: Any,
    ) -> BackgroundProcess:
        log = tmp_path / f"{name}.log"
        return track_process(BackgroundProcess(command, log=log, env=environment(settings, env), **more))

    return start


@pytest.fixture
def start_worker(
    track_process: Callable[..., Any], tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[..., WorkerProcess]:
    """``start_worker(settings, pool="threads", …)``: a worker that is ready; see WorkerProcess for what it takes."""

    def start(settings: Settings, *, name: str | None = None, wait: bool = True, **options: Any) -> WorkerProcess:
        name = name or f"worker-{len(request.node.stash[PROCESSES]) + 1}"
        worker: WorkerProcess = track_process(WorkerProcess(settings, log=tmp_path / f"{name}.log", **options))
        if wait:
            worker.wait_ready()
        return worker

    return start
