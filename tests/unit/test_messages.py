"""Messages: what canvases are on the wire, held against what Celery's own canvas puts there."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import Celery, chain, chord, group
from celery.canvas import Signature
from kombu.simple import SimpleQueue

from celeriac.workflows.dispatch.messages import arguments_of, messages_of
from celeriac.workflows.engine.compiler import compile
from celeriac.workflows.engine.graph import Graph
from tests.support.graphs import IRREGULAR, chain_of, fan_of, graph_of

RUN = UUID("0197a1b2-1111-7222-8333-444455556666")
LARGEST = 16 * 1024


class Wire:
    """A Celery app on kombu's transport in memory, and what lies in its queue."""

    def __init__(self) -> None:
        self.app = Celery("wire", broker="memory://", backend="cache+memory://", set_as_current=False)
        self.app.conf.task_default_queue = f"wire-{uuid4()}"  # the transport's queues are for the whole process

    def take(self) -> list[dict[str, Any]]:
        """Return what was published, in order: the headers, and the three parts of the body."""
        found = []
        with self.app.connection_for_read() as connection:
            queue = connection.SimpleQueue(self.app.conf.task_default_queue)
            while (message := _next(queue)) is not None:
                message.ack()
                args, kwargs, embed = message.payload
                found.append({"headers": message.headers, "args": args, "kwargs": kwargs, **embed})
            queue.close()
        return found


def _next(queue: SimpleQueue) -> Any:
    try:
        return queue.get(block=False)
    except queue.Empty:
        return None


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.app.close()


def publish(wire: Wire, graph: Graph, completed: frozenset[int] = frozenset()) -> list[dict[str, Any]]:
    for canvas in compile(graph, completed):
        for message in messages_of(graph, RUN, canvas, wire.app):
            message.apply_async()
    return wire.take()


def native(wire: Wire, graph: Graph, name: str) -> Signature:
    """The step as a signature that a user of Celery would write."""
    position = graph.position[name]
    return wire.app.signature(
        graph.nodes[position].task,
        kwargs=arguments_of(graph, RUN, position),
        immutable=True,
        options={"task_id": f"{RUN}.{name}", "root_id": str(RUN)},
    )


def normal(messages: list[dict[str, Any]]) -> Any:
    """Messages without what is Celery's own bookkeeping of results, and with one name for the group.

    Celery names its groups at random, numbers their members, and asks for results to be sent back. It marks the
    end of a body with the group of the header, and a body of several steps is a chain that is still to be applied.
    """
    text = json.dumps(_without_bookkeeping(messages))
    groups = {message["headers"]["group"] for message in messages} - {None}
    for number, name in enumerate(sorted(groups)):
        text = text.replace(name, f"group {number}")
    return json.loads(text)


def _without_bookkeeping(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_bookkeeping(part) for part in value]
    if not isinstance(value, dict):
        return value
    dropped = {"reply_to", "group_index", "chord_size", "ignore_result", "origin"}
    return {
        key: _without_bookkeeping(_applied(part) if key == "chord" else part)
        for key, part in value.items()
        if key not in dropped
    }


def _applied(body: dict[str, Any] | None) -> dict[str, Any] | None:
    if body is None:
        return None
    links = body["kwargs"]["tasks"] if body["task"] == "celery.chain" else [body]
    links[-1]["options"].pop("group_id", None)
    if len(links) > 1:
        links[0]["options"]["chain"] = links[:0:-1]
    return links[0]


def test_a_chain_is_on_the_wire_what_celery_makes_of_its_own(wire):
    graph = chain_of(4)
    ours = publish(wire, graph)
    chain(*(native(wire, graph, f"s{i}") for i in range(4)), app=wire.app).apply_async()
    assert normal(ours) == normal(wire.take())
    assert [link["options"]["task_id"] for link in ours[0]["chain"]] == [f"{RUN}.s{i}" for i in (3, 2, 1)]


def test_a_chord_is_on_the_wire_what_celery_makes_of_its_own(wire):
    graph = graph_of({"a": (), "b": (), "b2": ["b"], "join": ["a", "b2"], "report": ["join"]})
    ours = publish(wire, graph)
    a, b, b2, join, report = (native(wire, graph, node.name) for node in graph.nodes)
    chord([a, chain(b, b2, app=wire.app)], chain(join, report, app=wire.app), app=wire.app).apply_async()
    assert normal(ours) == normal(wire.take())


def test_a_chord_with_a_body_of_one_step_is_on_the_wire_what_celery_makes_of_its_own(wire):
    graph = graph_of({"a": (), "b": (), "join": ["a", "b"]})
    ours = publish(wire, graph)
    a, b, join = (native(wire, graph, node.name) for node in graph.nodes)
    chord([a, b], join, app=wire.app).apply_async()
    assert normal(ours) == normal(wire.take())


