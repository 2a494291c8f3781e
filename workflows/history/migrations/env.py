"""Alembic's entry point: migrates on the connection of ``workflows.history.schema``."""

from alembic import context

from celeriac.workflows.history.schema import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
