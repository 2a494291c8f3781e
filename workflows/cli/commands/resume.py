"""``celeriac resume``: let paused runs go on."""

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
def resume(command: CommandContext, *, choice: Choice, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Let paused runs go on at once."""
    control_runs(command, Action.RESUME, choice, dry_run=dry_run, yes=yes, as_json=as_json)
