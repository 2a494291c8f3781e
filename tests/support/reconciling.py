"""A reconciler under test: on real servers, with a clock that the test sets."""

from datetime import timedelta
from uuid import UUID

from celery import Celery

from celeriac.worker.attempt_timeouts import AttemptTimeouts
from celeriac.worker.queues import RedisQueues, queues_of
from celeriac.worker.reconciler.reconciler import Reconciled, Reconciler
from celeriac.worker.reconciler.watermark import WATERMARK_DELAY
from celeriac.workflows.dispatch.dispatch import Dispatch
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.history.stores import Stores
from celeriac.workflows.settings import Settings
from tests.support.broker import Broker
from tests.support.store import Store

NOTHING = Reconciled()
MINUTES = timedelta(minutes=10)  # long enough for a message to be given up, if time alone decided


class Fleet:
    """A broker, a history, and a reconciler whose clock the test sets: passes are made without waiting."""

    def __init__(self, store: Store, broker: Broker, app: Celery, settings: Settings) -> None:
        self.store = store
        self.store.scope = True
        self.broker = broker
        self.app = app
        self.settings = settings
        self.dispatch = Dispatch.of(app, store.stores)
        self.publisher = self.dispatch.publisher
        self.reconciler = self.make_reconciler()

    def make_reconciler(self, *, blind: bool = False, batch: int = 1_000, **settings: float) -> Reconciler:
        # Postgres has been up for less than a lease of the default length when the tests begin.
        chosen = self.settings.model_copy(update={"lease_seconds": 1.0, **settings})
        queues = None if blind else queues_of(self.app)
        return self.with_stores(self.store.stores, queues, chosen, batch)

    def with_stores(
        self, stores: Stores, queues: RedisQueues | None, settings: Settings, batch: int = 1_000
    ) -> Reconciler:
        timeouts = AttemptTimeouts(stores, self.dispatch.follow_up, settings.retry)
        return Reconciler(stores, self.dispatch, timeouts, queues, settings, batch=batch)

    def start(self, graph: Graph, *, publish: bool = True) -> UUID:
        run_id = self.store.start(graph)
        if publish:
            assert self.publisher.dispatch(graph, run_id, frozenset())
        return run_id

    def make_older(self, run_id: UUID, *names: str) -> None:
        """Let steps have been ready for a minute longer than they have."""
        self.store.execute(
            "UPDATE workflow_tasks SET ready_at = ready_at - interval '1 minute',"
            " dispatched_at = dispatched_at - interval '1 minute' WHERE run_id = :run AND name = ANY (:names)",
            run=run_id,
            names=list(names),
        )

    def look_twice(self, after: timedelta = timedelta(seconds=2)) -> Reconciled:
        """Let a new reconciler make two passes, as far apart as it takes to be sure; return what the second did."""
        reconciler = self.make_reconciler()
        now = self.store.reconciling.now()
        first = reconciler.run_once(now + after)
        assert first.redispatched == 0
        return reconciler.run_once(now + after + WATERMARK_DELAY)
