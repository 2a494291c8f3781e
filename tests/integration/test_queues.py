"""Looking into the broker's queues."""

import json
from uuid import uuid4

import pytest
import redis

from celeriac.worker.queues import RedisQueues, queues_of
from celeriac.workflows.dispatch.publisher import Publisher, publishing_app
from celeriac.workflows.engine.ids import task_id
from celeriac.workflows.settings import Settings
from tests.support.broker import Broker
from tests.support.graphs import chain_of, fan_of


@pytest.fixture
def app(settings):
    app = publishing_app(settings)
    yield app
    app.close()


@pytest.fixture
def publisher(app):
    return Publisher(app)


@pytest.fixture
def queues(app) -> RedisQueues:
    return queues_of(app)


def next_ids(queues: RedisQueues, key: str = "celery") -> list[str]:
    return [found for page, _ in queues.next_tasks(key) for found in page]


@pytest.mark.parametrize("priority", [None, *range(10)])
@pytest.mark.parametrize("queue", [None, "slow"])
def test_a_step_is_looked_for_in_all_lists_of_the_queue_that_its_message_goes_to(
    publisher, queues, broker, queue, priority
):
    run_id = uuid4()
    publisher.dispatch(chain_of(1, queue=queue, priority=priority), run_id, frozenset())
    name = queues.queue_of("do_s0", queue or "")
    assert name == (queue or "celery")
    assert broker.queues().keys() <= set(queues.lists_of(name))
    assert queues.waiting(name) == {task_id(run_id, "s0")}


def test_a_step_is_looked_for_where_the_apps_routes_send_it(app, publisher, queues, broker):
    app.conf.task_routes = {"do_s0": {"queue": "routed"}}
    publisher.dispatch(chain_of(1), uuid4(), frozenset())
    assert broker.queues() == {"routed": 1}
    assert queues.queue_of("do_s0", "") == "routed"


def test_the_queue_of_a_step_wins_over_the_apps_routes(app, publisher, queues, broker):
    app.conf.task_routes = {"do_s0": {"queue": "routed"}}
    publisher.dispatch(chain_of(1, queue="own"), uuid4(), frozenset())
    assert broker.queues() == {"own": 1}
    assert queues.queue_of("do_s0", "own") == "own"


def test_the_transports_options_for_names_are_heeded(settings, broker):
    app = publishing_app(settings)
    options = {**app.conf.broker_transport_options, "global_keyprefix": "shop:", "sep": ":", "priority_steps": [0, 5]}
    app.conf.broker_transport_options = options
    queues = queues_of(app)
    assert queues.lists_of("celery") == ["shop:celery", "shop:celery:5"]
    for priority in (0, 4, 5, 9):
        broker.flush()
        run_id = uuid4()
        Publisher(app).dispatch(chain_of(1, priority=priority), run_id, frozenset())
        assert queues.waiting("celery") == {task_id(run_id, "s0")}
    app.close()


def test_tasks_are_seen_in_the_order_in_which_they_will_be_taken(publisher, queues, broker, monkeypatch):
    monkeypatch.setattr("celeriac.worker.queues._LOOK_AT_A_TIME", 10)
    run_id = uuid4()
    publisher.dispatch(fan_of(25, join=False), run_id, frozenset({0}))
    pages = list(queues.next_tasks("celery"))
    assert [(len(page), at_end) for page, at_end in pages] == [(10, False), (10, False), (5, True)]
    assert [found for page, _ in pages for found in page] == [task_id(run_id, f"s{i}") for i in range(25)]
    assert broker.take()["headers"]["id"] == pages[0][0][0]


def test_an_empty_queue_ends_at_once(queues, broker):
    assert list(queues.next_tasks("celery")) == [([], True)]
    assert queues.waiting("celery") == set()


def test_no_more_than_the_next_thousand_tasks_are_looked_at(queues, broker):
    broker.redis.lpush("celery", *[json.dumps({"headers": {"id": str(i)}}) for i in range(1_500)])
    assert next_ids(queues) == [str(i) for i in range(1_000)]


def test_a_long_queue_is_not_read_whole(queues, broker, monkeypatch):
    monkeypatch.setattr("celeriac.worker.queues._SHORT", 3)
    broker.redis.lpush("celery", *[json.dumps({"headers": {"id": str(i)}}) for i in range(3)])
    assert queues.waiting("celery") == {"0", "1", "2"}
    broker.redis.lpush("celery\x06\x169", "{}")
    assert queues.waiting("celery") is None


@pytest.mark.parametrize("foreign", ["not json", "[]", "3", "{}", '{"headers": null}', '{"headers": {}}', b"\xff"])
def test_messages_of_others_are_passed_over(publisher, queues, broker, foreign):
    broker.redis.lpush("celery", foreign)
    run_id = uuid4()
    publisher.dispatch(chain_of(1), run_id, frozenset())
    assert next_ids(queues) == ["", task_id(run_id, "s0")]


def test_a_redis_that_is_away_is_an_error_of_redis():
    app = publishing_app(Settings(broker_url="redis://127.0.0.1:1/0"))
    queues = queues_of(app)
    with pytest.raises(redis.RedisError):
        list(queues.next_tasks("celery"))
    with pytest.raises(redis.RedisError):
        queues.waiting("celery")
    app.close()


def test_a_broker_other_than_redis_cannot_be_looked_into():
    app = publishing_app(Settings(broker_url="amqp://rabbit/shop"))
    assert queues_of(app) is None
    app.close()


def test_the_broker_helper_of_these_tests_sees_what_is_there(publisher, broker: Broker):
    publisher.dispatch(chain_of(2), uuid4(), frozenset())
    assert broker.steps() == ["s0"]
    broker.flush()
    assert broker.queues() == {}
