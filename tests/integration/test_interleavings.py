"""Random graphs through the real tracer, store and broker, their messages taken in any order by a few threads.

What a worker's pool does with a message, without the pool: Celery's own tracer runs the task, and publishes what
is next in its chain or chord.
"""

import random
from collections.abc import Iterator
from contextlib import closing
from threading import Lock
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac import StepContext, step
from celeriac.workflows.engine.graph import Graph, Node
from celeriac.workflows.settings import Settings
from tests.support.broker import Broker
from tests.support.graphs import IRREGULAR, fan_of, graph_of, graphs
from tests.support.store import Store
from tests.support.tracing import TracingProcess

THREADS = 3


class Told:
    """What the steps of one run told, in the order in which they told it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.too_early: list[str] = []

    def begin(self, name: str, parents: list[str]) -> None:
        with self._lock:
            self.begun.append(name)
            if not set(parents) <= set(self.ended):
                self.too_early.append(name)

    def end(self, name: str) -> None:
        with self._lock:
            self.ended.append(name)


TOLD: dict[UUID, tuple[Told, Graph]] = {}


@step
def tell(context: StepContext) -> str:
    told, graph = TOLD[context.run_id]
    position = graph.position[context.step]
    told.begin(context.step, [graph.nodes[parent].name for parent in graph.parents[position]])
    told.end(context.step)
    return context.step


class Pool:
    """Threads that take messages and trace their tasks."""

    def __init__(self, store: Store, broker: Broker, chosen: Settings) -> None:
        self.store = store
        self.broker = broker
        self.process = TracingProcess(store, broker, chosen, tell)

    def close(self) -> None:
        self.process.close()

    def run(self, graph: Graph, seed: int, copies: int) -> Told:
        told = Told()
        run_id = self.store.start(graph)
        TOLD[run_id] = told, graph
        self.process.publisher.dispatch(graph, run_id, frozenset())
        self.store.at_once([lambda n=n: self._work(random.Random(seed + n), copies) for n in range(THREADS)])
        # A thread stops when it sees the queue empty, while another may be about to fill it again.
        while self.broker.queues():
            self.store.at_once([lambda: self._work(random.Random(seed), copies)])
        assert self.store.runs.status(run_id) == "completed"
        return told

    def _work(self, chance: random.Random, copies: int) -> None:
        try:
            while found := self.broker.redis.lrange("celery", 0, -1):
                chosen = chance.choice(found)
                if self.broker.redis.lrem("celery", 1, chosen):
                    for _ in range(copies):
                        self.process.trace(self.broker.parse(chosen))
        finally:
            self.process.disconnect()


def as_tells(graph: Graph) -> Graph:
    """The same graph, each step a use of ``tell``."""
    nodes = tuple(Node(name=node.name, task="tell", after=node.after) for node in graph.nodes)
    return Graph(workflow="tells", version="1", nodes=nodes)


@pytest.fixture(params=[0.0, 1.0], ids=["through the broker", "inline"])
def pool(request, store: Store, broker: Broker, database_url: str, broker_url: str) -> Iterator[Pool]:
    chosen = Settings(database_url=database_url, broker_url=broker_url, inline_seconds=request.param)
    with closing(Pool(store, broker, chosen)) as pool:
        yield pool


def assert_each_once_and_in_order(told: Told, graph: Graph) -> None:
    assert sorted(told.begun) == sorted(node.name for node in graph.nodes)
    assert told.too_early == []


def test_random_graphs_run_each_step_once_and_never_before_its_parents(pool):
    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(graphs(30).map(as_tells), st.integers(0, 1_000), st.sampled_from([1, 1, 3]))
    def run(graph, seed, copies):
        assert_each_once_and_in_order(pool.run(graph, seed, copies), graph)

    run()


@pytest.mark.parametrize("graph", [graph_of(IRREGULAR), fan_of(20, join=True)], ids=["irregular", "fan-out"])
def test_each_message_taken_three_times_runs_its_step_once(pool, graph):
    """FIELD_FAILURES 5 and 7: nothing twice, nothing in the wrong order."""
    for seed in range(3):
        assert_each_once_and_in_order(pool.run(as_tells(graph), seed, copies=3), graph)
