"""Migrating, auditing, reconciling, and the doctor."""

import json
import sys
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from celeriac import Client
from celeriac.workflows.engine.views import WorkerScope
from celeriac.workflows.settings import Settings
from tests.support.commands import Celeriac, CeleriacInside
from tests.support.servers import redis_client
from tests.support.waiting import wait_until

FLOWS = "tests.support.cli_flows"


@pytest.fixture
def celeriac(settings: Settings) -> CeleriacInside:
    return CeleriacInside(settings.model_copy(update={"imports": (FLOWS,)}))


def findings(celeriac: Celeriac | CeleriacInside, *options: str) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(celeriac("doctor", "--json", *options).out)["checks"]}


def test_migrating_tells_from_where_to_where_and_twice_does_no_harm(empty_database_url: str):
    celeriac = CeleriacInside(Settings(database_url=empty_database_url))
    assert celeriac("migrate").out.startswith("Migrated the database from schema none to ")
    again = celeriac("migrate")
    assert (again.exit_code, again.out.endswith(" already.\n")) == (0, True)


def test_an_audit_tells_a_clean_history_from_one_that_differs(celeriac: CeleriacInside, database_url: str):
    run = celeriac("start", "arithmetic", "--input", "1").out.strip()
    assert celeriac("audit").out == "Audited 1 run: clean.\n"
    assert json.loads(celeriac("audit", run, "--json").out) == {"audited": 1, "discrepancies": []}
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE workflow_tasks SET attempt = 7 WHERE position = 0")
    differing = celeriac("audit")
    assert differing.exit_code == 1
    assert f"run {run}: " in differing.out
    assert celeriac("audit", "--json").exit_code == 1


def test_reconciling_once_dispatches_what_is_lost_and_ends(celeriac: CeleriacInside, settings: Settings):
    celeriac("start", "arithmetic", "--input", "1")
    with redis_client(settings.require_broker_url()) as broker:
        broker.flushdb()
    with Client(settings) as client:  # without a worker that has the code, a message would only be thrown away
        scope = WorkerScope(tasks=frozenset({"prepare"}))
        client.services.stores.leases.renew(["process:w:1:x"], worker="w", lease=timedelta(minutes=1), scope=scope)
    ended = Celeriac(settings)("reconcile", "--once", "--json")
    assert (ended.exit_code, json.loads(ended.out)["redispatched"]) == (0, 1)


def test_the_doctor_finds_a_healthy_fleet_healthy(celeriac: CeleriacInside, settings: Settings, start_worker):
    start_worker(settings.model_copy(update={"imports": (FLOWS,)}), pool="threads", queues=["celery", "second"])
    ended = celeriac("doctor")
    assert ended.exit_code == 0, ended.out
    assert [line.split()[:3] for line in ended.out.splitlines() if not line.startswith(" ")] == [
        ["✓", name, "ok"]
        for name in (
            "settings",
            "package",
            "imports",
            "database",
            "schema",
            "broker",
            "workers",
            "queues",
            "code",
            "waiting",
        )
    ]


def test_the_doctor_names_a_queue_without_a_consumer(celeriac: CeleriacInside, settings: Settings, start_worker):
    start_worker(settings.model_copy(update={"imports": (FLOWS,)}), pool="threads")
    check = findings(celeriac)["queues"]
    assert check["status"] == "error"
    assert check["message"] == "no worker takes from queue 'second', where triple goes"


def test_the_doctor_names_the_run_that_waits_for_code_that_nobody_has(
    celeriac: CeleriacInside, settings: Settings, start_worker
):
    run = celeriac("start", "holding", "--input", '"gate"').out.strip()
    cancelled = celeriac("start", "stumbling").out.strip()
    celeriac("cancel", cancelled)
    start_worker(settings.model_copy(update={"imports": ("tests.support.flows_wide",)}), pool="threads")
    check = wait_until(lambda: (found := findings(celeriac)["code"])["status"] == "error" and found)
    assert check["message"] == f"no worker has step 'hold', for which run {run} waits"
    assert "CELERIAC_IMPORTS" in check["hint"]
    shown = celeriac("show", run).out
    assert "· hold: waits for a worker that has step 'hold' (none on queue 'celery' has its code)" in shown
    assert "· conclude: waits for hold" in shown


def test_the_doctor_tells_what_is_missing_and_what_to_do(empty_database_url: str):
    celeriac = CeleriacInside(
        Settings(database_url=empty_database_url, broker_url="redis://127.0.0.1:1/0", imports=("no.such",))
    )
    ended = celeriac("doctor")
    assert ended.exit_code == 1
    assert ended.err == ""
    found = findings(celeriac)
    assert {name: check["status"] for name, check in found.items()} == {
        "settings": "ok",
        "package": "ok",
        "imports": "error",
        "database": "ok",
        "schema": "error",
        "broker": "error",
        "workers": "skipped",
        "queues": "skipped",
        "code": "skipped",
        "waiting": "skipped",
    }
    assert "Run `celeriac migrate`." in found["schema"]["message"]


def test_the_doctor_finds_a_module_that_shadows_celeriac(settings: Settings, tmp_path):
    (tmp_path / "celeriac.py").touch()
    celeriac = Celeriac(settings, cwd=tmp_path)
    # `python -m celeriac.workflows.cli` would itself find the wrong module; the script puts its own folder first.
    celeriac.command = (str(Path(sys.executable).with_name("celeriac")),)
    check = findings(celeriac)["package"]
    assert check["status"] == "error"
    assert str(tmp_path / "celeriac.py") in check["message"]
