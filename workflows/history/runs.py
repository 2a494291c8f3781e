"""Starting runs, and the graphs that they are pinned to."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Connection

from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.ids import new_run_id
from celeriac.workflows.engine.progress import initial_steps
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.errors import IdempotencyKeyReused, UnknownRun
from celeriac.workflows.history.arrays import array_of
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.records import Transition
from celeriac.workflows.history.statements import statement
from celeriac.workflows.history.transitions import TransitionStore

ScalarQuery: TypeAlias = Callable[[str, Mapping[str, object]], Any]
"""Executes a named statement in a transaction.

Returns the first column of its first row, or None.
"""


class RunStore:
    """Writes and reads whole runs. Caches graphs, which never change."""

    def __init__(self, database: Database, transitions: TransitionStore) -> None:
        self._database = database
        self._transitions = transitions
        self._graphs: dict[str, Graph] = {}
        self._tasks: dict[str, dict[str, str]] = {}

    def start(
        self,
        graph: Graph,
        run_input: str,
        *,
        tags: Mapping[str, str],
        idempotency_key: str | None = None,
        transaction: ScalarQuery | None = None,
        timeout: float | None = None,
    ) -> tuple[UUID, bool]:
        """Record a new run with all its steps.

        Args:
            graph: The graph that the run is pinned to.
            run_input: The validated input, a JSON object by parameter name.
            tags: Free labels to find the run by.
            idempotency_key: Starts at most a single run of the workflow.
            transaction: Executes statements in the caller's transaction; None lets each
                statement commit by itself.
            timeout: Seconds after which the run fails, if the graph sets no timeout.

        Returns:
            The run's id, and whether this call started it; False if an earlier call
            with the key did.

        Raises:
            IdempotencyKeyReused: the key had started a run with other input.
            DatabaseUnavailable: Postgres does not answer; nothing was started.
        """
        parameters = {
            "run": new_run_id(),
            "workflow": graph.workflow,
            "version": graph.version,
            "graph_hash": graph.hash,
            "remaining": len(graph.ends),
            "tags": json.dumps(dict(tags)),
            "idempotency_key": idempotency_key,
            "input": run_input,
            "timeout": timeout if graph.timeout is None else graph.timeout,
            **self._tasks_of(graph),
        }
        self.keep(graph)
        if transaction is not None:
            with self._database.explained():
                return self._insert(transaction, parameters)
        with self._database.autocommit() as own:
            return self._insert(partial(_scalar, own), parameters)

    def fork(
        self,
        graph: Graph,
        run_input: str,
        reused: Sequence[int],
        original: UUID,
        *,
        tags: Mapping[str, str],
        timeout: float | None = None,
    ) -> tuple[UUID, Transition]:
        """Record a new run that reuses results of another run, in a single transaction.

        Args:
            graph: The graph that the new run is pinned to.
            run_input: The original's input, in the form of the graph's version.
            reused: Positions of the steps whose results the new run takes over, by
                name; parents first.
            original: The run that has the results.
            tags: The tags of the new run.
            timeout: As for ``start``.

        Returns:
            The run's id, and the transition that starts it.

        Raises:
            DatabaseUnavailable: Postgres does not answer; nothing was started.
        """
        self.keep(graph)
        names = {graph.nodes[position].name: position for position in reused}
        with self._database.transaction() as connection:
            joined = partial(_scalar, connection)
            run_id, _ = self.start(graph, run_input, tags=tags, transaction=joined, timeout=timeout)
            connection.execute(statement("mark_fork"), {"run": run_id, "original": original})
            rows = connection.execute(statement("reusable_results"), {"run": original, "names": list(names)})
            found = {names[row.name]: row.result for row in rows}
            results = {position: found[position] for position in reused}
            return run_id, self._transitions.reuse(run_id, graph, results, connection)

    def visible(self, run_ids: Collection[UUID]) -> set[UUID]:
        """Return those of the runs whose start has committed."""
        with self._database.autocommit() as connection:
            return set(connection.scalars(statement("visible_runs"), {"runs": list(run_ids)}))

    @staticmethod
    def _insert(scalar: ScalarQuery, parameters: Mapping[str, Any]) -> tuple[UUID, bool]:
        if scalar("start_run", parameters) is not None:
            return parameters["run"], True
        # A new statement, so that it sees the run that the insert waited for.
        known = {key: parameters[key] for key in ("workflow", "idempotency_key")}
        first = json.loads(scalar("run_by_key", known))
        if not _is_same_input(first, parameters):
            raise IdempotencyKeyReused(run_id=UUID(first["id"]), **known)
        return UUID(first["id"]), False

    def _tasks_of(self, graph: Graph) -> dict[str, str]:
        """Return the columns of a run's tasks as Postgres writes arrays.

        They are the same for all runs of a graph.
        """
        if graph.hash not in self._tasks:
            steps = initial_steps(graph)
            self._tasks[graph.hash] = {
                "names": array_of(node.name for node in graph.nodes),
                "tasks": array_of(node.task for node in graph.nodes),
                "queues": array_of(node.queue or "" for node in graph.nodes),
                "priorities": array_of(node.priority or 0 for node in graph.nodes),
                "max_attempts": array_of(node.max_attempts for node in graph.nodes),
                "phases": array_of(node.phase.value for node in graph.nodes),
                "parents": array_of(step.remaining for step in steps),
                "statuses": array_of(step.status.value for step in steps),
            }
        return self._tasks[graph.hash]

    def keep(self, graph: Graph) -> None:
        """Store a graph, unless this store has it in memory."""
        if graph.hash in self._graphs:
            return
        # Not on the caller's connection: a rollback would remove the graph from the
        # database, and this store would still believe that it is stored.
        with self._database.autocommit() as connection:
            connection.execute(
                statement("insert_definition"),
                {
                    "hash": graph.hash,
                    "workflow": graph.workflow,
                    "version": graph.version,
                    "graph": json.dumps(graph.to_json()),
                },
            )
        self._graphs[graph.hash] = graph

    def graph(self, graph_hash: str) -> Graph:
        """Return the graph of a hash, from memory if this store has it there.

        Raises:
            LookupError: no run was ever started with it.
        """
        if graph_hash not in self._graphs:
            with self._database.autocommit() as connection:
                found = connection.execute(statement("graph_by_hash"), {"hash": graph_hash}).scalar()
            if found is None:
                raise LookupError(f"No definition {graph_hash!r} in this database")
            self._graphs[graph_hash] = Graph.from_json(found)
        return self._graphs[graph_hash]

    def status(self, run_id: UUID) -> RunStatus:
        """Return the status of a run.

        Raises:
            UnknownRun: there is no such run.
        """
        with self._database.autocommit() as connection:
            found = connection.execute(statement("run_status"), {"run": run_id}).scalar()
        if found is None:
            raise UnknownRun(run_id=run_id)
        return RunStatus(found)


def _scalar(connection: Connection, name: str, parameters: Mapping[str, object]) -> Any:
    return connection.execute(statement(name), parameters).scalar()


def _is_same_input(first: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
    """Return whether a run was started with the same input.

    Between two versions of the workflow, the parameters that both have are compared.
    """
    recorded = first["input"]
    given = json.loads(parameters["input"])
    if first["graph_hash"] == parameters["graph_hash"]:
        return bool(recorded == given)
    return all(recorded[name] == given[name] for name in recorded.keys() & given.keys())
