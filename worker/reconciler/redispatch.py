"""Ready steps whose message is lost or was never sent."""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import datetime, timedelta
from itertools import chain

import redis

from celeriac.worker.queues import RedisQueues
from celeriac.worker.reconciler.dispatching import StepDispatcher
from celeriac.worker.reconciler.watermark import Watermark
from celeriac.workflows.engine.ids import parse_task_id, task_id
from celeriac.workflows.history.reconciliation import ReadyGroup, ReconcilerStore, Unclaimed

logger = logging.getLogger(__name__)
# How long a message may take from the commit to the queue.
PUBLISH_SLACK = timedelta(seconds=1)
QUICK_DISPATCHES = 3  # redispatches of a step before it has to wait for the next
# For a broker whose queues cannot be read, a step is redispatched after this time, then
# after twice this time, …
UNREADABLE_BROKER_WAIT = timedelta(seconds=30)
UNREADABLE_BROKER_DOUBLINGS = 6


class Redispatch:
    """Redispatches ready steps that neither wait in a queue nor are prefetched.

    Args:
        store: Finds ready steps.
        dispatcher: Publishes them.
        queues: The broker's queues; None if the broker is not Redis.
        batch: The number of steps of a group to handle at a time.
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
        """Redispatch steps whose messages are lost; return how many."""
        sent = 0
        while True:
            groups = self._store.ready_groups()
            lost = list(chain.from_iterable(self._lost_messages(group, now) for group in groups))
            if not lost:
                return sent
            marked = self._store.mark_dispatched(lost)
            sent += self._dispatcher.dispatch(
                (step.run_id, step.graph_hash, step.position) for step in lost if (step.run_id, step.position) in marked
            )
            # The steps left over must not wait for the next pass. The queue would then
            # contain messages of this pass, as if all steps that became ready at the
            # same time waited there too.
            if len(lost) < self._batch:
                return sent

    def _lost_messages(self, group: ReadyGroup, now: datetime) -> list[Unclaimed]:
        if self._queues is None:
            return self._unclaimed_for_long(group, now)
        queue = self._queues.queue_of(group.task, group.queue)
        try:
            watermark = self._watermarks[queue]
            if watermark.looked_at != now:  # another group of this pass may share the queue
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

    def _unclaimed_for_long(self, group: ReadyGroup, now: datetime) -> list[Unclaimed]:
        """Return ready steps that were dispatched long ago.

        For a broker whose queues cannot be read.
        """
        found = self._store.unclaimed(group, now - UNREADABLE_BROKER_WAIT, self._batch)
        return [
            step
            for step in found
            if step.dispatched_at
            < now - UNREADABLE_BROKER_WAIT * 2 ** min(step.dispatches, UNREADABLE_BROKER_DOUBLINGS)
        ]

    def _oldest_in(self, queue: str, now: datetime) -> datetime | None:
        """Return an instant before which no message in the queue was dispatched.

        The lists of a queue are served in order. So a step that was ready before the
        next message of every list does not wait there: its message was taken, or is
        lost.

        Returns:
            None if the instant is not known.
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
    """Return the time before the next redispatch of a step.

    It grows with the number of redispatches, because Celery may have revoked the task.
    """
    return timedelta(seconds=0 if dispatches < QUICK_DISPATCHES else min(60, 2**dispatches))
