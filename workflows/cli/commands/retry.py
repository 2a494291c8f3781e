"""``celeriac retry``: let failed runs go on from their failed steps."""

from __future__ import annotations

from typing import Any

import click

from celeriac.workflows.cli.command_context import CommandContext, pass_command
from celeriac.workflows.cli.control import print_report
from celeriac.workflows.cli.display.change_report import ChangeReport, Unchanged
from celeriac.workflows.client.run import Run
from celeriac.workflows.errors import InvalidRunState


@click.command
@click.argument("run_ids", metavar="RUN...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print what changed as JSON.")
@pass_command
def retry(command: CommandContext, *, run_ids: tuple[str, ...], as_json: bool) -> None:
    """Let failed runs go on from their failed steps.

    Completed steps are not run again; failed steps get all their attempts again.
    """
    with command.client() as client:
        # Look up all ids before changing the first run: a wrong id changes nothing.
        runs = [client.get(run_id) for run_id in dict.fromkeys(run_ids)]
        refused = [found for found in map(_retried, runs) if found is not None]
    unchanged = {run.run_id for run in refused}
    report = ChangeReport(
        action="retried", changed=[run.id for run in runs if run.id not in unchanged], unchanged=refused
    )
    print_report(command, report, as_json=as_json)


def _retried(run: Run[Any]) -> Unchanged | None:
    """Retry a run; return the run as unchanged if its status does not allow that."""
    try:
        run.retry()
    except InvalidRunState:
        return Unchanged(run_id=run.id, status=run.status, refused=True)
    return None
