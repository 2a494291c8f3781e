"""The history as a test drives it: the real statements on a real database, without Celery."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from celeriac.workflows.client.audit import Audit, Discrepancy
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.views import WorkerScope
from celeriac.workflows.errors import WorkerLost
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.reconciliation import LostAttempt
from celeriac.workflows.history.records import Attempt, Claim, ClaimNext, StepKey, Transition
from celeriac.workflows.history.statements import statement
from celeriac.workflows.history.stores import Stores

WORKER = "celery@here"
ALIVE = f"process:{WORKER}:1:0"  # a lease that is taken when the store is made, for longer than a test takes
SERVING = "process:celery@there:1:0"  # of a worker that has the code of all steps, for tests that want one
DEAD = f"process:{WORKER}:2:0"  # one that was never taken
ERROR = {"type": "ValueError", "message": "no stock", "traceback": "Traceback …"}


class Store:
    """All stores of one database, with steps called by their names.

    Attributes:
        attempts: Has a connection for each thread.
        is_damaged: Set by a test that damages rows: then the audit at its end is left out.
        serves: Whether a living worker has the code of every step that is started: without one, none is dispatched
            again.
    """

    def __init__(self, database_url: str) -> None:
        self.url = database_url
        self.database = Database(database_url)
        self.stores = Stores.of(self.database)
        self.runs = self.stores.runs
        self.attempts = self.stores.attempts
        self.transitions = self.stores.transitions
        self.leases = self.stores.leases
        self.control = self.stores.control
        self.reconciling = self.stores.reconciliation
        self.reader = self.stores.reader
        self.is_damaged = False
        self.scope = False
        self._served: set[str] = set()
        self.leases.renew([ALIVE], worker=WORKER, lease=timedelta(minutes=10))

    def close(self) -> None:
        self.attempts.close()
        self.database.close()

    # What workers do

    def start(self, graph: Graph, run_input: str = "{}", **options: Any) -> UUID:
        steps = {node.task for node in graph.nodes}
        if self.scope and not steps <= self._served:
            self._served |= steps
            scope = WorkerScope(tasks=frozenset(self._served))
            self.leases.renew([SERVING], worker="celery@there", lease=timedelta(minutes=10), scope=scope)
        run_id, _ = self.runs.start(graph, run_input, **{"tags": {}, **options})
        return run_id

    def claim(self, run_id: UUID, name: str, lease: str = ALIVE, inputs: Sequence[str] = ()) -> Claim | None:
        graph = self.graph(run_id)
        positions = sorted(graph.position[parent] for parent in inputs)
        step = StepKey(run_id=run_id, position=graph.position[name], name=name)
        return self.attempts.claim(step, lease=lease, inputs=positions)

    def take(self, run_id: UUID, name: str, lease: str = ALIVE) -> Attempt:
        """Claim a step that is to be had."""
        claim = self.claim(run_id, name, lease)
        assert claim is not None, f"{name} is not to be had"
        return claim.attempt

    def complete(
        self, attempt: Attempt, result: str = "null", next_step: str | None = None, **options: Any
    ) -> Transition | None:
        graph = self.graph(attempt.run_id)
        return self.attempts.complete(
            attempt,
            result,
            graph,
            next_step=None if next_step is None else self.next(attempt, next_step),
            **options,
        )

    def next(self, attempt: Attempt, name: str) -> ClaimNext:
        return ClaimNext(position=self.graph(attempt.run_id).position[name], name=name)

    def key(self, run_id: UUID, name: str) -> StepKey:
        return StepKey(run_id=run_id, position=self.graph(run_id).position[name], name=name)

    def do(self, run_id: UUID, *names: str) -> None:
        """Claim and complete steps."""
        for name in names:
            assert self.complete(self.take(run_id, name)) is not None

    def fail(self, attempt: Attempt, retry_in: float | None = None) -> bool | None:
        """Record a failure; return whether it ended the run, None if the attempt is superseded."""
        failure = self.attempts.fail(attempt, ERROR, self.graph(attempt.run_id), retry_in)
        return None if failure is None else failure.run_ended

    def lose(self, max_lost: int = 3, lease_seconds: float = 0, batch: int = 1_000) -> list[LostAttempt]:
        """End attempts whose lease expired, as the reconciler does; return those whose steps are ready again."""
        limits = {"lease": timedelta(seconds=lease_seconds), "max_lost": max_lost, "batch": batch}
        lost = self.reconciling.lose_attempts(**limits)
        for exhausted in self.reconciling.exhausted(**limits):
            attempt = exhausted.attempt
            error = WorkerLost(attempt=attempt.attempt, step=attempt.name, lost=exhausted.lost, limit=max_lost)
            self.attempts.lose(attempt, error.to_json(), self.graph(attempt.run_id))
        return lost

    @contextmanager
    def through(self, database_url: str) -> Iterator[None]:
        """Make attempts over another way to the database, on a connection that is open already."""
        database, attempts = Database(database_url), self.attempts
        self.attempts = Stores.of(database).attempts
        self.attempts.recorded_steps(UUID(int=0), [])  # connects
        try:
            yield
        finally:
            self.attempts.close()
            database.close()
            self.attempts = attempts

    def at_once(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """Make calls at the same time, each in a thread and on a connection of its own, and return what they return."""
        barrier = Barrier(len(calls))

        def make(call: Callable[[], Any]) -> Any:
            try:
                self.attempts.recorded_steps(UUID(int=0), [])  # connects
                barrier.wait(timeout=30)
                return call()
            finally:
                self.attempts.close()

        with ThreadPoolExecutor(len(calls)) as pool:
            return [made.result(timeout=60) for made in [pool.submit(make, call) for call in calls]]

    # What there is to see

    def graph(self, run_id: UUID) -> Graph:
        return self.runs.graph(self.reader.run(run_id, steps=False).graph_hash)

    def names(self, run_id: UUID, positions: Sequence[int]) -> list[str]:
        return [self.graph(run_id).nodes[position].name for position in positions]

    def statuses(self, run_id: UUID) -> dict[str, str]:
        return {step.name: step.status.value for step in self.reader.run(run_id).steps}

    def task(self, run_id: UUID, name: str) -> Any:
        return self.row("SELECT * FROM workflow_tasks WHERE run_id = :run AND name = :name", run=run_id, name=name)

    def history(self, run_id: UUID) -> list[str]:
        """The events of a run, as ``StepStarted a 1``."""
        graph = self.graph(run_id)
        return [
            event.type.value
            if event.position is None
            else f"{event.type.value} {graph.nodes[event.position].name} {event.attempt}"
            for event in self.reader.events(run_id)
        ]

    def audit(self) -> list[Discrepancy]:
        return [found for _, wrong in Audit(self.reader, self.runs).audit(self.reader.ids()) for found in wrong]

    # Past the stores

    def execute(self, statement: str, **parameters: Any) -> int:
        """Execute a statement and return how many rows it touched."""
        with self.database.autocommit() as connection:
            return connection.execute(sa.text(statement), parameters).rowcount

    def row(self, query: str, **parameters: Any) -> Any:
        with self.database.autocommit() as connection:
            return connection.execute(sa.text(query), parameters).one()

    def damage(self, statement: str, **parameters: Any) -> None:
        """Change a row by hand, as nobody should; there is no clean audit at the end of the test then."""
        self.is_damaged = True
        assert self.execute(statement, **parameters) == 1


def scalar_on(connection: sa.Connection) -> Callable[[str, Any], Any]:
    """Return what starts a run in the transaction of a connection."""
    return lambda name, parameters: connection.execute(statement(name), parameters).scalar()
