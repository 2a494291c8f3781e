"""Entry point of the command: global options, and the boundary for errors.

An error becomes a line on standard error and an exit code.
"""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import click
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError

from celeriac.workflows.cli.command_context import CommandContext, console
from celeriac.workflows.cli.commands.audit import audit
from celeriac.workflows.cli.commands.cancel import cancel
from celeriac.workflows.cli.commands.dev import dev
from celeriac.workflows.cli.commands.docs import docs
from celeriac.workflows.cli.commands.doctor import doctor
from celeriac.workflows.cli.commands.fork import fork
from celeriac.workflows.cli.commands.graph import graph
from celeriac.workflows.cli.commands.list import list_runs
from celeriac.workflows.cli.commands.migrate import migrate
from celeriac.workflows.cli.commands.pause import pause
from celeriac.workflows.cli.commands.reconcile import reconcile
from celeriac.workflows.cli.commands.resume import resume
from celeriac.workflows.cli.commands.retry import retry
from celeriac.workflows.cli.commands.run import run
from celeriac.workflows.cli.commands.show import show
from celeriac.workflows.cli.commands.start import start
from celeriac.workflows.cli.commands.terminate import terminate
from celeriac.workflows.cli.commands.watch import watch
from celeriac.workflows.cli.display import formatting
from celeriac.workflows.errors import CeleriacError


class ErrorBoundary(click.Group):
    """A group that turns our errors into a line on standard error and exit code 1."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command.

        Raises:
            click.ClickException: the command raised a ``CeleriacError``, or Postgres
                refused.
        """
        try:
            return super().invoke(ctx)
        except CeleriacError as error:
            raise click.ClickException(formatting.one_line(str(error))) from error
        except DBAPIError as error:  # such as a missing right or a full disk
            raise click.ClickException(f"The database refused: {formatting.one_line(str(error.orig))}") from error


class WarningHandler(logging.Handler):
    """Prints warnings of the library, a line each, such as of an unavailable broker."""

    def __init__(self, command: CommandContext) -> None:
        super().__init__(logging.WARNING)
        self._command = command

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record as a note."""
        self._command.note(f"Note: {formatting.one_line(record.getMessage())}")


@click.group(
    cls=ErrorBoundary,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="The documentation is installed with the command: celeriac docs",
)
@click.version_option(package_name="celeriac", message="%(prog)s %(version)s")
@click.option("--database-url", metavar="URL", help="Postgres; overrides CELERIAC_DATABASE_URL.")
@click.option("--broker-url", metavar="URL", help="Redis or another broker; overrides CELERIAC_BROKER_URL.")
@click.option(
    "--imports", metavar="MODULES", help="Modules with workflows, comma-separated; overrides CELERIAC_IMPORTS."
)
@click.pass_context
def celeriac(ctx: click.Context, database_url: str | None, broker_url: str | None, imports: str | None) -> None:
    """Durable workflows on Celery and Postgres.

    Settings come from the environment: CELERIAC_DATABASE_URL, CELERIAC_BROKER_URL,
    CELERIAC_IMPORTS and others.
    """
    given = {
        "database_url": None if database_url is None else SecretStr(database_url),
        "broker_url": None if broker_url is None else SecretStr(broker_url),
        "imports": imports,
    }
    command = CommandContext(
        overrides={name: value for name, value in given.items() if value is not None},
        out=console(sys.stdout),
        err=console(sys.stderr),
    )
    ctx.obj = command
    warning_handler = WarningHandler(command)
    logging.getLogger("celeriac").addHandler(warning_handler)
    ctx.call_on_close(lambda: logging.getLogger("celeriac").removeHandler(warning_handler))


_MAINTENANCE = (audit, dev, docs, doctor, graph, migrate, reconcile)
_RUNS = (list_runs, run, show, start, watch)
_CONTROL = (cancel, fork, pause, resume, retry, terminate)
for _command in (*_MAINTENANCE, *_RUNS, *_CONTROL):
    celeriac.add_command(_command)


def main() -> None:
    """Run the command with the current folder importable, as Celery's command does."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # for terminals that lack '✓'
    celeriac(prog_name="celeriac")
