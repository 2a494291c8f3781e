"""``celeriac pause``, ``resume``, ``cancel`` and ``terminate``: steering one run, or all that fit a filter."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from uuid import UUID

import click

from celeriac.workflows.cli.command_context import Invocation, pass_invocation
from celeriac.workflows.cli.display import formatting
from celeriac.workflows.cli.display.change_report import Outcome, Unchanged
from celeriac.workflows.cli.selection import Choice, choosing
from celeriac.workflows.client.client import Client, Filters
from celeriac.workflows.client.control import Action

_reason = click.option("--reason", metavar="TEXT", help="Why; the history and `celeriac show` tell it.")
_dry_run = click.option("--dry-run", is_flag=True, help="Only tell which runs would change.")
_yes = click.option("--yes", is_flag=True, help="Do not ask before changing all runs that fit.")
_json = click.option("--json", "as_json", is_flag=True, help="Print what changed as JSON.")


@click.command
@choosing
@_dry_run
@_yes
@_json
@pass_invocation
def pause(invocation: Invocation, *, choice: Choice, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Pause runs: what runs finishes, nothing new starts.

    Their retries wait as well, but the time a run may take goes on.
    """
    _steer(invocation, Action.PAUSE, choice, dry_run=dry_run, yes=yes, as_json=as_json)


@click.command
@choosing
@_dry_run
@_yes
@_json
@pass_invocation
def resume(invocation: Invocation, *, choice: Choice, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Let paused runs go on at once."""
    _steer(invocation, Action.RESUME, choice, dry_run=dry_run, yes=yes, as_json=as_json)


@click.command
@choosing
@_reason
@_dry_run
@_yes
@_json
@pass_invocation
def cancel(
    invocation: Invocation, *, choice: Choice, reason: str | None, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """End runs: steps that run are asked to stop, nothing new starts.

    A step is asked through StepContext.cancelled, and may finish; `terminate` does not wait for it.
    """
    _steer(invocation, Action.CANCEL, choice, reason=reason, dry_run=dry_run, yes=yes, as_json=as_json)


@click.command
@choosing
@_reason
@_dry_run
@_yes
@_json
@pass_invocation
def terminate(
    invocation: Invocation, *, choice: Choice, reason: str | None, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """End runs at once: workers kill the processes that run their steps.

    Only the prefork pool can; in others, a step that runs may finish.
    """
    _steer(invocation, Action.TERMINATE, choice, reason=reason, dry_run=dry_run, yes=yes, as_json=as_json)


def _steer(
    invocation: Invocation,
    action: Action,
    choice: Choice,
    *,
    reason: str | None = None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    with invocation.client() as client:
        # All ids are looked up before the first run is changed: a wrong one changes nothing.
        named = [client.get(run_id).id for run_id in choice.run_ids]
        fitting = _fitting(client, action, choice, named)
        if not dry_run and fitting and not (named or yes or _confirmed(action, len(fitting))):
            raise click.Abort
        changed = fitting if dry_run else _changed(client, action, fitting, reason)
        outcome = Outcome(
            action=action.value,
            changed=changed,
            unchanged=[_unchanged(client, action, run_id) for run_id in named if run_id not in changed],
            dry_run=dry_run,
        )
    report(invocation, outcome, as_json=as_json)


def report(invocation: Invocation, outcome: Outcome, *, as_json: bool) -> None:
    """Print what became of the runs, and end with exit code 1 if one of them refused."""
    if as_json:
        invocation.print_json(outcome.to_json())
    else:
        for line in outcome.lines():
            click.echo(line)
    for line in outcome.refusals:
        click.echo(f"Error: {line}", err=True)
    if outcome.refusals:
        sys.exit(1)


def _fitting(client: Client, action: Action, choice: Choice, named: Sequence[UUID]) -> Sequence[UUID]:
    if named:
        return [run_id for run_id in named if action.applies_to(client.runs.status(run_id))]
    filters: Filters = {**choice.filters, "dry_run": True}
    return client.steer(action, **filters)


def _changed(client: Client, action: Action, fitting: Sequence[UUID], reason: str | None) -> Sequence[UUID]:
    # These and no others: a run that has come to fit since was not confirmed.
    changed = client.steering.steer_all(action, fitting, reason) if fitting else set()
    return [run_id for run_id in fitting if run_id in changed]


def _unchanged(client: Client, action: Action, run_id: UUID) -> Unchanged:
    status = client.runs.status(run_id)
    return Unchanged(run_id=run_id, status=status, refused=status.is_terminal and status.value != action.value)


def _confirmed(action: Action, number: int) -> bool:
    if not sys.stdin.isatty():
        return True
    runs = formatting.count(number, "run")
    return click.confirm(f"{runs} will be {action.value}. Go on?", err=True)
