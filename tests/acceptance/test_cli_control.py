"""Pausing, cancelling, retrying, forking and explaining with the command, beside real workers."""

import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from celeriac.workflows.settings import Settings
from tests.support.commands import Celeriac, CeleriacInside
from tests.support.processes import environment
from tests.support.waiting import wait_until

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


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


def started(celeriac: CeleriacInside, workflow: str, file: Path | None = None, *options: str) -> str:
    given = [] if file is None else ["--input", json.dumps(str(file))]
    return celeriac("start", workflow, *given, *options).out.strip()


def shown(celeriac: CeleriacInside, run: str) -> dict:
    return json.loads(celeriac("show", run, "--json").out)


def states(celeriac: CeleriacInside, run: str) -> dict[str, str]:
    return {step["name"]: step["status"] for step in shown(celeriac, run)["steps"]}


def test_a_paused_run_finishes_what_runs_and_goes_on_when_it_is_resumed(celeriac: CeleriacInside, worker, gate: Path):
    run = started(celeriac, "holding", gate)
    wait_until(lambda: states(celeriac, run)["hold"] == "running")
    assert celeriac("pause", run).out == f"{run} paused\n"
    again = celeriac("pause", run)
    assert (again.exit_code, again.out) == (0, f"{run} is paused already\n")
    gate.touch()
    wait_until(lambda: states(celeriac, run) == {"hold": "completed", "conclude": "ready"})
    assert json.loads(celeriac("list", "--status", "paused", "--json").out)[0]["id"] == run
    page = celeriac("show", run).out
    assert page.startswith("‖ holding version 1  paused, started ")
    assert "· conclude: is ready; the run is paused" in page
    assert celeriac("resume", run).out == f"{run} resumed\n"
    assert celeriac("watch", run).exit_code == 0


def test_a_cancelled_run_is_an_end_with_exit_code_1_and_its_reason(celeriac: CeleriacInside, worker, gate: Path):
    run = started(celeriac, "holding", gate)
    wait_until(lambda: states(celeriac, run)["hold"] == "running")
    assert celeriac("cancel", run, "--reason", "wrong price").out == f"{run} cancelled\n"
    watched = celeriac("watch", run)
    assert watched.exit_code == 1
    assert "⊘ The run was cancelled: wrong price" in watched.out
    wait_until(lambda: states(celeriac, run)["hold"] == "completed", message="the step sees that it should stop")
    assert celeriac("show", run, "--json").out.count('"message": "wrong price"') == 1
    assert "· conclude: will not run, because the run is cancelled" in celeriac("show", run).out


def test_a_terminated_run_ends_whoever_waits_for_it(
    with_flows: Settings, celeriac: CeleriacInside, worker, gate: Path, start_process
):
    command = [*Celeriac.command, "start", "holding", "--input", json.dumps(str(gate)), "--wait"]
    waiting = start_process(command, name="waiting", settings=with_flows)
    waiting.wait_for_output("hold running")
    run = json.loads(celeriac("list", "--json").out)[0]["id"]
    assert celeriac("terminate", run).out == f"{run} terminated\n"
    assert waiting.wait() == 1
    assert "■ The run was terminated: by request" in waiting.output
    gate.touch()  # a pool of threads cannot be killed


@pytest.mark.parametrize("action", ["pause", "resume", "cancel", "terminate", "retry"])
def test_a_run_that_has_ended_refuses_with_one_line(celeriac: CeleriacInside, worker, action: str):
    run = celeriac("start", "arithmetic", "--input", "1", "--wait").out.split()[0]
    ended = celeriac(action, run)
    assert (ended.exit_code, ended.out) == (1, "")
    assert ended.err.startswith(f"Error: Run {run} is completed; it cannot be ")
    assert ended.err.count("\n") == 1


def test_of_several_runs_those_that_can_are_changed_and_a_wrong_id_changes_none(celeriac: CeleriacInside, gate: Path):
    open_run, cancelled = started(celeriac, "holding", gate), started(celeriac, "holding", gate)
    celeriac("cancel", cancelled)
    wrong = celeriac("pause", open_run, "0197a1b2-1111-7222-8333-444455556666")
    assert (wrong.exit_code, wrong.out) == (1, "")
    assert shown(celeriac, open_run)["status"] == "pending"
    both = celeriac("pause", open_run, cancelled, "--json")
    assert both.exit_code == 1
    assert json.loads(both.out) == {
        "action": "paused",
        "dry_run": False,
        "changed": [open_run],
        "unchanged": [{"id": cancelled, "status": "cancelled", "refused": True}],
    }
    assert both.err == f"Error: Run {cancelled} is cancelled; it cannot be paused.\n"


