"""What type checkers accept and reject of users' code: the files of tests/typing, by mypy and by pyright."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(ROOT.glob("tests/typing/*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_mypy_accepts_right_code_and_rejects_wrong_code(file):
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture(scope="module")
def pyrights_findings() -> dict[str, set[tuple[int, str]]]:
    """The lines in which pyright finds an error, by file; with its comments that ignore errors turned off."""
    config = "tests/typing/pyrightconfig.json"
    checked = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--outputjson", "--project", config, "--pythonpath", sys.executable],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[str, set[tuple[int, str]]] = {str(file): set() for file in FILES}
    report: dict[str, Any] = json.loads(checked.stdout)
    assert report["summary"]["filesAnalyzed"] == len(FILES), checked.stdout
    for finding in report["generalDiagnostics"]:
        if finding["severity"] == "error":
            found[finding["file"]].add((finding["range"]["start"]["line"] + 1, finding["message"]))
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_pyright_accepts_and_rejects_the_same(file, pyrights_findings):
    lines = enumerate(file.read_text().splitlines(), 1)
    # Code that is not reached is a hint for pyright, not an error.
    wrong = {number for number, line in lines if "# type: ignore" in line and "[unreachable]" not in line}
    found = pyrights_findings[str(file)]
    assert {number for number, _ in found} == wrong, sorted(found)
