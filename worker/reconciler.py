"""The reconciler: makes the broker agree with the history.

It is a loop over rows, never an edge: whatever state a row is in, some pass will see it. What it
redispatches too often costs a message that finds its step taken; what it misses in one pass it sees in the next.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import redis

from celeriac.worker.attempt_timeouts import AttemptTimeouts
from celeriac.worker.queues import RedisQueues
from celeriac.workflows.dispatch.follow_up import FollowUp
from celeriac.workflows.dispatch.publisher import Publisher
from celeriac.workflows.engine.ids import parse_task_id, task_id
from celeriac.workflows.errors import WorkerLost
from celeriac.workflows.history.attempts import AttemptStore
from celeriac.workflows.history.reconciliation import (
    Exhausted,
    ReadyGroup,
    ReconcilerStore,
    Unclaimed,
)
from celeriac.workflows.history.runs import RunStore
from celeriac.workflows.history.transitions import TransitionStore
from celeriac.workflows.settings import Settings

logger = logging.getLogger(__name__)

BATCH = 1_000
SHORTEST_PAUSE_SECONDS = 0.01
# The worker of an attempt that takes too long is to stop it; this is for workers that cannot.
STOP_GRACE = timedelta(seconds=5)
# A message may be on its way for so long: from the commit to the queue, or from the queue to the list of
# what a worker holds.
PUBLISH_SLACK = timedelta(seconds=1)
WATERMARK_DELAY = timedelta(seconds=2.5)
STALLED_EVERY_SECONDS = 30.0
QUICK_DISPATCHES = 3  # a step is dispatched again so often before it has to wait
# Where the broker cannot be looked into, a step is dispatched again after so long, then twice as long, …
UNREADABLE_BROKER_WAIT = timedelta(seconds=30)
BLIND_DOUBLINGS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconciled:
    """What one pass did."""

    lost: int = 0  # attempts whose lease had expired
    failed: int = 0  # steps among them that had lost too many
    timed_out: int = 0  # attempts and runs that took too long
    retried: int = 0  # steps whose wait for the next attempt was over
    undone: int = 0  # sagas whose compensations were planned, or that had nothing to undo
    redispatched: int = 0  # steps whose message was lost or never sent
    recounted: int = 0  # pending steps whose count of parents was wrong

    def __bool__(self) -> bool:
        return any((self.lost, self.timed_out, self.retried, self.undone, self.redispatched, self.recounted))


class Reconciler:
    """One pass after another; the caller decides when.

    Args:
        store: Statements.
        runs: Graphs.
        publisher: Hands steps to Celery.
        queues: Looks into the broker; None if it cannot be looked into.
        overdue: Fails attempts that take too long.
        attempts: Records that the last attempt of a step was lost.
        settlements: Fails runs that take too long.
        aftermath: Does what follows on failures, and undoes sagas.
        settings: For leases and limits.
    """

    def __init__(
        self,
        *,
        store: ReconcilerStore,
        runs: RunStore,
        publisher: Publisher,
        queues: RedisQueues | None,
        overdue: AttemptTimeouts,
        attempts: AttemptStore,
        transitions: TransitionStore,
        follow_up: FollowUp,
        settings: Settings,
    ) -> None:
        self._store = store
        self._runs = runs
        self._publisher = publisher
        self._queues = queues
        self._overdue = overdue
        self._attempts = attempts
        self._transitions = transitions
        self._follow_up = follow_up
        self._settings = settings
        self._watermarks: dict[str, Watermark] = defaultdict(Watermark)
        self._next_stalled = 0.0

    def run_once(self, now: datetime | None = None) -> Reconciled:
        """Make one pass and return what it did.

        Args:
            now: The database's time; asked of it by default.

        Raises:
            DatabaseUnavailable: Postgres does not answer. The next pass begins anew.
        """
        now = now or self._store.now()
        lost, failed = self._lose_attempts()
        timed_out = self._time_out()
        retried = self._fire_retries()
        undone = self._undo_sagas()
        recounted = self._recount_stalled()
        redispatched = self._redispatch_lost(now)
        done = Reconciled(
            lost=lost,
            failed=failed,
            timed_out=timed_out,
            retried=retried,
            undone=undone,
            redispatched=redispatched,
            recounted=recounted,
        )
        if done:
            logger.info("Reconciled: %s", done)
        return done

    def _lose_attempts(self) -> tuple[int, int]:
        lease, most = self._settings.lease, self._settings.max_lost_attempts
        lost = self._store.lose_attempts(lease=lease, max_lost=most, batch=BATCH)
        for attempt in lost:
            logger.warning(
                "Attempt %d of step %s of run %s was lost with %s",
                attempt.attempt, attempt.name, attempt.run_id, attempt.lease,
            )  # fmt: skip
        self._dispatch(
            (attempt.run_id, attempt.graph_hash, attempt.position) for attempt in lost if attempt.accepts_work
        )
        exhausted = self._store.exhausted(lease=lease, max_lost=most, batch=BATCH)
        failed = sum(map(self._give_up, exhausted))
        return len(lost) + failed, failed

    def _give_up(self, exhausted: Exhausted) -> bool:
        attempt = exhausted.attempt
        error = WorkerLost(
            attempt=attempt.attempt, step=attempt.name, lost=exhausted.lost, limit=self._settings.max_lost_attempts
        )
        graph = self._runs.graph(exhausted.graph_hash)
        failure = self._attempts.lose(attempt, error.to_json(), graph)
        if failure is None:
            return False
        logger.warning("%s (run %s, %s)", error, attempt.run_id, attempt.lease)
        self._follow_up.of_failure(attempt.run_id, graph, failure)
        return True

    def _time_out(self) -> int:
        attempts = self._overdue.fail(self._store.timed_out(grace=STOP_GRACE, batch=BATCH))
        runs = [self._time_out_run(*late) for late in self._store.late_runs(BATCH)]
        return len(attempts) + sum(runs)

    def _time_out_run(self, run_id: UUID, graph_hash: str) -> bool:
        graph = self._runs.graph(graph_hash)
        settled = self._transitions.time_out(run_id, graph)
        if settled is not None:
            self._follow_up.of_end(run_id, graph, settled)
        return settled is not None

    def _undo_sagas(self) -> int:
        found = self._store.compensable(BATCH)
        return sum(self._follow_up.undo(run_id, self._runs.graph(graph_hash)) for run_id, graph_hash in found)

    def _fire_retries(self) -> int:
        due = self._store.fire_retries(BATCH)
        self._dispatch((step.run_id, step.graph_hash, step.position) for step in due)
        return len(due)

    def seconds_to_next_pass(self, longest: float) -> float:
        """Return how long to pause: until the next timer is due, at the longest as given."""
        due = self._store.seconds_to_next_due()
        return longest if due is None else min(longest, max(due, SHORTEST_PAUSE_SECONDS))

    def _recount_stalled(self) -> int:
        if time.monotonic() < self._next_stalled:
            return 0
        self._next_stalled = time.monotonic() + STALLED_EVERY_SECONDS
        repaired = 0
        for run_id, graph_hash in self._store.stalled(BATCH):
            repaired += self._store.recount(run_id, self._runs.graph(graph_hash))
        return repaired

    def _redispatch_lost(self, now: datetime) -> int:
        sent = 0
        while True:
            lost = [step for group in self._store.ready_groups() for step in self._lost_messages(group, now)]
            if not lost:
                return sent
            marked = self._store.mark_dispatched(lost)
            sent += self._dispatch(
                (step.run_id, step.graph_hash, step.position) for step in lost if (step.run_id, step.position) in marked
            )
            # What is left over must not wait for a later pass: then the queue holds what was sent now, which
            # looks as if all that became ready at the same time waited there too.
            if len(lost) < BATCH:
                return sent

    def _lost_messages(self, group: ReadyGroup, now: datetime) -> list[Unclaimed]:
        """Return ready steps that neither wait in the broker's queue nor are held by a living worker."""
        if self._queues is None:
            found = self._store.unclaimed(group, now - UNREADABLE_BROKER_WAIT, BATCH)
            return [
                step
                for step in found
                if step.dispatched_at < now - UNREADABLE_BROKER_WAIT * 2 ** min(step.dispatches, BLIND_DOUBLINGS)
            ]
        queue = self._queues.queue_of(group.task, group.queue)
        try:
            watermark = self._watermarks[queue]
            if watermark.looked_at != now:  # other groups of this pass may share the queue
                watermark.note(now, self._oldest_in(queue, now))
            settled = watermark.settled
            if settled is None:
                return []
            found = self._store.unclaimed(group, settled - PUBLISH_SLACK, BATCH)
            found = [step for step in found if step.dispatched_at < now - redispatch_delay(step.dispatches)]
            waiting = self._queues.waiting(queue) if found else ()
        except redis.RedisError as error:
            logger.debug("Queue %s cannot be looked into: %s", queue, error)
            self._watermarks.clear()
            return []
        return [step for step in found if waiting is None or task_id(step.run_id, step.name) not in waiting]

    def _oldest_in(self, queue: str, now: datetime) -> datetime | None:
        """Return an instant such that what was dispatched earlier is not in the queue; None if that cannot be told.

        The lists of a queue are served in order. So a step that was ready before the one whose message is next in
        each of them is not waiting any more: its message was taken, or is lost.
        """
        assert self._queues is not None
        oldest = [self._oldest_in_list(key, now) for key in self._queues.lists_of(queue)]
        known = [instant for instant in oldest if instant is not None]
        return min(known) if len(known) == len(oldest) else None

    def _oldest_in_list(self, key: str, now: datetime) -> datetime | None:
        assert self._queues is not None
        for ids, at_end in self._queues.next_tasks(key):
            ours = [parsed for parsed in map(parse_task_id, ids) if parsed is not None]
            earliest = self._store.earliest_ready(ours) if ours else None
            if earliest is not None:
                return earliest
            if at_end:
                return now
        return None

    def _dispatch(self, steps: Iterable[tuple[UUID, str, int]]) -> int:
        by_run: dict[tuple[UUID, str], set[int]] = defaultdict(set)
        for run_id, graph_hash, position in steps:
            by_run[run_id, graph_hash].add(position)
        completed = self._store.completed({run_id for run_id, _ in by_run}) if by_run else {}
        sent = 0
        for (run_id, graph_hash), positions in by_run.items():
            if self._publisher.dispatch(self._runs.graph(graph_hash), run_id, completed[run_id], positions):
                sent += len(positions)
        return sent


def redispatch_delay(dispatches: int) -> timedelta:
    """Return how long a step is left alone that was dispatched again so often: it may be one that Celery revoked."""
    return timedelta(seconds=0 if dispatches < QUICK_DISPATCHES else min(60, 2**dispatches))


class Watermark:
    """The latest instant of which it has been true for a while that nothing dispatched earlier is in the queue.

    Not only true now: a message that was taken from the queue a moment ago is not yet on the list of
    what its worker holds.
    """

    def __init__(self) -> None:
        self.looked_at: datetime | None = None
        self.settled: datetime | None = None  # None: not known for long enough
        self._fresh: deque[tuple[datetime, datetime]] = deque()

    def note(self, now: datetime, instant: datetime | None) -> None:
        """Note of which instant it is true at ``now``; None if that cannot be told."""
        self.looked_at = now
        if instant is not None:
            self._fresh.append((now, instant))
        while self._fresh and self._fresh[0][0] <= now - WATERMARK_DELAY:
            self.settled = self._fresh.popleft()[1]
