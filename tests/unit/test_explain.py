"""Reasons why steps of a run have not run."""

from datetime import timedelta

import pytest

from celeriac.workflows.client.explain import explain
from celeriac.workflows.engine.views import ErrorView, LiveWorker, WorkerScope
from tests.support.views import START, run_view, step_view

NOW = START + timedelta(seconds=90)
DUE = START + timedelta(seconds=70)


def worker(name: str = "celery@a", queues=("celery",), steps=("pay", "ship")) -> LiveWorker:
    scope = WorkerScope(queues=frozenset(queues), tasks=frozenset(steps))
    return LiveWorker(name=name, processes=2, expires_at=NOW + timedelta(seconds=6), scope=scope)


SERVING = worker()


def reasons(run, *workers: LiveWorker) -> dict[str, str]:
    found = explain(run, workers, default_queue="celery", now=NOW)
    return {reason.step: reason.why for reason in found}


def why(status: str, run: str = "running", workers=(SERVING,), **fields) -> str:
    [reason] = reasons(run_view([step_view("pay", status=status, **fields)], run), *workers).values()
    return reason


def test_steps_that_are_done_have_no_reason():
    assert reasons(run_view([step_view("pay"), step_view("ship", status="failed")], "failed")) == {}


def test_a_step_waits_for_the_parents_that_have_not_completed():
    steps = [
        step_view("a"),
        step_view("b", status="running"),
        step_view("c", status="retrying", due_at=DUE),
        step_view("join", ["a", "b", "c"], "pending"),
    ]
    assert reasons(run_view(steps), worker())["join"] == "waits for b, c"


def test_reasons_come_in_the_order_of_the_graph():
    steps = [step_view("b", status="running"), step_view("a", ["b"], "pending"), step_view("c", ["a"], "pending")]
    assert list(reasons(run_view(steps))) == ["b", "a", "c"]


def test_a_step_that_runs_says_where():
    assert why("running", attempt=2) == "is running, attempt 2, on celery@host"


def test_a_step_that_waits_for_its_retry_says_when_and_why():
    clock = DUE.astimezone().strftime("%H:%M:%S")
    error = ErrorView(type="Declined", message="no funds")
    assert why("retrying", due_at=DUE, attempt=1, error=error) == (
        f"waits for its retry at {clock}, after attempt 1 failed (Declined: no funds)"
    )


@pytest.mark.parametrize("status", ["pending", "ready", "retrying"])
@pytest.mark.parametrize("run", ["completed", "failed", "cancelled", "terminated"])
def test_a_step_of_a_run_that_has_ended_will_not_run(run, status):
    assert why(status, run, due_at=DUE) == f"will not run, because the run is {run}"


def test_a_step_still_running_in_a_run_that_has_ended_says_so():
    assert why("running", "cancelled") == "is running, attempt 1, on celery@host"


def test_a_ready_step_of_a_paused_run_waits_for_the_run():
    assert why("ready", "paused") == "is ready; the run is paused"


def test_pausing_does_not_hide_what_else_a_step_waits_for():
    steps = [step_view("a", status="running"), step_view("b", ["a"], "pending")]
    assert reasons(run_view(steps, "paused"))["b"] == "waits for a"
    error = ErrorView(type="Declined", message="no funds")
    paused = "waits for its retry; the run is paused (Declined: no funds)"
    assert why("retrying", "paused", due_at=DUE, error=error) == paused


def test_without_any_worker_a_ready_step_waits_for_one():
    assert why("ready", workers=()) == "waits for a worker on queue 'celery' (no worker is alive)"


def test_a_queue_that_no_worker_serves_is_named():
    assert why("ready", queue="gpu") == "waits for a worker on queue 'gpu' (none alive)"


def test_a_queue_whose_workers_lack_the_code_is_named_with_the_step():
    assert why("ready", workers=[worker(steps=["ship"])]) == (
        "waits for a worker that has step 'pay' (none on queue 'celery' has its code)"
    )


