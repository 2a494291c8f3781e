"""`celeriac run` and `celeriac dev`: everything on one machine, and nothing left of it."""

import json
import re
import signal
import socket

import psutil
import pytest

from celeriac.workflows.settings import Settings
from tests.support.commands import Celeriac
from tests.support.servers import server_folder

FLOWS = "tests.support.cli_flows"


@pytest.fixture
def data_dir():
    with server_folder() as folder:
        yield folder / "data"


@pytest.fixture
def embedded(data_dir) -> Settings:
    return Settings(data_dir=data_dir, imports=(FLOWS,))


@pytest.fixture
def start_dev(start_process):
    def start(settings: Settings, *options: str, name: str = "dev"):
        command = [*Celeriac.command, "dev", "--concurrency", "1", *options]
        return start_process(command, name=name, settings=settings)

    return start


def exported(output: str) -> dict[str, str]:
    return dict(re.findall(r"export (CELERIAC_\w+)='?([^'\s]+)'?", output))


def test_one_run_brings_its_servers_prints_its_result_and_leaves_nothing(embedded: Settings, data_dir):
    ended = Celeriac(embedded)("run", f"{FLOWS}:arithmetic", "--input", '{"number": 2}')
    assert ended.exit_code == 0, ended.err
    assert json.loads(ended.out) == {"sum": 10}
    assert "✓ add completed in" in ended.err
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if str(data_dir) in str(process.info["cmdline"])
    ]
    assert not list(data_dir.glob("run-*.log"))


def test_one_run_uses_the_servers_that_are_configured(settings: Settings, data_dir):
    here = settings.model_copy(update={"imports": (FLOWS,), "data_dir": data_dir})
    celeriac = Celeriac(here)
    ended = celeriac("run", f"{FLOWS}:failing", "--json", "--pool", "solo")
    assert ended.exit_code == 1, ended.err
    data = json.loads(ended.out)
    assert (data["status"], data["error"]["type"]) == ("failed", "ValueError")
    assert json.loads(celeriac("list", "--json").out)[0]["id"] == data["id"]
    assert not (data_dir / "postgres").exists()
    assert "The worker's log is" in ended.err


def test_a_worker_that_dies_ends_the_command_with_the_end_of_its_log(settings: Settings, data_dir):
    here = settings.model_copy(update={"data_dir": data_dir})
    ended = Celeriac(here)("run", f"{FLOWS}:vanishing")
    assert ended.exit_code == 1
    assert "Error: worker was ended by SIGKILL. The end of its log, " in ended.err


def test_a_run_that_takes_too_long_is_given_up(settings: Settings, data_dir):
    here = settings.model_copy(update={"data_dir": data_dir})
    ended = Celeriac(here)("run", f"{FLOWS}:napping", "--input", "2", "--timeout", "0.5")
    assert ended.exit_code == 1
    assert "It goes on when a worker next uses this database." in ended.err


def test_a_fleet_takes_runs_of_another_terminal_and_stops_as_a_whole(embedded: Settings, start_dev):
    dev = start_dev(embedded, "--no-flower")
    dev.wait_for_output(r"worker +│ .*ready\.")
    dev.wait_for_output(r"beat +│ ")
    other = Celeriac(Settings(), env=exported(dev.output))
    assert json.loads(other("start", "arithmetic", "--input", "1", "--wait", "--json").out)["result"] == {"sum": 5}
    parts = dev.children()
    dev.send(signal.SIGINT)
    assert dev.wait() == 0
    assert not [part for part in parts if part.is_running()]
    assert "Stopped." in dev.output

    again = start_dev(embedded, "--no-flower", "--no-beat", name="again")
    again.wait_for_output(r"worker +│ .*ready\.")
    assert len(json.loads(other("list", "--json").out)) == 1
    assert again.stop() == 0


def test_flower_shows_the_fleet_on_this_machine_only(settings: Settings, start_dev, data_dir):
    here = settings.model_copy(update={"imports": (FLOWS,), "data_dir": data_dir})
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
        refused = Celeriac(here)("dev", "--flower-port", port)
        assert refused.exit_code == 1
        assert refused.err.startswith(f"Error: Flower cannot use port {port}: ")
    dev = start_dev(here, "--no-beat", "--flower-port", port)
    dev.wait_for_output(rf"http://127\.0\.0\.1:{port}")
    dev.wait_for_output(r"flower +│ .*Connected to")
    assert dev.stop() == 0


def test_a_part_of_the_fleet_that_dies_ends_all_of_it(settings: Settings, start_dev, data_dir):
    here = settings.model_copy(update={"imports": (FLOWS,), "data_dir": data_dir})
    dev = start_dev(here, "--no-flower")
    dev.wait_for_output(r"worker +│ .*ready\.")
    parts = dev.children()
    next(part for part in parts if "beat" in part.cmdline()).kill()
    assert dev.wait() == 1
    assert "Error: beat was ended by SIGKILL, so everything was stopped." in dev.output
    assert not [part for part in parts if part.is_running()]


def test_a_workflow_of_the_current_folder_is_found_by_the_command_and_its_worker(settings: Settings, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from celeriac import step, workflow\n\n"
        "@step\ndef greet(name: str) -> str:\n    return f'hello {name}'\n\n"
        "@workflow(name='greeting')\ndef flow(name: str):\n    return greet(name)\n"
    )
    celeriac = Celeriac(settings.model_copy(update={"data_dir": tmp_path / "data"}), cwd=tmp_path)
    assert celeriac("run", "mine:flow", "--input", '"you"', "--pool", "solo").out == '"hello you"\n'


def test_servers_that_are_kept_serve_other_terminals_until_they_are_told_to_stop(embedded: Settings, start_process):
    command = [*Celeriac.command, "run", f"{FLOWS}:arithmetic", "--input", "4", "--keep", "--pool", "solo"]
    kept = start_process(command, name="kept", settings=embedded)
    kept.wait_for_output("export CELERIAC_IMPORTS=")
    other = Celeriac(Settings(), env=exported(kept.output))
    assert [run["status"] for run in json.loads(other("list", "--json").out)] == ["completed"]
    parts = kept.children()
    assert kept.stop() == 0
    assert not [part for part in parts if part.is_running()]


def test_a_run_that_is_interrupted_says_what_becomes_of_it(embedded: Settings, start_process):
    command = [*Celeriac.command, "run", f"{FLOWS}:napping", "--input", "1", "--pool", "solo"]
    interrupted = start_process(command, name="interrupted", settings=embedded)
    interrupted.wait_for_output("nap running")
    interrupted.send(signal.SIGINT)
    assert interrupted.wait() == 130
    assert "It goes on when a worker next uses this database." in interrupted.output
