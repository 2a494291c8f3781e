"""Leases: the processes that live, and the leader."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from celeriac.workflows.engine.views import LiveWorker, WorkerScope
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.statements import statement


def lease_name(worker: str, pid: int, token: str) -> str:
    """Return the name of a process's lease.

    The token distinguishes the process from an earlier process with the same pid.
    """
    return f"process:{worker}:{pid}:{token}"


def process_of(lease: str) -> str:
    """Return the worker and the pid in the name of a lease, as ``celery@host:4711``."""
    return lease.removeprefix("process:").rpartition(":")[0]


UNKNOWN_SCOPE = WorkerScope()


class LeaseStore:
    """Takes, renews and expires leases."""

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
        """Renew the leases of a worker's processes; create leases that are missing.

        Args:
            names: Names of the leases.
            worker: The worker's name.
            lease: How long the leases last, from now.
            scope: The steps that the worker can run.
            holder: The lease that ``prefetched`` is stored with.
            prefetched: Ids of tasks that the worker took from the broker and that are
                not claimed yet.
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
        """Expire leases of processes that ended; their steps are taken over at once."""
        with self._database.autocommit() as connection:
            connection.execute(statement("expire_leases"), {"names": list(names)})

    def acquire_leader_lease(self, name: str, *, worker: str, lease: timedelta) -> bool:
        """Acquire or renew a leader lease; return whether this worker holds it now."""
        with self._database.autocommit() as connection:
            row = connection.execute(
                statement("acquire_leader_lease"), {"name": name, "worker": worker, "seconds": lease.total_seconds()}
            ).one_or_none()
        return row is not None

    def drop_old(self) -> None:
        """Delete leases that expired more than an hour ago."""
        with self._database.autocommit() as connection:
            connection.execute(statement("drop_old_leases"))

    def live_workers(self) -> list[LiveWorker]:
        """Return the workers that have a lease that has not expired, by name."""
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
        """Return how long the oldest ready step has waited; None if no step waits."""
        with self._database.autocommit() as connection:
            seconds = connection.execute(statement("oldest_ready")).scalar()
        return None if seconds is None else timedelta(seconds=float(seconds))
