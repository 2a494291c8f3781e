"""docs/deploying.md: its commands are run, its units, Compose file and functions are used, its numbers are counted."""

import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from celeriac import Client, Settings
from celeriac.workflows.history.database import Database
from tests.support.flows_chaos import holding, line
from tests.support.outcomes import assert_all_completed_once
from tests.support.processes import ROOT, BackgroundProcess, environment
from tests.support.readme import Reader
from tests.support.waiting import wait_until

PAGE = (ROOT / "docs" / "deploying.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def reader(
    start_process: Callable[..., BackgroundProcess], empty_database_url: str, broker_url: str
) -> Iterator[Reader]:
    servers = {"CELERIAC_DATABASE_URL": empty_database_url, "CELERIAC_BROKER_URL": broker_url}
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(Path(folder), environment=environment(), servers=servers, start_process=start_process)
        yield reader
        reader.close()


def test_everything_on_the_page_works(reader: Reader):
    reader.follow(PAGE)
    urls = {name: reader.environment[f"CELERIAC_{name.upper()}"] for name in ("database_url", "broker_url")}
    with Client(Settings(**urls)) as client:
        old, new = (client.get(reader.environment[name]) for name in ("old", "new"))
        assert (old.result(20), old.view().version) == ("shoes packed, sent", "1")
        assert (new.result(20), new.view().version) == ("shoes packed, weighed, sent", "2")
        (hats,) = [view for view in client.list(workflow="parcel") if view.id not in (old.id, new.id)]
        assert hats.version == "2"
        assert client.audit() == []


def test_autogenerate_leaves_our_tables_alone(database_url: str):
    names: dict[str, Any] = {}
    (code,) = [block for block in blocks("python") if "def include_name" in block]
    exec(code, names)
    engine = sa.create_engine(sa.make_url(database_url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        without = MigrationContext.configure(connection)
        hidden = MigrationContext.configure(connection, opts={"include_name": names["include_name"]})
        assert compare_metadata(without, sa.MetaData()), "it would drop our tables"
        assert compare_metadata(hidden, sa.MetaData()) == []
    engine.dispose()


def test_the_compose_file_follows_the_specification(tmp_path: Path):
    (text,) = blocks("yaml")
    (tmp_path / "compose.yaml").write_text(text)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            tmp_path / "compose.yaml",
        ],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path):
    (unit,) = blocks("ini")
    file = tmp_path / "celeriac-worker@.service"
    file.write_text(unit.replace("/srv/shop/venv/bin", str(Path(sys.executable).parent)).replace("=/srv/shop", "=/tmp"))
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_the_units_worker_finishes_its_steps_when_systemd_stops_it(
    client: Client, flows: Settings, gate: Path, start_process, start_worker
):
    (unit,) = blocks("ini")
    assert "KillMode=mixed" in unit  # TERM for the first process only, as `stop` below sends it
    command = re.search(r"^ExecStart=(.*?[^\\])$", unit, re.MULTILINE | re.DOTALL)[1]
    words = shlex.split(command.replace("\\\n", "").replace("%i", "unit").replace("%%", "%"))
    program = str(Path(sys.executable).parent / Path(words[0]).name)
    worker = start_process([program, *words[1:]], name="unit", settings=flows)
    worker.wait_for_output(r"\bready\.")

    running = client.start(holding, str(gate))
    wait_until(lambda: running.steps()[0].status == "running", 20)
    worker.send(signal.SIGTERM)
    others = [client.start(line, number, 0.0) for number in range(10)]
    start_worker(flows)
    assert [run.wait(30) for run in others] == ["completed"] * 10
    assert worker.running
    gate.touch()
    assert worker.wait() == 0
    assert running.wait(20) == "completed"
    assert [step.attempt for step in running.steps()] == [1]
    assert running.steps()[0].worker.startswith("unit@")
    assert_all_completed_once(client)


@pytest.mark.parametrize(("pool", "at_most"), [("prefork", 3 * 4 + 4), ("threads", 2 * 4 + 13)])
def test_a_worker_opens_no_more_connections_than_the_page_says(
    client: Client, flows: Settings, start_worker, pool: str, at_most: int
):
    assert f"| worker, {pool}, N" in PAGE
    start_worker(flows, pool=pool, concurrency=4)
    query = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'celeriac' AND pid <> ALL (%s)"
    )
    with psycopg.connect(flows.require_database_url(), autocommit=True) as connection:
        runs = [client.start(line, number, 0.01) for number in range(50)]
        with client.services.stores.database.autocommit() as own:
            pids = [own.scalar(sa.text("SELECT pg_backend_pid()"))]
        counts = []
        while not all(run.status.is_terminal for run in runs):
            counts.append(connection.execute(query, [pids]).fetchone()[0])
    assert 4 < max(counts) <= at_most


def test_a_client_opens_no_more_connections_than_the_page_says(database_url: str):
    pool = Database(database_url).engine.pool
    assert (pool.size(), pool.size() + pool._max_overflow) == (5, 15)


def test_no_statement_is_prepared_if_the_settings_say_so(database_url: str):
    for prepares, expected in ((True, 1), (False, 0)):
        database = Database(database_url, prepare_statements=prepares)
        with database.connect_directly() as direct, database.autocommit() as pooled:
            for _ in range(5):
                direct.execute("SELECT 7")
                pooled.execute(sa.text("SELECT 7"))
            count = "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT 7'"
            assert direct.execute(count).fetchone()[0] == expected
            assert pooled.execute(sa.text(count)).scalar() == expected
        database.close()
