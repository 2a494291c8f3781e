"""Forking: a new run that starts with the results that another one already has. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from workflows.errors import DefinitionError
from workflows.graph import Graph


@dataclass(frozen=True, kw_only=True, slots=True)
class ForkPlan:
    """How the new run begins."""

    reused: tuple[int, ...]  # positions of the steps that are completed from the start, parents first
    remaining: tuple[tuple[int, int], ...]  # of the others: position, and parents that are not reused
    sinks: int  # steps that nothing waits for and that are not reused


def plan_fork(graph: Graph, completed: Collection[str], from_step: str) -> ForkPlan:
    """Return how a fork begins that runs ``from_step``, and whatever depends on it, anew.

    A step is reused if the original has completed one of that name and all its parents are reused.

    Args:
        graph: Of the new run; it may be of another version than the original's.
        completed: Names of the steps that the original has completed.
        from_step: The name of a step in ``graph``.

    Raises:
        DefinitionError: the graph has no step of that name.
    """
    if from_step not in graph.position:
        known = ", ".join(node.name for node in graph.nodes)
        raise DefinitionError(
            detail=f"Workflow {graph.workflow!r} has no step {from_step!r} to fork from. Steps: {known}."
        )
    reused: dict[int, None] = {}
    for position in graph.in_order():
        name = graph.nodes[position].name
        if name != from_step and name in completed and reused.keys() >= set(graph.parents[position]):
            reused[position] = None
    remaining = tuple(
        (position, len(set(graph.parents[position]) - reused.keys()))
        for position in range(len(graph.nodes))
        if position not in reused
    )
    return ForkPlan(reused=tuple(reused), remaining=remaining, sinks=len(graph.sinks - reused.keys()))
