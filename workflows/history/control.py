"""Steering runs: pause, resume, cancel, terminate; of one run or of many, as one statement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from uuid import UUID

from celeriac.workflows.history.database import Database
from celeriac.workflows.history.statements import statement


class ControlStore:
    """Changes the runs for which a change means something, leaves the others alone, and tells which it changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pause(self, run_ids: Collection[UUID]) -> set[UUID]:
        """Pause runs: what runs finishes, nothing new starts."""
        return self._change("pause_runs", run_ids)

    def resume(self, run_ids: Collection[UUID]) -> set[UUID]:
        """Let paused runs go on."""
        return self._change("resume_runs", run_ids)

    def cancel(self, run_ids: Collection[UUID], reason: str | None) -> set[UUID]:
        """End runs as cancelled; those that are sagas are to be undone first."""
        return self._change("cancel_runs", run_ids, reason=reason)

    def terminate(self, run_ids: Collection[UUID], reason: str | None) -> set[UUID]:
        """End runs as terminated."""
        return self._change("terminate_runs", run_ids, reason=reason)

    def compensating(self, run_ids: Collection[UUID]) -> list[tuple[UUID, str]]:
        """Return those of some runs that are being undone, each with its definition's hash."""
        with self._database.autocommit() as connection:
            rows = connection.execute(statement("compensating_runs"), {"runs": list(run_ids)}).all()
        return [(row.id, row.graph_hash) for row in rows]

    def ready(self, run_ids: Collection[UUID]) -> Mapping[tuple[UUID, str], set[int]]:
        """Return what runs may start now, by run and definition, and note that it is dispatched now."""
        found: dict[tuple[UUID, str], set[int]] = defaultdict(set)
        with self._database.autocommit() as connection:
            for row in connection.execute(statement("dispatch_ready"), {"runs": list(run_ids)}):
                found[row.run_id, row.graph_hash].add(row.position)
        return found

    def _change(self, name: str, run_ids: Collection[UUID], **parameters: str | None) -> set[UUID]:
        with self._database.autocommit() as connection:
            return set(connection.scalars(statement(name), {"runs": list(run_ids), **parameters}))
