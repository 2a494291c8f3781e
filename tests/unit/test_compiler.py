"""The compiler: which canvases a graph becomes, and what holds for all of them."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.workflows.engine.compiler import (
    MESSAGE_BUDGET,
    Canvas,
    _size,
    compile,
)
from celeriac.workflows.engine.graph import Graph
from tests.support.graphs import IRREGULAR, chain_of, fan_of, graph_of, graphs, graphs_under_way
from tests.support.interpreter import Interpreter

NOTHING: frozenset[int] = frozenset()


def described(graph: Graph, *completed: str) -> list[str]:
    done = frozenset(graph.position[name] for name in completed)
    return [canvas.describe(graph) for canvas in compile(graph, done)]


def test_a_line_becomes_a_chain():
    assert described(chain_of(3)) == ["chain(s0 → s1 → s2)"]


def test_a_single_step_is_just_that():
    assert described(chain_of(1)) == ["s0"]


def test_branches_that_meet_become_a_chord_with_what_follows_the_join_in_its_body():
    graph = graph_of({"a": (), "b": (), "b2": ["b"], "join": ["a", "b2"], "report": ["join"]})
    assert described(graph) == ["chord([a, chain(b → b2)] → chain(join → report))"]


def test_branches_that_do_not_meet_become_a_group():
    assert described(graph_of({"a": (), "b": (), "b2": ["b"]})) == ["group([a, chain(b → b2)])"]


def test_two_joins_of_different_branches_become_two_chords():
    graph = graph_of({"a": (), "b": (), "c": (), "d": (), "ab": ["a", "b"], "cd": ["c", "d"], "end": ["ab", "cd"]})
    assert described(graph) == ["chord([a, b] → ab)", "chord([c, d] → cd)"]


def test_a_branch_that_feeds_two_joins_is_in_the_chord_of_only_one():
    graph = graph_of({"a": (), "b": (), "c": (), "ab": ["a", "b"], "bc": ["b", "c"]})
    assert described(graph) == ["chord([a, b] → ab)", "c"]


def test_a_step_before_a_fan_out_is_published_alone():
    assert described(fan_of(3, join=True)) == ["first"]
    assert described(fan_of(3, join=True), "first") == ["chord([s0, s1, s2] → join)"]


def test_validate_of_the_irregular_graph_is_held_back_by_no_chord():
    graph = graph_of(IRREGULAR)
    assert described(graph) == ["prepare"]
    assert described(graph, "prepare") == ["chord([a, b, c] → aggregate)"]
    # c frees validate, which is in no canvas yet: whoever completes c compiles it, while a and b still run.
    validate = graph.position["validate"]
    [canvas] = compile(graph, graph.ancestors({validate}), {validate})
    assert canvas.describe(graph) == "validate"


def test_the_other_parents_of_a_join_may_have_completed_already():
    graph = graph_of({"a": (), "b": (), "join": ["a", "b"], "end": ["join"]})
    assert described(graph, "a") == ["chain(b → join → end)"]


def test_a_diamond_is_a_step_then_a_chord():
    graph = graph_of({"top": (), "left": ["top"], "right": ["top"], "bottom": ["left", "right"]})
    assert described(graph, "top") == ["chord([left, right] → bottom)"]


def test_nothing_is_left_to_publish_when_all_has_completed():
    assert described(chain_of(2), "s0", "s1") == []


def test_only_the_steps_that_are_asked_for_are_published():
    graph = graph_of({"a": (), "b": (), "join": ["a", "b"]})
    assert [canvas.describe(graph) for canvas in compile(graph, NOTHING, [1])] == ["b"]


def test_a_chain_of_1000_is_cut_and_each_piece_goes_on_where_the_last_one_ended():
    graph = chain_of(1_000)
    done: set[int] = set()
    pieces = 0
    while len(done) < 1_000:
        [canvas] = compile(graph, frozenset(done))
        [segment] = canvas.segments
        assert list(segment) == list(range(len(done), len(done) + len(segment)))
        done.update(segment)
        pieces += 1
    assert pieces == pytest.approx(1_000 / 20, rel=0.5)


def test_a_fan_out_of_2000_is_one_chord_of_short_segments():
    graph = fan_of(2_000, join=True)
    [canvas] = compile(graph, frozenset({0}))
    assert [len(segment) for segment in canvas.segments] == [1] * 2_000
    assert canvas.body == (graph.position["join"],)


def test_a_longer_body_or_branch_of_a_chord_is_cut_to_half_the_budget():
    parents = {f"{branch}{i}": [f"{branch}{i - 1}"] if i else [] for branch in "ab" for i in range(100)}
    parents |= {"join": ["a99", "b99"]} | {f"j{i}": [f"j{i - 1}" if i else "join"] for i in range(100)}
    [canvas] = compile(graph_of(parents), NOTHING)
    assert canvas.body == ()  # the branches are cut, so what ends them is not the join
    assert all(len(segment) <= 10 for segment in canvas.segments)


def test_a_step_whose_name_takes_the_whole_budget_is_published_alone():
    graph = graph_of({"x" * MESSAGE_BUDGET: (), "next": ["x" * MESSAGE_BUDGET]})
    [canvas] = compile(graph, NOTHING)
    assert canvas.segments == ((0,),)


@given(graphs_under_way())
def test_every_ready_step_heads_exactly_one_segment_and_no_step_is_in_two_places(under_way):
    graph, completed = under_way
    ready = [i for i, parents in enumerate(graph.parents) if i not in completed and completed >= set(parents)]
    canvases = compile(graph, completed)
    heads = [segment[0] for canvas in canvases for segment in canvas.segments]
    placed = [step for canvas in canvases for part in (*canvas.segments, canvas.body) for step in part]
    assert sorted(heads) == ready
    assert len(placed) == len(set(placed))
    assert completed.isdisjoint(placed)


@given(graphs_under_way())
def test_a_canvas_orders_no_step_before_a_parent_that_is_still_open(under_way):
    graph, completed = under_way
    for canvas in compile(graph, completed):
        header: set[int] = set()
        for segment in canvas.segments:
            _assert_in_order(graph, segment, set(completed))
            header |= set(segment)
        _assert_in_order(graph, canvas.body, completed | header)
        if canvas.body:
            # Each part of the header is waited for: its end is a parent of the body.
            assert {segment[-1] for segment in canvas.segments} <= set(graph.parents[canvas.body[0]])
            assert len(canvas.segments) > 1


def _assert_in_order(graph: Graph, steps, done: set[int]) -> None:
    for step in steps:
        assert set(graph.parents[step]) <= done
        done = done | {step}


@given(graphs_under_way(), st.data())
def test_lost_steps_that_are_published_alone_keep_all_of_this(under_way, data):
    graph, completed = under_way
    ready = [i for i, parents in enumerate(graph.parents) if i not in completed and completed >= set(parents)]
    lost = data.draw(st.sets(st.sampled_from(ready))) if ready else set()
    canvases = compile(graph, completed, lost)
    assert sorted(segment[0] for canvas in canvases for segment in canvas.segments) == sorted(lost)
    for canvas in canvases:
        for segment in canvas.segments:
            _assert_in_order(graph, segment, set(completed))
        _assert_in_order(graph, canvas.body, completed.union(*map(set, canvas.segments)))


@given(graphs_under_way())
def test_what_one_message_carries_stays_within_the_budget(under_way):
    graph, completed = under_way
    for canvas in compile(graph, completed):
        for segment in canvas.segments:
            carried = (*segment, *canvas.body)
            if len(segment) > 1 or len(canvas.body) > 1:
                assert sum(_size(graph, step) for step in carried) <= MESSAGE_BUDGET


@given(graphs_under_way())
def test_the_same_state_gives_the_same_canvases(under_way):
    graph, completed = under_way
    assert compile(graph, completed) == compile(Graph.from_json(graph.to_json()), frozenset(sorted(completed)))


@given(graphs(), st.randoms(use_true_random=False))
def test_a_random_graph_runs_each_step_once_and_never_before_its_parents(graph, random):
    interpreter = Interpreter(graph, random)
    interpreter.run()
    assert sorted(interpreter.started) == list(range(len(graph.nodes)))
    assert sorted(interpreter.completed) == list(range(len(graph.nodes)))


@given(graphs(), st.randoms(use_true_random=False))
def test_no_message_is_sent_in_vain(graph, random):
    interpreter = Interpreter(graph, random)
    interpreter.run()
    assert sorted(interpreter.published) == sorted(node.name for node in graph.nodes)


@given(graphs(), st.randoms(use_true_random=False), st.floats(0, 1))
def test_messages_delivered_three_times_and_steps_continued_inline_change_nothing(graph, random, inline):
    interpreter = Interpreter(graph, random, deliveries=3, inline=inline)
    interpreter.run()
    assert sorted(interpreter.started) == list(range(len(graph.nodes)))
    assert sorted(interpreter.completed) == list(range(len(graph.nodes)))


def test_a_long_line_and_a_wide_fan_out_run_to_their_ends():
    for graph in (chain_of(1_000), fan_of(500, join=True)):
        interpreter = Interpreter(graph, Random(7))
        interpreter.run()
        assert len(interpreter.completed) == len(graph.nodes)


def test_a_canvas_describes_itself_as_people_write_them():
    graph = graph_of({"a": (), "b": (), "c": ()})
    assert Canvas(segments=((0, 1), (2,))).describe(graph) == "group([chain(a → b), c])"
