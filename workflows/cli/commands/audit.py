"""``celeriac migrate``, ``audit`` and ``reconcile``: looking after the history."""

from __future__ import annotations

import os
import sys

import click

from celeriac.workflows.cli.command_context import Invocation, pass_invocation
from celeriac.workflows.cli.display import formatting
from celeriac.workflows.cli.local import programs
from celeriac.workflows.history import schema


@click.command
@pass_invocation
def migrate(invocation: Invocation) -> None:
    """Bring the database to the schema of this version. Safe to run twice, and by several at once."""
    database_url = invocation.settings().require_database_url()
    before = schema.current_revision(database_url)
    after = schema.migrate(database_url)
    if before == after:
        click.echo(f"The database is at schema {after} already.")
    else:
        click.echo(f"Migrated the database from schema {before or 'none'} to {after}.")


@click.command
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the discrepancies as JSON.")
@pass_invocation
def audit(invocation: Invocation, *, run_id: str | None, as_json: bool) -> None:
    """Compare the histories of runs with the state kept of them.

    Of all runs, or of one RUN. The exit code is 1 when they differ.
    """
    audited = 0

    def progress(number: int) -> None:
        nonlocal audited
        audited = number
        status.update(f"Audited {formatting.count(number, 'run')} …")

    with invocation.client() as client, invocation.err.status("Auditing …") as status:
        discrepancies = client.audit(None if run_id is None else client.get(run_id).id, progress)
    if as_json:
        differing = [{"run_id": str(found.run_id), "what": found.what} for found in discrepancies]
        invocation.print_json({"audited": audited, "discrepancies": differing})
    else:
        for found in discrepancies:
            invocation.out.print(f"run {found.run_id}: {found.what}", soft_wrap=True)
        verdict = formatting.count(len(discrepancies), "discrepancy") if discrepancies else "clean"
        click.echo(f"Audited {formatting.count(audited, 'run')}: {verdict}.")
    if discrepancies:
        sys.exit(1)


@click.command
@click.option("--once", is_flag=True, help="Make one pass and end.")
@click.option("--json", "as_json", is_flag=True, help="Print what each pass did as JSON, a line each.")
@pass_invocation
def reconcile(invocation: Invocation, *, once: bool, as_json: bool) -> None:
    """Find lost and overdue work and set it going again.

    It goes on until it is told to stop. Every worker does this as well: run it on its own where no worker can, or to
    see what it does.
    """
    with invocation.client() as client:
        environment = programs.environment(client.settings)
    options = [*(["--once"] if once else []), *(["--json"] if as_json else [])]
    # It belongs to the worker's side, which this package does not import. It takes this process's place, so that
    # signals and the exit code need nobody in between.
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", "celeriac.worker.reconcile", *options], environment)  # noqa: S606
