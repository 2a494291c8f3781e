"""Processes that die at the named points of worker/failpoints.py, and steps that kill their worker."""

import pytest
import sqlalchemy as sa

from celeriac.workflows.errors import RunFailed
from tests.support.flows_chaos import deadly, deadly_at_once, kill_process, line, recording
from tests.support.outcomes import assert_all_completed_once, events_of, scalar, wait_for_all
from tests.support.waiting import wait_until


@pytest.fixture
def flows(short_lease_flows):
    return short_lease_flows.model_copy(update={"max_lost_attempts": 2})


POINTS = {  # how often the code of the step that is under way runs altogether, and how many attempts are lost
    "after_claim": (1, 1),
    "after_effect_before_record": (2, 1),
    "after_record_before_publish": (1, 1),  # of the next step, which the completion has claimed to continue with
}


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_a_named_point_loses_nothing_and_repeats_no_commit(client, flows, effects, start_worker, point):
    victim = start_worker(flows, pool="solo", env={"CELERIAC_CRASH_AT": point})
    run = client.start(recording, 1, 0.0)
    assert victim.wait(20) == -9

    start_worker(flows, pool="solo")
    assert run.result(20) == 4
    begun, lost = POINTS[point]
    assert events_of(client, "StepLost") == lost
    assert sorted(effects.per_step().values(), reverse=True) == [begun, 1, 1]
    assert scalar(client, "SELECT count(*) FROM effects") == 1
    assert_all_completed_once(client)


@pytest.mark.parametrize("point", POINTS)
def test_a_transaction_of_a_step_commits_once_whenever_its_process_dies(client, flows, effects, start_worker, point):
    """Dies in the second step of the line, the one with SQL of its own; nothing continues inline."""
    settings = flows.model_copy(update={"inline_seconds": 0.0})
    victim = start_worker(settings, pool="solo", env={"CELERIAC_CRASH_AT": f"{point}:2"})
    run = client.start(recording, 1, 0.0)
    assert victim.wait(20) == -9
    committed = 1 if point == "after_record_before_publish" else 0
    assert scalar(client, "SELECT count(*) FROM effects") == committed

    start_worker(settings, pool="solo")
    assert run.result(20) == 4
    assert len(effects.of("record")) == POINTS[point][0]
    assert scalar(client, "SELECT count(*) FROM effects") == 1
    assert_all_completed_once(client)


def test_a_prefork_worker_survives_children_that_crash_at_every_second_claim(client, flows, effects, start_worker):
    settings = flows.model_copy(update={"inline_seconds": 0.0, "max_lost_attempts": 20})
    worker = start_worker(settings, concurrency=2, env={"CELERIAC_CRASH_AT": "after_claim:2"})
    runs = [client.start(line, number, 0.0) for number in range(2)]
    wait_for_all(client, 60)
    assert worker.running
    assert events_of(client, "StepLost") > 0
    assert [run.result(1) for run in runs] == [3, 4]
    assert set(effects.per_step().values()) == {1}
    assert_all_completed_once(client)


def test_a_step_that_always_kills_its_worker_fails_after_its_limit(client, flows, effects, start_worker):
    """FIELD_FAILURES 8: a task whose child is killed loops for ever with acks_late."""
    worker = start_worker(flows, concurrency=2)
    limits = {client.start(deadly): flows.max_lost_attempts, client.start(deadly_at_once): 1}
    for run, limit in limits.items():
        with pytest.raises(RunFailed) as failed:
            run.result(40)
        assert (failed.value.type, failed.value.step) == ("WorkerLost", kill_process.name)
        assert effects.per_step()[f"{run.id}.{kill_process.name}"] == limit
    assert events_of(client, "StepLost") == sum(limits.values())
    assert client.start(line, 1, 0.0).result(20) == 4
    assert worker.running
    assert client.audit() == []


def test_a_start_in_a_transaction_that_is_rolled_back_leaves_nothing(client, flows, effects, start_worker):
    start_worker(flows)
    with client.services.stores.database.engine.connect() as connection:
        connection.execute(sa.text("INSERT INTO effects (key, attempt) VALUES ('order', 1)"))
        client.within(connection).start(line, 1, 0.0)
        connection.rollback()
    with client.services.stores.database.engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO effects (key, attempt) VALUES ('order', 2)"))
        run = client.within(connection).start(line, 2, 0.0)
        assert scalar(client, "SELECT count(*) FROM workflow_runs") == 0
    assert run.result(20) == 5
    assert scalar(client, "SELECT array_agg(attempt) FROM effects") == [2]
    wait_until(lambda: len(effects.all()) == 3, message="only the committed run has run")
    assert_all_completed_once(client)
