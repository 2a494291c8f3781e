"""Timers while everything is restarted: Postgres, Redis and all workers."""

from datetime import datetime

from tests.support.flows_steer import fail_once, failing_once
from tests.support.outcomes import assert_all_completed_once, events_of
from tests.support.waiting import wait_until

LONG_ENOUGH_FOR_A_RESTART = 12.0


def restart_everything(private_servers, worker, start_worker, settings) -> None:
    worker.kill()
    private_servers.restart_postgres()
    private_servers.restart_redis()
    start_worker(settings, concurrency=1)


def due_and_fired(run) -> tuple[datetime, datetime]:
    events = run.history()
    due = datetime.fromisoformat(next(event.data["retry_at"] for event in events if event.type == "StepFailed"))
    return due, next(event.at for event in events if event.type == "StepRetryDue")


def test_retries_survive_a_restart_of_everything(private_servers, breakable, breakable_client, effects, start_worker):
    """One due while the fleet is away, one due soon after it is back, and one due in two hours."""
    client = breakable_client
    worker = start_worker(breakable, concurrency=1)
    runs = [client.start(failing_once, delay) for delay in (2.0, LONG_ENOUGH_FOR_A_RESTART, 7_200.0)]
    wait_until(lambda: events_of(client, "StepFailed") == 3, message="all wait")
    due_before = runs[2].steps()[0].due_at

    restart_everything(private_servers, worker, start_worker, breakable)
    for run in runs[:2]:
        assert run.result(60) == 2
        due, fired = due_and_fired(run)
        assert fired >= due

    step = runs[2].steps()[0]
    assert (step.status, step.due_at, runs[2].status) == ("retrying", due_before, "running")
    assert len(effects.of(fail_once.name)) == 5
    runs[2].cancel()
    assert client.audit() == []
    assert runs[2].steps()[0].status == "retrying"
    assert [run.status for run in runs] == ["completed", "completed", "cancelled"]


def test_a_retry_in_two_seconds_whose_message_was_flushed_away_runs(
    private_servers, breakable, breakable_client, start_worker
):
    client = breakable_client
    start_worker(breakable, concurrency=1)
    run = client.start(failing_once, 2.0)
    wait_until(lambda: events_of(client, "StepFailed") == 1, message="it waits")
    private_servers.flush_redis()
    assert run.result(20) == 2
    due, fired = due_and_fired(run)
    assert fired >= due
    assert_all_completed_once(client)
