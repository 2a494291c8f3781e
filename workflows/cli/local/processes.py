"""Child processes whose output is passed on, and which end together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from celeriac.workflows.embedded import launcher

GRACE_SECONDS = 10.0
STOPPING = (
    f"Stopping. Steps that run have {GRACE_SECONDS:.0f} s to end, Ctrl-C again cuts them off; "
    "steps that are cut off run again next time."
)

_POLL_SECONDS = 0.05
# For the launcher: the signal to a child when we die, and no change of account.
_AS_OURSELVES = (str(int(signal.SIGTERM)), "-1", "-1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """A child that has ended."""

    name: str
    exit_code: int  # negative: the signal that ended the child

    def __str__(self) -> str:
        if self.exit_code < 0:
            return f"{self.name} was ended by {signal.Signals(-self.exit_code).name}"
        return f"{self.name} ended with exit code {self.exit_code}"


class Children:
    """Starts programs, passes on each line of their output, and stops them on leaving.

    Each child has its own session: Ctrl-C reaches this process only, which then stops
    the children in order and kills the processes that they started. Only after a
    SIGKILL of this process would children stay; on Linux the kernel then asks them to
    stop.
    """

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        on_line: Callable[[str, str], None],
        hurry: Callable[[], bool] = lambda: False,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        """Keep the options; start nothing.

        Args:
            environment: The environment of every child.
            on_line: Called with a child's name and a line of its output, from a thread
                per child.
            hurry: Whether to kill children at once after the request to stop.
            grace_seconds: Time that children have to stop otherwise.
        """
        self._environment = {**environment, "PYTHONUNBUFFERED": "1"}
        self._on_line = on_line
        self._hurry = hurry
        self._grace_seconds = grace_seconds
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Start a program under a name."""
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), *_AS_OURSELVES, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._processes[name] = process
        reader = threading.Thread(target=self._read, args=(name, process), name=f"output of {name}", daemon=True)
        reader.start()
        self._readers.append(reader)

    def ended(self) -> Ended | None:
        """Return a child that ended by itself, or None."""
        for name, process in self._processes.items():
            if (code := process.poll()) is not None:
                return Ended(name=name, exit_code=code)
        return None

    def stop(self) -> None:
        """Ask all children to stop, kill any that do not in time, and wait for all."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        deadline = time.monotonic() + self._grace_seconds
        for process in self._processes.values():
            while process.poll() is None and time.monotonic() < deadline and not self._hurry():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its own children, too
            process.wait()
        for reader in self._readers:
            reader.join(timeout=1)
        self._processes.clear()
        self._readers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _read(self, name: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                self._on_line(name, line.rstrip("\n"))
