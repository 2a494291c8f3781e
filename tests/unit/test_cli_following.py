import io
import signal
from datetime import timedelta

import pytest
from rich.console import Console

from celeriac.workflows.cli.display.formatting import clock
from celeriac.workflows.cli.following import changes, follow
from celeriac.workflows.cli.local.stopping import StopRequest
from celeriac.workflows.engine.views import ErrorView
from tests.support.views import RUN, START, run_view, step_view

NOW = START + timedelta(seconds=4)
BEGINNING = run_view([step_view("a", status="ready"), step_view("b", ["a"], "pending")], "pending")
MIDDLE = run_view([step_view("a"), step_view("b", ["a"], "running")])
END = run_view([step_view("a"), step_view("b", ["a"])], "completed")


class Scripted:
    """A run whose views were made by hand; the last one stays."""

    id = RUN

    def __init__(self, *views):
        self._views = list(views)

    def view(self, *, steps):
        assert steps
        return self._views.pop(0) if len(self._views) > 1 else self._views[0]


def told(before, after):
    return [line.plain.split("  ", 1)[1] for line in changes(before, after, now=NOW)]


def test_only_what_is_different_is_told_in_the_order_in_which_it_happened():
    assert told(None, BEGINNING) == ["○ order_processing pending"]
    assert told(BEGINNING, MIDDLE) == [
        "● order_processing running",
        "● b running on celery@host",
        "✓ a completed in 10 ms",
    ]
    assert told(MIDDLE, MIDDLE) == []
    assert told(MIDDLE, END)[-1] == "✓ order_processing completed in 3.0 s"


def test_a_failure_and_a_lost_attempt_are_told_on_one_line_each():
    failed = step_view("a", status="failed", attempt=2, error=ErrorView(type="ValueError", message="no\nway"))
    lost = step_view("b", status="ready", attempt=1, lost=1)
    assert told(MIDDLE, run_view([failed, lost])) == [
        "◌ b ready, 1 lost",
        "✗ a failed in 10 ms, attempt 2: ValueError: no way",
    ]


def test_a_step_that_is_tried_again_is_told_with_its_time_and_error():
    why = ErrorView(type="Busy", message="try\nlater")
    retrying = run_view([step_view("a", status="retrying", error=why), step_view("b", ["a"], "pending")])
    due = clock(START + timedelta(seconds=6))
    assert told(MIDDLE, retrying)[0] == f"↻ a retrying at {due}, attempt 1: Busy: try later"
    again = run_view([step_view("a", status="running", attempt=2, error=why), step_view("b", ["a"], "pending")])
    assert told(retrying, again) == ["● a running, attempt 2 on celery@host"]


def test_pausing_and_resuming_are_told_when_they_are_seen():
    paused = run_view(MIDDLE.steps, "paused")
    [line] = changes(MIDDLE, paused, now=NOW)
    assert line.plain == f"{clock(NOW)}  ‖ order_processing paused"
    [line] = changes(paused, MIDDLE, now=NOW)
    assert line.plain == f"{clock(NOW)}  ● order_processing running"


def test_a_run_that_is_cancelled_is_told_with_the_reason():
    cancelled = run_view(MIDDLE.steps, "cancelled", error=ErrorView(type="RunCancelled", message="wrong price"))
    assert told(MIDDLE, cancelled) == ["⊘ order_processing cancelled in 3.0 s: wrong price"]
    assert follow(Scripted(MIDDLE, cancelled), console=Console(file=io.StringIO()), stop=StopRequest()) is cancelled


def test_many_alike_changes_are_told_on_one_line():
    parts = [step_view(f"part-{number}", task="part") for number in range(1000)]
    assert told(None, run_view([*parts, step_view("odd")])) == [
        "● order_processing running",
        "✓ part × 1,000 completed",
        "✓ odd completed in 10 ms",
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_run_is_shown_until_it_ends(terminal):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=80)
    assert follow(Scripted(BEGINNING, MIDDLE, END), console=console, stop=StopRequest()) is END
    assert "order_processing" in out.getvalue().splitlines()[-1] or terminal
    assert out.getvalue().count("completed") >= 3


def test_following_ends_when_the_time_is_up_or_a_stop_is_requested():
    console = Console(file=io.StringIO())
    assert follow(Scripted(MIDDLE), console=console, stop=StopRequest(), timeout=0.05) is MIDDLE
    stop = StopRequest()
    stop.make(signal.SIGTERM)
    assert follow(Scripted(MIDDLE), console=console, stop=stop) is MIDDLE
    assert stop.exit_code == 143
