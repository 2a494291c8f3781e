"""Bad input: one line that says what to do, a non-zero exit, no traceback, and nothing half-written."""

import json
import time

import pytest

from celeriac.workflows.settings import Settings
from tests.support.commands import CeleriacInside

FLOWS = "tests.support.cli_flows"


@pytest.fixture
def celeriac(settings: Settings) -> CeleriacInside:
    return CeleriacInside(settings.model_copy(update={"imports": (FLOWS,)}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["start", "arithmatic", "--input", "1"], "Unknown workflow 'arithmatic'; did you mean 'arithmetic'?"),
        (["start", "arithmetic", "--input", "{number: 1}"], "--input is not JSON: "),
        (["start", "arithmetic", "--input", '"one"'], "Input of workflow 'arithmetic' is not valid: "),
        (["start", "arithmetic"], "Input of workflow 'arithmetic' is not valid: "),
        (["start", "arithmetic", "--input", "@missing.json"], "Cannot read the file missing.json for --input: "),
        (["--imports", "no.such", "start", "arithmetic", "--input", "1"], "Cannot import 'no.such': "),
        (["show", "not-an-id"], "No run 'not-an-id' in this database."),
        (["watch", "0197a1b2-1111-7222-8333-444455556666"], "No run '0197a1b2-1111-7222-8333-444455556666' in this"),
        (["audit", "0197a1b2-1111-7222-8333-444455556666"], "No run '0197a1b2-1111-7222-8333-444455556666' in this"),
        (["graph", f"{FLOWS}:arithmatic"], "Unknown workflow 'arithmatic'; did you mean 'arithmetic'?"),
        (["graph", "no.such:arithmetic"], "Cannot import 'no.such': "),
        (["run", f"{FLOWS}:arithmetic", "--input", '"one"'], "Input of workflow 'arithmetic' is not valid: "),
        (["run", "arithmetic"], "Unknown workflow 'arithmetic'. Write module:workflow"),
        (["--database-url", "mysql://host/name", "list"], "CELERIAC_DATABASE_URL names 'mysql'."),
        (
            ["--broker-url", "odd://host", "start", "arithmetic", "--input", "1"],
            "CELERIAC_BROKER_URL is not an address that Celery can use: No such transport: odd.",
        ),
        (
            ["--broker-url", "odd://host", "run", f"{FLOWS}:arithmetic", "--input", "1"],
            "CELERIAC_BROKER_URL is not an address that Celery can use: No such transport: odd.",
        ),
        (
            ["--broker-url", "redis://host:port/0", "list"],
            "CELERIAC_BROKER_URL is not an address that Celery can use: ",
        ),
        (["--database-url", "nonsense", "list"], "CELERIAC_DATABASE_URL is not an address."),
        (
            ["--database-url", "postgresql://u:secret@127.0.0.1:1/x", "list"],
            "Cannot reach the database at postgresql://u:***@",
        ),
        (["--database-url", "postgresql://u:secret@127.0.0.1:1/x", "migrate"], "Cannot reach the database at "),
        (
            ["--database-url", "postgresql://u:secret@127.0.0.1:1/x", "start", "arithmetic", "--input", "1"],
            "Cannot reach",
        ),
    ],
)
def test_bad_input_is_one_line_and_starts_nothing(celeriac: CeleriacInside, arguments: list[str], message: str):
    ended = celeriac(*arguments)
    assert ended.exit_code == 1
    assert ended.err.startswith(f"Error: {message}")
    assert ended.err.count("\n") == 1
    assert ended.out == ""
    assert "secret" not in ended.err
    assert json.loads(celeriac("list", "--json").out) == []


@pytest.mark.parametrize(
    "arguments", [["start"], ["start", "x", "--timeout", "1"], ["list", "--status", "odd"], ["nope"]]
)
def test_a_wrong_use_of_the_command_has_exit_code_2(celeriac: CeleriacInside, arguments: list[str]):
    ended = celeriac(*arguments)
    assert ended.exit_code == 2
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("arguments", [["start", "arithmetic", "--input", "1"], ["list"], ["audit"]])
def test_a_database_that_is_not_migrated_is_told_with_what_to_do(
    empty_database_url: str, broker_url: str, arguments: list[str]
):
    settings = Settings(database_url=empty_database_url, broker_url=broker_url, imports=(FLOWS,))
    ended = CeleriacInside(settings)(*arguments)
    assert ended.exit_code == 1
    assert ended.err.startswith("Error: The database is at schema none, ")
    assert ended.err.endswith("Run `celeriac migrate`.\n")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["list"], ["migrate"], ["start", "arithmetic", "--input", "1"], ["audit"]])
def test_a_database_that_is_not_configured_is_told_with_what_to_do(arguments: list[str]):
    ended = CeleriacInside(Settings(imports=(FLOWS,)))(*arguments)
    assert (ended.exit_code, ended.out) == (1, "")
    assert ended.err.startswith("Error: No database. Set CELERIAC_DATABASE_URL to ")
    assert ended.err.count("\n") == 1


def test_a_variable_that_does_not_hold_what_it_should_is_named(settings: Settings):
    ended = CeleriacInside(settings, env={"CELERIAC_LEASE_SECONDS": "soon"})("list")
    assert ended.exit_code == 1
    assert ended.err.startswith("Error: Settings are not valid: CELERIAC_LEASE_SECONDS: ")


def test_a_run_is_started_without_its_broker_and_the_user_is_told(settings: Settings):
    away = settings.model_copy(update={"imports": (FLOWS,), "broker_url": "redis://127.0.0.1:1/0"})
    celeriac = CeleriacInside(away)
    began = time.monotonic()
    ended = celeriac("start", "arithmetic", "--input", "1")
    assert ended.exit_code == 0
    assert time.monotonic() - began < 5
    assert "it will be dispatched when the broker is back" in ended.err
    assert ended.err.count("\n") == 1
    [listed] = json.loads(celeriac("list", "--json").out)
    assert (listed["id"], listed["status"]) == (ended.out.strip(), "pending")


def test_a_module_with_a_mistake_in_it_is_told_with_the_place(settings: Settings, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken.py").write_text("import celeriac\n\ndef flow(:\n")
    ended = CeleriacInside(settings)("graph", "broken:flow")
    assert ended.exit_code == 1
    assert ended.err.startswith("Error: Cannot import 'broken': SyntaxError: ")
    assert "broken.py:3" in ended.err
