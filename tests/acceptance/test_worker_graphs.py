"""Graphs of every shape on a real worker: no step before its parents, each once, and the right result."""

from collections.abc import Callable
from itertools import count

import hypothesis
import pytest
from hypothesis import strategies

from celeriac import Client, StepContext, Workflow, workflow
from celeriac.workflows.client.run import Run
from celeriac.workflows.engine.events import EventType
from celeriac.workflows.engine.states import StepStatus
from tests.support.flows_chaos import fork, irregular, mix
from tests.support.outcomes import assert_all_completed_once, events_of, redispatches, wait_for_all
from tests.support.waiting import wait_until


def assert_no_step_ran_before_its_parents(client: Client, run: Run) -> None:
    graph = client.services.stores.runs.graph(run.view(steps=False).graph_hash)
    started = {e.position: e.sequence for e in run.history() if e.type is EventType.STEP_STARTED}
    completed = {e.position: e.sequence for e in run.history() if e.type is EventType.STEP_COMPLETED}
    for position, parents in enumerate(graph.parents):
        assert all(completed[parent] < started[position] for parent in parents)


@pytest.mark.parametrize(("pool", "inline_seconds"), [("prefork", 1.0), ("threads", 1.0), ("prefork", 0.0)])
def test_validate_starts_while_its_cousins_still_run(client, flows, effects, gate, start_worker, pool, inline_seconds):
    settings = flows.model_copy(update={"inline_seconds": inline_seconds})
    start_worker(settings, pool=pool, concurrency=4)
    run = client.start(irregular, str(gate))

    def statuses() -> dict[str, StepStatus]:
        return {step.name: step.status for step in run.steps()}

    wait_until(lambda: statuses()["validate"] is StepStatus.COMPLETED, message="validate completes")
    now = statuses()
    assert now["a"] is now["b"] is StepStatus.RUNNING
    assert now["aggregate"] is now["notify"] is StepStatus.PENDING

    gate.touch()
    assert run.result(20) == 13
    assert_no_step_ran_before_its_parents(client, run)
    assert set(effects.per_step().values()) == {1}
    assert redispatches(client) == 0  # the canvas continued the run, not the reconciler
    assert_all_completed_once(client)


def test_the_body_of_every_chord_runs_whoever_completes_the_last_part(client, flows, effects, start_worker):
    """FIELD_FAILURES 1: the header is done and the body never runs. Parts that end at one instant race for it."""
    start_worker(flows, concurrency=4)
    runs = [client.start(fork, number, 0.0) for number in range(200)]
    wait_for_all(client, 60)
    assert [run.result(1) for run in runs] == [3 * (number + 2) for number in range(200)]
    assert set(effects.per_step().values()) == {1}
    assert redispatches(client) == 0  # the canvas continued the run, not the reconciler
    assert_all_completed_once(client)


@strategies.composite
def graphs(draw: Callable) -> list[list[int]]:
    """For each node the ones before it that it depends on."""
    size = draw(strategies.integers(1, 30))
    return [
        sorted(draw(strategies.sets(strategies.integers(0, node - 1), max_size=4))) if node else []
        for node in range(size)
    ]


def described_by(parents: list[list[int]], number: int) -> Workflow:
    """The workflow whose graph this is; it returns the results of all its nodes."""

    @workflow(name=f"random_{number}")
    def random(salt: int):
        symbols: list = []
        for node, above in enumerate(parents):
            use = mix.options(name=f"n{node}")
            symbols.append(use(salt, [symbols[parent] for parent in above]))
        return symbols

    return random


def interpreted(parents: list[list[int]], salt: int) -> list[int]:
    """What the workflow returns if one just calls the functions."""
    results: list[int] = []
    for above in parents:
        results.append(mix.function(StepContext.detached("mix"), salt, [results[parent] for parent in above]))
    return results


@pytest.mark.parametrize("inline_seconds", [0.0, 1.0])
def test_random_graphs_give_what_the_functions_give(client, flows, effects, start_worker, inline_seconds):
    """FIELD_FAILURES 5: results dropped, bodies run twice, wrong order in combined canvases."""
    settings = flows.model_copy(update={"inline_seconds": inline_seconds})
    start_worker(settings, pool="threads", concurrency=4)
    numbers = count()

    @hypothesis.given(graphs(), strategies.integers(0, 1_000))
    @hypothesis.settings(max_examples=20, deadline=None, database=None)
    def check(parents: list[list[int]], salt: int) -> None:
        run = client.start(described_by(parents, next(numbers)), salt)
        assert run.result(30) == interpreted(parents, salt)
        assert_no_step_ran_before_its_parents(client, run)
        ended = [e for e in run.history() if e.type is EventType.STEP_COMPLETED]
        assert len(ended) == len(parents)

    check()
    assert events_of(client, "StepLost") == redispatches(client) == 0
    assert_all_completed_once(client)
