"""``celeriac migrate``: bring the database to the schema of this version."""

from __future__ import annotations

import click

from celeriac.workflows.cli.command_context import CommandContext, pass_command
from celeriac.workflows.history import schema


@click.command
@pass_command
def migrate(command: CommandContext) -> None:
    """Bring the database to the schema of this version.

    The command may run twice, and in several processes at once.
    """
    database_url = command.settings().require_database_url()
    before = schema.current_revision(database_url)
    after = schema.migrate(database_url)
    if before == after:
        click.echo(f"The database is at schema {after} already.")
    else:
        click.echo(f"Migrated the database from schema {before or 'none'} to {after}.")
