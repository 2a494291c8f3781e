"""The caller's transaction that a start belongs to: of SQLAlchemy, or of Django."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from celeriac.workflows.client.after_commit import AfterCommit, StartedRun
from celeriac.workflows.errors import ConfigurationError
from celeriac.workflows.history.statements import driver_sql, statement


class DjangoConnection(Protocol):
    """``django.db.connection``, or a member of ``django.db.connections``."""

    vendor: str

    def cursor(self) -> Any:
        """Return a cursor."""

    def on_commit(self, func: Callable[[], Any]) -> None:
        """Call a function once the transaction has committed."""


SyncTransaction: TypeAlias = Connection | Session | scoped_session[Any] | DjangoConnection


class CallersTransaction(Protocol):
    """Executes statements in the caller's transaction, and acts on its commit."""

    def scalar(self, name: str, parameters: Mapping[str, object]) -> Any:
        """Execute a named statement; return its first column, or None for no row."""

    def dispatch_after_commit(self, started: StartedRun) -> None:
        """Publish a run after the commit; do nothing after a rollback."""


class CallersTransactions:
    """Recognises the transactions of callers, and dispatches after their commits."""

    def __init__(self, after_commit: AfterCommit) -> None:
        self._after_commit = after_commit
        self._listeners: WeakKeyDictionary[Connection, _CommitListener] = WeakKeyDictionary()

    def close(self) -> None:
        """Dispatch the runs that have committed by now."""
        self._after_commit.close()

    def of(self, given: SyncTransaction) -> CallersTransaction:
        """Return the transaction behind the argument of ``Client.within``.

        Raises:
            ConfigurationError: the object has no supported type, or is not a
                connection to Postgres.
        """
        if isinstance(given, Session | scoped_session):
            given = given.connection()
        if isinstance(given, Connection):
            _require_postgres(given.dialect.name)
            return _SqlAlchemyTransaction(given, self._listener(given))
        if hasattr(given, "on_commit") and hasattr(given, "vendor"):
            _require_postgres(given.vendor)
            return _DjangoTransaction(given, self._after_commit)
        raise ConfigurationError(
            detail=f"client.within(…) cannot take a {type(given).__qualname__}. It takes a SQLAlchemy Connection, "
            "Session, AsyncConnection or AsyncSession, or django.db.connection."
        )

    def _listener(self, connection: Connection) -> _CommitListener:
        if connection not in self._listeners:
            self._listeners[connection] = _CommitListener(connection, self._after_commit)
        return self._listeners[connection]


def _require_postgres(name: str) -> None:
    if name != "postgresql":
        raise ConfigurationError(
            detail=f"client.within(…) got a connection to {name}. A start belongs to a transaction of the Postgres "
            "database that has Celeriac's tables."
        )


class _SqlAlchemyTransaction:
    def __init__(self, connection: Connection, listener: _CommitListener) -> None:
        self._connection = connection
        self._listener = listener

    def scalar(self, name: str, parameters: Mapping[str, object]) -> Any:
        return self._connection.execute(statement(name), parameters).scalar()

    def dispatch_after_commit(self, started: StartedRun) -> None:
        self._listener.started.append(started)


class _CommitListener:
    """Dispatches, when a connection commits, the runs that its transaction started."""

    def __init__(self, connection: Connection, after_commit: AfterCommit) -> None:
        self.started: list[StartedRun] = []
        self._after_commit = after_commit
        for event in ("commit", "commit_twophase"):
            sa.event.listen(connection, event, self._on_commit)
        for event in ("rollback", "rollback_twophase"):
            sa.event.listen(connection, event, self._on_rollback)

    def _on_commit(self, *_: Any) -> None:
        if self.started:
            self._after_commit.dispatch(self.started)
            self.started = []

    def _on_rollback(self, *_: Any) -> None:
        self.started = []


class _DjangoTransaction:
    def __init__(self, connection: DjangoConnection, after_commit: AfterCommit) -> None:
        self._connection = connection
        self._after_commit = after_commit

    def scalar(self, name: str, parameters: Mapping[str, object]) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(driver_sql(name), parameters)
            row = cursor.fetchone()
        return None if row is None else row[0]

    def dispatch_after_commit(self, started: StartedRun) -> None:
        self._connection.on_commit(lambda: self._after_commit.dispatch([started]))
