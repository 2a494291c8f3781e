"""Retries and time limits in definitions: the use wins over the step, that over the workflow, that over settings."""

from datetime import timedelta
from typing import Any

import pytest

from celeriac import (
    DefinitionError,
    Retry,
    Settings,
    step,
    workflow,
)
from celeriac.worker.execution import StepExecutor
from celeriac.workflows.engine.graph import Graph, Node
from celeriac.workflows.history.records import Limits

OF_WORKFLOW = Retry(max_attempts=9, delay=9)
OF_STEP = Retry(max_attempts=7, delay=7)
OF_USE = Retry(max_attempts=5, delay=5)


@step
def plain() -> int:
    return 1


@step(retry=OF_STEP, timeout=70, total_timeout=timedelta(minutes=7), heartbeat_timeout=7)
def limited() -> int:
    return 1


@step(max_attempts=4)
def counted() -> int:
    return 1


def node_of(use: Any, **options: Any) -> Node:
    """The only node of a workflow with these options that calls ``use``."""

    @workflow(**options)
    def tested():
        return use()

    [node] = tested.graph.nodes
    return node


@pytest.mark.parametrize(
    ("use", "options", "policy"),
    [
        (plain, {}, None),
        (plain, {"retry": OF_WORKFLOW}, OF_WORKFLOW),
        (limited, {}, OF_STEP),
        (limited, {"retry": OF_WORKFLOW}, OF_STEP),
        (limited.options(retry=OF_USE), {"retry": OF_WORKFLOW}, OF_USE),
        (plain.options(retry=OF_USE), {}, OF_USE),
    ],
)
def test_the_policy_of_the_use_wins_over_the_steps_and_that_over_the_workflows(use, options, policy):
    node = node_of(use, **options)
    assert node.retry == (None if policy is None else policy.to_json())
    assert node.max_attempts == (None if policy is None else policy.max_attempts)


def test_without_any_policy_the_settings_decide():
    policy = Settings(retry_max_attempts=8, retry_delay_seconds=2, retry_max_delay_seconds=20).retry
    assert (policy.max_attempts, policy.backoff, policy.delay, policy.max_delay) == (8, "exponential", 2, 20)
    assert (Settings().retry.max_attempts, Settings().retry.delay) == (3, 1)


@pytest.mark.parametrize(
    ("use", "options", "limit"),
    [
        (counted, {}, 4),
        (counted, {"retry": OF_WORKFLOW}, 4),
        (counted.options(retry=OF_USE), {}, 4),
        (counted.options(max_attempts=2), {}, 2),
        (limited.options(max_attempts=2), {}, 2),
    ],
)
def test_a_limit_of_attempts_wins_over_that_of_a_policy(use, options, limit):
    assert node_of(use, **options).max_attempts == limit


def test_times_are_stored_as_seconds_and_those_of_the_use_win():
    node = node_of(limited)
    assert (node.timeout, node.total_timeout, node.heartbeat_timeout) == (70, 420, 7)
    node = node_of(limited.options(timeout=timedelta(seconds=5), heartbeat_timeout=0.5))
    assert (node.timeout, node.total_timeout, node.heartbeat_timeout) == (5, 420, 0.5)
    node = node_of(plain)
    assert (node.timeout, node.total_timeout, node.heartbeat_timeout) == (None, None, None)


def test_an_attempt_without_a_time_of_its_own_has_that_of_the_settings():
    def limits(node: Node) -> Limits:
        settings = Settings(step_timeout_seconds=11)
        unused: Any = None
        executor = StepExecutor(unused, unused, "", settings)
        return executor._limits(Graph(workflow="w", version="1", nodes=(node,)), 0)

    assert limits(node_of(plain)) == Limits(timeout=11)
    assert limits(node_of(limited)) == Limits(timeout=70, total=420, heartbeat=7)


def test_the_settings_give_an_attempt_five_minutes_and_a_run_a_day():
    assert Settings().step_timeout_seconds == 300
    assert Settings().run_timeout_seconds == 24 * 60 * 60


@pytest.mark.parametrize("timeout", [90, 90.0, timedelta(seconds=90)])
def test_the_time_of_a_run_is_part_of_its_graph(timeout):
    @workflow(timeout=timeout)
    def tested():
        plain()

    assert tested.graph.timeout == 90
    assert Graph.from_json(tested.graph.to_json()) == tested.graph


def test_what_is_limited_has_another_graph_and_survives_json():
    with_limits, without = node_of(limited), node_of(plain)
    assert Node.from_json(with_limits.to_json()) == with_limits
    assert Node.from_json(without.to_json()) == without
    assert "timeout" not in without.to_json()
    hashes = {Graph(workflow="w", version="1", nodes=(plain_node,)).hash for plain_node in (with_limits, without)}
    assert len(hashes) == 2


BAD_OPTIONS = [
    ({"retry": 3}, "retry=3 is not a policy, as in retry=Retry(max_attempts=5)."),
    ({"retry": {"max_attempts": 3}}, "retry={'max_attempts': 3} is not a policy"),
    ({"timeout": 0}, "timeout=0 is not a time: give seconds above 0, or a timedelta."),
    ({"timeout": -1}, "timeout=-1 is not a time"),
    ({"timeout": "30s"}, "timeout='30s' is not a time"),
    ({"timeout": True}, "timeout=True is not a time"),
    ({"timeout": float("inf")}, "timeout=inf is not a time"),
    ({"total_timeout": timedelta(0)}, "total_timeout=datetime.timedelta(0) is not a time"),
    ({"heartbeat_timeout": float("nan")}, "heartbeat_timeout=nan is not a time"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_a_step_with_limits_that_cannot_be_is_refused(options, message):
    with pytest.raises(DefinitionError) as caught:

        @step(**options)
        def pay() -> None: ...

    assert message in str(caught.value)


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_a_use_with_limits_that_cannot_be_is_refused(options, message):
    with pytest.raises(DefinitionError) as caught:
        plain.options(**options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retry": 3}, "retry=3 is not a policy, as in retry=Retry(max_attempts=5)."),
        ({"timeout": 0}, "timeout=0 leaves no time to run."),
        ({"timeout": -1}, "=-1 is not a time: give seconds from 0 up, or a timedelta."),
        ({"timeout": "1h"}, "='1h' is not a time"),
        ({"timeot": 3}, "Unknown option 'timeot' for workflow 'tested'; did you mean 'timeout'?"),
    ],
)
def test_a_workflow_with_limits_that_cannot_be_is_refused(options, message):
    with pytest.raises(DefinitionError) as caught:

        @workflow(**options)
        def tested():
            plain()

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("misspelt", "meant"), [("tiemout", "timeout"), ("retires", "retry"), ("heartbeat", "heartbeat_timeout")]
)
def test_a_misspelt_limit_is_told_with_the_one_that_was_meant(misspelt, meant):
    with pytest.raises(DefinitionError, match=f"Unknown option '{misspelt}' .*; did you mean '{meant}'"):
        plain.options(**{misspelt: 3})
