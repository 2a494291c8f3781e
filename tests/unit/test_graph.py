import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.workflows.engine.graph import Graph, Node
from celeriac.workflows.engine.templates import (
    Constant,
    InputPart,
    ListOf,
    ResultPart,
)
from celeriac.workflows.errors import DefinitionError
from tests.support.graphs import IRREGULAR, chain_of, graph_of, graphs

ORDER = Graph(
    workflow="order",
    version="2",
    nodes=(
        Node(name="validate", task="validate", arguments={"order": InputPart(parameter="order")}),
        Node(
            name="charge-2",
            task="charge",
            arguments={
                "order": ResultPart(node="validate"),
                "extras": ListOf(items=(ResultPart(node="validate", path=("id",)), Constant(value=3))),
            },
            after=("audit",),
            queue="payments",
            priority=0,
            max_attempts=2,
        ),
        Node(name="audit", task="audit"),
    ),
    returns=ResultPart(node="charge-2"),
)


def test_parents_are_the_steps_whose_results_are_used_and_those_that_are_waited_for():
    charge = ORDER.nodes[1]
    assert charge.inputs == ("validate",)
    assert charge.parents == ("validate", "audit")
    assert ORDER.parents == ((), (0, 2), ())
    assert ORDER.inputs == ((), (0,), ())
    assert ORDER.dependents == ((1,), (), (1,))
    assert ORDER.sinks == {1}


def test_a_parent_that_is_both_used_and_waited_for_counts_once():
    node = Node(name="b", task="b", arguments={"x": ResultPart(node="a"), "y": ResultPart(node="a")}, after=("a",))
    assert node.parents == ("a",)


def test_a_graph_is_stored_as_json_and_read_back_as_itself():
    again = Graph.from_json(json.loads(json.dumps(ORDER.to_json())))
    assert again == ORDER
    assert again.hash == ORDER.hash


def test_what_is_left_at_its_default_is_not_stored():
    assert Node(name="a", task="do_a").to_json() == {"name": "a", "task": "do_a"}
    assert Node(name="a", task="do_a", priority=0).to_json()["priority"] == 0


def test_the_hash_of_a_graph_never_changes_because_runs_are_pinned_to_it():
    assert chain_of(2).hash == "c370674713e78d079f8b36c59ed72852"


def test_the_hash_is_the_same_in_every_process():
    code = "from tests.unit.test_graph import ORDER; print(ORDER.hash)"
    root = Path(__file__).parents[2]
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            env={"PYTHONHASHSEED": seed},
            cwd=root,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for seed in ("0", "1")
    }
    assert found == {ORDER.hash}


@pytest.mark.parametrize(
    "other",
    [
        graph_of({"a": [], "b": ["a"]}, workflow="other"),
        graph_of({"a": [], "c": ["a"]}),
        graph_of({"a": [], "b": []}),
        graph_of({"a": [], "b": ["a"]}, queue="slow"),
        graph_of({"a": [], "b": ["a"]}, max_attempts=1),
    ],
)
def test_whatever_differs_makes_another_hash(other):
    assert other.hash != graph_of({"a": [], "b": ["a"]}).hash


def test_two_steps_of_one_name_are_refused():
    nodes = (Node(name="a", task="x"), Node(name="b", task="x"), Node(name="a", task="y"))
    with pytest.raises(DefinitionError, match=r"Workflow 'order' has two steps named 'a'. Name one of them with"):
        Graph(workflow="order", version="1", nodes=nodes)


def test_a_parent_that_does_not_exist_is_refused():
    with pytest.raises(DefinitionError, match=r"Step 'b' of workflow 'tested' depends on 'x', which is not a step"):
        graph_of({"a": [], "b": ["x"]})


def test_a_cycle_is_refused_and_shown_in_the_order_of_its_steps():
    with pytest.raises(DefinitionError) as caught:
        graph_of({"start": [], "render": ["start", "sign"], "stamp": ["render"], "sign": ["stamp"], "end": ["sign"]})
    assert str(caught.value) == (
        "Workflow 'tested' has a cycle: render → stamp → sign → render. Remove one of these dependencies."
    )


def test_a_step_that_waits_for_itself_is_a_cycle():
    with pytest.raises(DefinitionError, match="a cycle: a → a"):
        graph_of({"a": ["a"]})


@given(graphs(), st.data())
def test_any_cycle_is_refused_and_its_message_names_only_edges_that_there_are(graph, data):
    parents = {node.name: list(node.after) for node in graph.nodes}
    child = data.draw(st.sampled_from(sorted(parents)))
    before = [graph.nodes[i].name for i in graph.ancestors({graph.position[child]})]
    ancestor = data.draw(st.sampled_from(sorted([*before, child])))
    parents[ancestor].append(child)
    with pytest.raises(DefinitionError) as caught:
        graph_of(parents)
    trail = str(caught.value).partition(": ")[2].partition(". ")[0].split(" → ")
    assert trail[0] == trail[-1]
    for parent, name in pairwise(trail):
        assert parent in parents[name]


@given(graphs())
def test_ancestors_are_the_parents_and_theirs(graph):
    for position, parents in enumerate(graph.parents):
        assert graph.ancestors({position}) == set(parents).union(*(graph.ancestors({p}) for p in parents))


@given(graphs())
def test_dependents_mirror_parents_and_sinks_have_none(graph):
    edges = {(parent, child) for child, parents in enumerate(graph.parents) for parent in parents}
    assert edges == {(parent, child) for parent, children in enumerate(graph.dependents) for child in children}
    assert graph.sinks == {i for i in range(len(graph.nodes)) if not graph.dependents[i]}


@given(graphs())
def test_any_graph_survives_being_stored(graph):
    assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph


def test_ancestors_of_the_end_of_the_irregular_graph_are_all_the_others():
    graph = graph_of(IRREGULAR)
    assert graph.ancestors({graph.position["notify"]}) == set(range(6))
    assert graph.ancestors({graph.position["validate"]}) == {0, 3}


def test_fields_of_a_later_version_have_no_effect_and_keep_the_hash():
    """In a rolling deploy an old worker meets graphs of the new version."""
    data = ORDER.to_json()
    data["colour"] = "red"
    data["nodes"][0] |= {"when": {"constant": True}, "unknown": 1}
    read = Graph.from_json(json.loads(json.dumps(data)))
    assert read.to_json() == data
    assert read.hash != ORDER.hash
    assert read.hash == Graph.from_json(data).hash
    assert [node.name for node in read.nodes] == [node.name for node in ORDER.nodes]
    assert read.parents == ORDER.parents
