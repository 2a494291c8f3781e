"""Redispatch: steps whose message is lost are dispatched again, those whose message waits are not."""

from contextlib import closing
from datetime import timedelta

import pytest
import redis
from pydantic import SecretStr

from celeriac.worker.reconciler.reconciler import Reconciled
from celeriac.worker.reconciler.redispatch import QUICK_DISPATCHES, UNREADABLE_BROKER_WAIT, redispatch_delay
from celeriac.worker.reconciler.watermark import WATERMARK_DELAY
from celeriac.workflows.dispatch.publisher import publishing_app
from celeriac.workflows.engine.ids import task_id
from celeriac.workflows.engine.views import WorkerScope
from tests.support.broker import body_of
from tests.support.graphs import IRREGULAR, chain_of, fan_of, graph_of
from tests.support.reconciling import MINUTES, NOTHING, Fleet
from tests.support.store import ALIVE, DEAD, WORKER

# --- messages that are lost, and those that are not


def test_nothing_is_done_where_there_is_nothing_to_do(fleet):
    assert fleet.look_twice() == NOTHING
    assert not NOTHING


def test_a_lost_message_is_sent_again(fleet):
    """FIELD_FAILURES 9: the broker is a hint."""
    run_id = fleet.start(chain_of(3))
    message = fleet.broker.take()
    assert fleet.look_twice() == Reconciled(redispatched=1)
    [again] = fleet.broker.messages()
    assert again["headers"]["id"] == message["headers"]["id"] == task_id(run_id, "s0")
    assert body_of(again) == body_of(message)
    assert fleet.store.task(run_id, "s0").dispatches == 1


def test_a_message_that_was_never_sent_is_sent(fleet):
    """A process died between commit and publish, Redis was down, or the run started in the caller's transaction."""
    fleet.start(graph_of(IRREGULAR), publish=False)
    assert fleet.look_twice() == Reconciled(redispatched=1)
    assert fleet.broker.steps() == ["prepare"]


def test_a_message_that_waits_in_its_queue_is_left_alone_however_long_it_takes(fleet):
    fleet.start(fan_of(3, join=True))
    fleet.start(graph_of({"a": [], "b": [], "c": []}))
    assert fleet.look_twice(MINUTES) == NOTHING
    assert fleet.look_twice(2 * MINUTES) == NOTHING
    assert fleet.broker.queues() == {"celery": 4}


def test_the_one_lost_message_among_many_that_wait_is_found(fleet):
    run_id = fleet.start(graph_of({name: [] for name in "abcde"}))
    fleet.make_older(run_id, "a")
    fleet.broker.take()
    assert fleet.look_twice() == Reconciled(redispatched=1)
    assert fleet.broker.steps() == ["b", "c", "d", "e", "a"]


def test_backlog_too_long_to_read_is_not_doubled(fleet, monkeypatch):
    """Of the steps that are older than the next message none can wait any more; of the others nothing is known."""
    monkeypatch.setattr("celeriac.worker.queues._SHORT", 5)
    graph = graph_of({f"s{i}": [] for i in range(50)})
    run_id = fleet.start(graph)
    assert fleet.look_twice(MINUTES) == NOTHING
    fleet.broker.take()
    fleet.make_older(run_id, "s0")
    assert fleet.look_twice(2 * MINUTES) == Reconciled(redispatched=1)
    assert fleet.broker.queues() == {"celery": 50}


def test_backlog_whose_first_thousand_messages_are_of_steps_that_are_done_is_not_doubled(fleet, monkeypatch):
    monkeypatch.setattr("celeriac.worker.queues._SHORT", 5)
    fleet.start(chain_of(1))
    other = {"headers": {"id": "d638c521-554d-33d8-8870-89d2d25f2327"}}
    fleet.broker.redis.rpush("celery", *[str(other).replace("'", '"')] * 1_200)
    assert fleet.look_twice(MINUTES) == NOTHING


def test_a_message_that_was_just_taken_is_not_taken_for_lost(fleet):
    """Between the queue and the list of what its worker holds there is a moment in which it is nowhere."""
    fleet.start(chain_of(1))
    now = fleet.store.reconciling.now() + MINUTES
    assert fleet.reconciler.run_once(now) == NOTHING
    fleet.broker.take()
    assert fleet.reconciler.run_once(now + WATERMARK_DELAY) == NOTHING
    assert fleet.reconciler.run_once(now + WATERMARK_DELAY + timedelta(seconds=1)) == NOTHING
    assert fleet.reconciler.run_once(now + 2 * WATERMARK_DELAY + timedelta(seconds=1)) == Reconciled(redispatched=1)


def test_a_step_that_was_just_freed_is_given_time_to_be_published(fleet):
    fleet.start(chain_of(1), publish=False)
    assert fleet.look_twice(timedelta(seconds=0.5)) == NOTHING
    assert fleet.look_twice(timedelta(seconds=2)) == Reconciled(redispatched=1)


