"""The servers, and a worker of each side, for as long as the measuring lasts."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis
from sqlalchemy import make_url

from benchmarks.sides import Celeriac, PlainCelery, Side
from celeriac.workflows.cli.local.processes import Children
from celeriac.workflows.dispatch.wakeups import redis_address
from celeriac.workflows.embedded import EmbeddedServers
from celeriac.workflows.history.schema import migrate
from celeriac.workflows.settings import Settings

ROOT = Path(__file__).parents[1]
_LAST_LINES = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Sides:
    """The two sides, each with a Redis database of its own, so that neither takes the other's messages."""

    celery: PlainCelery
    celeriac: Celeriac

    @property
    def both(self) -> tuple[Side, Side]:
        """Plain Celery first."""
        return self.celery, self.celeriac


class Fleet:
    """Servers with their default settings and a data folder of their own."""

    def __init__(self, servers: EmbeddedServers, *, events: bool) -> None:
        self._servers = servers
        self._events = events
        self._plain_broker_url = f"{servers.broker_url}?virtual_host=1"

    @contextmanager
    def without_workers(self) -> Iterator[Sides]:
        """Lend sides whose work nobody does; whatever they start is thrown away."""
        with self._sides("parked") as (sides, _):
            yield sides
        with redis.Redis.from_url(str(redis_address(self._servers.broker_url))) as client:
            client.flushall()

    @contextmanager
    def with_workers(self) -> Iterator[Sides]:
        """Lend sides with a worker each.

        Raises:
            RuntimeError: a worker ended; the message holds the end of its log.
        """
        log: deque[str] = deque(maxlen=_LAST_LINES)
        with self._sides("measured") as (sides, settings), self._workers(settings, log) as workers:
            try:
                yield sides
            except Exception as error:
                if ended := workers.ended():
                    raise RuntimeError("\n".join([f"{ended}. The end of the logs:", *log])) from error
                raise

    @contextmanager
    def _sides(self, database: str) -> Iterator[tuple[Sides, Settings]]:
        with psycopg.connect(self._servers.database_url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}".encode())
        url = make_url(self._servers.database_url).set(database=database).render_as_string(hide_password=False)
        migrate(url)
        settings = Settings(database_url=url, broker_url=self._servers.broker_url, imports=("benchmarks.flows",))
        sides = Sides(celery=PlainCelery(self._plain_broker_url), celeriac=Celeriac(settings))
        try:
            yield sides, settings
        finally:
            for side in sides.both:
                side.close()

    @contextmanager
    def _workers(self, settings: Settings, log: deque[str]) -> Iterator[Children]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CELERIAC_")},
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "PLAIN_BROKER_URL": self._plain_broker_url,
            "CELERIAC_DATABASE_URL": settings.require_database_url(),
            "CELERIAC_BROKER_URL": settings.require_broker_url(),
            "CELERIAC_IMPORTS": ",".join(settings.imports),
        }
        events = "events" if self._events else "no-events"
        with Children(environment=environment, on_line=lambda name, line: log.append(f"{name}: {line}")) as children:
            for side in ("celery", "celeriac"):
                children.start(side, [sys.executable, "-m", "benchmarks.worker", side, events])
            yield children


@contextmanager
def fleet(*, events: bool) -> Iterator[Fleet]:
    """Start servers that nobody else uses, and stop and remove them at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="celeriac-bench-", ignore_cleanup_errors=True) as folder,
        EmbeddedServers(Path(folder)) as servers,
    ):
        yield Fleet(servers, events=events)
