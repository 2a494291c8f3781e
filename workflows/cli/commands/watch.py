"""``celeriac watch``: show a run until it ends."""

from __future__ import annotations

import sys

import click

from celeriac.workflows.cli.command_context import CommandContext, pass_command
from celeriac.workflows.cli.display.error_report import run_errors
from celeriac.workflows.cli.following import follow
from celeriac.workflows.cli.local.stopping import stop_on_signals
from celeriac.workflows.engine.states import RunStatus


@click.command
@click.argument("run_id", metavar="RUN")
@pass_command
def watch(command: CommandContext, *, run_id: str) -> None:
    """Show a run until it ends.

    The exit code is 1 unless the run completes. Ctrl-C ends the watching, not the run.
    """
    with command.client() as client, stop_on_signals() as stop:
        view = follow(client.get(run_id), console=command.out, stop=stop)
    command.out.print(run_errors(view, traceback=True))
    if stop.made and not view.status.is_terminal:
        sys.exit(stop.exit_code)
    sys.exit(0 if view.status is RunStatus.COMPLETED else 1)
