import os
import sys
from pathlib import Path

from celeriac import Settings, step, workflow
from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.cli.local import programs

SETTINGS = Settings(database_url="postgresql://u:p&w@host/name", broker_url="redis://host", imports=("a", "b"))


@step(queue="pictures")
def render(page: int) -> int:
    return page


@step
def send(page: int) -> None: ...


@workflow
def report(page: int):
    send.options(queue="mail")(render(page))


def test_a_worker_takes_from_every_queue_that_the_workflows_use():
    queues = programs.queues(SETTINGS, Catalog.of(report))
    assert queues == ["celery", "mail", "pictures"]
    command = programs.worker(queues=queues, pool="threads", concurrency=3, name="dev", alone=True)
    assert command[:5] == [sys.executable, "-m", "celery", "--quiet", "-A"]
    assert command[command.index("--queues") + 1] == "celery,mail,pictures"
    assert command[command.index("--concurrency") + 1] == "3"
    assert "--without-mingle" in command
    assert "--concurrency" not in programs.worker(queues=["q"], pool="solo", concurrency=None, name="x", alone=False)


def test_flower_listens_on_this_machine_only():
    assert "--address=127.0.0.1" in programs.flower(port=5555)


def test_programs_find_the_servers_and_the_modules_of_the_current_folder(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"/elsewhere{os.pathsep}")
    environment = programs.environment(SETTINGS)
    assert environment["CELERIAC_DATABASE_URL"] == "postgresql://u:p&w@host/name"
    assert environment["CELERIAC_IMPORTS"] == "a,b"
    assert environment["PYTHONPATH"] == f"{Path.cwd()}{os.pathsep}/elsewhere"


def test_exports_can_be_pasted_into_a_shell():
    assert programs.exports(SETTINGS) == [
        "export CELERIAC_DATABASE_URL='postgresql://u:p&w@host/name'",
        "export CELERIAC_BROKER_URL=redis://host",
        "export CELERIAC_IMPORTS=a,b",
    ]
