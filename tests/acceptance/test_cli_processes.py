import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from celeriac.workflows.cli.local.processes import GRACE_SECONDS, Children, Ended
from tests.support.processes import ROOT
from tests.support.waiting import wait_until

STUBBORN = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid()); time.sleep(600)"
WITH_A_CHILD = "import subprocess, sys; p = subprocess.Popen(['sleep', '600']); print(p.pid); p.wait()"
TELLING_ITS_PID = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
OWNER = f"""
import sys, threading
sys.path.insert(0, {str(ROOT)!r})
from celeriac.workflows.cli.local.processes import Children
with Children(environment=dict(PATH="/bin:/usr/bin"), on_line=lambda name, line: print(line, flush=True)) as children:
    children.start("sleeper", [sys.executable, "-c", {TELLING_ITS_PID!r}])
    threading.Event().wait()
"""


@pytest.fixture
def lines():
    return []


@pytest.fixture
def children(lines):
    with Children(environment=os.environ, on_line=lambda *line: lines.append(line), grace_seconds=0.3) as children:
        yield children


def test_every_line_of_every_child_is_passed_on_with_its_name(children, lines):
    children.start("one", [sys.executable, "-c", "print('first'); print('second')"])
    children.start("two", [sys.executable, "-c", "import sys; sys.stderr.write('no end of line')"])
    wait_until(lambda: len(lines) == 3)
    assert sorted(lines) == [("one", "first"), ("one", "second"), ("two", "no end of line")]


def test_a_child_that_ends_by_itself_is_told_with_its_exit_code(children):
    children.start("worker", [sys.executable, "-c", "raise SystemExit(3)"])
    assert wait_until(children.ended) == Ended(name="worker", exit_code=3)
    assert str(Ended(name="worker", exit_code=3)) == "worker ended with exit code 3"
    assert str(Ended(name="worker", exit_code=-9)) == "worker was ended by SIGKILL"


def test_a_child_that_does_not_stop_in_time_is_killed(children, lines):
    children.start("stubborn", [sys.executable, "-c", STUBBORN])
    wait_until(lambda: lines)
    pid = int(lines[0][1])
    children.stop()
    assert not psutil.pid_exists(pid)


def test_a_child_is_killed_at_once_when_it_is_in_a_hurry(lines):
    with Children(environment=os.environ, on_line=lambda *line: lines.append(line), hurry=lambda: True) as children:
        children.start("stubborn", [sys.executable, "-c", STUBBORN])
        wait_until(lambda: lines)
        began = time.monotonic()
        children.stop()
    assert time.monotonic() - began < GRACE_SECONDS / 2


def test_what_a_child_has_started_ends_with_it(children, lines):
    children.start("parent", [sys.executable, "-c", WITH_A_CHILD])
    wait_until(lambda: lines)
    grandchild = int(lines[0][1])
    children.stop()
    wait_until(lambda: not alive(grandchild))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_children_of_a_command_that_is_killed_end_too(tmp_path: Path):
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        pid = int(owner.stdout.readline())
        owner.send_signal(signal.SIGKILL)
    wait_until(lambda: not alive(pid))


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
