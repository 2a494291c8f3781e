from dataclasses import replace

from celeriac.workflows.cli.display.error_report import reasons_page, run_errors
from celeriac.workflows.cli.display.formatting import clock
from celeriac.workflows.cli.display.render import run_page
from celeriac.workflows.client.explain import Reason
from celeriac.workflows.engine.views import ErrorView
from tests.support.views import START, failed_order, lines, run_view, step_view

BUSY = ErrorView(type="Busy", message="later", traceback="Traceback …\nBusy: later\n")


def reasons(**why):
    return [Reason(step=step.replace("_", "-"), why=text) for step, text in why.items()]


def test_an_error_is_told_as_it_is_with_its_traceback():
    assert lines(run_errors(failed_order(), traceback=True)) == [
        "✗ charge failed on attempt 3: ValueError: card [bold]declined",
        "    Traceback …",
        "    ValueError: declined",
    ]
    assert len(lines(run_errors(failed_order(), traceback=False))) == 1


def test_an_error_of_a_run_whose_steps_have_none_is_told_too():
    view = run_view([step_view("a")], "failed", error=ErrorView(type="WorkerLost", message="3 lost", step="a"))
    assert lines(run_errors(view, traceback=True)) == ["✗ a failed: WorkerLost: 3 lost"]


def test_the_last_error_of_a_step_that_is_tried_again_is_told_with_what_follows():
    step = step_view("a", status="retrying", attempt=2, error=BUSY)
    due = clock(step.due_at)
    for status, attempt, told in (
        ("retrying", 2, f"↻ a failed on attempt 2, is tried again at {due}: Busy: later"),
        ("ready", 2, "↻ a failed, is to be tried again: Busy: later"),
        ("running", 3, "↻ a failed before attempt 3, which runs: Busy: later"),
    ):
        view = run_view([step_view("a", status=status, attempt=attempt, error=BUSY)])
        assert lines(run_errors(view, traceback=False)) == [told]


def test_a_step_of_a_run_that_does_not_go_on_is_not_said_to_be_tried_again():
    for status, told in (
        ("paused", "↻ a failed on attempt 1, is tried again once the run goes on: Busy: later"),
        ("cancelled", "↻ a failed on attempt 1: Busy: later"),
    ):
        parked = run_view([step_view("a", status="retrying", error=BUSY, due_at=None)], status)
        assert lines(run_errors(parked, traceback=False)) == [told]
        assert "again" not in lines(run_page(parked, now=START, width=100))[-1]


def test_many_steps_that_failed_alike_are_told_once():
    parts = [step_view(f"part-{n}", status="failed", task="part", error=BUSY) for n in range(300)]
    odd = step_view("odd", status="failed", error=BUSY)
    assert lines(run_errors(run_view([*parts, odd], "failed"), traceback=False)) == [
        "✗ part × 300 failed on attempt 1: Busy: later",
        "✗ odd failed on attempt 1: Busy: later",
    ]


def test_who_ends_a_run_is_told_why_in_their_words():
    for status, glyph in (("cancelled", "⊘"), ("terminated", "■")):
        error = ErrorView(type=f"Run{status.capitalize()}", message="wrong price")
        view = run_view([step_view("a", status="retrying", error=BUSY)], status, error=error)
        assert lines(run_errors(view, traceback=False))[-1] == f"{glyph} The run was {status}: wrong price"


def test_a_run_whose_time_was_up_is_told_beside_the_errors_of_its_steps():
    late = ErrorView(type="RunTimedOut", message="The run did not end within its time.")
    view = run_view([step_view("a", status="retrying", error=BUSY)], "failed", error=late)
    assert lines(run_errors(view, traceback=False))[-1] == (
        "✗ The run failed: RunTimedOut: The run did not end within its time."
    )


def test_each_step_that_has_not_run_is_told_with_its_reason_and_those_that_run_are_left_out():
    view = replace(failed_order(), error=None)
    page = reasons_page(view, reasons(reserve="is running, attempt 1", ship="will not run, because the run is failed"))
    assert lines(page) == ["· ship: will not run, because the run is failed"]


def test_many_steps_of_one_reason_share_a_line_unless_all_are_asked_for():
    parts = [step_view(f"part-{n}", status="pending", task="part") for n in range(2000)]
    others = [step_view(name, status="pending") for name in ("x", "y")]
    view = run_view([*parts, *others])
    whole = [Reason(step=step.name, why="waits for split") for step in parts]
    both = reasons(x="waits for part-1", y="waits for part-1")
    assert lines(reasons_page(view, [*whole, *both])) == ["· part × 2,000: waits for split", "· x, y: waits for part-1"]
    assert len(lines(reasons_page(view, [*whole, *both], collapse=False))) == 2002


def test_more_reasons_than_a_person_reads_are_counted():
    steps = [step_view(f"s{n}", status="ready", ready_at=START) for n in range(30)]
    page = lines(
        reasons_page(run_view(steps), [Reason(step=step.name, why=f"waits for {step.name}") for step in steps])
    )
    assert len(page) == 21
    assert page[-1] == "… and 10 steps more (--all shows them)"
