"""A queue that is long because the fleet is busy, which must not be taken for one that was lost."""

import pytest

from tests.support.flows_chaos import hold, holding
from tests.support.flows_wide import FAN, loose
from tests.support.outcomes import assert_all_completed_once, let_reconcile, redispatches, scalar, wait_for_all
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
    wait_for_all(client, 90)
    assert redispatches(client) <= 5
    assert busy.result(1) == 1
    assert_all_completed_once(client)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_what_a_busy_worker_has_prefetched_is_not_sent_again(client, flows, effects, gate, start_worker, pool):
    """Taken from the queue, not claimed: the worker that holds it says so for as long as it lives."""
    flows = flows.model_copy(update={"lease_seconds": 2.0})
    start_worker(flows, pool=pool, concurrency=1, arguments=["--prefetch-multiplier", "10"])
    runs = [client.start(holding, str(gate)) for _ in range(10)]
    wait_until(lambda: effects.of(hold.name), message="the worker is busy")
    let_reconcile(client, 8)
    assert redispatches(client) == 0

    gate.touch()
    wait_for_all(client, 20)
    assert [run.result(1) for run in runs] == [1] * 10
    assert_all_completed_once(client)
