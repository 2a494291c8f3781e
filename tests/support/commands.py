"""The command ``celeriac``, as a process or inside the test's own."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from celeriac.workflows.cli.main import celeriac
from celeriac.workflows.settings import Settings
from tests.support.processes import ROOT, environment


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    exit_code: int
    out: str
    err: str


class Celeriac:
    """Runs the command to its end as a process, with the settings in its environment."""

    command = (sys.executable, "-m", "celeriac.workflows.cli")

    def __init__(self, settings: Settings, *, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> None:
        self._environment = {**environment(settings), "COLUMNS": "100", **(env or {})}
        self._cwd = cwd

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> Ended:
        done = subprocess.run(
            [*self.command, *arguments],
            check=False,
            cwd=self._cwd,
            env=self._environment,
            input="" if stdin is None else stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
        )
        return Ended(exit_code=done.returncode, out=done.stdout, err=done.stderr)


class CeleriacInside:
    """Runs the command inside of the test's process, which takes a tenth of the time."""

    def __init__(self, settings: Settings, *, env: Mapping[str, str] | None = None) -> None:
        self._runner = CliRunner(env={**environment(settings), "COLUMNS": "100", **(env or {})})

    def __call__(self, *arguments: str, stdin: str | None = None) -> Ended:
        done = self._runner.invoke(celeriac, arguments, input=stdin, prog_name="celeriac")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ended(exit_code=done.exit_code, out=done.stdout, err=done.stderr)
