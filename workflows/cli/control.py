"""Shared code of `pause`, `resume`, `cancel` and `terminate`.

Choose the runs, confirm, change them, report.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from uuid import UUID

import click

from celeriac.workflows.cli.command_context import CommandContext
from celeriac.workflows.cli.display import formatting
from celeriac.workflows.cli.display.change_report import ChangeReport, Unchanged
from celeriac.workflows.cli.selection import Choice
from celeriac.workflows.client.client import Client, Filters
from celeriac.workflows.client.control import Action

reason_option = click.option("--reason", metavar="TEXT", help="Why; the history and `celeriac show` tell it.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only tell which runs would change.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask before changing all runs that fit.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print what changed as JSON.")


def control_runs(
    command: CommandContext,
    action: Action,
    choice: Choice,
    *,
    reason: str | None = None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Apply an action to the chosen runs, once confirmed, and report the changes."""
    with command.client() as client:
        # Look up all ids before changing the first run: a wrong id changes nothing.
        named = [client.get(run_id).id for run_id in choice.run_ids]
        fitting = _fitting(client, action, choice, named)
        if not dry_run and fitting and not (named or yes or _confirmed(action, len(fitting))):
            raise click.Abort
        # These and no others: a run that fits only now was not confirmed.
        changed = fitting if dry_run else client.control_runs(action, fitting, reason)
        report = ChangeReport(
            action=action.value,
            changed=changed,
            unchanged=[_unchanged(client, action, run_id) for run_id in named if run_id not in changed],
            dry_run=dry_run,
        )
    print_report(command, report, as_json=as_json)


def print_report(command: CommandContext, report: ChangeReport, *, as_json: bool) -> None:
    """Print a report, and exit with code 1 if a run refused the change."""
    if as_json:
        command.print_json(report.to_json())
    else:
        for line in report.lines():
            click.echo(line)
    for line in report.refusals:
        click.echo(f"Error: {line}", err=True)
    if report.refusals:
        sys.exit(1)


def _fitting(client: Client, action: Action, choice: Choice, named: Sequence[UUID]) -> Sequence[UUID]:
    if named:
        return [run_id for run_id in named if action.applies_to(client.get(run_id).status)]
    filters: Filters = {**choice.filters, "dry_run": True}
    return client.control(action, **filters)


def _unchanged(client: Client, action: Action, run_id: UUID) -> Unchanged:
    status = client.get(run_id).status
    return Unchanged(run_id=run_id, status=status, refused=status.is_terminal and status.value != action.value)


def _confirmed(action: Action, number: int) -> bool:
    if not sys.stdin.isatty():
        return True
    runs = formatting.count(number, "run")
    return click.confirm(f"{runs} will be {action.value}. Go on?", err=True)
