"""Errors that interrupt a statement from outside, as time limits do: the process must be able to go on."""

import signal
from contextlib import contextmanager

import pytest

from celeriac.workflows.history.database import Database
from celeriac.workflows.history.direct import DirectConnections
from celeriac.workflows.history.records import Limits
from celeriac.workflows.history.stores import Stores
from tests.support.graphs import chain_of
from tests.support.store import ALIVE


class TimeLimit(Exception):
    """As a soft time limit of Celery's, which is no error of the driver."""


@contextmanager
def interrupted_after(seconds: float):
    """Raise in the main thread, wherever it is, as a time limit does."""

    def interrupt(*_):
        raise TimeLimit

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_statement_that_a_time_limit_interrupts_does_not_wedge_the_process(store):
    run_id = store.start(chain_of(2))
    attempt = store.take(run_id, "s0")
    with store.database.transaction() as blocking:
        blocking.exec_driver_sql("SELECT FROM workflow_tasks FOR UPDATE")
        with pytest.raises(TimeLimit), interrupted_after(0.3):
            store.attempts.heartbeat(attempt, None, Limits())
    assert store.attempts.heartbeat(attempt, '"still here"', Limits())
    assert store.complete(attempt).ready == (1,)


def test_an_error_of_the_statement_itself_keeps_the_connection(store):
    direct = DirectConnections(store.database)
    before = direct.execute("recorded_steps", {"run": store.start(chain_of(1)), "positions": "{0}"})
    connection = direct._connected()
    with pytest.raises(Exception, match="invalid input syntax"):
        direct.execute("recorded_steps", {"run": "no uuid", "positions": "{0}"})
    assert before is not None
    assert direct._connected() is connection
    direct.close()


OTHER = ALIVE.replace(":1:", ":9:")


def twins(store):
    """Two workers that hold attempt 1: the claim of the first was lost in a crash of Postgres."""
    run_id = store.start(chain_of(2))
    first = store.take(run_id, "s0")
    store.damage(
        "UPDATE workflow_tasks SET status = 'ready', attempt = 0 WHERE position = 0 AND run_id = :run", run=run_id
    )
    second = store.take(run_id, "s0", OTHER)
    assert (first.attempt, second.attempt) == (1, 1)
    return run_id, first, second


@pytest.mark.parametrize("retry_in", [None, 60.0])
def test_a_failure_of_a_twin_does_not_end_the_attempt_of_the_other(store, retry_in):
    run_id, first, second = twins(store)
    assert store.fail(first, retry_in) is None
    assert store.statuses(run_id)["s0"] == "running"
    assert store.complete(second).ready == (1,)


def test_a_twin_neither_completes_nor_releases_nor_keeps_alive_what_the_other_runs(store):
    run_id, first, second = twins(store)
    assert store.complete(first) is None
    assert not store.attempts.release(first)
    assert not store.attempts.heartbeat(first, '"stale"', Limits())
    assert store.attempts.find_recorded_completion(first, None) is None
    assert store.task(run_id, "s0").heartbeat_details is None
    assert store.complete(second) is not None
    assert store.attempts.find_recorded_completion(first, None) is None


def test_a_heartbeat_during_an_outage_neither_raises_nor_stops_the_step(store):
    attempt = store.take(store.start(chain_of(1)), "s0")
    nowhere = Stores.of(Database("postgresql://u@127.0.0.1:1/nowhere"))
    assert nowhere.attempts.heartbeat(attempt, None, Limits()) is True
    nowhere.database.close()