def test_a_group_is_on_the_wire_what_celery_makes_of_its_own(wire):
    graph = graph_of({"a": (), "b": (), "b2": ["b"], "c": ()})
    ours = publish(wire, graph)
    a, b, b2, c = (native(wire, graph, node.name) for node in graph.nodes)
    group([a, chain(b, b2, app=wire.app), c], app=wire.app).apply_async()
    assert normal(ours) == normal(wire.take())


def test_every_part_of_a_chord_is_in_one_group_whose_name_depends_on_the_work_alone(wire):
    graph = graph_of({"a": (), "b": (), "join": ["a", "b"]})
    first, second = publish(wire, graph), publish(wire, graph)
    assert {message["headers"]["group"] for message in first + second} == {f"{RUN}.a.group"}


def test_a_step_alone_is_in_no_group(wire):
    [message] = publish(wire, chain_of(1))
    assert message["headers"]["group"] is None
    assert message["chain"] is None
    assert message["chord"] is None


def test_a_message_names_the_run_the_step_and_the_graph_and_nothing_else(wire):
    graph = graph_of(IRREGULAR)
    [message] = publish(wire, graph)
    assert message["args"] == []
    assert message["kwargs"] == {"run": str(RUN), "step": "prepare", "graph_hash": graph.hash}
    assert message["headers"]["id"] == f"{RUN}.prepare"
    assert message["headers"]["task"] == "do_prepare"
    assert message["headers"]["root_id"] == str(RUN)


def test_queue_and_priority_travel_with_every_link_that_has_them():
    graph = chain_of(3, queue="slow", priority=6)
    [canvas] = compile(graph, frozenset())
    [head] = messages_of(graph, RUN, canvas)
    for link in (head, *head.options["chain"]):
        assert link.options["queue"] == "slow"
        assert link.options["priority"] == 6


def test_a_step_without_queue_or_priority_leaves_both_to_the_app():
    [canvas] = compile(chain_of(2), frozenset())
    [head] = messages_of(chain_of(2), RUN, canvas)
    for link in (head, *head.options["chain"]):
        assert "queue" not in link.options
        assert "priority" not in link.options


@pytest.mark.parametrize("letters", [1, 20, 100])
def test_no_message_of_a_long_line_is_larger_than_16_kb(wire, letters):
    names = [f"{'s' * (letters - len(str(i)))}{i}" for i in range(1_000)]
    graph = graph_of({name: names[i - 1 : i] for i, name in enumerate(names)}, queue="q" * letters)
    [canvas] = compile(graph, frozenset())
    for message in messages_of(graph, RUN, canvas, wire.app):
        assert size_on_the_wire(wire, message) < LARGEST


@pytest.mark.parametrize("letters", [1, 20, 96])
def test_no_message_of_a_wide_fan_out_of_lines_with_a_long_body_is_larger_than_16_kb(wire, letters):
    pad = "s" * letters
    parents = {}
    for branch in range(20):
        for i in range(10):
            parents[f"{pad}{branch}-{i}"] = [f"{pad}{branch}-{i - 1}"] if i else []
    lasts = [f"{pad}{branch}-9" for branch in range(20)]
    parents |= {f"{pad}j{i}": [f"{pad}j{i - 1}"] if i else lasts for i in range(50)}
    graph = graph_of(parents, queue="q" * letters, priority=3)
    done: set[int] = set()
    while len(done) < len(graph.nodes):
        for canvas in compile(graph, frozenset(done)):
            for message in messages_of(graph, RUN, canvas, wire.app):
                assert size_on_the_wire(wire, message) < LARGEST
            done.update(*canvas.segments, canvas.body)


def test_each_message_of_a_fan_out_of_2000_is_as_small_as_that_of_one_of_2(wire):
    wide, narrow = (
        messages_of(graph, RUN, compile(graph, frozenset({0}))[0], wire.app)
        for graph in (fan_of(2_000, join=True), fan_of(2, join=True))
    )
    assert len(wide) == 2_000
    assert size_on_the_wire(wire, wide[-1]) < size_on_the_wire(wire, narrow[-1]) + 100


def size_on_the_wire(wire: Wire, message: Signature) -> int:
    """Return the bytes of the message as kombu's virtual transports, of which Redis is one, keep it."""
    message.apply_async()
    with wire.app.connection_for_read() as connection:
        queue = message.options.get("queue", wire.app.conf.task_default_queue)
        return len(json.dumps(connection.default_channel._get(queue)))
