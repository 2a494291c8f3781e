"""Both servers together, for a single owner at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO, Self

from celeriac.workflows.embedded.folders import prepare, remove_socket_folder
from celeriac.workflows.embedded.postgres import EmbeddedPostgres
from celeriac.workflows.embedded.redis import EmbeddedRedis
from celeriac.workflows.errors import ConfigurationError


class EmbeddedServers:
    """Postgres and Redis on this machine, while the ``with`` block lasts.

    The data of Postgres stay in ``data_dir`` for the next time. The servers end with
    this process, even if it is killed (on Linux; elsewhere the next start ends them).
    Enter the block from a thread that lives as long as the servers should: for the
    kernel, the thread that started the servers is their parent. Not for production:
    there is no backup, and every user who may read the folder may read the data.
    """

    def __init__(self, data_dir: Path) -> None:
        self.postgres = EmbeddedPostgres(data_dir)
        self.redis = EmbeddedRedis(data_dir)
        self._folder = prepare(data_dir)
        self._lock: IO[str] | None = None

    @property
    def database_url(self) -> str:
        """The address of Postgres, for psycopg and SQLAlchemy."""
        return self.postgres.url

    @property
    def broker_url(self) -> str:
        """The address of Redis, for Celery."""
        return self.redis.url

    def start(self) -> None:
        """Start both servers and return when both answer.

        Raises:
            ConfigurationError: a server does not start, or another process uses the
                folder; the message names the remedy.
        """
        try:
            self._take_lock()
            self.postgres.start()
            self.redis.start()
        except OSError as error:
            self.stop()
            raise ConfigurationError(
                detail=f"Cannot start the embedded servers in {self._folder}: {error}. "
                "Choose another folder with CELERIAC_DATA_DIR."
            ) from None
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop both servers, if they run."""
        self.redis.stop()
        self.postgres.stop()
        if self._lock is not None:
            remove_socket_folder(self._folder)
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _take_lock(self) -> None:
        """Lock the folder.

        The kernel releases the lock when we end, however we end, so the lock is never
        stale.
        """
        lock = (self._folder / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            lock.close()
            raise ConfigurationError(
                detail=f"The embedded servers in {self._folder} are in use by {owner}. Stop it, choose another folder "
                f"with CELERIAC_DATA_DIR, or use its servers: CELERIAC_DATABASE_URL='{self.database_url}' "
                f"CELERIAC_BROKER_URL='{self.broker_url}'."
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}\n")
        lock.flush()
        self._lock = lock
