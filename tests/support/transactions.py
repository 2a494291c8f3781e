"""Transactions of callers, of every kind that ``Client.within`` takes, behind one face.

Each is a context manager that takes the URL of a database and yields a ``CallersSide``.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import django
import sqlalchemy as sa
from django.conf import settings as django_settings
from django.db import connections, transaction
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from celeriac import Client, Workflow

CREATE = "CREATE TABLE IF NOT EXISTS orders (id integer)"
INSERT = "INSERT INTO orders (id) VALUES (1)"


class RolledBack(Exception):
    """Raised inside a transaction to roll it back."""


@dataclass(frozen=True, kw_only=True)
class CallersSide:
    """A caller with a transaction that inserts a row of the caller's own and starts a run."""

    start: Callable[..., UUID]
    """``start(client, workflow, *args, commit=True, inside=None)``: in one transaction, insert, start, call
    ``inside``, and commit or roll back."""


@contextmanager
def of_connection(url: str) -> Iterator[CallersSide]:
    engine = sa.create_engine(with_driver(url, "psycopg"))

    def start(client: Client, workflow: Workflow, *args: Any, commit: bool = True, inside: Any = None) -> UUID:
        with engine.connect() as connection:
            connection.execute(sa.text(INSERT))
            run = client.within(connection).start(workflow, *args)
            if inside:
                inside()
            (connection.commit if commit else connection.rollback)()
        return run.id

    yield CallersSide(start=start)
    engine.dispose()


@contextmanager
def of_session(url: str) -> Iterator[CallersSide]:
    engine = sa.create_engine(with_driver(url, "psycopg"))

    def start(client: Client, workflow: Workflow, *args: Any, commit: bool = True, inside: Any = None) -> UUID:
        with Session(engine) as session:
            session.execute(sa.text(INSERT))
            run = client.within(session).start(workflow, *args)
            if inside:
                inside()
            (session.commit if commit else session.rollback)()
        return run.id

    yield CallersSide(start=start)
    engine.dispose()


@contextmanager
def of_scoped_session(url: str) -> Iterator[CallersSide]:
    engine = sa.create_engine(with_driver(url, "psycopg"))
    session = scoped_session(sessionmaker(engine))

    def start(client: Client, workflow: Workflow, *args: Any, commit: bool = True, inside: Any = None) -> UUID:
        try:
            session.execute(sa.text(INSERT))
            run = client.within(session).start(workflow, *args)
            if inside:
                inside()
            (session.commit if commit else session.rollback)()
        finally:
            session.remove()
        return run.id

    yield CallersSide(start=start)
    engine.dispose()


def of_async_session(driver: str) -> Callable[[str], Any]:
    @contextmanager
    def kind(url: str) -> Iterator[CallersSide]:
        def start(client: Client, workflow: Workflow, *args: Any, commit: bool = True, inside: Any = None) -> UUID:
            async def main() -> UUID:
                engine = create_async_engine(with_driver(url, driver))
                try:
                    async with AsyncSession(engine) as session:
                        await session.execute(sa.text(INSERT))
                        run = await client.within(session).start(workflow, *args)
                        if inside:
                            await asyncio.to_thread(inside)
                        await (session.commit() if commit else session.rollback())
                        return run.id
                finally:
                    await engine.dispose()

            return asyncio.run(main())

        yield CallersSide(start=start)

    return kind


def of_async_connection(driver: str) -> Callable[[str], Any]:
    @contextmanager
    def kind(url: str) -> Iterator[CallersSide]:
        def start(client: Client, workflow: Workflow, *args: Any, commit: bool = True, inside: Any = None) -> UUID:
            async def main() -> UUID:
                engine = create_async_engine(with_driver(url, driver))
                try:
                    async with engine.connect() as connection:
                        await connection.execute(sa.text(INSERT))
                        run = await client.within(connection).start(workflow, *args)
                        if inside:
                            await asyncio.to_thread(inside)
                        await (connection.commit() if commit else connection.rollback())
                        return run.id
                finally:
                    await engine.dispose()

            return asyncio.run(main())

        yield CallersSide(start=start)

    return kind


@contextmanager
def of_django(url: str) -> Iterator[CallersSide]:
    connection = django_connection(url)

    def start(client: Client, workflow: Workflow, *args: Any, commit: bool = True, inside: Any = None) -> UUID:
        with suppress(RolledBack), transaction.atomic(using="default"):
            with connection.cursor() as cursor:
                cursor.execute(INSERT)
            run = client.within(connection).start(workflow, *args)
            if inside:
                inside()
            if not commit:
                raise RolledBack
        return run.id

    yield CallersSide(start=start)
    connection.close()


def django_connection(url: str) -> Any:
    """Return ``django.db.connection`` to a database."""
    if not django_settings.configured:
        django_settings.configure(DATABASES={}, USE_TZ=True)
        django.setup()
    parts = sa.make_url(url)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.database,
        "USER": parts.username or "",
        "PASSWORD": parts.password or "",
        "HOST": parts.host or parts.query.get("host", ""),
        "PORT": parts.port or parts.query.get("port", ""),
    }
    connections.settings = connections.configure_settings({"default": database})
    if hasattr(connections._connections, "default"):
        delattr(connections._connections, "default")
    return connections["default"]


def with_driver(url: str, driver: str) -> sa.URL:
    return sa.make_url(url).set(drivername=f"postgresql+{driver}")


KINDS = {
    "connection": of_connection,
    "session": of_session,
    "scoped session": of_scoped_session,
    "async session, psycopg": of_async_session("psycopg"),
    "async session, asyncpg": of_async_session("asyncpg"),
    "async connection, asyncpg": of_async_connection("asyncpg"),
    "django": of_django,
}
