"""``celeriac reconcile``: recover lost and overdue work."""

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
    """Recover lost and overdue work.

    The command makes passes until it is stopped. Every worker does this as well: use
    the command where no worker can, or to see the passes.
    """
    with command.client() as client:
        environment = programs.environment(client.settings)
    options = [*(["--once"] if once else []), *(["--json"] if as_json else [])]
    # The reconciler is in the worker's package, which this package does not import. It
    # takes the place of this process: signals and the exit code need no forwarding.
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", "celeriac.worker.reconciler", *options], environment)  # noqa: S606
