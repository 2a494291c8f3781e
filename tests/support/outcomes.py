"""What became of all runs in a database, in one statement each: tests start hundreds."""

from typing import Any

import sqlalchemy as sa

from celeriac import Client
from celeriac.workflows.errors import DatabaseUnavailable
from tests.support.waiting import wait_until

LEADER_LEASE_SECONDS = 3.0


def scalar(client: Client, query: str, **parameters: Any) -> Any:
    """The one value that a query returns, once Postgres answers: many tests take it away."""

    def answer() -> tuple[Any, ...]:
        try:
            with client.services.stores.database.autocommit() as connection:
                return (connection.execute(sa.text(query), parameters).scalar(),)
        except DatabaseUnavailable:
            return ()

    return wait_until(answer, 20, "Postgres answers")[0]


def execute(client: Client, statement: str) -> None:
    with client.services.stores.database.autocommit() as connection:
        connection.execute(sa.text(statement))


def runs_in(client: Client, *statuses: str) -> int:
    """How many runs are in one of these states."""
    return scalar(client, "SELECT count(*) FROM workflow_runs WHERE status = ANY (:statuses)", statuses=list(statuses))


def open_runs(client: Client) -> int:
    return runs_in(client, "pending", "running")


def events_of(client: Client, type_: str) -> int:
    return scalar(client, "SELECT count(*) FROM workflow_events WHERE type = :type", type=type_)


def redispatches(client: Client) -> int:
    return scalar(client, "SELECT coalesce(sum(dispatches), 0) FROM workflow_tasks")


def wait_for_all(client: Client, timeout: float) -> None:
    """Wait until no run is open."""
    wait_until(lambda: open_runs(client) == 0, timeout, "all runs end", interval=0.05)


def let_reconcile(client: Client, seconds: float) -> None:
    """Wait until the fleet has reconciled for so long: each pass renews the leader lease."""
    until = scalar(client, "SELECT now() + make_interval(secs => :seconds)", seconds=seconds + LEADER_LEASE_SECONDS)
    kept = "SELECT count(*) FROM workflow_leases WHERE name LIKE 'leader:%' AND expires_at > :until"
    wait_until(lambda: scalar(client, kept, until=until), 3 * seconds + 10, "the fleet reconciles", interval=0.2)


def assert_all_completed_once(client: Client) -> None:
    """Every run completed, every step of every run exactly once, and the projections follow from the events."""
    not_completed = scalar(client, "SELECT count(*) FROM workflow_runs WHERE status <> 'completed'")
    assert not_completed == 0
    wrong = """
        SELECT count(*) FROM (
            SELECT task.run_id, task.position
            FROM workflow_tasks AS task
            LEFT JOIN workflow_events AS event
                ON event.run_id = task.run_id AND event.position = task.position AND event.type = 'StepCompleted'
            GROUP BY task.run_id, task.position
            HAVING count(event.sequence) <> 1
        ) AS counted
    """
    assert scalar(client, wrong) == 0
    assert client.audit() == []


def step_events(client: Client, run_id: Any, position: int) -> list[tuple[str, int | None]]:
    """The events of one step of a run, as type and attempt, in order."""
    return [
        (event.type.value, event.attempt)
        for event in client.services.stores.reader.events(run_id)
        if event.position == position
    ]
