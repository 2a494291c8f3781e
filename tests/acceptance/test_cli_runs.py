"""Starting, listing, showing and watching runs with a real worker."""

import json

import pytest

from celeriac.workflows.settings import Settings
from tests.support.commands import Celeriac, CeleriacInside

FLOWS = "tests.support.cli_flows"


@pytest.fixture
def with_flows(settings: Settings) -> Settings:
    return settings.model_copy(update={"imports": (FLOWS,)})


@pytest.fixture
def celeriac(with_flows: Settings) -> CeleriacInside:
    return CeleriacInside(with_flows)


@pytest.fixture
def worker(with_flows: Settings, start_worker):
    return start_worker(with_flows, pool="threads", queues=["celery", "second"])


def test_a_run_is_started_waited_for_listed_and_shown(celeriac: CeleriacInside, worker):
    ended = celeriac("start", "arithmetic", "--input", "-", "--tag", "tenant=acme", "--wait", stdin='{"number": 5}')
    run, _, result = ended.out.partition("\n")
    assert ended.exit_code == 0
    assert json.loads(result) == {"sum": 25}
    assert "✓ add completed in" in ended.err
    assert ended.err.splitlines()[-1].partition("  ")[2].startswith("✓ arithmetic completed in")

    [listed] = json.loads(celeriac("list", "--tag", "tenant=acme", "--status", "completed", "--json").out)
    assert (listed["id"], listed["workflow"], listed["tags"]) == (run, "arithmetic", {"tenant": "acme"})
    assert celeriac("list", "--tag", "tenant=other").out == ""

    shown = celeriac("show", run).out.splitlines()
    assert shown[0].startswith("✓ arithmetic version 1  completed in ")
    assert [line.split("  ")[0].rstrip() for line in shown[3:7]] == [
        "✓ prepare",
        "├─ ✓ double",
        "└─ ✓ triple",
        "✓ add ← double, triple",
    ]
    assert shown[7] == 'result {"sum": 25}'

    data = json.loads(celeriac("show", run, "--json", "--history").out)
    assert data["result"] == {"sum": 25}
    assert [step["status"] for step in data["steps"]] == ["completed"] * 4
    assert data["history"][0]["type"] == "RunStarted"
    assert data["history"][-1]["type"] == "RunCompleted"
    assert "StepCompleted" in celeriac("show", run, "--history").out


def test_a_run_that_fails_is_told_with_its_error_and_exit_code_1(celeriac: CeleriacInside, worker):
    ended = celeriac("start", "failing", "--wait")
    assert ended.exit_code == 1
    run = ended.out.strip()
    assert "✗ refuse failed on attempt 1: ValueError: no luck with 13" in ended.err
    shown = celeriac("show", run).out
    assert "✗ refuse" in shown
    assert 'raise ValueError(f"no luck with {number}")' in shown
    assert "raise ValueError" not in celeriac("show", run, "--no-traceback").out
    watched = celeriac("watch", run)
    assert watched.exit_code == 1
    assert "failing failed in" in watched.out
    data = json.loads(celeriac("start", "failing", "--input", "7", "--wait", "--json").out)
    assert (data["status"], data["result"], data["error"]["message"]) == ("failed", None, "no luck with 7")


def test_a_wait_that_is_given_up_leaves_the_run_to_go_on(celeriac: CeleriacInside, worker):
    ended = celeriac("start", "napping", "--input", "1", "--wait", "--timeout", "0.1")
    run = ended.out.strip()
    assert ended.exit_code == 1
    assert f"Run {run} is still " in ended.err
    assert celeriac("watch", run).exit_code == 0


def test_an_idempotency_key_starts_one_run(celeriac: CeleriacInside):
    first = celeriac("start", "arithmetic", "--input", "1", "--idempotency-key", "order-1")
    second = celeriac("start", "arithmetic", "--input", "1", "--idempotency-key", "order-1", "--json")
    assert json.loads(second.out)["id"] == first.out.strip()
    assert len(json.loads(celeriac("list", "--json").out)) == 1


def test_a_run_is_started_and_watched_by_processes_of_their_own(with_flows: Settings, worker):
    celeriac = Celeriac(with_flows)
    run = celeriac("start", "arithmetic", "--input", "3").out.strip()
    watched = celeriac("watch", run)
    assert (watched.exit_code, watched.err) == (0, "")
    assert watched.out.splitlines()[-1].partition("  ")[2].startswith("✓ arithmetic completed in ")
