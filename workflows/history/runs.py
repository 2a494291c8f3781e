"""Starting runs, and the graphs that they are pinned to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import Connection

from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.ids import new_run_id
from celeriac.workflows.engine.progress import initial_steps
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.errors import UnknownRun
from celeriac.workflows.history.arrays import array_of
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.run_transaction import Transition
from celeriac.workflows.history.statements import statement
from celeriac.workflows.history.transitions import TransitionStore


class RunStore:
    """Writes and reads runs as wholes. Keeps the graphs that it has seen; they never change."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._transitions = TransitionStore(database)
        self._graphs: dict[str, Graph] = {}
        self._tasks: dict[str, dict[str, str]] = {}

    def start(
        self,
        graph: Graph,
        run_input: str,
        *,
        tags: Mapping[str, str],
        idempotency_key: str | None = None,
        connection: Connection | None = None,
        timeout: float | None = None,
    ) -> tuple[UUID, bool]:
        """Record a new run with all its steps.

        Args:
            graph: The graph that the run is pinned to.
            run_input: The validated input, a JSON object by parameter name.
            tags: Free labels to find the run by.
            idempotency_key: Starts at most one run of the workflow.
            connection: The caller's transaction to start in; by default one of our own.
            timeout: Seconds after which the run fails, if the graph has none of its own.

        Returns:
            The run's id, and whether this call started it; False if the key had started it before.

        Raises:
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
        self._keep(graph)
        if connection is not None:
            with self._database.explained():
                return self._insert(connection, parameters)
        with self._database.autocommit() as own:
            return self._insert(own, parameters)

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
        """Record a new run that starts with results of another one; all of it, or nothing.

        Args:
            graph: The graph that the new run is pinned to.
            run_input: The original's input, or what the graph's version makes of it.
            reused: Positions of the steps whose results it takes over, by name; parents first.
            original: The run that has them.
            tags: Of the new run.
            timeout: As for ``start``.

        Returns:
            The run's id, and what it starts with.

        Raises:
            DatabaseUnavailable: Postgres does not answer; nothing was started.
        """
        self._keep(graph)
        names = {graph.nodes[position].name: position for position in reused}
        with self._database.transaction() as connection:
            run_id, _ = self.start(graph, run_input, tags=tags, connection=connection, timeout=timeout)
            connection.execute(statement("mark_fork"), {"run": run_id, "original": original})
            rows = connection.execute(statement("reusable_results"), {"run": original, "names": list(names)})
            found = {names[row.name]: row.result for row in rows}
            results = {position: found[position] for position in reused}
            return run_id, self._transitions.reuse(run_id, graph, results, connection)

    @staticmethod
    def _insert(connection: Connection, parameters: Mapping[str, object]) -> tuple[UUID, bool]:
        started = connection.execute(statement("start_run"), parameters).scalar()
        if started is not None:
            return started, True
        # A new statement, so that it sees what the insert above waited for.
        return connection.execute(statement("run_by_key"), parameters).scalar_one(), False

    def _tasks_of(self, graph: Graph) -> dict[str, str]:
        """Return the columns of a run's tasks as Postgres writes arrays: the same for all runs of a graph."""
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

    def _keep(self, graph: Graph) -> None:
        if graph.hash in self._graphs:
            return
        # On a connection of our own: were it the caller's, a rollback would take the graph with it while
        # this store goes on believing that it is kept.
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
        """Return the graph of a hash, from memory if this store has seen it.

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
