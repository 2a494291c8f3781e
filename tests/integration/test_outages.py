"""Claims, completions and failures while the database goes away."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from tests.support.graphs import chain_of, fan_of
from tests.support.store import DEAD
from tests.support.waiting import wait_until


@pytest.mark.parametrize("what", ["request", "answer"])
def test_a_claim_whose_connection_breaks_is_made_once(store, proxy, what):
    run_id = store.start(chain_of(1), '{"n": 1}')
    with store.through(proxy.url):
        proxy.lose_next(what)
        claim = store.claim(run_id, "s0")
        assert proxy.has_lost
    assert (claim.attempt.attempt, claim.run_input) == (1, '{"n": 1}')
    assert store.history(run_id) == ["RunStarted", "StepStarted s0 1"]


def test_a_claim_that_somebody_else_made_during_an_outage_is_not_taken_from_them(store, proxy):
    run_id = store.start(chain_of(1))
    direct = store.attempts
    with store.through(proxy.url):
        direct.claim(store.key(run_id, "s0"), lease="process:celery@there:9:0")
        proxy.lose_next("request")
        assert store.claim(run_id, "s0") is None
        assert proxy.has_lost


@pytest.mark.parametrize("what", ["request", "answer"])
def test_a_completion_whose_connection_breaks_is_recorded_once(store, proxy, what):
    run_id = store.start(chain_of(3))
    attempt = store.take(run_id, "s0")
    with store.through(proxy.url):
        proxy.lose_next(what)
        completion = store.complete(attempt, "1", next_step="s1")
        assert proxy.has_lost
    assert completion.claimed.name == "s1"
    assert store.history(run_id)[1:] == ["StepStarted s0 1", "StepCompleted s0 1", "StepStarted s1 1"]
    assert store.complete(completion.claimed) is not None


def test_a_completion_whose_answer_is_lost_leaves_what_it_freed_to_the_reconciler(store, proxy):
    run_id = store.start(fan_of(2, join=True))
    attempt = store.take(run_id, "first")
    with store.through(proxy.url):
        proxy.lose_next("answer")
        completion = store.complete(attempt)
    assert (completion.ready, completion.claimed, completion.run_ended) == ((), None, False)
    assert store.statuses(run_id) == {"first": "completed", "s0": "ready", "s1": "ready", "join": "pending"}


@pytest.mark.parametrize("what", ["request", "answer"])
def test_a_failure_whose_connection_breaks_is_recorded_once(store, proxy, what):
    run_id = store.start(chain_of(1))
    attempt = store.take(run_id, "s0")
    with store.through(proxy.url):
        proxy.lose_next(what)
        assert store.fail(attempt) is True
        assert proxy.has_lost
    assert store.history(run_id)[1:] == ["StepStarted s0 1", "StepFailed s0 1", "RunFailed"]


@pytest.mark.parametrize("ending", ["complete", "fail"])
def test_an_attempt_that_was_superseded_during_an_outage_is_told_so(store, proxy, ending):
    run_id = store.start(chain_of(1))
    zombie = store.take(run_id, "s0", lease=DEAD)
    store.lose()
    with store.through(proxy.url):
        proxy.lose_next("request")
        assert getattr(store, ending)(zombie) is None
        assert proxy.has_lost
    assert store.statuses(run_id) == {"s0": "ready"}


def test_an_attempt_that_still_runs_has_not_landed(store):
    run_id = store.start(chain_of(2))
    attempt = store.take(run_id, "s0")
    assert store.attempts.find_recorded_completion(attempt, store.next(attempt, "s1")) is None


def test_an_attempt_that_committed_with_its_transaction_is_found_to_have_landed(store):
    run_id = store.start(chain_of(2))
    attempt = store.take(run_id, "s0")
    with store.database.transaction() as connection:
        store.complete(attempt, transaction=connection, next_step="s1")
    completion = store.attempts.find_recorded_completion(attempt, store.next(attempt, "s1"))
    assert (completion.claimed.name, completion.claimed.attempt) == ("s1", 1)
    assert store.complete(completion.claimed) is not None


def test_a_claim_that_waits_for_a_lock_when_its_backend_is_terminated_is_made_again(store):
    run_id = store.start(chain_of(1))
    with ThreadPoolExecutor(1) as pool, store.database.engine.connect() as holder:
        holder.execute(sa.text("SELECT * FROM workflow_tasks FOR UPDATE"))
        claiming = pool.submit(store.claim, run_id, "s0")
        waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        with store.database.autocommit() as other:
            pid = wait_until(lambda: other.execute(sa.text(waiting)).scalar(), 10, "the claim waits for the lock")
            assert other.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid}).scalar()
        holder.rollback()
        assert claiming.result(timeout=10).attempt.attempt == 1
        pool.submit(store.attempts.close).result(timeout=10)
    assert store.history(run_id) == ["RunStarted", "StepStarted s0 1"]


def test_a_connection_that_was_terminated_while_idle_is_opened_again(store):
    run_id = store.start(chain_of(1))
    attempt = store.take(run_id, "s0")
    store.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert store.complete(attempt).run_ended
