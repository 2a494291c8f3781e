"""Migrating the database, and checking that it is migrated."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, column, inspect, select, table, text

from celeriac.workflows.errors import SchemaMismatch
from celeriac.workflows.history.database import Database

# Not `alembic_version`, which the team's Alembic keeps in the same database.
VERSION_TABLE = "workflow_schema_version"
_MIGRATION_LOCK = 0x63656C6572696163  # 'celeriac' in ASCII
_MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(database_url: str) -> str:
    """Bring the database to the schema of this version and return its revision.

    Safe to run twice, and by several processes at once: they wait for the first of them
    and then find the database migrated.

    Raises:
        DatabaseUnavailable: Postgres does not answer.
    """
    database = Database(database_url)
    try:
        with database.transaction() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        database.close()
    return head_revision()


@cache
def head_revision() -> str:
    """Return the revision that this version of Celeriac needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def current_revision(database_url: str) -> str | None:
    """Return the database's revision, or None if it was never migrated.

    Raises:
        DatabaseUnavailable: Postgres does not answer.
    """
    database = Database(database_url)
    try:
        with database.autocommit() as connection:
            return _revision(connection)
    finally:
        database.close()


def check(database: Database) -> None:
    """Return if the database has the schema that this version needs.

    Raises:
        SchemaMismatch: the database has another schema, or none.
        DatabaseUnavailable: Postgres does not answer.
    """
    with database.autocommit() as connection:
        found = _revision(connection)
    if found != head_revision():
        raise SchemaMismatch(found=found or "none", needed=head_revision())


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.scalar(select(column("version_num")).select_from(table(VERSION_TABLE)))


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
