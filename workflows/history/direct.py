"""Connections past SQLAlchemy, for the statements that every step takes.

Through a pool and an ``Engine`` a statement costs three times as much, which is more
than Postgres itself needs for a claim.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg

from celeriac.workflows.history.database import Database
from celeriac.workflows.history.statements import driver_sql


class DirectConnections:
    """A connection per thread, opened at its first use, and after it broke."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._local = threading.local()

    def execute(self, name: str, parameters: Mapping[str, Any]) -> Any | None:
        """Execute a named statement; return its only row, or None.

        Raises:
            psycopg.Error: as the driver raises it. After an error of the connection,
                the next call opens another connection.
        """
        with self._intact() as connection:
            return connection.execute(driver_sql(name), parameters).fetchone()

    def execute_all(self, name: str, parameters: Mapping[str, Any]) -> list[Any]:
        """Execute a named statement; return its rows. Otherwise as ``execute``."""
        with self._intact() as connection:
            return connection.execute(driver_sql(name), parameters).fetchall()

    @contextmanager
    def _intact(self) -> Iterator[psycopg.Connection[Any]]:
        """Lend the connection of this thread.

        Close it if a foreign error interrupts its use.

        A time limit raises wherever the process is, also while the driver waits. The
        statement then goes on at the server, and the connection is no good for another.
        """
        connection = self._connected()
        try:
            yield connection
        except psycopg.Error:
            raise
        except BaseException:
            connection.close()
            raise

    def _connected(self) -> psycopg.Connection[Any]:
        connection: psycopg.Connection[Any] | None = getattr(self._local, "connection", None)
        if connection is None or connection.closed:
            connection = self._local.connection = self._database.connect_directly()
        return connection

    def close(self) -> None:
        """Close the connection of this thread."""
        connection: psycopg.Connection[Any] | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
