"""Statements of the reconciler, and the records that they return."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from celeriac.workflows.engine.graph import Graph, Needs
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.records import Attempt
from celeriac.workflows.history.statements import statement


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadyGroup:
    """Ready steps whose messages go to the same queue."""

    task: str
    queue: str  # empty: the queue that the app routes the step to
    priority: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Unclaimed:
    """A ready step that no worker has claimed for a while."""

    run_id: UUID
    graph_hash: str
    position: int
    name: str
    dispatched_at: datetime
    dispatches: int  # number of times that it was redispatched


@dataclass(frozen=True, kw_only=True, slots=True)
class LostAttempt:
    """An attempt whose lease expired."""

    run_id: UUID
    graph_hash: str
    position: int
    name: str
    attempt: int
    lease: str
    accepts_work: bool  # whether the run may start another attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class Exhausted:
    """An attempt whose lease expired, of a step that may have no other attempt."""

    attempt: Attempt
    graph_hash: str
    lost: int  # attempts of the step that were lost, including this attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """A step whose wait is over."""

    run_id: UUID
    graph_hash: str
    position: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedOut:
    """A running attempt that should have ended."""

    attempt: Attempt
    graph_hash: str
    lost: int  # attempts of the step that were lost
    uncounted_attempts: int  # earlier attempts that use up none of the step's attempts
    past_deadline: bool  # the time of all attempts together is over


class ReconcilerStore:
    """Executes the reconciler's statements. Safe beside reconcilers and workers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def now(self) -> datetime:
        """Return the database's time, from which all instants in the history come."""
        with self._database.autocommit() as connection:
            return connection.execute(statement("database_time")).scalar_one()  # type: ignore[no-any-return]

    def lose_attempts(self, *, lease: timedelta, max_lost: int, batch: int) -> list[LostAttempt]:
        """End attempts whose lease expired; their steps are ready again.

        Leaves out steps that may have no other attempt; see ``exhausted``.
        """
        parameters = {"lease_seconds": lease.total_seconds(), "max_lost": max_lost, "batch": batch}
        with self._database.autocommit() as connection:
            rows = connection.execute(statement("lose_attempts"), parameters).all()
        return [
            LostAttempt(
                run_id=row.run_id,
                graph_hash=row.graph_hash,
                position=row.position,
                name=row.name,
                attempt=row.attempt,
                lease=row.lease,
                accepts_work=row.accepts_work,
            )
            for row in rows
        ]

    def exhausted(self, *, lease: timedelta, max_lost: int, batch: int) -> list[Exhausted]:
        """Return attempts whose lease expired, of steps that may have no other."""
        parameters = {"lease_seconds": lease.total_seconds(), "max_lost": max_lost, "batch": batch}
        with self._database.autocommit() as connection:
            rows = connection.execute(statement("find_exhausted"), parameters).all()
        return [
            Exhausted(
                attempt=Attempt(
                    run_id=row.run_id, position=row.position, name=row.name, attempt=row.attempt, lease=row.lease
                ),
                graph_hash=row.graph_hash,
                lost=row.lost + 1,
            )
            for row in rows
        ]

    def fire_retries(self, batch: int) -> list[Due]:
        """End the waits that are over; return the steps that this made ready."""
        with self._database.autocommit() as connection:
            connection.execute(statement("park_ended_retries"), {"batch": batch})
            rows = connection.execute(statement("fire_retries"), {"batch": batch}).all()
        return [Due(run_id=row.run_id, graph_hash=row.graph_hash, position=row.position) for row in rows]

    def seconds_to_next_due(self) -> float | None:
        """Return the seconds until the earliest wait is over; None if no step waits."""
        with self._database.autocommit() as connection:
            seconds = connection.execute(statement("next_due")).scalar()
        return None if seconds is None else float(seconds)

    def timed_out(self, *, grace: timedelta, batch: int, leases: Sequence[str] | None = None) -> list[TimedOut]:
        """Return running attempts that should have ended ``grace`` ago.

        Args:
            grace: How long ago, at the least.
            batch: The highest number of attempts.
            leases: Only attempts of the processes with these leases.
        """
        parameters = {
            "grace": grace.total_seconds(),
            "batch": batch,
            "leases": None if leases is None else list(leases),
        }
        with self._database.autocommit() as connection:
            rows = connection.execute(statement("find_timed_out"), parameters).all()
        return [
            TimedOut(
                attempt=Attempt(
                    run_id=row.run_id, position=row.position, name=row.name, attempt=row.attempt, lease=row.lease
                ),
                graph_hash=row.graph_hash,
                lost=row.lost,
                uncounted_attempts=row.uncounted_attempts,
                past_deadline=row.past_deadline,
            )
            for row in rows
        ]

    def terminated(self, leases: Sequence[str]) -> set[str]:
        """Return those leases whose process runs a step of a terminated run."""
        with self._database.autocommit() as connection:
            return set(connection.scalars(statement("find_terminated"), {"leases": list(leases)}))

    def timed_out_runs(self, batch: int) -> list[tuple[UUID, str]]:
        """Return open runs whose time is over, each with the hash of its graph."""
        return self._runs("find_timed_out_runs", batch)

    def compensable(self, batch: int) -> list[tuple[UUID, str]]:
        """Return sagas to compensate without a plan, each with the hash of its graph.

        Leaves out sagas in which a step still runs.
        """
        return self._runs("find_compensable", batch)

    def ready_groups(self) -> list[ReadyGroup]:
        """Return the groups that have ready steps."""
        with self._database.autocommit() as connection:
            rows = connection.execute(statement("ready_groups")).all()
        return [ReadyGroup(task=row.task_name, queue=row.queue, priority=row.priority) for row in rows]

    def unclaimed(self, group: ReadyGroup, before: datetime, batch: int) -> list[Unclaimed]:
        """Return ready steps of a group that were dispatched before an instant.

        Leaves out steps that a living process has prefetched. Parks steps of runs that
        have ended, so that later calls do not look at them.
        """
        parameters = {
            "task_name": group.task,
            "queue": group.queue,
            "priority": group.priority,
            "before": before,
            "batch": batch,
        }
        with self._database.autocommit() as connection:
            connection.execute(statement("park_ended_runs"), parameters)
            rows = connection.execute(statement("find_unclaimed"), parameters).all()
        return [
            Unclaimed(
                run_id=row.run_id,
                graph_hash=row.graph_hash,
                position=row.position,
                name=row.name,
                dispatched_at=row.dispatched_at,
                dispatches=row.dispatches,
            )
            for row in rows
        ]

    def earliest_ready(self, messages: Sequence[tuple[UUID, str]]) -> datetime | None:
        """Return since when the first of these steps has been ready; None if none is.

        Args:
            messages: Steps, each by its run and name.
        """
        parameters = {"runs": [run for run, _ in messages], "names": [name for _, name in messages]}
        with self._database.autocommit() as connection:
            return connection.execute(statement("earliest_ready"), parameters).scalar()

    def mark_dispatched(self, steps: Sequence[Unclaimed]) -> set[tuple[UUID, int]]:
        """Mark steps as redispatched, unless they changed since they were found.

        Returns:
            The run and position of each step that is marked.
        """
        parameters = {
            "runs": [step.run_id for step in steps],
            "positions": [step.position for step in steps],
            "seen": [step.dispatched_at for step in steps],
        }
        with self._database.autocommit() as connection:
            return {(row.run_id, row.position) for row in connection.execute(statement("mark_dispatched"), parameters)}

    def completed(self, run_ids: Collection[UUID]) -> dict[UUID, set[int]]:
        """Return the positions of the completed steps of each run."""
        with self._database.autocommit() as connection:
            rows = connection.execute(statement("completed_positions"), {"runs": list(run_ids)}).all()
        found = {run_id: set[int]() for run_id in run_ids}
        found.update({row.run_id: set(row.positions) for row in rows})
        return found

    def stalled(self, batch: int) -> list[tuple[UUID, str]]:
        """Return runs that accept work but have none, each with the hash of its graph.

        No step of such a run is ready, running or retrying.
        """
        return self._runs("find_stalled", batch)

    def _runs(self, name: str, batch: int) -> list[tuple[UUID, str]]:
        with self._database.autocommit() as connection:
            rows = connection.execute(statement(name), {"batch": batch}).all()
        return [(row.id, row.graph_hash) for row in rows]

    def recount(self, run_id: UUID, graph: Graph) -> int:
        """Recompute how many parents each pending step waits for, from their rows.

        Leaves out steps that do not need all their parents, and steps whose parents
        have error handlers.

        Returns:
            The number of counts that were wrong.
        """
        repaired = 0
        with self._database.autocommit() as connection:
            for position, parents in enumerate(graph.parents):
                needs_all = graph.nodes[position].needs in (None, Needs.ALL_SUCCEEDED)
                if not needs_all or graph.handlers.keys() & set(parents):
                    continue
                parameters = {"run": run_id, "position": position, "parents": list(parents)}
                repaired += len(connection.execute(statement("recount"), parameters).all())
        return repaired
