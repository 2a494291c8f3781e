"""Controlling runs: pause, resume, cancel, terminate. Changes many runs at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from uuid import UUID

from celeriac.workflows.history.database import Database
from celeriac.workflows.history.statements import statement


class ControlStore:
    """Changes runs on request and returns the runs changed.

    Runs that are already in the requested state, or have ended, are skipped.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def pause(self, run_ids: Collection[UUID]) -> set[UUID]:
        """Pause runs: running steps finish, no step starts."""
        return self._change("pause_runs", run_ids)

    def resume(self, run_ids: Collection[UUID]) -> set[UUID]:
        """Let paused runs accept work again."""
        return self._change("resume_runs", run_ids)

    def cancel(self, run_ids: Collection[UUID], reason: str | None) -> set[UUID]:
        """Cancel runs; sagas are compensated first."""
        return self._change("cancel_runs", run_ids, reason=reason)

    def terminate(self, run_ids: Collection[UUID], reason: str | None) -> set[UUID]:
        """Terminate runs."""
        return self._change("terminate_runs", run_ids, reason=reason)

    def compensating(self, run_ids: Collection[UUID]) -> list[tuple[UUID, str]]:
        """Return the runs that are compensating, each with the hash of its graph."""
        with self._database.autocommit() as connection:
            rows = connection.execute(statement("compensating_runs"), {"runs": list(run_ids)}).all()
        return [(row.id, row.graph_hash) for row in rows]

    def ready(self, run_ids: Collection[UUID]) -> Mapping[tuple[UUID, str], set[int]]:
        """Mark the ready steps of runs as dispatched now.

        Returns:
            The positions of the steps, by run and hash of its graph.
        """
        found: dict[tuple[UUID, str], set[int]] = defaultdict(set)
        with self._database.autocommit() as connection:
            for row in connection.execute(statement("dispatch_ready"), {"runs": list(run_ids)}):
                found[row.run_id, row.graph_hash].add(row.position)
        return found

    def _change(self, name: str, run_ids: Collection[UUID], **parameters: str | None) -> set[UUID]:
        with self._database.autocommit() as connection:
            return set(connection.scalars(statement(name), {"runs": list(run_ids), **parameters}))
