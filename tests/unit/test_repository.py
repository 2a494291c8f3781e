"""Promises of the repository itself."""

import re
import subprocess
import sys
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.processes import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONSTRAINTS = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]


def test_constraints_hold_versions_and_nothing_else():
    assert [line for line in CONSTRAINTS if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)] == []


def test_every_dependency_is_constrained_to_a_version_that_it_allows():
    versions = {canonicalize_name(name): version for name, version in (line.split("==") for line in CONSTRAINTS)}
    extras = PROJECT["optional-dependencies"].values()
    for text in [*PROJECT["dependencies"], *(line for lines in extras for line in lines)]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), text


def test_imports_go_in_the_directions_agreed():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_bare_sleep_in_a_test_is_a_lint_error():
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--select",
        "TID251",
        "--stdin-filename",
        "tests/unit/test_x.py",
        "-",
    ]
    done = subprocess.run(
        command, cwd=ROOT, input="import time\n\ntime.sleep(1)\n", capture_output=True, check=False, text=True
    )
    assert done.returncode == 1
    assert "wait_until" in done.stdout
