"""Graphs for tests: from a few words, and random ones."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from celeriac.workflows.engine.graph import (
    FailurePolicy,
    Graph,
    Needs,
    Node,
)

# DESIGN section 6: `validate` waits for c alone, so no chord of a, b and c may hold it back.
IRREGULAR: Mapping[str, Sequence[str]] = {
    "prepare": (),
    "a": ("prepare",),
    "b": ("prepare",),
    "c": ("prepare",),
    "aggregate": ("a", "b", "c"),
    "validate": ("c",),
    "notify": ("aggregate", "validate"),
}


def graph_of(parents: Mapping[str, Sequence[str]], workflow: str = "tested", **options: Any) -> Graph:
    """Return a graph of steps without data, each with the names of its parents. Each step is a task ``do_<name>``."""
    return Graph(
        workflow=workflow,
        version="1",
        nodes=tuple(
            Node(name=name, task=f"do_{name}", after=tuple(after), **options) for name, after in parents.items()
        ),
    )


def chain_of(length: int, **options: Any) -> Graph:
    """Return a graph of one line."""
    return graph_of({f"s{i}": [f"s{i - 1}"] if i else [] for i in range(length)}, **options)


def fan_of(width: int, *, join: bool, **options: Any) -> Graph:
    """Return a graph of one step, ``width`` steps after it, and perhaps one after all of those."""
    parents: dict[str, Sequence[str]] = {"first": []}
    parents.update({f"s{i}": ["first"] for i in range(width)})
    if join:
        parents["join"] = [f"s{i}" for i in range(width)]
    return graph_of(parents, **options)


@st.composite
def graphs(draw: st.DrawFn, max_steps: int = 30) -> Graph:
    """Return any graph, its steps in any order of definition. Lines are made likelier than chance has them."""
    count = draw(st.integers(1, max_steps))
    parents: list[list[int]] = []
    for child in range(count):
        if child and draw(st.booleans()):
            parents.append([child - 1])
        elif child:
            parents.append(draw(st.lists(st.integers(0, child - 1), max_size=4, unique=True)))
        else:
            parents.append([])
    order = draw(st.permutations(range(count)))
    return graph_of({f"s{child}": [f"s{parent}" for parent in parents[child]] for child in order})


@st.composite
def graphs_under_way(draw: st.DrawFn, max_steps: int = 30) -> tuple[Graph, frozenset[int]]:
    """Return a graph and steps that can have completed, because all their parents have."""
    graph = draw(graphs(max_steps))
    completed: set[int] = set()
    for _ in range(draw(st.integers(0, len(graph.nodes)))):
        free = [i for i, parents in enumerate(graph.parents) if i not in completed and completed >= set(parents)]
        if not free:
            break
        completed.add(draw(st.sampled_from(free)))
    return graph, frozenset(completed)


@st.composite
def graphs_with_rules(draw: st.DrawFn, max_steps: int = 8) -> Graph:
    """Return a graph with join rules, error handlers and either failure policy."""
    plain = draw(graphs(max_steps))
    nodes: list[Node] = []
    rules = [None] if draw(st.integers(0, 2)) == 0 else [None, *Needs]
    for position in plain.in_order():
        node = plain.nodes[position]
        needs = draw(st.sampled_from(rules)) if node.parents else None
        nodes.append(replace(node, needs=needs))
        if draw(st.integers(0, 3)) == 0:
            nodes.append(Node(name=f"{node.name}.on_error", task="handle", handles=node.name))
    policy = draw(st.sampled_from(FailurePolicy))
    return Graph(workflow="tested", version="1", nodes=tuple(nodes), failure_policy=policy)
