"""``celeriac reconcile``: find lost and overdue work and set it going again."""

from __future__ import annotations

import os
import sys

import click

from celeriac.workflows.cli.command_context import CommandContext, pass_command
from celeriac.workflows.cli.local import programs


@click.command
@click.option("--once", is_flag=True, help="Make one pass and end.")
@click.option("--json", "as_json", is_flag=True, help="Print what each pass did as JSON, a line each.")
@pass_command
def reconcile(command: CommandContext, *, once: bool, as_json: bool) -> None:
    """Find lost and overdue work and set it going again.

    It goes on until it is told to stop. Every worker does this as well: run it on its own where no worker can, or to
    see what it does.
    """
    with command.client() as client:
        environment = programs.environment(client.settings)
    options = [*(["--once"] if once else []), *(["--json"] if as_json else [])]
    # It belongs to the worker's side, which this package does not import. It takes this process's place, so that
    # signals and the exit code need nobody in between.
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", "celeriac.worker.reconciler", *options], environment)  # noqa: S606