def test_runs_are_chosen_by_a_filter_first_on_trial(celeriac: CeleriacInside, gate: Path):
    acme = [started(celeriac, "holding", gate, "--tag", "tenant=acme") for _ in range(2)]
    other = started(celeriac, "holding", gate, "--tag", "tenant=other")
    trial = json.loads(celeriac("cancel", "--tag", "tenant=acme", "--dry-run", "--json").out)
    assert (set(trial["changed"]), trial["dry_run"]) == (set(acme), True)
    assert {shown(celeriac, run)["status"] for run in acme} == {"pending"}
    assert celeriac("cancel", "--tag", "tenant=acme", "--workflow", "holding").out.endswith("2 runs cancelled.\n")
    assert {shown(celeriac, run)["status"] for run in acme} == {"cancelled"}
    assert shown(celeriac, other)["status"] == "pending"
    assert celeriac("cancel", "--tag", "tenant=acme").out == "No run to be cancelled.\n"


@pytest.mark.parametrize("arguments", [["pause"], ["cancel", "an-id", "--status", "running"], ["retry"], ["fork", "x"]])
def test_choosing_nothing_or_twice_is_a_wrong_use(celeriac: CeleriacInside, arguments: list[str]):
    assert celeriac(*arguments).exit_code == 2


@pytest.mark.parametrize(("answer", "status"), [("n", "pending"), ("y", "paused")])
def test_a_filter_asks_before_it_changes_when_a_person_is_there(
    with_flows: Settings, celeriac: CeleriacInside, gate: Path, answer: str, status: str
):
    run = started(celeriac, "holding", gate)
    person, terminal = pty.openpty()
    os.write(person, f"{answer}\n".encode())
    command = [*Celeriac.command, "pause", "--workflow", "holding"]
    done = subprocess.run(
        command, env=environment(with_flows), stdin=terminal, capture_output=True, check=False, text=True, timeout=60
    )
    os.close(person)
    os.close(terminal)
    assert "1 run will be paused. Go on?" in done.stderr
    assert done.returncode == (0 if answer == "y" else 1)
    assert shown(celeriac, run)["status"] == status
    assert celeriac("pause", "--workflow", "holding", "--yes").exit_code == 0


def test_a_failed_run_is_retried_without_running_again_what_completed(celeriac: CeleriacInside, worker, tmp_path: Path):
    wanted = tmp_path / "wanted"
    run = celeriac("start", "demanding", "--input", json.dumps(str(wanted)), "--wait").out.strip()
    assert states(celeriac, run) == {
        "announce": "completed",
        "demand": "failed",
        "polish": "pending",
        "conclude": "pending",
    }
    wanted.write_text("found")
    assert celeriac("retry", run).out == f"{run} retried\n"
    assert celeriac("watch", run).exit_code == 0
    data = shown(celeriac, run)
    assert (data["result"], data["explain"]) == ("FOUND", [])
    assert [step["attempt"] for step in data["steps"]] == [1, 2, 1, 1]


def test_a_fork_reuses_results_also_in_another_version(celeriac: CeleriacInside, worker, tmp_path: Path):
    wanted = tmp_path / "wanted"
    wanted.write_text("first")
    run = celeriac("start", "demanding", "--input", json.dumps(str(wanted)), "--wait").out.split()[0]
    wanted.write_text("second")
    forked = celeriac("fork", run, "--from-step", "conclude")
    same = forked.out.strip()
    assert forked.err == "Reuses 3 results, runs 1 step.\n"
    assert celeriac("watch", same).exit_code == 0
    assert shown(celeriac, same)["result"] == "FIRST"
    data = json.loads(celeriac("fork", run, "--from-step", "demand", "--version", "1", "--json").out)
    assert (data["version"], data["steps"][0]["status"]) == ("1", "completed")
    assert celeriac("watch", data["id"]).exit_code == 0
    assert shown(celeriac, data["id"])["result"] == "SECOND"
    for options, message in (
        (["--from-step", "polishing"], "has no step 'polishing' to fork from. Steps: "),
        (["--from-step", "demand", "--version", "9"], "Known versions: "),
    ):
        refused = celeriac("fork", run, *options)
        assert (refused.exit_code, refused.err.count("\n")) == (1, 1)
        assert message in refused.err


def test_a_step_that_is_tried_again_later_is_shown_with_its_time_and_error(celeriac: CeleriacInside, worker):
    run = started(celeriac, "stumbling")
    wait_until(lambda: states(celeriac, run)["stumble"] == "retrying")
    page = celeriac("show", run, "--no-traceback").out
    assert re.search(r"↻ stumble  retrying +1  again in (1 h|59 min)", page)
    assert "↻ stumble failed on attempt 1, is tried again at " in page
    assert "· stumble: waits for its retry at " in page
    [reason] = shown(celeriac, run)["explain"]
    assert reason["step"] == "stumble"
    assert reason["why"].endswith("after attempt 1 failed (ConnectionError: the bank is closed)")


def test_a_step_that_waits_for_a_worker_says_for_which(celeriac: CeleriacInside, gate: Path):
    run = started(celeriac, "holding", gate)
    assert shown(celeriac, run)["explain"] == [
        {"step": "hold", "why": "waits for a worker on queue 'celery' (no worker is alive)"},
        {"step": "conclude", "why": "waits for hold"},
    ]
