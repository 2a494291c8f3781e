"""``celeriac run``: a run from start to end, with its own worker; nothing stays up."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.cli.command_context import CommandContext, pass_command
from celeriac.workflows.cli.following import follow
from celeriac.workflows.cli.inputs import read_input
from celeriac.workflows.cli.local import programs
from celeriac.workflows.cli.local.processes import STOPPING, Children
from celeriac.workflows.cli.local.servers import servers
from celeriac.workflows.cli.local.stopping import StopRequest, stop_on_signals
from celeriac.workflows.cli.run_report import report_outcome
from celeriac.workflows.cli.workflow_target import find_workflow
from celeriac.workflows.client.client import Client
from celeriac.workflows.history import schema
from celeriac.workflows.settings import Settings

_GOES_ON = "It goes on when a worker next uses this database."
_LAST_LINES = 20  # of a dead worker's log


@click.command
@click.argument("target", metavar="MODULE:WORKFLOW")
@click.option("--input", "input_", metavar="JSON|@FILE|-", help="The input of the run; - reads standard input.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up after this time.")
@click.option("--concurrency", type=click.IntRange(min=1), help="Steps that the worker runs at a time.")
@click.option("--pool", type=click.Choice(["prefork", "threads", "solo"]), default="prefork", show_default=True)
@click.option("--keep", is_flag=True, help="Leave servers and worker up after the run, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print the run and its result as JSON.")
@pass_command
def run(
    command: CommandContext,
    *,
    target: str,
    input_: str | None,
    timeout: float | None,
    concurrency: int | None,
    pool: str,
    keep: bool,
    as_json: bool,
) -> None:
    """Run a workflow once, then stop everything.

    The command starts a worker, shows the run and prints its result. The configured
    servers are used. If a server is not configured, an embedded server starts in its
    place and keeps its data in CELERIAC_DATA_DIR (.celeriac); unfinished runs found
    there go on as well. The exit code is 1 unless the run completes.
    """
    value = read_input(input_, sys.stdin)
    module, workflow = find_workflow(target)
    workflow.encode_json_input(value)  # refuse before a server starts
    settings = command.settings()
    settings = settings.model_copy(update={"imports": tuple(dict.fromkeys((*settings.imports, module)))})
    catalog = Catalog.load(settings.imports)
    with stop_on_signals() as stop, servers(settings) as served:
        schema.migrate(served.require_database_url())
        with (
            _worker(served, catalog, stop, pool=pool, concurrency=concurrency) as worker,
            Client(served, catalog=catalog) as client,
        ):
            started = client.start_by_name(workflow.name, value)
            view = follow(started, console=command.err, stop=stop, timeout=timeout, between_reads=worker.must_live)
            code = report_outcome(command, started, view, stop, as_json=as_json, later=_GOES_ON)
            worker.keep_log = code != 0
            if stop.made:
                command.note(STOPPING)
            elif keep:
                _keep(command, served)
                while not stop.wait(0.2):
                    worker.must_live()
        if worker.keep_log:
            command.note(f"The worker's log is {worker.log}")
    sys.exit(code)


class WorkerOfOurOwn:
    """The command's worker, and its log."""

    def __init__(self, children: Children, log: Path) -> None:
        self.log = log
        self.keep_log = True  # until the run has completed
        self._children = children

    def must_live(self) -> None:
        """Return if the worker lives.

        Raises:
            click.ClickException: the worker ended; the message has the end of its log.
        """
        if (ended := self._children.ended()) is None:
            return
        with self.log.open(encoding="utf-8") as log:
            last = "".join(deque(log, maxlen=_LAST_LINES))
        raise click.ClickException(f"{ended}. The end of its log, {self.log}:\n{last}")


@contextmanager
def _worker(
    settings: Settings, catalog: Catalog, stop: StopRequest, *, pool: str, concurrency: int | None
) -> Iterator[WorkerOfOurOwn]:
    folder = settings.data_dir.expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"run-{os.getpid()}.log"
    with log.open("w", encoding="utf-8", buffering=1) as file:
        children = Children(
            environment=programs.environment(settings),
            on_line=lambda _, line: print(line, file=file),
            hurry=lambda: stop.insisted_on,
        )
        worker = WorkerOfOurOwn(children, log)
        with children:
            children.start(
                "worker",
                programs.worker(
                    queues=programs.queues(settings, catalog),
                    pool=pool,
                    concurrency=concurrency,
                    name=f"run-{os.getpid()}",
                    alone=True,
                ),
            )
            yield worker
    if not worker.keep_log:
        log.unlink()


def _keep(command: CommandContext, settings: Settings) -> None:
    command.note("Servers and worker stay up until Ctrl-C. For another terminal:")
    for line in programs.exports(settings):
        command.note(f"  {line}")
