"""The pools that a worker may have: prefork, threads, solo."""

import itertools

import pytest

from celeriac.workflows.errors import RunFailed
from tests.support.flows_chaos import fork, line, pooled, recording, recording_and_failing, refusing
from tests.support.outcomes import assert_all_completed_once, events_of, redispatches, scalar, wait_for_all

POOLS = ["prefork", "threads", "solo"]


@pytest.mark.parametrize("pool", POOLS)
def test_steps_of_every_kind_run_in_every_pool(client, flows, effects, start_worker, pool):
    """FIELD_FAILURES 19: a database connection is shared across the fork."""
    worker = start_worker(flows, pool=pool, concurrency=3)
    arguments = {line: (0.0,), fork: (0.0,), recording: (0.0,), pooled: ()}
    started = itertools.product(range(5), arguments)
    runs = [(client.start(flow, number, *arguments[flow]), number, flow) for number, flow in started]
    expected = {line: lambda n: n + 3, recording: lambda n: n + 3, fork: lambda n: 3 * (n + 2)}
    expected[pooled] = lambda n: 2 * (n + 3)
    assert [run.result(30) for run, _, _ in runs] == [expected[flow](number) for _, number, flow in runs]
    assert scalar(client, "SELECT count(*) FROM effects") == 10
    assert set(effects.per_step().values()) == {1}
    assert redispatches(client) == 0
    assert_all_completed_once(client)
    assert worker.stop() == 0
    assert "Traceback" not in worker.output


@pytest.mark.parametrize("pool", POOLS)
def test_a_step_that_raises_fails_its_run_and_takes_its_transaction_back(client, flows, effects, start_worker, pool):
    start_worker(flows, pool=pool, concurrency=1)
    refused, recorded = client.start(refusing, 13), client.start(recording_and_failing)
    with pytest.raises(RunFailed, match="no luck with 14"):
        refused.result(20)
    with pytest.raises(RunFailed, match="after the insert"):
        recorded.result(20)
    assert scalar(client, "SELECT count(*) FROM effects") == 0
    assert effects.of("tell") == []
    error = next(step.error for step in refused.steps() if step.error)
    assert error.type == "ValueError"
    assert 'raise ValueError(f"no luck with {number}")' in error.traceback
    assert client.start(line, 1, 0.0).result(20) == 4
    assert client.audit() == []


def test_children_that_are_replaced_all_the_time_lose_nothing(client, flows, effects, start_worker):
    """Each child opens connections of its own and ends after a few tasks, in the middle of the fleet's work."""
    start_worker(flows, concurrency=2, arguments=["--max-tasks-per-child", "3"])
    runs = [client.start(recording, number, 0.0) for number in range(20)]
    wait_for_all(client, 60)
    assert [run.result(1) for run in runs] == [number + 3 for number in range(20)]
    assert len({effect.pid for effect in effects.all()}) > 2
    assert events_of(client, "StepFailed") == 0
    assert set(effects.per_step().values()) == {1}
    assert_all_completed_once(client)
