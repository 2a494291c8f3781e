"""``celeriac dev``: a fleet on this machine, with a common log, until Ctrl-C."""

from __future__ import annotations

import socket
from functools import partial
from importlib.util import find_spec

import click
from rich.console import Console
from rich.text import Text

from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.cli.command_context import CommandContext, pass_command
from celeriac.workflows.cli.local import programs
from celeriac.workflows.cli.local.processes import STOPPING, Children
from celeriac.workflows.cli.local.servers import servers
from celeriac.workflows.cli.local.stopping import stop_on_signals
from celeriac.workflows.errors import ConfigurationError
from celeriac.workflows.history import schema

FLOWER_PORT = 5555
_STYLES = {"worker": "cyan", "beat": "magenta", "flower": "yellow", "celeriac": "bold green"}


@click.command
@click.option("--concurrency", type=click.IntRange(min=1), help="Steps that the worker runs at a time.")
@click.option("--pool", type=click.Choice(["prefork", "threads", "solo"]), default="prefork", show_default=True)
@click.option("--beat/--no-beat", default=True, help="Start the scheduler.")
@click.option("--flower/--no-flower", default=None, help="Start Flower, the monitor. [default: if installed]")
@click.option("--flower-port", type=click.IntRange(1, 65535), default=FLOWER_PORT, show_default=True)
@pass_command
def dev(
    command: CommandContext, *, concurrency: int | None, pool: str, beat: bool, flower: bool | None, flower_port: int
) -> None:
    """Run a whole fleet on this machine, with a common log.

    The fleet is a worker, beat and Flower. The configured servers are used. If a server
    is not configured, an embedded server starts in its place and keeps its data in
    CELERIAC_DATA_DIR (.celeriac). Ctrl-C stops everything.
    """
    settings = command.settings()
    if not settings.imports:
        raise ConfigurationError(
            detail="There are no workflows to run. Name the modules that have some: "
            "`celeriac --imports shop.flows dev`, or CELERIAC_IMPORTS=shop.flows."
        )
    catalog = Catalog.load(settings.imports)
    if flower is None:
        flower = find_spec("flower") is not None
    if flower:
        _require_flower(flower_port)
    write = partial(_write, command.out)
    with stop_on_signals() as stop, servers(settings) as served:
        revision = schema.migrate(served.require_database_url())
        write("celeriac", f"The database is ready, at schema {revision}.")
        write("celeriac", f"Workflows: {', '.join(sorted(catalog.workflows)) or 'none'}")
        with Children(
            environment=programs.environment(served), on_line=write, hurry=lambda: stop.insisted_on
        ) as children:
            children.start(
                "worker",
                programs.worker(
                    queues=programs.queues(served, catalog), pool=pool, concurrency=concurrency, name="dev", alone=True
                ),
            )
            if beat:
                children.start("beat", programs.beat(data_dir=served.data_dir))
            if flower:
                children.start("flower", programs.flower(port=flower_port))
                write("celeriac", f"Flower shows the tasks at http://127.0.0.1:{flower_port}")
            if settings.database_url is None or settings.broker_url is None:
                write("celeriac", "So that `celeriac start`, `list`, `show` … of another terminal find this fleet:")
                for line in programs.exports(served):
                    write("celeriac", f"  {line}")
            ended = None
            while ended is None and not stop.wait(0.1):
                ended = children.ended()
            if ended is None:
                write("celeriac", STOPPING)
        if ended is not None:
            raise click.ClickException(f"{ended}, so everything was stopped. Its last lines above tell why.")
        write("celeriac", "Stopped.")


def _write(out: Console, name: str, line: str) -> None:
    out.print(Text.assemble((f"{name:<8} │ ", _STYLES[name]), Text.from_ansi(line)), soft_wrap=True)


def _require_flower(port: int) -> None:
    if find_spec("flower") is None:
        raise ConfigurationError(
            detail="Flower is not installed. Run pip install 'celeriac[flower]', or leave out --flower."
        )
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigurationError(
                detail=f"Flower cannot use port {port}: {error.strerror}. Choose another with --flower-port, "
                "or --no-flower."
            ) from None
