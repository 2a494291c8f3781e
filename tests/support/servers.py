"""Servers for tests: one pair for the whole session, and private ones for tests that break theirs."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import redis
from psycopg import sql
from sqlalchemy import make_url

from celeriac.workflows.embedded import EmbeddedPostgres, EmbeddedRedis
from celeriac.workflows.history.schema import migrate
from celeriac.workflows.settings import Settings

DATABASE_VARIABLE = "CELERIAC_TEST_DATABASE_URL"
BROKER_VARIABLE = "CELERIAC_TEST_BROKER_URL"

# What is lost in a power cut does not matter to a test, and tests create databases all the time.
FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}


class Databases:
    """Databases on one server, each a copy of a template that is migrated once."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._prefix = f"celeriac_test_{uuid4().hex[:8]}"
        self._template = f"{self._prefix}_template"
        self._count = 0
        self._execute("CREATE DATABASE {}", self._template)
        migrate(self._url(self._template))

    @contextmanager
    def clone(self) -> Iterator[str]:
        self._count += 1
        name = f"{self._prefix}_{self._count}"
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, self._template)
        try:
            yield self._url(name)
        finally:
            self._execute("DROP DATABASE {} WITH (FORCE)", name)

    @contextmanager
    def empty(self) -> Iterator[str]:
        """A database that nobody has migrated."""
        self._count += 1
        name = f"{self._prefix}_{self._count}"
        self._execute("CREATE DATABASE {}", name)
        try:
            yield self._url(name)
        finally:
            self._execute("DROP DATABASE {} WITH (FORCE)", name)

    def close(self) -> None:
        self._execute("DROP DATABASE {} WITH (FORCE)", self._template)

    def _execute(self, statement: str, *names: str) -> None:
        with psycopg.connect(self._server_url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _url(self, name: str) -> str:
        return make_url(self._server_url).set(database=name).render_as_string(hide_password=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedServers:
    """The servers of the whole session. Tests get a database of their own and an empty broker."""

    database_url: str
    broker_url: str


@contextmanager
def shared_servers() -> Iterator[SharedServers]:
    """Start what the environment does not name."""
    database_url, broker_url = os.environ.get(DATABASE_VARIABLE), os.environ.get(BROKER_VARIABLE)
    with server_folder() as folder:
        postgres = None if database_url else EmbeddedPostgres(folder, options=FAST)
        broker = None if broker_url else EmbeddedRedis(folder)
        try:
            for server in (postgres, broker):
                if server:
                    server.start()
            yield SharedServers(
                database_url=postgres.url if postgres else str(database_url),
                broker_url=broker.url if broker else str(broker_url),
            )
        finally:
            for server in (broker, postgres):
                if server:
                    server.stop()


class PrivateServers:
    """Servers of one test, to stop, kill, restart and flush.

    ``postgres`` and ``redis`` each have ``start()``, ``stop()`` (in order) and ``kill()`` (as a crash).
    """

    def __init__(self, folder: Path) -> None:
        self.postgres = EmbeddedPostgres(folder, options={"max_connections": "200"})
        self.redis = EmbeddedRedis(folder)

    @property
    def database_url(self) -> str:
        return self.postgres.url

    @property
    def broker_url(self) -> str:
        return self.redis.url

    @property
    def settings(self) -> Settings:
        return Settings(database_url=self.database_url, broker_url=self.broker_url)

    def start(self) -> None:
        self.postgres.start()
        self.redis.start()
        migrate(self.database_url)

    def stop(self) -> None:
        self.redis.stop()
        self.postgres.stop()

    def restart_postgres(self) -> None:
        self.postgres.stop()
        self.postgres.start()

    def restart_redis(self) -> None:
        self.redis.stop()
        self.redis.start()

    def flush_redis(self) -> None:
        with redis_client(self.broker_url) as client:
            client.flushall()


@contextmanager
def private_servers() -> Iterator[PrivateServers]:
    with server_folder() as folder:
        servers = PrivateServers(folder)
        try:
            servers.start()
            yield servers
        finally:
            servers.stop()


@contextmanager
def server_folder() -> Iterator[Path]:
    """A folder with a name short enough for sockets, which pytest's own folders do not always have."""
    with tempfile.TemporaryDirectory(prefix="celeriac-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def redis_client(broker_url: str) -> redis.Redis:
    """Return a client for looking into the broker; use it as a context manager."""
    return redis.Redis.from_url(broker_url.replace("redis+socket://", "unix://"))
