from datetime import timedelta

from rich.console import Console

from tests.support.views import RUN, START, run_view, step_view
from workflows.cli.as_json import run_to_json
from workflows.cli.render import history_table, run_errors, run_page, runs_table
from workflows.events import Event, EventType
from workflows.views import ErrorView

NOW = START + timedelta(seconds=4)
DECLINED = ErrorView(type="ValueError", message="card [bold]declined", traceback="Traceback …\nValueError: declined\n")


def lines(renderable, width=100):
    console = Console(width=width, color_system=None, markup=False, emoji=False, highlight=False)
    with console.capture() as capture:
        console.print(renderable)
    return [line.rstrip() for line in capture.get().splitlines()]


def order(status="failed"):
    return run_view(
        [
            step_view("validate"),
            step_view("reserve", ["validate"], "running"),
            step_view("charge", ["validate"], "failed", error=DECLINED, attempt=3, lost=2),
            step_view("ship", ["reserve", "charge"], "pending"),
        ],
        status,
        tags={"tenant": "acme"},
        idempotency_key="order-123",
        error=ErrorView(type="ValueError", message="card declined", step="charge"),
    )


def test_a_run_is_drawn_with_states_attempts_times_and_workers():
    page = lines(run_page(order(), now=NOW, width=100))
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


def test_an_error_is_told_as_it_is_with_its_traceback():
    assert lines(run_errors(order(), traceback=True)) == [
        "✗ charge failed on attempt 3: ValueError: card [bold]declined",
        "    Traceback …",
        "    ValueError: declined",
    ]
    assert len(lines(run_errors(order(), traceback=False))) == 1


def test_an_error_of_a_run_whose_steps_have_none_is_told_too():
    view = run_view([step_view("a")], "failed", error=ErrorView(type="WorkerLost", message="3 lost", step="a"))
    assert lines(run_errors(view, traceback=True)) == ["✗ a failed: WorkerLost: 3 lost"]


def test_a_fan_out_of_2000_fits_a_screen_and_tells_what_it_leaves_out():
    parts = [f"part-{number}" for number in range(2000)]
    statuses = ["completed"] * 1500 + ["running"] * 30 + ["ready"] * 170 + ["pending"] * 300
    steps = [step_view(name, ["split"], status, step="part") for name, status in zip(parts, statuses, strict=True)]
    view = run_view([step_view("split"), *steps, step_view("join", parts, "pending")])
    page = lines(run_page(view, now=NOW, width=80, height=20), width=80)
    assert len(page) == 2 + 1 + 20
    assert page[3].startswith("├─ ✓ part × 1,500")
    assert page[-1] == "… not shown: 1 completed, 14 running, 1 pending"
    assert "○ join ← part × 2,000" in "".join(lines(run_page(view, now=NOW, width=80, height=100), width=80))
    whole = lines(run_page(view, now=NOW, width=80, fold=False), width=80)
    assert len(whole) == 2 + 1 + 2002


def test_a_page_of_80_columns_keeps_names_and_states_and_cuts_the_worker():
    view = run_view([step_view("collect_the_statistics_of_all", worker="celery@a-host-with-a-very-long-name.example")])
    page = lines(run_page(view, now=NOW, width=80), width=80)
    assert page[-1].startswith("✓ collect_the_statistics_of_all  completed")
    assert page[-1].endswith("…")
    assert max(map(len, page)) <= 80


def test_runs_are_listed_with_whole_ids_on_a_narrow_page():
    narrow = lines(runs_table([order()], now=NOW, width=80), width=80)
    assert narrow[1].split() == [str(RUN), "failed", "4", "s", "3.0", "s", "order_processing"]
    wide = lines(runs_table([order()], now=NOW, width=120), width=120)
    assert wide[1].endswith("tenant=acme")


def test_a_history_is_listed_with_the_names_of_its_steps():
    event = Event(
        run_id=RUN, sequence=7, type=EventType.STEP_STARTED, at=START, position=2, attempt=3, data={"worker": "w"}
    )
    assert lines(history_table(order(), [event]))[1].split()[2:] == [
        "StepStarted",
        "charge",
        "(attempt",
        "3)",
        '{"worker":',
        '"w"}',
    ]


def test_a_run_becomes_json_with_or_without_its_steps():
    data = run_to_json(order(), steps=True)
    assert (data["id"], data["status"], data["steps"][2]["error"]["type"]) == (str(RUN), "failed", "ValueError")
    assert data["created_at"] == "2026-01-02T03:04:05Z"
    assert "steps" not in run_to_json(order())
