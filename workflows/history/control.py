"""Steering runs: pause, resume, cancel, terminate; of one run or of many, as one statement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from uuid import UUID

from workflows.events import EventType
from workflows.history.database import Database
from workflows.history.statements import statement
from workflows.states import RunStatus

_EVENTS = {RunStatus.CANCELLED: EventType.RUN_CANCELLED, RunStatus.TERMINATED: EventType.RUN_TERMINATED}


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

    def end(self, run_ids: Collection[UUID], status: RunStatus, reason: str | None) -> set[UUID]:
        """End runs as cancelled or terminated."""
        return self._change("cancel_runs", run_ids, status=status.value, event=_EVENTS[status].value, reason=reason)

    def retry(self, run_id: UUID, timeout: float) -> bool:
        """Let a failed run go on from its failed steps; return whether it had failed."""
        with self._database.autocommit() as connection:
            return connection.scalar(statement("retry_run"), {"run": run_id, "timeout": timeout}) is not None

    def ready(self, run_ids: Collection[UUID]) -> Mapping[tuple[UUID, str], set[int]]:
        """Return what is ready in runs that go on, by run and definition, and note that it is dispatched now."""
        found: dict[tuple[UUID, str], set[int]] = defaultdict(set)
        with self._database.autocommit() as connection:
            for row in connection.execute(statement("dispatch_ready"), {"runs": list(run_ids)}):
                found[row.run_id, row.definition].add(row.position)
        return found

    def _change(self, name: str, run_ids: Collection[UUID], **parameters: str | None) -> set[UUID]:
        with self._database.autocommit() as connection:
            return set(connection.scalars(statement(name), {"runs": list(run_ids), **parameters}))
