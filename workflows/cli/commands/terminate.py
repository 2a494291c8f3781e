"""``celeriac terminate``: end runs, killing their steps."""

from __future__ import annotations

import click

from celeriac.workflows.cli.command_context import CommandContext, pass_command
from celeriac.workflows.cli.control import control_runs, dry_run_option, json_option, reason_option, yes_option
from celeriac.workflows.cli.selection import Choice, choosing
from celeriac.workflows.client.control import Action


@click.command
@choosing
@reason_option
@dry_run_option
@yes_option
@json_option
@pass_command
def terminate(
    command: CommandContext, *, choice: Choice, reason: str | None, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """End runs at once, killing their running steps.

    Only the prefork pool can kill a step; in other pools, a running step may finish.
    """
    control_runs(command, Action.TERMINATE, choice, reason=reason, dry_run=dry_run, yes=yes, as_json=as_json)
