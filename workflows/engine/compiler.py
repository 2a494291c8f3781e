"""Compile a graph, and the steps that have completed, into the canvases to publish now.

Starting a run, continuing where a chain was cut, and redispatching lost work are the
same call. A canvas only tells Celery how to move the work. The history keeps the order:
it frees a step when its last parent completes. So an edge without a place in a canvas
needs no barrier: the worker that completes the parent finds the step freed, and
compiles again from there. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

from celeriac.workflows.engine.graph import Graph, Needs

Segment: TypeAlias = tuple[int, ...]

# Bytes of the signatures in a message, before Celery encodes it (which adds a third): a
# message stays under 16 KB, however long the chain. A chord's message carries a segment
# of the header and the segment of the body.
MESSAGE_BUDGET = 9_000
_SIGNATURE_BYTES = 430  # of a signature without its names


@dataclass(frozen=True, kw_only=True, slots=True)
class Canvas:
    """Steps to publish together.

    A single segment is a chain; several segments are a group, or a chord with a body.
    """

    segments: tuple[Segment, ...]
    body: Segment = ()

    def describe(self, graph: Graph) -> str:
        """Return the canvas as people write it.

        For example, ``chord([a, chain(b → c)] → chain(join → report))``.
        """
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
        completed: Positions of the completed steps.
        ready: Positions to dispatch; all their parents are in ``completed``. By default
            every such step that has not completed itself. The caller leaves out steps
            that run or are on their way already.

    Returns:
        Canvases in which every step comes after its parents, and no step occurs twice.
        Each of ``ready`` is the head of a segment.
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
    """Return the canvas of steps that run one after another, as compensations do.

    The graph has no edges between them. The canvas holds as many steps as fit into a
    message, the first step in any case.
    """
    spent = list(accumulate(_size(graph, position) for position in positions))
    fitting = sum(size <= MESSAGE_BUDGET for size in spent)
    return (Canvas(segments=(tuple(positions[: max(1, fitting)]),)),)


def _segment(graph: Graph, head: int, completed: AbstractSet[int], budget: int) -> Segment:
    """Follow a chain from ``head`` as long as each step frees exactly the next step.

    A step may have other dependents too, if they come after the next step anyway.
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
    # The node's name is in the task id and in the arguments.
    return _SIGNATURE_BYTES + 2 * len(node.name) + len(node.task) + len(node.queue or "")


def _joins(
    graph: Graph, completed: AbstractSet[int], segments: Sequence[Segment]
) -> Iterable[tuple[int, Collection[Segment]]]:
    """Yield each join whose open parents all end a segment, with these segments.

    A join has two open parents at least. No segment is yielded twice.
    """
    by_end = {segment[-1]: segment for segment in segments}
    candidates = sorted({child for end in by_end for child in graph.dependents[end]})
    for join in candidates:
        open_parents = [parent for parent in graph.parents[join] if parent not in completed]
        if len(open_parents) > 1 and _needs_all(graph, join) and all(parent in by_end for parent in open_parents):
            yield join, [by_end.pop(parent) for parent in open_parents]
