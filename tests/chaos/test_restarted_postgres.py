"""Postgres that goes away under load and comes back."""

from tests.support.flows_chaos import fork, line, recording
from tests.support.outcomes import (
    assert_all_completed_once,
    events_of,
    open_runs,
    scalar,
    wait_for_all,
)
from tests.support.waiting import wait_until

WORKFLOWS = (line, fork, recording)


def start_many(client, count: int, seconds: float):
    return [client.start(WORKFLOWS[number % 3], number, seconds) for number in range(count)]


def results_of(count: int) -> list[int]:
    return [3 * (n + 2) if n % 3 == 1 else n + 3 for n in range(count)]


def test_workers_come_back_by_themselves_after_postgres_restarts_under_load(
    private_servers, breakable, breakable_client, start_worker
):
    client = breakable_client
    workers = [start_worker(breakable, pool=pool, concurrency=2) for pool in ("prefork", "threads")]
    runs = start_many(client, 42, 0.1)
    wait_until(lambda: events_of(client, "StepCompleted") >= 10, message="the fleet is at work")

    private_servers.restart_postgres()
    assert open_runs(client) > 0
    wait_for_all(client, 60)

    assert all(worker.running for worker in workers)
    assert_all_completed_once(client)
    assert [run.result(1) for run in runs] == results_of(42)
    assert scalar(client, "SELECT count(*) FROM effects") == 14


def test_postgres_that_is_killed_and_away_for_a_while_loses_nothing(
    private_servers, breakable, breakable_client, start_worker
):
    client = breakable_client
    worker = start_worker(breakable, concurrency=4)
    runs = start_many(client, 42, 0.1)
    wait_until(lambda: events_of(client, "StepCompleted") >= 10, message="the fleet is at work")

    private_servers.postgres.kill()
    worker.wait_for_output("The database does not answer")
    worker.wait_for_output("Not reconciled: Cannot reach the database")
    private_servers.postgres.start()
    wait_for_all(client, 60)

    assert_all_completed_once(client)
    assert [run.result(1) for run in runs] == results_of(42)
    assert scalar(client, "SELECT count(*) FROM effects") == 14


def test_a_postgres_restart_while_lost_steps_are_recovered_strands_nothing(
    private_servers, breakable, breakable_client, start_worker
):
    """FIELD_FAILURES 23: a database restart during recovery strands runs for good."""
    client = breakable_client
    victim = start_worker(breakable, concurrency=4)
    runs = start_many(client, 40, 0.1)
    wait_until(lambda: events_of(client, "StepCompleted") >= 5, message="the fleet is at work")
    victim.kill()
    private_servers.restart_postgres()
    start_worker(breakable, concurrency=4)
    wait_until(lambda: events_of(client, "StepLost") > 0, 30, "recovery has begun")
    private_servers.restart_postgres()
    wait_for_all(client, 60)
    assert_all_completed_once(client)
    assert [run.result(1) for run in runs] == results_of(40)


def test_the_first_start_after_a_restart_succeeds(private_servers, breakable_client):
    """The client's pool holds connections that the restart has cut."""
    breakable_client.start(line, 1, 0.0)
    private_servers.restart_postgres()
    breakable_client.start(line, 2, 0.0)
    assert open_runs(breakable_client) == 2
    assert breakable_client.audit() == []


def test_a_worker_that_starts_before_postgres_is_there_is_told_so(private_servers, breakable, start_worker):
    private_servers.postgres.stop()
    worker = start_worker(breakable, wait=False)
    assert worker.wait(30) != 0
    assert "Cannot reach the database" in worker.output
    assert "Traceback" not in worker.output
