"""``celeriac cancel``: end runs, asking their steps to stop."""

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
def cancel(
    command: CommandContext, *, choice: Choice, reason: str | None, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """End runs: running steps are asked to stop, no step starts.

    A step is asked through StepContext.cancelled, and may finish; `terminate` does not
    wait for the step.
    """
    control_runs(command, Action.CANCEL, choice, reason=reason, dry_run=dry_run, yes=yes, as_json=as_json)
