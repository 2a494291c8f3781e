"""The audit: does what the projections say follow from the events?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from celeriac.workflows.engine.fold import IllegalEvent, RunState, fold
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.history.reader import Reader
from celeriac.workflows.history.runs import RunStore


@dataclass(frozen=True, kw_only=True, slots=True)
class Discrepancy:
    """Something in the tables that does not follow from the history."""

    run_id: UUID
    what: str


class Audit:
    """Folds histories and compares. Reads only; safe while workers run, because it looks twice at what moves."""

    def __init__(self, reader: Reader, runs: RunStore) -> None:
        self._reader = reader
        self._runs = runs

    def audit(self, run_ids: Iterable[UUID]) -> Iterator[tuple[UUID, tuple[Discrepancy, ...]]]:
        """Yield for each run what is wrong with it; an empty tuple if nothing is.

        Raises:
            UnknownRun: a run is not there.
        """
        for run_id in run_ids:
            yield run_id, self._examine(run_id)

    def _examine(self, run_id: UUID) -> tuple[Discrepancy, ...]:
        while True:
            before = self._reader.events(run_id)
            run, tasks = self._reader.projections(run_id)
            events = self._reader.events(run_id)
            if len(before) == len(events):
                break
        try:
            graph = self._runs.graph(run.graph_hash)
            state = fold(events, graph)
        except (IllegalEvent, LookupError) as error:
            return (Discrepancy(run_id=run_id, what=str(error)),)
        return tuple(Discrepancy(run_id=run_id, what=what) for what in _differences(state, graph, run, tasks))


def _differences(state: RunState, graph: Graph, run: Any, tasks: list[Any]) -> Iterator[str]:
    for what in ("status", "remaining", "unhandled_failures", "compensations", "ended_by"):
        told, found = getattr(state, what), getattr(run, what)
        if told != found:
            yield f"the run's {what} is {found!r}; by its events it is {told!r}"
    if len(tasks) != len(state.steps):
        yield f"the run has {len(tasks)} steps; its graph has {len(state.steps)}"
        return
    for node, task, step in zip(graph.nodes, tasks, state.steps, strict=True):
        for what in ("status", "remaining", "attempt", "lost", "ended_by"):
            told, found = getattr(step, what), getattr(task, what)
            if told != found:
                yield f"step {node.name!r}: {what} is {found!r}; by its events it is {told!r}"
