"""A queue that is long because the fleet is busy, which must not be taken for one that was lost."""

from tests.support.flows_chaos import hold, holding
from tests.support.flows_wide import FAN, loose
from tests.support.outcomes import (
    assert_all_completed_once,
    events_of,
    let_reconcile,
    redispatches,
    scalar,
    wait_for_all,
)
from tests.support.waiting import wait_until

RUNS = 5
BUSY_SECONDS = 20


def test_a_backlog_of_10000_steps_is_not_doubled(client, flows, effects, gate, start_worker):
    """FIELD_FAILURES 6: what waits for longer than some timeout is sent again and again."""
    both = flows.model_copy(update={"imports": (*flows.imports, "tests.support.flows_wide")})
    start_worker(both, pool="threads", concurrency=1)
    busy = client.start(holding, str(gate))
    wait_until(lambda: effects.of(hold.name), message="the worker is busy")
    for number in range(RUNS):
        client.start(loose, number)
    assert scalar(client, "SELECT count(*) FROM workflow_tasks WHERE status = 'ready'") == RUNS * FAN

    let_reconcile(client, BUSY_SECONDS)
    assert redispatches(client) <= 5

    gate.touch()
    assert busy.result(10) == 1
    wait_until(lambda: events_of(client, "StepCompleted") > 5_000, 60, "half of the queue is served", interval=0.1)
    assert redispatches(client) <= 5
    assert client.audit() == []


def test_what_a_busy_worker_has_prefetched_is_not_sent_again(client, short_lease_flows, effects, gate, start_worker):
    """Taken from the queue, not claimed: the worker that holds it says so for as long as it lives."""
    start_worker(short_lease_flows, concurrency=1, arguments=["--prefetch-multiplier", "10"])
    runs = [client.start(holding, str(gate)) for _ in range(10)]
    wait_until(lambda: effects.of(hold.name), message="the worker is busy")
    let_reconcile(client, 5)
    assert redispatches(client) == 0

    gate.touch()
    wait_for_all(client, 20)
    assert [run.result(1) for run in runs] == [1] * 10
    assert_all_completed_once(client)
