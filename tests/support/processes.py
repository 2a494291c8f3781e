"""Real processes under test: started with a log of their own, watched, stopped, frozen and killed."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from celeriac.workflows.settings import Settings
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]


def environment(settings: Settings | None = None, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a process: ours, the repository importable, and the settings as variables."""
    values = dict(os.environ)
    values["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), values.get("PYTHONPATH")]))
    values["PYTHONUNBUFFERED"] = "1"
    for name in settings.model_fields_set if settings else ():
        value = getattr(settings, name)
        if value is not None:
            plain = value.get_secret_value() if hasattr(value, "get_secret_value") else value
            values[f"CELERIAC_{name.upper()}"] = ",".join(plain) if isinstance(plain, tuple) else str(plain)
    return {**values, **(extra or {})}


class BackgroundProcess:
    """A command in a session of its own, with everything that it starts, writing to ``log``."""

    def __init__(self, command: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path = ROOT) -> None:
        self.log = log
        self.name = log.stem
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self, timeout: float = 30) -> int:
        """Return its exit code once it has ended."""
        return self._process.wait(timeout)

    def wait_for_output(self, pattern: str, timeout: float = 30) -> re.Match[str]:
        """Return the first match of ``pattern`` in what it writes."""

        def found() -> re.Match[str] | None:
            match = re.search(pattern, self.output, re.MULTILINE)
            if match is None and not self.running:
                raise AssertionError(f"{self.name} ended before it wrote {pattern!r}:\n{self.output}")
            return match

        return wait_until(found, timeout, f"{self.name} writes {pattern!r}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process alone, not to its children."""
        self._process.send_signal(number)

    def stop(self, timeout: float = 20) -> int:
        """Ask it to end, as ``kill`` without a number does, and return its exit code."""
        self._process.terminate()
        return self.wait(timeout)

    def kill(self) -> None:
        """Kill it and all its children at once, as a machine that fails would."""
        self.suspend()  # so that no parent replaces a child in between
        self._signal_all(signal.SIGKILL)
        self._process.wait()

    def suspend(self) -> None:
        """Freeze it and all its children: alive, but silent."""
        for process in self._tree():
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        self._signal_all(signal.SIGSTOP)  # children born meanwhile

    def resume(self) -> None:
        """Let a frozen process and its children go on."""
        self._signal_all(signal.SIGCONT)

    def children(self) -> list[psutil.Process]:
        """Its children, grandchildren and so on."""
        return self._tree()[1:]

    def _tree(self) -> list[psutil.Process]:
        if not self.running:
            return []
        process = psutil.Process(self.pid)
        return [process, *process.children(recursive=True)]

    def _signal_all(self, number: signal.Signals) -> None:
        for process in self._tree():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


class WorkerProcess(BackgroundProcess):
    """``celery -A celeriac worker``."""

    def __init__(
        self,
        settings: Settings,
        *,
        log: Path,
        app: str = "celeriac",
        pool: str = "prefork",
        concurrency: int = 2,
        queues: Sequence[str] = (),
        arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
    ) -> None:
        command = [sys.executable, "-m", "celery", "-A", app, "worker", "--loglevel", "INFO"]
        command += ["--hostname", f"{log.stem}@%h", "--pool", pool, "--concurrency", str(concurrency)]
        command += ["--queues", ",".join(queues)] if queues else []
        super().__init__([*command, *arguments], log=log, env=environment(settings, env), cwd=cwd)

    def wait_ready(self, timeout: float = 30) -> None:
        """Return once it takes messages."""
        self.wait_for_output(r"\bready\.", timeout)
