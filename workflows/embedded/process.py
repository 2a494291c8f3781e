"""A server as a child process: started, waited for, stopped, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from celeriac.workflows.embedded import launcher
from celeriac.workflows.embedded.accounts import Account
from celeriac.workflows.errors import ConfigurationError

_POLL = 0.02  # seconds between two checks whether a server is ready


class ServerProcess:
    """A child process that logs to a file and ends when we end, however we end.

    The server has its own session: Ctrl-C in a terminal reaches us only, and we stop
    the server after its clients. On Linux the kernel stops the server when the thread
    that started it ends: start servers from a thread that stays.
    """

    def __init__(self, *, name: str, log: Path, stop_signal: signal.Signals, account: Account | None = None) -> None:
        self.name = name
        self.log = log
        self._stop_signal = stop_signal
        self._account = account
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The process id, or None if the server does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def run(self, command: Sequence[str], *, environment: Mapping[str, str]) -> None:
        """Run a command that prepares the server, and wait for its end.

        Raises:
            ConfigurationError: the command failed; the message names the log.
        """
        self._launch(command, environment)
        assert self._process is not None
        if self._process.wait() != 0:
            raise self._failure()

    def start(self, command: Sequence[str], *, environment: Mapping[str, str], ready: Callable[[], bool]) -> None:
        """Start the server and return once ``ready()`` is true.

        Raises:
            ConfigurationError: the server ended, or was not ready within 30 seconds;
                the message names the log.
        """
        self._launch(command, environment)
        assert self._process is not None
        deadline = time.monotonic() + 30
        while not ready():
            try:
                self._process.wait(_POLL)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
                self.kill()
            raise self._failure()

    def stop(self, timeout: float = 10) -> None:
        """End the server, if it runs, in order; by force after ``timeout`` seconds."""
        if self._process is None:
            return
        self.send(self._stop_signal)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        if self._process is not None:
            self.send(signal.SIGKILL)
            self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the server, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def _launch(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        account = self._account or Account(uid=-1, gid=-1)
        identity = [str(value) for value in (os.getpid(), int(self._stop_signal), account.uid, account.gid)]
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", launcher.__file__, *identity, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd="/",  # the server's account may be unable to enter ours
                start_new_session=True,
            )

    def _failure(self) -> ConfigurationError:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        telling = [line for line in lines if "FATAL" in line or "error:" in line.lower()]
        reason = (telling or lines or ["it gave no reason"])[-1]
        return ConfigurationError(
            detail=f"The embedded {self.name} did not start: {reason} (the log is {self.log}). "
            "Repair or remove the folder of the server, or name a server of your own in CELERIAC_DATABASE_URL and "
            "CELERIAC_BROKER_URL."
        )
