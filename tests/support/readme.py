"""Running what a README shows, in the order in which it shows it.

- Python whose first line is ``# shop/flows.py`` is written to that file and imported. Other Python runs in one process,
  block after block in one namespace, as in a session.
- Of sh, bash and console, every line is run; in console, those after ``$``. A line ``run=$(celeriac …)`` sets a
  variable for those after it. What a fleet is made of (a worker, Flower,
  ``celeriac dev``) stays up until the end. Output that is shown is not compared.
- Files of a page that are of several programs are written only, and a test runs the programs.
- Setting up this repository (make, pip) is what other tests are about. Any other command is an error, so that nothing
  goes untested unseen.
"""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import BackgroundProcess

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ((?:\w+/)*(\w+)\.py)\n")
_ASSIGNMENT = re.compile(r"(\w+)=\$\((celeriac .*)\)")
_SHELL = {"sh", "bash", "console"}
_SETTING_UP = {"make", "pip"}

# Reads blocks from standard input, runs them, and answers each with its error or null.
_SESSION = """
import contextlib, json, os, sys, traceback
answers = sys.stdout
for line in sys.stdin:
    block = json.loads(line)
    os.environ.update(block["environment"])
    error = None
    with contextlib.redirect_stdout(sys.stderr):
        try:
            exec(compile(block["code"], block["place"], "exec"), globals())
        except BaseException:
            error = traceback.format_exc()
    print(json.dumps(error), file=answers, flush=True)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    language: str
    text: str
    line: int  # of its first line in the README


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks that can be run."""
    for found in _BLOCK.finditer(text):
        if found[1] in {"python", *_SHELL}:
            yield Block(language=found[1], text=found[2], line=text.count("\n", 0, found.start(2)) + 1)


def commands(block: Block) -> Iterator[str]:
    """The command lines of a block of shell, without comments; a line that ends in a backslash goes on."""
    for line in block.text.replace("\\\n", "").splitlines():
        if block.language == "console" and not line.startswith("$ "):
            continue
        words = line.removeprefix("$ ").strip()
        if words and not words.startswith("#"):
            yield words


class Reader:
    """Someone who does what a README says.

    Args:
        folder: Where they are.
        environment: What they have set; the README's ``export`` adds to it.
        servers: Values of variables for which the README can only have an example, such as addresses.
        start_process: The fixture of that name.
        python: The interpreter of the environment that they have installed Celeriac in.
        imports_files: Whether each Python file is imported once it is written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        environment: Mapping[str, str],
        servers: Mapping[str, str],
        start_process: Callable[..., BackgroundProcess],
        python: Path = Path(sys.executable),
        imports_files: bool = True,
    ) -> None:
        self.folder = folder
        self.environment = {**environment, "PATH": os.pathsep.join([str(python.parent), environment["PATH"]])}
        self._bin = python.parent
        self._imports_files = imports_files
        self._servers = servers
        self._start_process = start_process
        self._started = 0
        self._session = subprocess.Popen(
            [python, "-c", _SESSION],
            cwd=folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def follow(self, text: str) -> None:
        """Do all of it.

        Raises:
            AssertionError: something does not work; the message has the line.
        """
        for block in blocks(text):
            if block.language == "python":
                self._python(block)
            else:
                for command in commands(block):
                    self._shell(command, f"line {block.line} and following: {command}")

    def python(self, code: str, place: str = "<test>") -> None:
        """Run code in the session.

        Raises:
            AssertionError: it raised; the message has the traceback.
        """
        assert self._session.stdin
        assert self._session.stdout
        request = {"code": code, "place": place, "environment": self.environment}
        self._session.stdin.write(json.dumps(request) + "\n")
        self._session.stdin.flush()
        error = json.loads(self._session.stdout.readline())
        assert error is None, error

    def close(self) -> None:
        """Leave the session. What was started in the background is the fixture's to end."""
        self._session.communicate()

    def _python(self, block: Block) -> None:
        named = _FILE.match(block.text)
        if named is None:
            self.python("\n" * (block.line - 1) + block.text, "README.md")
            return
        file = self.folder / named[1]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text)
        if self._imports_files:
            module = named[1].removesuffix(".py").replace("/", ".")
            self.python(f"import {module}", f"README.md, line {block.line}")

    def _shell(self, command: str, place: str) -> None:
        if assigned := _ASSIGNMENT.fullmatch(command):
            self.environment[assigned[1]] = self._run(assigned[2], place).strip()
            return
        words = shlex.split(command, comments=True)
        match words:
            case ["export", assignment]:
                name, _, value = assignment.partition("=")
                self.environment[name] = self._servers.get(name, value)
            case [tool, *_] if tool in _SETTING_UP:
                pass
            case ["celery", "-A", _, "worker", *_]:
                self._background([*words, "--loglevel=INFO"], r"\bready\.")  # without INFO, nothing tells
            case ["celery", "-A", _, "beat", *_]:
                self._background([*words, "--loglevel=INFO"], r"beat: Starting")
            case ["celery", "-A", _, "flower", *_]:
                self._background([*words, f"--port={_free_port()}"], r"Visit me at")
            case ["celeriac", "dev", *_]:
                self._background([*words, f"--flower-port={_free_port()}"], r"\bready\.")
            case ["celeriac", *_] | ["python", "-m", "django", *_]:
                self._run(command, place)
            case _:
                raise AssertionError(f"{place}\nis a command that tests/support/readme.py does not know.")

    def _run(self, command: str, place: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
        )
        assert done.returncode == 0, f"{place}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _background(self, words: list[str], sign_of_life: str) -> None:
        self._started += 1
        # By its full path: the process is started with our PATH, not with the reader's.
        program = str(self._bin / words[0])
        process = self._start_process(
            [program, *words[1:]], name=f"readme-{self._started}", env=self.environment, cwd=self.folder
        )
        process.wait_for_output(sign_of_life)


def _free_port() -> int:
    """A port of this machine; the one of the README may be taken."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