def test_a_message_that_a_living_worker_holds_is_left_alone(fleet):
    """It was prefetched: a worker took it from the queue and has not begun."""
    run_id = fleet.start(chain_of(1))
    fleet.broker.take()
    prefetched = [task_id(run_id, "s0")]
    fleet.store.leases.renew([ALIVE], worker=WORKER, lease=MINUTES, holder=ALIVE, prefetched=prefetched)
    assert fleet.look_twice(MINUTES) == NOTHING
    assert fleet.broker.queues() == {}


def test_a_message_that_was_prefetched_by_a_worker_that_died_is_sent_again(fleet):
    """FIELD_FAILURES 9."""
    run_id = fleet.start(graph_of({"a": [], "b": []}))
    for _ in "ab":
        fleet.broker.take()
    prefetched = [task_id(run_id, name) for name in "ab"]
    fleet.store.leases.renew([DEAD], worker=WORKER, lease=timedelta(0), holder=DEAD, prefetched=prefetched)
    assert fleet.look_twice() == Reconciled(redispatched=2)
    assert sorted(fleet.broker.steps()) == ["a", "b"]


def test_nothing_is_sent_again_while_no_living_worker_has_the_code(fleet):
    """A message would only be thrown away, by a worker that does not know the task, and sent again with every pass."""
    fleet.store.scope = False
    fleet.start(chain_of(1), publish=False)
    assert fleet.look_twice(MINUTES) == NOTHING
    fleet.store.leases.renew([ALIVE], worker=WORKER, lease=MINUTES, scope=WorkerScope(tasks=frozenset({"do_other"})))
    assert fleet.look_twice(MINUTES) == NOTHING
    scope = WorkerScope(tasks=frozenset({"do_other", "do_s0"}))
    fleet.store.leases.renew([ALIVE], worker=WORKER, lease=timedelta(0), scope=scope)
    assert fleet.look_twice(MINUTES) == NOTHING, "that worker has died"
    fleet.store.leases.renew([ALIVE], worker=WORKER, lease=MINUTES, scope=scope)
    assert fleet.look_twice(MINUTES) == Reconciled(redispatched=1)


def test_a_message_that_was_sent_again_is_not_sent_a_third_time_while_it_waits(fleet):
    fleet.start(chain_of(1), publish=False)
    assert fleet.look_twice() == Reconciled(redispatched=1)
    assert fleet.look_twice(MINUTES) == NOTHING
    assert fleet.broker.queues() == {"celery": 1}


def test_a_message_that_is_lost_again_and_again_is_sent_again_and_again(fleet):
    fleet.start(chain_of(1), publish=False)
    for times in range(1, 5):
        assert fleet.look_twice(times * MINUTES) == Reconciled(redispatched=1)
        fleet.broker.flush()


def test_a_message_that_vanishes_at_once_is_soon_sent_only_now_and_then(fleet):
    """Celery may have revoked its task: then each worker that takes the message throws it away."""
    run_id = fleet.start(chain_of(1), publish=False)
    for _ in range(QUICK_DISPATCHES):
        assert fleet.look_twice() == Reconciled(redispatched=1)
        fleet.broker.flush()
        fleet.make_older(run_id, "s0")
    delay = redispatch_delay(QUICK_DISPATCHES)
    dispatched_at = fleet.store.task(run_id, "s0").dispatched_at
    reconciler = fleet.make_reconciler()
    assert reconciler.run_once(dispatched_at + delay - 2 * WATERMARK_DELAY) == NOTHING
    assert reconciler.run_once(dispatched_at + delay - timedelta(seconds=0.1)) == NOTHING
    assert reconciler.run_once(dispatched_at + delay + timedelta(seconds=0.1)) == Reconciled(redispatched=1)


def test_a_flushed_redis_is_refilled(fleet):
    runs = [fleet.start(graph_of(IRREGULAR)) for _ in range(20)]
    for run_id in runs[:10]:
        fleet.store.do(run_id, "prepare")
        fleet.publisher.dispatch(graph_of(IRREGULAR), run_id, frozenset({0}))
    fleet.broker.flush()
    assert fleet.look_twice() == Reconciled(redispatched=10 + 3 * 10)
    assert sorted(fleet.broker.steps()) == sorted(["prepare"] * 10 + ["a", "b", "c"] * 10)
    fleet.broker.flush()
    assert fleet.look_twice(MINUTES).redispatched == 40


def test_a_part_of_a_chord_that_is_sent_again_leaves_the_body_to_whoever_is_last(fleet):
    run_id = fleet.start(graph_of(IRREGULAR))
    fleet.store.do(run_id, "prepare", "a")
    fleet.broker.flush()
    fleet.store.take(run_id, "c")
    assert fleet.look_twice() == Reconciled(redispatched=1)
    [message] = fleet.broker.messages()
    assert (fleet.broker.steps(), body_of(message)[2]["chord"]) == (["b"], None)


@pytest.mark.parametrize("priority", [0, 1, 3, 5, 9])
def test_priorities_have_queues_of_their_own(fleet, priority):
    fleet.start(chain_of(1))
    fleet.start(chain_of(1, priority=priority, workflow="urgent"))
    before = fleet.broker.queues()
    assert fleet.look_twice(MINUTES) == NOTHING
    fleet.broker.flush()
    assert fleet.look_twice(2 * MINUTES) == Reconciled(redispatched=2)
    assert fleet.broker.queues() == before


