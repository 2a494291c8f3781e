"""The comparison with plain Celery runs. Whether it is won is not a test's to say: the machine is shared."""

import json
import subprocess
import sys

import pytest

from tests.support.processes import ROOT, environment


@pytest.mark.parametrize("options", [[], ["--json"], ["--no-events"]])
def test_the_benchmark_compares_both_sides_and_leaves_nothing(options: list[str]):
    command = [sys.executable, "-m", "benchmarks", "--quick", *options]
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(extra={"COLUMNS": "120"}),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    if "--json" in options:
        lines = json.loads(ended.stdout)["comparisons"]
        assert {line["against"] for line in lines} == {"Celery"}
        assert all(line["ratio"] > 0 for line in lines)
    else:
        assert "4 chains of 10" in ended.stdout
        assert "latency of a chain of 10" in ended.stdout
        assert ("task events off" if options else "task events on") in " ".join(ended.stdout.split())
