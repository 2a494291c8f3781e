"""Inline continuation: a completion claims the next step, which runs in the same process."""

from contextlib import closing
from uuid import UUID

import pytest

from celeriac import Retry, step, workflow
from celeriac.workflows.engine.graph import Graph, Node
from celeriac.workflows.engine.templates import InputPart, ResultPart
from tests.support.broker import Broker
from tests.support.events import task_events
from tests.support.graphs import chain_of, fan_of, graph_of
from tests.support.store import ALIVE, DEAD, Store
from tests.support.tracing import TracingProcess

JOIN = {"a": [], "b": [], "join": ["a", "b"]}


# --- completing a step and claiming the next one in the same statement


def test_a_completion_claims_the_next_step_if_it_frees_it(store):
    run_id = store.start(chain_of(3), '{"n": 1}')
    completion = store.complete(store.take(run_id, "s0"), "1", next_step="s1")
    assert (completion.claimed.name, completion.claimed.attempt, completion.claimed.lease) == ("s1", 1, ALIVE)
    assert completion.ready == ()
    assert store.claim(run_id, "s1") is None
    assert store.history(run_id) == ["RunStarted", "StepStarted s0 1", "StepCompleted s0 1", "StepStarted s1 1"]
    store.complete(completion.claimed)


def test_a_completion_leaves_the_next_step_if_that_still_waits_for_another(store):
    run_id = store.start(graph_of(JOIN))
    first, second = store.take(run_id, "a"), store.take(run_id, "b")
    assert store.complete(first, next_step="join").claimed is None
    assert store.statuses(run_id)["join"] == "pending"
    assert store.complete(second, next_step="join").claimed.name == "join"


def test_the_step_that_a_completion_claimed_gets_what_it_is_called_with(store):
    arguments = {"mine": ResultPart(node="b"), "other": ResultPart(node="a"), "order": InputPart(parameter="order")}
    nodes = (Node(name="a", task="x"), Node(name="b", task="x"), Node(name="sum", task="x", arguments=arguments))
    run_id = store.start(Graph(workflow="w", version="1", nodes=nodes), '{"order": 7}')
    store.complete(store.take(run_id, "a"), '"from a"')
    completion = store.complete(store.take(run_id, "b"), '"from b"', next_step="sum")
    claim = store.attempts.adopt(completion.claimed, [0, 1])
    assert claim.attempt == completion.claimed
    assert (claim.run_input, claim.results) == ('{"order": 7}', {0: '"from a"', 1: '"from b"'})


def test_a_step_that_was_claimed_and_then_lost_cannot_be_adopted(store):
    run_id = store.start(chain_of(2))
    completion = store.complete(store.take(run_id, "s0", lease=DEAD), next_step="s1")
    store.lose()
    assert store.attempts.adopt(completion.claimed, [0]) is None


def test_the_join_that_is_claimed_has_the_results_of_parents_that_completed_at_the_same_time(store):
    for _ in range(8):
        run_id = store.start(fan_of(6, join=True))
        store.do(run_id, "first")
        graph, attempts = store.graph(run_id), [store.take(run_id, f"s{i}") for i in range(6)]
        inputs = graph.parents[graph.position["join"]]

        def complete(attempt, inputs=inputs):
            completion = store.complete(attempt, f'"{attempt.name}"', next_step="join")
            return completion.claimed and store.attempts.adopt(completion.claimed, inputs)

        [claim] = filter(None, store.at_once([lambda a=attempt: complete(a) for attempt in attempts]))
        assert list(claim.results.values()) == [f'"s{i}"' for i in range(6)]


def test_a_completion_claims_one_step_and_names_the_others_that_it_freed(store):
    run_id = store.start(fan_of(3, join=True))
    completion = store.complete(store.take(run_id, "first"), next_step="s1")
    assert completion.claimed.name == "s1"
    assert store.names(run_id, completion.ready) == ["s0", "s2"]


