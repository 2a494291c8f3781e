"""From a graph, and what has already happened, to the canvases to publish now. Pure.

Starting a run, carrying on after a cut, and dispatching lost work again are the same call. A canvas only
says how Celery is to move the work; that it moves in the right order is the history's doing, which
frees a step when its last parent completes. So an edge that has no place in a canvas needs no barrier: whoever
completes the parent finds the step freed, and compiles again from there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

from celeriac.workflows.engine.graph import Graph, Needs

Segment: TypeAlias = tuple[int, ...]

# What the signatures in one message may take before Celery encodes it (which adds a third): a message stays
# under 16 KB, however long the chain. A chord's message carries a stretch of the header and one of the body.
MESSAGE_BUDGET = 9_000
_SIGNATURE_BYTES = 430  # of one link without its names


@dataclass(frozen=True, kw_only=True, slots=True)
class Canvas:
    """What is published in one go: one stretch is a chain, several are a group, or a chord if there is a body."""

    segments: tuple[Segment, ...]
    body: Segment = ()

    def describe(self, graph: Graph) -> str:
        """Return it as people write canvases: ``chord([a, chain(b → c)] → chain(join → report))``."""
        parts = [_describe(segment, graph) for segment in self.segments]
        if self.body:
            return f"chord([{', '.join(parts)}] → {_describe(self.body, graph)})"
        return parts[0] if len(parts) == 1 else f"group([{', '.join(parts)}])"


def _describe(segment: Segment, graph: Graph) -> str:
    names = " → ".join(graph.nodes[i].name for i in segment)
    return f"chain({names})" if len(segment) > 1 else names


def compile(graph: Graph, completed: AbstractSet[int], ready: Iterable[int] | None = None) -> tuple[Canvas, ...]:
    """Return the canvases to publish now.

    Args:
        graph: The graph that the run is pinned to.
        completed: Positions of the steps that have completed.
        ready: Positions to dispatch; all their parents are in ``completed``. By default every such
            step that has not completed itself. Steps that run, or that are on their way already, are left out.

    Returns:
        Canvases in which every step comes after its parents and no step twice. Each of ``ready`` is
        in one of them, at the head of a stretch.
    """
    if ready is None:
        ready = (i for i in graph.forward if i not in completed and completed >= set(graph.parents[i]))
    heads = sorted(ready)
    budget = MESSAGE_BUDGET if len(heads) == 1 else MESSAGE_BUDGET // 2
    segments = [_segment(graph, head, completed, budget) for head in heads]
    canvases = []
    for join, members in _joins(graph, completed, segments):
        before = set(completed).union(*members)
        canvases.append(Canvas(segments=tuple(members), body=_segment(graph, join, before, MESSAGE_BUDGET // 2)))
        taken = set(members)
        segments = [segment for segment in segments if segment not in taken]
    if segments:
        canvases.append(Canvas(segments=tuple(segments)))
    return tuple(canvases)


def sequence(graph: Graph, positions: Sequence[int]) -> tuple[Canvas, ...]:
    """Return the canvas of steps that run one after another although the graph does not say so, as compensations do.

    Of a long line, as much as fits into a message.
    """
    spent = list(accumulate(_size(graph, position) for position in positions))
    fitting = sum(size <= MESSAGE_BUDGET for size in spent)
    return (Canvas(segments=(tuple(positions[: max(1, fitting)]),)),)


def _segment(graph: Graph, head: int, completed: AbstractSet[int], budget: int) -> Segment:
    """Follow a line from ``head`` for as long as each step frees exactly the next one.

    A step may have other dependents too, if they come after the next one anyway.
    """
    links = [head]
    inside = {head}
    spent = _size(graph, head)
    while True:
        children = graph.dependents[links[-1]]
        freed = [child for child in children if _is_freed(graph, child, completed, inside)]
        if len(freed) != 1:
            break
        child = freed[0]
        if any(child not in graph.ancestors([other]) for other in children if other != child):
            break
        spent += _size(graph, child)
        if spent > budget:
            break
        links.append(child)
        inside.add(child)
    return tuple(links)


def _is_freed(graph: Graph, position: int, completed: AbstractSet[int], inside: AbstractSet[int]) -> bool:
    return _needs_all(graph, position) and all(p in inside or p in completed for p in graph.parents[position])


def _needs_all(graph: Graph, position: int) -> bool:
    return graph.nodes[position].needs in (None, Needs.ALL_SUCCEEDED)


def _size(graph: Graph, position: int) -> int:
    node = graph.nodes[position]
    # The node's name stands in the task's id and in its arguments, the step's in the signature.
    return _SIGNATURE_BYTES + 2 * len(node.name) + len(node.task) + len(node.queue or "")


def _joins(
    graph: Graph, completed: AbstractSet[int], segments: Sequence[Segment]
) -> Iterable[tuple[int, Collection[Segment]]]:
    """Yield the joins all of whose open parents end a stretch, each with those; no stretch is given out twice."""
    by_end = {segment[-1]: segment for segment in segments}
    candidates = sorted({child for end in by_end for child in graph.dependents[end]})
    for join in candidates:
        open_parents = [parent for parent in graph.parents[join] if parent not in completed]
        if len(open_parents) > 1 and _needs_all(graph, join) and all(parent in by_end for parent in open_parents):
            yield join, [by_end.pop(parent) for parent in open_parents]