def test_routed_steps_and_steps_with_queues_of_their_own_are_looked_for_there(fleet):
    fleet.app.conf.task_routes = {"do_b": {"queue": "routed"}}
    run_id = fleet.start(graph_of({"a": [], "b": []}))
    fleet.start(chain_of(1, queue="own"))
    assert fleet.look_twice(MINUTES) == NOTHING
    fleet.broker.take("routed")
    assert fleet.look_twice(2 * MINUTES) == Reconciled(redispatched=1)
    assert fleet.broker.ids("routed") == [task_id(run_id, "b")]
    assert fleet.broker.queues() == {"celery": 1, "routed": 1, "own": 1}


def test_a_priority_that_the_app_gives_is_looked_for_in_its_queue(fleet):
    fleet.app.conf.task_routes = {"do_s0": {"queue": "routed", "priority": 6}}
    fleet.start(chain_of(1))
    before = fleet.broker.queues()
    assert fleet.look_twice(MINUTES) == NOTHING
    assert fleet.broker.queues() == before


def test_a_message_that_waits_behind_others_of_its_queue_is_not_held_against_those_of_higher_priority(fleet):
    """A queue is looked through in all its lists, so the last of them decides what is too old to wait."""
    waiting = fleet.start(chain_of(1, priority=9, workflow="patient"))
    lost = fleet.start(chain_of(1, workflow="urgent"))
    fleet.make_older(lost, "s0")
    fleet.broker.take()
    assert fleet.look_twice() == Reconciled(redispatched=1)
    assert fleet.broker.ids() == [task_id(lost, "s0")]
    assert fleet.broker.ids("celery\x06\x169") == [task_id(waiting, "s0")]


def test_steps_of_a_run_that_failed_are_not_sent_again(fleet):
    run_id = fleet.start(graph_of({"a": [], "b": []}))
    fleet.store.fail(fleet.store.take(run_id, "a"))
    fleet.broker.flush()
    assert fleet.look_twice(MINUTES) == NOTHING


def test_steps_that_became_ready_after_their_run_had_failed_are_put_out_of_the_way(fleet):
    run_id = fleet.start(graph_of({"a": [], "b": [], "after-b": ["b"]}))
    failing, sibling = fleet.store.take(run_id, "a"), fleet.store.take(run_id, "b")
    fleet.store.fail(failing)
    fleet.store.complete(sibling)
    fleet.broker.flush()
    assert fleet.look_twice(MINUTES) == NOTHING
    assert fleet.store.task(run_id, "after-b").dispatched_at is None


def test_more_lost_messages_than_a_batch_holds_are_sent_without_waiting_for_the_first_to_be_done(fleet):
    reconciler = fleet.make_reconciler(batch=4)
    fleet.start(graph_of({f"s{i}": [] for i in range(10)}), publish=False)
    fleet.store.execute("UPDATE workflow_tasks SET task_name = 'do_s0'")
    now = fleet.store.reconciling.now() + timedelta(seconds=2)
    passes = [reconciler.run_once(now + i * WATERMARK_DELAY).redispatched for i in range(5)]
    assert sum(passes) == 10


# --- the broker is away, or cannot be looked into


def test_a_broker_that_is_down_loses_nothing(fleet):
    fleet.start(chain_of(1), publish=False)
    nowhere = fleet.settings.model_copy(update={"broker_url": SecretStr("redis://127.0.0.1:1/0")})
    with closing(publishing_app(nowhere)) as app:
        assert Fleet(fleet.store, fleet.broker, app, nowhere).look_twice(MINUTES) == NOTHING
    assert fleet.look_twice(MINUTES) == Reconciled(redispatched=1)


def test_after_a_redis_that_did_not_answer_the_reconciler_makes_sure_anew(fleet, monkeypatch):
    fleet.start(chain_of(1), publish=False)
    now = fleet.store.reconciling.now() + MINUTES
    queues = fleet.reconciler._redispatch._queues
    assert fleet.reconciler.run_once(now) == NOTHING
    monkeypatch.setattr(queues, "_client", redis.Redis(host="127.0.0.1", port=1))
    assert fleet.reconciler.run_once(now + WATERMARK_DELAY) == NOTHING
    monkeypatch.undo()
    assert fleet.reconciler.run_once(now + 2 * WATERMARK_DELAY) == NOTHING
    assert fleet.reconciler.run_once(now + 3 * WATERMARK_DELAY) == Reconciled(redispatched=1)


def test_where_the_broker_cannot_be_looked_into_a_step_is_sent_again_less_and_less_often(fleet):
    run_id = fleet.start(chain_of(1))
    blind = fleet.make_reconciler(blind=True)
    second = timedelta(seconds=1)
    for doublings in (0, 1, 2, 3, 4, 5, 6, 6, 6):
        due = fleet.store.task(run_id, "s0").dispatched_at + UNREADABLE_BROKER_WAIT * 2**doublings
        assert blind.run_once(due - second) == NOTHING
        assert blind.run_once(due + second) == Reconciled(redispatched=1)
    assert fleet.broker.queues() == {"celery": 10}