def test_parents_that_all_want_to_claim_the_join_give_it_to_one(store):
    for _ in range(4):
        run_id = store.start(fan_of(6, join=True))
        store.do(run_id, "first")
        attempts = [store.take(run_id, f"s{i}") for i in range(6)]
        completions = store.at_once(
            [lambda attempt=attempt: store.complete(attempt, next_step="join") for attempt in attempts]
        )
        assert len([completion for completion in completions if completion.claimed is not None]) == 1
        assert [completion.ready for completion in completions] == [()] * 6


# --- running the claimed step


@step
def first(number: int) -> int:
    return number + 1


@step(retry=Retry(max_attempts=2, delay=60))
def second(number: int) -> int:
    if number < 0:
        raise ValueError(f"no luck with {number}")
    return number + 1


@workflow
def pair(number: int):
    return second(first(number))


@pytest.fixture
def process(store: Store, broker: Broker, settings):
    with closing(TracingProcess(store, broker, settings, pair)) as process:
        yield process


def start(process: TracingProcess, number: int = 1) -> UUID:
    return process.start(pair, f'{{"number": {number}}}')


def break_down(*_args, **_kwargs):
    raise RuntimeError("Celery is broken")


def test_one_message_runs_both_steps_of_a_pair(process, store, broker):
    run_id = start(process)
    process.trace_next()
    assert store.runs.status(run_id) == "completed"
    assert broker.queues() == {}


def test_a_claimed_step_is_released_by_the_next_message_when_celery_failed_before_it_ran(
    process, store, broker, monkeypatch
):
    """Its process lives and renews the lease, so no other worker would ever take the step over."""
    run_id = start(process)
    with monkeypatch.context() as broken:
        broken.setattr(process.runtime.backend, "mark_as_done", break_down)
        with pytest.warns(RuntimeWarning, match="Celery is broken"):
            process.trace_next()
    assert store.statuses(run_id) == {"first": "completed", "second": "running"}
    broker.flush()

    other = start(process)
    process.trace_next()
    assert store.runs.status(other) == "completed"
    assert store.statuses(run_id) == {"first": "completed", "second": "ready"}
    assert broker.ids() == [f"{run_id}.second"]


def test_a_claimed_step_is_released_at_once_when_celery_fails_to_run_it(process, store, broker, monkeypatch):
    run_id = start(process)
    with monkeypatch.context() as broken:
        broken.setattr(process.tasks["second"], "__trace__", break_down)
        process.trace_next()
    assert store.statuses(run_id) == {"first": "completed", "second": "ready"}
    assert store.history(run_id)[-1] == "StepReleased second 1"
    assert broker.ids() == [f"{run_id}.second"]
    process.trace_next()
    assert store.runs.status(run_id) == "completed"


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("second", {"rate_limit": "10/m"}),
        ("second", {"time_limit": 30}),
        ("second", {"soft_time_limit": 30}),
        ("first", {"time_limit": 30}),
        ("first", {"soft_time_limit": 30}),
    ],
)
def test_a_step_with_a_limit_of_celery_runs_for_a_message_of_its_own(process, store, broker, monkeypatch, name, limit):
    """Celery counts messages for its rate limits, and holds the steps that continue one message to one time limit."""
    for attribute, value in limit.items():
        monkeypatch.setattr(process.tasks[name], attribute, value)
    run_id = start(process)
    process.trace_next()
    assert store.statuses(run_id) == {"first": "completed", "second": "ready"}
    assert broker.ids() == [f"{run_id}.second"]


def test_flower_is_told_that_a_step_without_a_message_is_tried_again(process, store, broker):
    process.runtime.events_enabled.value = True
    run_id = start(process, -2)
    with task_events(process.app) as events:
        process.trace_next()
        process.process.telemetry.flush()
        retried = events.wait_for("task-retried")
    assert store.statuses(run_id) == {"first": "completed", "second": "retrying"}
    assert retried["uuid"] == f"{run_id}.second"
    assert retried["exception"] == "ValueError('no luck with -1')"
    assert "no luck with {number}" in retried["traceback"]
    assert [event["type"] for event in events.of(f"{run_id}.second")] == [
        "task-received",
        "task-started",
        "task-retried",
    ]
