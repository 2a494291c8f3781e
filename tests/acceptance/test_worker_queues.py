"""Queues and their workers; starts from many sides at once; waiting for results."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from celeriac.workflows.dispatch.wakeups import LONGEST_PAUSE_SECONDS
from celeriac.workflows.engine.states import RunStatus, StepStatus
from tests.support.flows_chaos import beside_stranded, holding, line, stranded, travelling
from tests.support.outcomes import assert_all_completed_once, events_of, let_reconcile, scalar
from tests.support.waiting import wait_until

POOL_TIMEOUT_SECONDS = 30.0  # SQLAlchemy's: how long a call waits for a connection when others have taken all
QUERIES_PER_WAITER = 15  # in the first six seconds; afterwards one in two seconds


def test_a_step_with_a_queue_runs_where_that_queue_is_served(client, flows, effects, start_worker):
    here = start_worker(flows, concurrency=1)
    run = client.start(travelling, 1)
    wait_until(lambda: len(effects.all()) == 1, message="the first step is done")
    there = start_worker(flows, queues=["elsewhere"], concurrency=1)
    assert run.result(20) == 4
    workers = {step.name: step.worker for step in run.steps()}
    assert workers["far"].startswith(there.name)
    assert workers["first"].startswith(here.name)
    assert workers["third"].startswith(here.name)
    assert_all_completed_once(client)


def test_steps_without_a_worker_stay_ready_and_nothing_else_suffers(client, flows, effects, start_worker):
    start_worker(flows, concurrency=2)
    forsaken, half = client.start(stranded, 1), client.start(beside_stranded, 1)
    assert [client.start(line, number, 0.0).result(20) for number in range(5)] == [3, 4, 5, 6, 7]
    let_reconcile(client, 4)
    assert forsaken.status is RunStatus.PENDING
    assert half.status is RunStatus.RUNNING
    assert {step.name: step.status for step in half.steps()} == {
        "stranded": StepStatus.READY,
        "second": StepStatus.COMPLETED,
        "third": StepStatus.COMPLETED,
    }
    assert scalar(client, "SELECT sum(dispatches) FROM workflow_tasks") == 0
    assert client.audit() == []

    start_worker(flows, queues=["nobody-listens"], concurrency=1)
    assert forsaken.result(20) == 2
    assert half.result(20) == 3
    assert_all_completed_once(client)


def test_starts_with_one_key_from_many_threads_make_one_run(client, flows, effects, start_worker):
    start_worker(flows)
    barrier = threading.Barrier(8)

    def start(_: int):
        barrier.wait()
        return client.start(line.options(idempotency_key="order-1"), 1, 0.0).id

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(start, range(8)))
    assert len(ids) == 1
    assert client.get(ids.pop()).result_json(20) == 4
    assert events_of(client, "RunStarted") == 1
    assert len(effects.all()) == 3
    assert_all_completed_once(client)


def test_waiting_for_a_result_issues_few_queries_and_ends_soon_after_the_run(
    client, flows, effects, gate, make_client, start_worker
):
    """FIELD_FAILURES 28: waiting polls once a second for each waiter and saturates the pool."""
    start_worker(flows, concurrency=2)
    run = client.start(holding, str(gate))
    wait_until(lambda: effects.all(), message="the step runs")
    issued = []
    sa.event.listen(
        client.services.stores.database.engine, "before_cursor_execute", lambda *call: issued.append(call[2])
    )
    other = make_client(flows)  # whose queries are not counted

    def wait() -> float:
        assert run.result(60) == 1
        return time.monotonic()

    with ThreadPoolExecutor(20) as pool:
        waiters = [pool.submit(wait) for _ in range(20)]
        let_reconcile(other, 6)
        before = time.monotonic()
        client.start(line, 1, 0.0)  # the waiters have not taken all connections
        assert time.monotonic() - before < POOL_TIMEOUT_SECONDS / 2
        issued_while_waiting = len(issued)
        gate.touch()
        wait_until(lambda: other.get(run.id).status is RunStatus.COMPLETED, message="the run completes")
        completed = time.monotonic()
        last = max(waiter.result() for waiter in waiters)
    assert last - completed < LONGEST_PAUSE_SECONDS
    assert issued_while_waiting < 20 * QUERIES_PER_WAITER
    assert other.get(run.id).result(20) == 1
    assert_all_completed_once(other)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_warm_shutdown_loses_nothing_of_what_was_taken_from_the_queue(client, flows, effects, start_worker, pool):
    """FIELD_FAILURES 9: tasks vanish at a warm shutdown."""
    worker = start_worker(flows, pool=pool, concurrency=2, arguments=["--prefetch-multiplier", "10"])
    runs = [client.start(line, number, 0.05) for number in range(40)]
    wait_until(lambda: events_of(client, "StepCompleted") >= 10, message="the fleet is at work")
    assert worker.stop() == 0
    assert events_of(client, "StepStarted") == events_of(client, "StepCompleted")
    assert events_of(client, "StepLost") == 0

    start_worker(flows, pool=pool, concurrency=4)
    assert [run.result(30) for run in runs] == [number + 3 for number in range(40)]
    assert set(effects.per_step().values()) == {1}
    assert_all_completed_once(client)
