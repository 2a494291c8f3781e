"""Forking: start a new run with results that another run has already. Pure."""

from __future__ import annotations

from collections.abc import Collection

from celeriac.workflows.engine.graph import Graph, Needs
from celeriac.workflows.engine.states import RunStatus, StepStatus
from celeriac.workflows.engine.views import RunView
from celeriac.workflows.errors import DefinitionError, InvalidRunState


def standing_results(original: RunView, graph: Graph) -> set[str]:
    """Return the names of the steps whose results a fork may reuse.

    These are completed, and not compensated.

    Args:
        original: The run to fork, with its steps.
        graph: Of that run.

    Raises:
        InvalidRunState: the run is a saga that may still compensate its results.
    """
    may_compensate = original.status.is_open or original.status is RunStatus.COMPENSATING
    if graph.saga and graph.compensations and may_compensate:
        raise InvalidRunState(
            run_id=original.id, status=f"a saga that is {original.status} and may yet be compensated", action="forked"
        )
    compensated = {step.compensates for step in original.steps}
    return {
        step.name for step in original.steps if step.status is StepStatus.COMPLETED and step.name not in compensated
    }


def reusable(graph: Graph, completed: Collection[str], from_step: str) -> tuple[int, ...]:
    """Return the steps whose results a fork from ``from_step`` reuses, parents first.

    A step is reused if the original has completed a step of that name, and all its
    parents are reused. Error handlers and ``one_failed`` joins are not, because reused
    steps have not failed. The fork runs ``from_step``, and all steps that depend on it.

    Args:
        graph: Graph of the new run; its version may differ from the original's.
        completed: Names of the steps that the original has completed.
        from_step: The name of a step in ``graph``.

    Raises:
        DefinitionError: the graph has no step of that name, or the fork would skip it.
    """
    names = {graph.nodes[position].name for position in graph.forward}
    if from_step not in names:
        known = ", ".join(graph.nodes[position].name for position in graph.forward)
        raise DefinitionError(
            detail=f"Workflow {graph.workflow!r} has no step {from_step!r} to fork from. Steps: {known}."
        )
    reused: dict[int, None] = {}
    for position in graph.in_order():
        name = graph.nodes[position].name
        fits = name in names - {from_step} and name in completed and not _is_for_failures(graph, position)
        if fits and reused.keys() >= set(graph.parents[position]):
            reused[position] = None
    first = graph.position[from_step]
    if _is_for_failures(graph, first) and reused.keys() >= set(graph.parents[first]):
        raise DefinitionError(
            detail=f"A fork from step {from_step!r} of workflow {graph.workflow!r} would skip it: it runs when a step "
            "before it fails, and their results are reused. Fork from one of those."
        )
    return tuple(reused)


def _is_for_failures(graph: Graph, position: int) -> bool:
    return position in graph.handled or graph.nodes[position].needs is Needs.ONE_FAILED
