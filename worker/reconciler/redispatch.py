"""Ready steps whose message is lost or was never sent."""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import datetime, timedelta

import redis

from celeriac.worker.queues import RedisQueues
from celeriac.worker.reconciler.dispatching import StepDispatcher
from celeriac.worker.reconciler.watermark import Watermark
from celeriac.workflows.engine.ids import parse_task_id, task_id
from celeriac.workflows.history.reconciliation import ReadyGroup, ReconcilerStore, Unclaimed

logger = logging.getLogger(__name__)
# A message may be on its way for so long, from the commit to the queue.
PUBLISH_SLACK = timedelta(seconds=1)
QUICK_DISPATCHES = 3  # a step is dispatched so often at once before it has to wait
# Where the broker cannot be looked into, a step is dispatched again after so long, then twice as long, …
UNREADABLE_BROKER_WAIT = timedelta(seconds=30)
UNREADABLE_BROKER_DOUBLINGS = 6


class Redispatch:
    """Dispatches ready steps again that neither wait in a queue nor are prefetched by a living worker.

    Args:
        store: Finds ready steps.
        dispatcher: Takes them.
        queues: Looks into the broker; None if it cannot be looked into.
        batch: Steps of a group to handle at a time.
    """

    def __init__(
        self, store: ReconcilerStore, dispatcher: StepDispatcher, queues: RedisQueues | None, batch: int
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._queues = queues
        self._batch = batch
        self._watermarks: dict[str, Watermark] = defaultdict(Watermark)

    def run_once(self, now: datetime) -> int:
        """Dispatch lost steps; return how many."""
        sent = 0
        while True:
            lost = [step for group in self._store.ready_groups() for step in self._lost_messages(group, now)]
            if not lost:
                return sent
            marked = self._store.mark_dispatched(lost)
            sent += self._dispatcher.dispatch(
                (step.run_id, step.graph_hash, step.position) for step in lost if (step.run_id, step.position) in marked
            )
            # Steps that are left over must not wait for a later pass: then the queue would hold the messages of this
            # one, as if all steps that became ready at the same time waited there too.
            if len(lost) < self._batch:
                return sent

    def _lost_messages(self, group: ReadyGroup, now: datetime) -> list[Unclaimed]:
        if self._queues is None:
            return self._overdue_messages(group, now)
        queue = self._queues.queue_of(group.task, group.queue)
        try:
            watermark = self._watermarks[queue]
            if watermark.looked_at != now:  # other groups of this pass may share the queue
                watermark.note(now, self._oldest_in(queue, now))
            if watermark.safe_before is None:
                return []
            found = self._store.unclaimed(group, watermark.safe_before - PUBLISH_SLACK, self._batch)
            found = [step for step in found if step.dispatched_at < now - redispatch_delay(step.dispatches)]
            waiting = self._queues.waiting(queue) if found else ()
        except redis.RedisError as error:
            logger.debug("Queue %s cannot be looked into: %s", queue, error)
            self._watermarks.clear()
            return []
        return [step for step in found if waiting is None or task_id(step.run_id, step.name) not in waiting]

    def _overdue_messages(self, group: ReadyGroup, now: datetime) -> list[Unclaimed]:
        """Return ready steps that were dispatched long ago, of a broker that cannot be looked into."""
        found = self._store.unclaimed(group, now - UNREADABLE_BROKER_WAIT, self._batch)
        return [
            step
            for step in found
            if step.dispatched_at
            < now - UNREADABLE_BROKER_WAIT * 2 ** min(step.dispatches, UNREADABLE_BROKER_DOUBLINGS)
        ]

    def _oldest_in(self, queue: str, now: datetime) -> datetime | None:
        """Return an instant such that no message in the queue was dispatched earlier; None if that cannot be told.

        The lists of a queue are served in order. So a step that was ready before the next
        message of every list is not waiting any more: its message was taken, or is lost.
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


def redispatch_delay(dispatches: int) -> timedelta:
    """Return how long a step is left alone that was dispatched again so often: Celery may have revoked its task."""
    return timedelta(seconds=0 if dispatches < QUICK_DISPATCHES else min(60, 2**dispatches))
