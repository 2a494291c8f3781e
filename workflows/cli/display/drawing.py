"""A workflow's graph, drawn as text, Mermaid or Graphviz. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from celeriac.workflows.cli.display import formatting
from celeriac.workflows.cli.display.layout import arrange
from celeriac.workflows.engine.compiler import Canvas
from celeriac.workflows.engine.compiler import compile as compile_graph
from celeriac.workflows.engine.graph import FailurePolicy, Graph, Node
from celeriac.workflows.engine.retry import Retry


def as_text(graph: Graph) -> str:
    """Return the graph as a tree of lines.

    A step follows the line above it, unless ``←`` names its parents.
    """
    lines = []
    forward = graph.forward  # compensations and hooks come last and have no parents
    for row in arrange([graph.parents[position] for position in forward]):
        node = graph.nodes[row.positions[0]]
        joined = f" ← {', '.join(node.parents)}" if row.joins else ""
        lines.append(f"{row.guide}{node.name}{_notes(node)}{joined}")
    lines += [f"{node.name}{_notes(node)}" for i, node in enumerate(graph.nodes) if i not in forward]
    return "\n".join(lines)


def as_mermaid(graph: Graph) -> str:
    """Return the graph as a Mermaid flow chart.

    A dotted edge orders two steps without passing data.
    """
    lines = ["flowchart TD"]
    lines += [f'    n{i}["{_mermaid_text(node.name)}"]' for i, node in enumerate(graph.nodes)]
    lines += [f"    n{parent} {'-->' if data else '-.->'} n{child}" for parent, child, data in _edges(graph)]
    return "\n".join(lines)


def as_dot(graph: Graph) -> str:
    """Return the graph in Graphviz's language.

    A dashed edge orders two steps without passing data.
    """
    lines = [f"digraph {_quoted(graph.workflow)} {{", "    node [shape=box, style=rounded];"]
    lines += [f"    n{i} [label={_quoted(node.name)}];" for i, node in enumerate(graph.nodes)]
    lines += [f"    n{p} -> n{c}{'' if data else ' [style=dashed]'};" for p, c, data in _edges(graph)]
    return "\n".join([*lines, "}"])


def published(graph: Graph) -> list[tuple[tuple[str, ...], Canvas]]:
    """Return every canvas that a run publishes, and the steps that free it, by name.

    The order of completion is known at run time only; here, steps complete in graph
    order.
    """
    found: list[tuple[tuple[str, ...], Canvas]] = [((), canvas) for canvas in compile_graph(graph, frozenset())]
    on_the_way = set[int]().union(*(_positions(canvas) for _, canvas in found))
    completed: set[int] = set()
    while waiting := on_the_way - completed:
        position = next(i for i in sorted(waiting) if completed.issuperset(graph.parents[i]))
        completed.add(position)
        unsent = [i for i in graph.dependents[position] if i not in on_the_way]
        freed = [i for i in unsent if completed.issuperset(graph.parents[i])]
        if not freed:
            continue
        parents = set[int]().union(*(graph.parents[i] for i in freed))
        after = tuple(graph.nodes[i].name for i in sorted(parents))
        for canvas in compile_graph(graph, frozenset(completed), freed):
            found.append((after, canvas))
            on_the_way |= _positions(canvas)
    return found


def canvases_as_text(graph: Graph) -> str:
    """Return the canvases that a run publishes, a line each."""
    lines = []
    for after, canvas in published(graph):
        when = f"after {formatting.some(after)}" if after else "at the start"
        lines.append(f"{when}: {canvas.describe(graph)}")
    return "\n".join(lines)


def summary(graph: Graph) -> str:
    """Return the graph's name, version, size, options and hash in a line."""
    limit = "" if graph.timeout is None else f" · timeout {_duration(graph.timeout)}"
    size = formatting.count(len(graph.forward), "step")
    kind = f"{' · saga' if graph.saga else ''}{' · continues after failures' if _continues(graph) else ''}"
    return f"{graph.workflow} version {graph.version} · {size}{limit}{kind} · graph {graph.hash}"


def _continues(graph: Graph) -> bool:
    return graph.failure_policy is FailurePolicy.CONTINUE


def _edges(graph: Graph) -> Iterator[tuple[int, int, bool]]:
    """Yield (parent, child, whether the child reads the parent's result or outcome)."""
    for child, parents in enumerate(graph.parents):
        for parent in parents:
            yield parent, child, parent in graph.inputs[child] or parent in graph.outcome_inputs[child]
    for kept, position in graph.compensations.items():
        yield kept, position, True


def _positions(canvas: Canvas) -> set[int]:
    return set(canvas.body).union(*canvas.segments)


def _notes(node: Node) -> str:
    notes = [] if node.name == node.task else [node.task]
    if role := formatting.role(node):
        notes.append(role)
    if node.needs is not None:
        notes.append(f"needs {node.needs}")
    if node.queue is not None:
        notes.append(f"queue {node.queue}")
    if node.priority is not None:
        notes.append(f"priority {node.priority}")
    if node.max_attempts is not None:
        notes.append(f"up to {formatting.count(node.max_attempts, 'attempt')}")
    if node.retry is not None and node.max_attempts != 1:
        notes.append(_policy(Retry.from_json(node.retry), counted=node.max_attempts is not None))
    for limit, seconds in (
        ("timeout", node.timeout),
        ("total timeout", node.total_timeout),
        ("heartbeat timeout", node.heartbeat_timeout),
    ):
        if seconds is not None:
            notes.append(f"{limit} {_duration(seconds)}")
    return f" ({', '.join(notes)})" if notes else ""


def _policy(policy: Retry, *, counted: bool) -> str:
    """Return a retry policy in words.

    Leave out the number of attempts if it is ``counted``: the step states it itself.
    """
    parts = [] if counted else [f"up to {formatting.count(policy.max_attempts, 'attempt')}"]
    growth = "" if policy.backoff == "constant" else f", {policy.backoff}, at most {_duration(policy.max_delay)}"
    first = f"from {_duration(policy.delay)}" if growth else f"of {_duration(policy.delay)}"
    parts.append(f"waits {first}{growth}")
    if policy.retry_on != ("builtins.Exception",):
        parts.append(f"retries {_classes(policy.retry_on)}")
    if policy.give_up_on:
        parts.append(f"gives up on {_classes(policy.give_up_on)}")
    return ", ".join(parts)


def _classes(names: Sequence[str]) -> str:
    return formatting.some([name.rpartition(".")[2] for name in names])


def _duration(seconds: float) -> str:
    return formatting.duration(timedelta(seconds=seconds))


def _mermaid_text(text: str) -> str:
    return text.replace("#", "#35;").replace('"', "#quot;")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
