"""The audit: whether the projections follow from the events."""

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
    """A value in the tables that does not follow from the history."""

    run_id: UUID
    what: str


class Audit:
    """Folds histories and compares them with the tables.

    Reads only. Safe while workers run: it reads a run again if its history has grown.
    """

    def __init__(self, reader: Reader, runs: RunStore) -> None:
        self._reader = reader
        self._runs = runs

    def audit(self, run_ids: Iterable[UUID]) -> Iterator[tuple[UUID, tuple[Discrepancy, ...]]]:
        """Yield each run with its discrepancies; an empty tuple if the run has none.

        Raises:
            UnknownRun: a run does not exist.
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
    for column in ("status", "remaining", "unhandled_failures", "compensations", "ended_by"):
        expected = getattr(state, column)
        found = getattr(run, column)
        if expected != found:
            yield f"the run's {column} is {found!r}; by its events it is {expected!r}"
    if len(tasks) != len(state.steps):
        yield f"the run has {len(tasks)} steps; its graph has {len(state.steps)}"
        return
    for node, task, step in zip(graph.nodes, tasks, state.steps, strict=True):
        for column in ("status", "remaining", "attempt", "lost", "ended_by"):
            expected = getattr(step, column)
            found = getattr(task, column)
            if expected != found:
                yield f"step {node.name!r}: {column} is {found!r}; by its events it is {expected!r}"
