from datetime import timedelta

from celeriac.workflows.cli.display.as_json import run_to_json
from celeriac.workflows.cli.display.render import (
    RUN_STYLES,
    STEP_STYLES,
    history_table,
    run_page,
    runs_table,
    tally,
)
from celeriac.workflows.engine.events import Event, EventType
from celeriac.workflows.engine.states import RunStatus, StepStatus
from celeriac.workflows.engine.views import ErrorView
from tests.support.views import RUN, START, failed_order, lines, run_view, step_view

NOW = START + timedelta(seconds=4)


def test_a_run_is_drawn_with_states_attempts_times_and_workers():
    page = lines(run_page(failed_order(), now=NOW, width=100))
    assert page[0] == "✗ order_processing version 1  failed in 3.0 s"
    assert page[1].startswith(f"run {RUN} · started ")
    assert page[1].endswith(" · key order-123 · tenant=acme")
    assert [line.split() for line in page[2:]] == [
        ["step", "state", "attempts", "time", "worker"],
        ["✓", "validate", "completed", "1", "10", "ms", "celery@host"],
        ["├─", "●", "reserve", "running", "1", "4.0", "s", "celery@host"],
        ["└─", "✗", "charge", "failed", "3", "(2", "lost)", "10", "ms", "celery@host"],
        ["○", "ship", "←", "reserve,", "charge", "pending"],
    ]


def test_a_fan_out_of_2000_fits_a_screen_and_tells_what_it_leaves_out():
    parts = [f"part-{number}" for number in range(2000)]
    statuses = ["completed"] * 1500 + ["running"] * 30 + ["ready"] * 170 + ["pending"] * 300
    steps = [step_view(name, ["split"], status, task="part") for name, status in zip(parts, statuses, strict=True)]
    view = run_view([step_view("split"), *steps, step_view("join", parts, "pending")])
    page = lines(run_page(view, now=NOW, width=80, height=20), width=80)
    assert len(page) == 2 + 1 + 20
    assert page[3].startswith("├─ ✓ part × 1,500")
    assert page[-1] == "… not shown: 1 completed, 14 running, 1 pending"
    assert "○ join ← part × 2,000" in "".join(lines(run_page(view, now=NOW, width=80, height=100), width=80))
    whole = lines(run_page(view, now=NOW, width=80, collapse=False), width=80)
    assert len(whole) == 2 + 1 + 2002


def test_every_state_has_a_style_and_is_counted():
    assert set(RUN_STYLES) == set(RunStatus)
    assert set(STEP_STYLES) == set(StepStatus)
    for status in StepStatus:
        assert tally([step_view("a", status=status)]) == f"1 {status}"


def test_a_step_that_is_tried_again_shows_how_long_it_waits_still():
    why = ErrorView(type="Busy", message="later")
    view = run_view([step_view("a", status="retrying", attempt=2, error=why)])
    assert lines(run_page(view, now=NOW, width=100))[-1].split()[:8] == [
        *("↻", "a", "retrying", "2", "again", "in", "2.0", "s")
    ]
    late = START + timedelta(minutes=1)
    assert "again, is due" in lines(run_page(view, now=late, width=100))[-1]


def test_many_steps_that_are_tried_again_share_a_line_that_tells_the_first():
    why = ErrorView(type="Busy", message="later")
    parts = [
        step_view(f"part-{n}", status="retrying", task="part", error=why, due_at=NOW + timedelta(seconds=n + 1))
        for n in range(6)
    ]
    assert lines(run_page(run_view(parts), now=NOW, width=100))[-1].startswith(
        "↻ part × 6  retrying         1  again in 1.0 s"
    )


def test_the_head_of_a_paused_run_does_not_claim_to_know_since_when():
    assert lines(run_page(run_view([], "paused"), now=NOW, width=100))[0] == (
        "‖ order_processing version 1  paused, started 4.0 s ago"
    )


def test_a_page_of_80_columns_keeps_names_and_states_and_cuts_the_worker():
    view = run_view([step_view("collect_the_statistics_of_all", worker="celery@a-host-with-a-very-long-name.example")])
    page = lines(run_page(view, now=NOW, width=80), width=80)
    assert page[-1].startswith("✓ collect_the_statistics_of_all  completed")
    assert page[-1].endswith("…")
    assert max(map(len, page)) <= 80


def test_runs_are_listed_with_whole_ids_on_a_narrow_page():
    narrow = lines(runs_table([failed_order()], now=NOW, width=80), width=80)
    assert narrow[1].split() == [str(RUN), "failed", "4", "s", "3.0", "s", "order_processing"]
    wide = lines(runs_table([failed_order()], now=NOW, width=120), width=120)
    assert wide[1].endswith("tenant=acme")


def test_a_history_is_listed_with_the_names_of_its_steps():
    event = Event(
        run_id=RUN, sequence=7, type=EventType.STEP_STARTED, at=START, position=2, attempt=3, data={"worker": "w"}
    )
    assert lines(history_table(failed_order(), [event]))[1].split()[2:] == [
        "StepStarted",
        "charge",
        "(attempt",
        "3)",
        '{"worker":',
        '"w"}',
    ]


def test_a_run_becomes_json_with_or_without_its_steps():
    data = run_to_json(failed_order(), steps=True)
    assert (data["id"], data["status"], data["steps"][2]["error"]["type"]) == (str(RUN), "failed", "ValueError")
    assert data["created_at"] == "2026-01-02T03:04:05Z"
    assert "steps" not in run_to_json(failed_order())


def test_a_step_that_the_workflow_does_not_call_says_what_it_is_there_for():
    view = run_view(
        [
            step_view("reserve"),
            step_view("reserve.on_error", ["reserve"], "skipped", handles="reserve"),
            step_view("reserve.compensate", compensates="reserve"),
            step_view("on_failure", status="ready", hook="on_failure"),
        ]
    )
    page = "\n".join(lines(run_page(view, now=NOW, width=120), width=120))
    assert "reserve.on_error  on error of reserve" in page
    assert "reserve.compensate  ↩ compensates reserve" in page
    assert "on_failure  after the run" in page
