"""The database: its engine, its connections, and the errors of its driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.rows import namedtuple_row
from sqlalchemy import Connection, exc
from sqlalchemy.engine import URL, make_url

from celeriac.workflows.errors import ConfigurationError, DatabaseUnavailable, SchemaMismatch
from celeriac.workflows.settings import Settings

CONNECT_TIMEOUT_SECONDS = 5


class Database:
    """The database that has the history. Opens connections when they are first used.

    Make a database in each process, after the fork: processes must not share
    connections.

    Args:
        url: As Postgres users write it, ``postgresql://user:password@host/name``.
        prepare_statements: Whether to prepare statements at the server; not through a
            PgBouncer older than 1.21.
        pool_size: Connections to keep open.

    Raises:
        ConfigurationError: the address is not an address of Postgres.
    """

    def __init__(self, url: str, *, prepare_statements: bool = True, pool_size: int = 5) -> None:
        self._url = _with_driver(url)
        self._arguments: dict[str, Any] = {
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "application_name": "celeriac",
            # The statements are few and take long to plan, so preparing pays from the
            # second use on.
            "prepare_threshold": 1 if prepare_statements else None,
        }
        self.engine = sa.create_engine(
            self._url,
            connect_args=self._arguments,
            pool_size=pool_size,
            max_overflow=10,
            pool_recycle=1800,
            pool_pre_ping=True,  # otherwise the first call of a process after a restart fails
        )
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @classmethod
    def of(cls, settings: Settings, *, pool_size: int = 5) -> Database:
        """Return the database of ``settings``.

        Raises:
            ConfigurationError: the settings have no database, or its address is not an
                address of Postgres.
        """
        return cls(settings.require_database_url(), prepare_statements=settings.prepare_statements, pool_size=pool_size)

    @property
    def address(self) -> str:
        """The address with the password hidden."""
        return self._url.set(drivername="postgresql").render_as_string(hide_password=True)

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """Lend a connection on which each statement commits by itself.

        Raises:
            DatabaseUnavailable: Postgres does not answer.
            SchemaMismatch: the tables are missing.
        """
        with self.explained(), self._autocommit.connect() as connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Lend a connection in a transaction that commits, unless an error ends it.

        Raises:
            DatabaseUnavailable: Postgres does not answer.
            SchemaMismatch: the tables are missing.
        """
        with self.explained(), self.engine.begin() as connection:
            yield connection

    def connect_directly(self) -> psycopg.Connection[Any]:
        """Open a connection of the driver in autocommit mode. The caller closes it.

        Raises:
            psycopg.OperationalError: Postgres does not answer.
        """
        arguments, options = self.engine.dialect.create_connect_args(self._url)
        return psycopg.connect(
            *arguments, **{**options, **self._arguments}, autocommit=True, row_factory=namedtuple_row
        )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Replace errors of the driver by errors that state the remedy.

        Raises:
            DatabaseUnavailable: Postgres does not answer.
            SchemaMismatch: the tables are missing.
        """
        try:
            yield
        except exc.DBAPIError as error:
            if is_connection_error(error):
                reason = next(iter(str(error.orig).strip().splitlines()), "no answer")
                raise DatabaseUnavailable(address=self.address, reason=reason) from error
            if getattr(error.orig, "sqlstate", None) == "42P01":  # undefined_table
                raise SchemaMismatch(found="none", needed="a newer one") from error
            raise

    def close(self) -> None:
        """Close the connections that are not in use."""
        self.engine.dispose()


def _with_driver(database_url: str) -> URL:
    try:
        url = make_url(database_url)
    except exc.ArgumentError:
        raise ConfigurationError(
            detail="CELERIAC_DATABASE_URL is not an address. It should read postgresql://user:password@host/name."
        ) from None
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise ConfigurationError(
            detail=f"CELERIAC_DATABASE_URL names {url.get_backend_name()!r}. Celeriac keeps its history in Postgres: "
            "postgresql://user:password@host/name."
        )
    return url.set(drivername="postgresql+psycopg")


def is_connection_error(error: exc.DBAPIError | psycopg.Error) -> bool:
    """Return whether the connection failed, as opposed to the statement.

    When Postgres shuts down, starts up or fails over, it ends sessions with a state of
    class 57P or 08.
    """
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    state = getattr(cause, "sqlstate", None)
    if state is None:
        return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
    return str(state).startswith(("57P", "08"))


def is_transient(error: exc.DBAPIError | psycopg.Error) -> bool:
    """Return whether the same statement may succeed later.

    It may if the server is away, full or read-only, or aborted the statement for the
    sake of another.
    """
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    state = getattr(cause, "sqlstate", None) or ""
    return is_connection_error(error) or state.startswith(("40", "53", "55", "57", "58")) or state == "25006"