def test_a_worker_with_the_code_on_another_queue_does_not_count():
    workers = [worker("celery@a", steps=["ship"]), worker("celery@b", queues=["gpu"])]
    assert why("ready", workers=workers).startswith("waits for a worker that has step 'pay'")


def test_the_code_is_looked_for_by_the_steps_name_and_not_by_that_of_its_use():
    run = run_view([step_view("pay-2", task="pay", status="ready")])
    assert reasons(run, worker())["pay-2"].startswith("is dispatched to queue 'celery'")


def test_a_step_that_is_dispatched_says_since_when_and_to_how_many():
    workers = [worker("celery@a"), worker("celery@b"), worker("celery@c", queues=["gpu"])]
    assert why("ready", workers=workers) == "is dispatched to queue 'celery', ready for 90 s; 2 alive to take it"


def test_a_worker_of_which_nothing_is_known_yet_may_take_it():
    assert why("ready", queue="gpu", workers=[worker(queues=(), steps=())]).endswith("1 alive to take it")


def anybody() -> LiveWorker:
    """A worker that has the code of the steps below."""
    return worker(steps=("a", "b", "c", "on_failure", "a.compensate", "b.compensate"))


def test_a_step_that_failed_upstream_names_the_steps_that_it_needed():
    steps = [
        *(
            step_view("a", status="failed"),
            step_view("b", ["a"], "upstream_failed"),
            step_view("c", ["b"], "upstream_failed"),
        ),
        *(step_view("d"), step_view("e", ["d", "a"], "upstream_failed")),
    ]
    assert reasons(run_view(steps), anybody()) == {
        "b": "will not run: it needs a, which failed",
        "c": "will not run: it needs b, which failed upstream",
        "e": "will not run: it needs a, which failed",
    }


def test_a_step_that_was_skipped_says_why_it_is_not_needed():
    steps = [
        *(step_view("a"), step_view("a.on_error", ["a"], "skipped", handles="a")),
        *(step_view("alarm", ["a"], "skipped", needs="one_failed"), step_view("after", ["alarm"], "skipped")),
    ]
    assert reasons(run_view(steps), anybody()) == {
        "a.on_error": "is not needed: a has not failed",
        "alarm": "is not needed: nothing before it failed",
        "after": "is not needed: alarm was skipped",
    }


def test_a_pending_step_waits_for_parents_that_have_not_ended_however_the_others_did():
    steps = [step_view("a", status="failed"), step_view("b", status="running"), step_view("c", ["a", "b"], "pending")]
    assert reasons(run_view(steps), anybody())["c"] == "waits for b"


COMPENSATING = [
    *(step_view("a"), step_view("b"), step_view("c", status="ready")),
    *(step_view("a.compensate", status="pending", compensates="a"),),
]


def test_in_a_saga_that_compensates_forward_steps_do_not_run_and_compensations_wait_for_each_other():
    steps = [*COMPENSATING, step_view("b.compensate", status="ready", compensates="b")]
    found = reasons(run_view(steps, "compensating"), anybody())
    assert found["c"] == "will not run, because the run is compensating"
    assert found["a.compensate"] == "waits for the compensations of steps that completed later"
    assert found["b.compensate"].startswith("is dispatched to queue 'celery'")


def test_a_compensation_behind_one_that_failed_says_what_to_do():
    steps = [*COMPENSATING, step_view("b.compensate", status="failed", compensates="b")]
    found = reasons(run_view(steps, "compensation_failed"), anybody())
    assert found["c"] == "will not run, because the run is failed, and a compensation failed too"
    assert found["a.compensate"] == "waits for b.compensate, which failed; once that can succeed, retry the run"


@pytest.mark.parametrize(("status", "expected"), [("failed", "is dispatched"), ("terminated", "will not run")])
def test_a_hook_runs_after_the_end(status, expected):
    steps = [step_view("a"), step_view("on_failure", status="ready", hook="on_failure")]
    assert reasons(run_view(steps, status), anybody())["on_failure"].startswith(expected)
