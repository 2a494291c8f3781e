"""``celeriac pause``: start no further step of runs."""

from __future__ import annotations

import click

from celeriac.workflows.cli.command_context import CommandContext, pass_command
from celeriac.workflows.cli.control import control_runs, dry_run_option, json_option, yes_option
from celeriac.workflows.cli.selection import Choice, choosing
from celeriac.workflows.client.control import Action


@click.command
@choosing
@dry_run_option
@yes_option
@json_option
@pass_command
def pause(command: CommandContext, *, choice: Choice, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Pause runs: running steps finish, no step starts.

    Retries wait as well, but the timeout of a run goes on.
    """
    control_runs(command, Action.PAUSE, choice, dry_run=dry_run, yes=yes, as_json=as_json)
