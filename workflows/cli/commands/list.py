"""``celeriac list``: list runs, the latest first."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from celeriac.workflows.cli.command_context import CommandContext, pass_command
from celeriac.workflows.cli.display.as_json import run_to_json
from celeriac.workflows.cli.display.render import runs_table
from celeriac.workflows.cli.inputs import read_tags
from celeriac.workflows.engine.states import RunStatus


@click.command("list")
@click.option("--workflow", metavar="NAME", help="Only runs of this workflow.")
@click.option("--status", type=click.Choice([status.value for status in RunStatus]), help="Only runs in this state.")
@click.option("--tag", "tags", metavar="KEY=VALUE", multiple=True, help="Only runs with this label; may be repeated.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="List at most this many runs.")
@click.option("--json", "as_json", is_flag=True, help="Print the runs as JSON.")
@pass_command
def list_runs(
    command: CommandContext,
    *,
    workflow: str | None,
    status: str | None,
    tags: tuple[str, ...],
    limit: int,
    as_json: bool,
) -> None:
    """List runs, the latest first."""
    with command.client() as client:
        views = client.list(
            workflow=workflow, status=None if status is None else RunStatus(status), tags=read_tags(tags), limit=limit
        )
    if as_json:
        command.print_json([run_to_json(view) for view in views])
    elif views:
        command.out.print(runs_table(views, now=datetime.now(UTC), width=command.out.width))
    else:
        command.note("No such run." if workflow or status or tags else "No runs yet. `celeriac start` starts one.")
