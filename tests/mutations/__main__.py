"""Make each mutation in a copy of the repository, and report those that no test notices."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.mutations import Mutation, load
from tests.support.processes import ROOT
from tests.support.servers import BROKER_VARIABLE, DATABASE_VARIABLE, shared_servers

PASSED, ENDLESS = 0, -1  # exit codes
TIMEOUT_SECONDS = 600
LEFT_OUT = (".*", "__pycache__", "*.egg-info", "build", "dist")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the mutations whose promise or file contains a given text, or all; return 1 if any survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("text", nargs="*", help="part of a promise or of a file's path; by default all mutations run")
    wanted = parser.parse_args(arguments).text
    chosen = [m for m in load() if not wanted or any(text in f"{m.file} {m.promise}" for text in wanted)]
    with tempfile.TemporaryDirectory(prefix="celeriac-mutations-") as folder, shared_servers() as servers:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
        environment = {
            **os.environ,
            DATABASE_VARIABLE: servers.database_url,
            BROKER_VARIABLE: servers.broker_url,
            "PYTHONPATH": str(copy),
            "PYTHONDONTWRITEBYTECODE": "1",  # a file that changes twice in a second would be read from its old bytecode
        }
        code, output = run_tests(copy, environment, {test for mutation in chosen for test in mutation.tests})
        if code != PASSED:
            print(output)
            print("The tests fail without any mutation.")
            return 1
        survivors = [mutation for mutation in chosen if survives(mutation, copy, environment)]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutations caught")
    for mutation in survivors:
        print(f"survived: {mutation.file}: {mutation.promise}")
    return min(len(survivors), 1)


def survives(mutation: Mutation, copy: Path, environment: Mapping[str, str]) -> bool:
    """Return whether the tests of a mutation pass with it."""
    file = copy / mutation.file
    source = file.read_text()
    began = time.monotonic()
    file.write_text(mutation.apply(source))
    try:
        code, _ = run_tests(copy, environment, mutation.tests)
    finally:
        file.write_text(source)
    word, took = ("SURVIVED" if code == PASSED else "caught"), time.monotonic() - began
    print(f"{word:9} {took:4.0f} s  {mutation.file}: {mutation.promise}", flush=True)
    return code == PASSED


def run_tests(copy: Path, environment: Mapping[str, str], tests: Iterable[str]) -> tuple[int, str]:
    """Run tests until one fails; return pytest's exit code and output."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *sorted(tests)]
    try:
        done = subprocess.run(
            command,
            cwd=copy,
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as ended:
        return ENDLESS, str(ended)
    return done.returncode, done.stdout


if __name__ == "__main__":
    sys.exit(main())
