"""``celeriac audit``: compare histories with the stored state of runs."""

from __future__ import annotations

import sys

import click

from celeriac.workflows.cli.command_context import CommandContext, pass_command
from celeriac.workflows.cli.display import formatting


@click.command
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the discrepancies as JSON.")
@pass_command
def audit(command: CommandContext, *, run_id: str | None, as_json: bool) -> None:
    """Compare the histories of runs with their stored state.

    Without RUN, all runs are compared. The exit code is 1 if there is a difference.
    """
    audited = 0

    def progress(number: int) -> None:
        nonlocal audited
        audited = number
        status.update(f"Audited {formatting.count(number, 'run')} …")

    with command.client() as client, command.err.status("Auditing …") as status:
        discrepancies = client.audit(None if run_id is None else client.get(run_id).id, progress)
    if as_json:
        differing = [{"run_id": str(found.run_id), "what": found.what} for found in discrepancies]
        command.print_json({"audited": audited, "discrepancies": differing})
    else:
        for found in discrepancies:
            command.out.print(f"run {found.run_id}: {found.what}", soft_wrap=True)
        verdict = formatting.count(len(discrepancies), "discrepancy") if discrepancies else "clean"
        click.echo(f"Audited {formatting.count(audited, 'run')}: {verdict}.")
    if discrepancies:
        sys.exit(1)
