"""Publishing: what goes to the broker, and what happens when it is not there."""

import logging
import socket
import time
from contextlib import closing
from uuid import uuid4

import pytest
from celery import Celery

from celeriac.workflows.dispatch.publisher import Publisher, publishing_app, publishing_app_like
from celeriac.workflows.settings import Settings
from tests.support.broker import body_of
from tests.support.graphs import IRREGULAR, chain_of, fan_of, graph_of


@pytest.fixture
def publisher(settings):
    app = publishing_app(settings)
    yield Publisher(app)
    app.close()


@pytest.fixture
def dead_publisher():
    app = publishing_app(Settings(broker_url="redis://127.0.0.1:1/0"))
    yield Publisher(app)
    app.close()


def test_a_chain_is_one_message(publisher, broker):
    run_id = uuid4()
    graph = chain_of(3)
    assert publisher.dispatch(graph, run_id, frozenset()) is True
    [message] = broker.messages()
    args, kwargs, embed = body_of(message)
    assert (args, kwargs) == ([], {"run": str(run_id), "step": "s0", "graph_hash": graph.hash})
    assert [link["kwargs"]["step"] for link in embed["chain"]] == ["s2", "s1"]
    assert embed["chord"] is None


def test_a_chord_is_one_message_for_each_part_with_the_body_in_each(publisher, broker):
    publisher.dispatch(graph_of(IRREGULAR), uuid4(), frozenset({0}))
    assert broker.steps() == ["a", "b", "c"]
    assert [body_of(message)[2]["chord"]["kwargs"]["step"] for message in broker.messages()] == ["aggregate"] * 3


def test_only_the_steps_that_are_asked_for_are_published(publisher, broker):
    publisher.dispatch(graph_of(IRREGULAR), uuid4(), frozenset({0}), {2})
    assert broker.steps() == ["b"]


def test_a_fan_out_of_2000_is_published_in_one_batch_of_small_messages(publisher, broker):
    publisher.dispatch(fan_of(2_000, join=True), uuid4(), frozenset({0}))
    assert broker.queues() == {"celery": 2_000}
    assert max(map(len, broker.redis.lrange("celery", 0, -1))) < 16 * 1024


def test_no_message_of_a_line_of_1000_is_larger_than_16_kb(publisher, broker):
    publisher.dispatch(chain_of(1_000), uuid4(), frozenset())
    assert len(broker.redis.lindex("celery", 0)) < 16 * 1024


def test_messages_are_json(publisher, broker):
    publisher.dispatch(chain_of(1), uuid4(), frozenset())
    assert broker.messages()[0]["content-type"] == "application/json"


def test_nothing_but_the_queue_is_left_in_redis(publisher, broker):
    """FIELD_FAILURES 16: no reply keys, no results."""
    publisher.dispatch(graph_of(IRREGULAR), uuid4(), frozenset({0}))
    assert set(broker.keys()) - {"_kombu.binding.celery"} == {"celery"}


def test_the_queue_of_the_settings_is_where_steps_go(settings, broker):
    app = publishing_app(settings.model_copy(update={"queue": "shop"}))
    Publisher(app).dispatch(chain_of(1), uuid4(), frozenset())
    assert broker.queues() == {"shop": 1}
    app.close()


def test_steps_go_where_the_teams_own_app_would_send_them(broker, broker_url):
    team = Celery("shop", broker=broker_url, backend="cache+memory://", set_as_current=False)
    team.conf.task_default_queue = "shop"
    team.conf.task_routes = {"do_b": {"queue": "slow"}}
    app = publishing_app_like(team)
    Publisher(app).dispatch(graph_of({"a": [], "b": [], "c": []}), uuid4(), frozenset())
    assert broker.queues() == {"shop": 2, "slow": 1}
    assert team.conf.task_serializer == "json"
    assert app.conf.result_backend is None
    app.close()
    team.close()


def test_a_broker_that_is_down_delays_nobody_for_long(dead_publisher, caplog):
    began = time.monotonic()
    assert dead_publisher.dispatch(chain_of(1), uuid4(), frozenset()) is False
    assert time.monotonic() - began < 2
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "it will be dispatched when the broker is back" in record.message


def test_a_broker_that_is_down_is_left_alone_for_a_while(refusing, caplog, monkeypatch):
    monkeypatch.setattr("celeriac.workflows.dispatch.publisher._REST_SECONDS", 60.0)
    with closing(publishing_app(Settings(broker_url=refusing.url))) as app:
        publisher = Publisher(app)
        assert publisher.dispatch(chain_of(1), uuid4(), frozenset()) is False
        attempts = refusing.connections
        for _ in range(100):
            assert publisher.dispatch(chain_of(1), uuid4(), frozenset()) is False
    assert refusing.connections == attempts > 0
    assert len(caplog.records) == 1


def test_for_a_broker_that_is_left_alone_no_canvas_is_compiled(dead_publisher, monkeypatch):
    dead_publisher.dispatch(chain_of(1), uuid4(), frozenset())
    compiled = []
    monkeypatch.setattr("celeriac.workflows.dispatch.publisher.compile", lambda *given: compiled.append(given) or [])
    assert dead_publisher.dispatch(chain_of(1), uuid4(), frozenset()) is False
    assert compiled == []


def test_a_broker_that_takes_connections_and_never_answers_delays_nobody_for_long():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        app = publishing_app(Settings(broker_url=f"redis://127.0.0.1:{mute.getsockname()[1]}/0"))
        began = time.monotonic()
        assert Publisher(app).dispatch(chain_of(1), uuid4(), frozenset()) is False
        assert time.monotonic() - began < 3
        app.close()


def test_a_broker_that_is_back_is_published_to_again(settings, broker, monkeypatch):
    monkeypatch.setattr("celeriac.workflows.dispatch.publisher._REST_SECONDS", 0.0)
    app = publishing_app(settings)
    publisher = Publisher(app)
    publisher.dispatch(chain_of(1), uuid4(), frozenset())
    broker.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    published = [publisher.dispatch(chain_of(1), uuid4(), frozenset()) for _ in range(2)]
    assert published[-1] is True
    app.close()


def test_publishing_from_many_threads_loses_nothing(publisher, store, broker):
    calls = [lambda: publisher.dispatch(fan_of(20, join=True), uuid4(), frozenset({0}))] * 6
    assert store.at_once(calls) == [True] * 6
    assert broker.queues() == {"celery": 120}
