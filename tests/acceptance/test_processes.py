"""The tools that the other tests lean on: a worker under test can be killed, frozen and looked at."""

from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from celeriac.workflows.settings import Settings
from tests.support.leftovers import MARK, marked_processes
from tests.support.processes import BackgroundProcess, WorkerProcess
from tests.support.servers import PrivateServers, redis_client
from tests.support.waiting import wait_until

APP = """
import os
from celery import Celery
app = Celery("plain", broker=os.environ["CELERIAC_BROKER_URL"])
"""


@pytest.fixture
def start_plain_worker(
    start_worker: Callable[..., WorkerProcess], settings: Settings, tmp_path: Path
) -> Callable[..., WorkerProcess]:
    (tmp_path / "plain.py").write_text(APP)
    return lambda **options: start_worker(settings, app="plain", cwd=tmp_path, **options)


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_worker_is_ready_and_stops_in_order(start_plain_worker: Callable[..., WorkerProcess], pool: str):
    worker = start_plain_worker(pool=pool)
    assert worker.running
    assert worker.stop() == 0


def test_killing_a_worker_kills_its_children(start_plain_worker: Callable[..., WorkerProcess]):
    worker = start_plain_worker(concurrency=2)
    children = worker.children()
    assert len(children) == 2
    worker.kill()
    assert not worker.running
    wait_until(lambda: not [child for child in children if child.is_running()], 5, "the children are gone")


def test_a_frozen_worker_is_silent_and_then_goes_on(start_plain_worker: Callable[..., WorkerProcess]):
    worker = start_plain_worker(concurrency=1)
    processes = [psutil.Process(worker.pid), *worker.children()]
    worker.suspend()
    wait_until(lambda: {process.status() for process in processes} == {psutil.STATUS_STOPPED}, 5, "all are stopped")
    worker.resume()
    wait_until(lambda: psutil.STATUS_STOPPED not in {process.status() for process in processes}, 5, "all go on")
    assert worker.stop() == 0


def test_a_worker_that_cannot_start_is_reported_with_its_output(start_plain_worker: Callable[..., WorkerProcess]):
    with pytest.raises(AssertionError, match=r"(?s)ended before it wrote.*No such option"):
        start_plain_worker(arguments=["--no-such-option"])


def test_processes_of_this_session_are_found(start_process: Callable[..., BackgroundProcess], monkeypatch):
    monkeypatch.setenv(MARK, "a session of its own")
    process = start_process(["sleep", "60"], name="sleeper")
    wait_until(lambda: marked_processes("a session of its own") == [f"{process.pid}: sleep 60"])
    process.kill()
    assert marked_processes("a session of its own") == []


def test_private_servers_can_be_broken(private_servers: PrivateServers):
    with redis_client(private_servers.broker_url) as broker:
        broker.set("lost", "1")
        private_servers.restart_redis()
        assert broker.get("lost") is None
        broker.set("lost", "1")
        private_servers.flush_redis()
        assert broker.get("lost") is None
    private_servers.restart_postgres()
    with psycopg.connect(private_servers.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM workflow_runs").fetchone() == (0,)


def test_databases_of_two_tests_do_not_meet(databases, database_url: str):
    with databases.clone() as other, psycopg.connect(other) as connection:
        connection.execute("CREATE TABLE only_here ()")
        connection.commit()
        with psycopg.connect(database_url) as mine:
            assert mine.execute("SELECT to_regclass('only_here')").fetchone() == (None,)
