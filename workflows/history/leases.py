"""Leases: which processes live, and who has a duty that one at a time is enough for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from celeriac.workflows.engine.views import LiveWorker, WorkerScope
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.statements import statement


def lease_name(worker: str, pid: int, token: str) -> str:
    """Return the name of a process's lease. The token tells it from an earlier process of the same pid."""
    return f"process:{worker}:{pid}:{token}"


def process_of(lease: str) -> str:
    """Return the worker and the pid of a lease's name, to show to people: ``celery@host:4711``."""
    return lease.removeprefix("process:").rpartition(":")[0]


UNKNOWN_SCOPE = WorkerScope()


class LeaseStore:
    """Takes, renews and gives up leases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def renew(
        self,
        names: Sequence[str],
        *,
        worker: str,
        lease: timedelta,
        scope: WorkerScope = UNKNOWN_SCOPE,
        holder: str = "",
        prefetched: Collection[str] = (),
    ) -> None:
        """Extend the leases of processes of one worker, and make those that are not there.

        Args:
            names: Of the leases.
            worker: The worker's name.
            lease: How long from now.
            scope: What the worker runs.
            holder: Which of them ``prefetched`` belongs to.
            prefetched: Ids of tasks that the worker took from the broker and that nobody has claimed yet.
        """
        with self._database.autocommit() as connection:
            connection.execute(
                statement("renew_leases"),
                {
                    "names": list(names),
                    "worker": worker,
                    "seconds": lease.total_seconds(),
                    "queues": sorted(scope.queues),
                    "tasks": sorted(scope.tasks),
                    "holder": holder,
                    "prefetched": list(prefetched),
                },
            )

    def expire(self, names: Sequence[str]) -> None:
        """Give up leases of processes that ended, so that their steps are taken over at once."""
        with self._database.autocommit() as connection:
            connection.execute(statement("expire_leases"), {"names": list(names)})

    def acquire_leader_lease(self, name: str, *, worker: str, lease: timedelta) -> bool:
        """Take or keep a duty; return whether this worker has it now."""
        with self._database.autocommit() as connection:
            row = connection.execute(
                statement("acquire_leader_lease"), {"name": name, "worker": worker, "seconds": lease.total_seconds()}
            ).one_or_none()
        return row is not None

    def drop_old(self) -> None:
        """Forget leases that expired long ago."""
        with self._database.autocommit() as connection:
            connection.execute(statement("drop_old_leases"))

    def live_workers(self) -> list[LiveWorker]:
        """Return the workers that renewed a lease lately, by name."""
        with self._database.autocommit() as connection:
            rows = connection.execute(statement("live_workers")).all()
        return [
            LiveWorker(
                name=row.worker,
                processes=row.processes,
                expires_at=row.expires_at,
                scope=WorkerScope(queues=frozenset(row.queues), tasks=frozenset(row.tasks)),
            )
            for row in rows
        ]

    def oldest_ready(self) -> timedelta | None:
        """Return how long the oldest ready step has waited to be claimed, or None if none waits."""
        with self._database.autocommit() as connection:
            seconds = connection.execute(statement("oldest_ready")).scalar()
        return None if seconds is None else timedelta(seconds=float(seconds))
