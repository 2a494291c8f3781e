"""Joins by rule, error handlers, sagas and hooks, with real workers: what steps are called with, and what comes out."""

import json

import pytest

from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.errors import InvalidRunState, RunFailed
from tests.support.flows_sagas import all_parts, held_saga, hooked, hooked_branches, order_saga, replaced, stubborn_saga
from tests.support.outcomes import events_of
from tests.support.waiting import wait_until


@pytest.fixture(params=["prefork", "threads"])
def worker(request, saga_flows, start_worker):
    return start_worker(saga_flows, pool=request.param, concurrency=2)


@pytest.fixture(autouse=True)
def audited(client):
    yield
    assert client.audit() == []


def notes(effects, step: str) -> list[str]:
    return [effect.note for effect in effects.of(step)]


def test_a_join_sees_what_became_of_each_parent_and_no_raw_error(client, effects, worker):
    run = client.start(all_parts, [2, 0, -1])
    assert run.result(20) == ["1.0", "Step 'part-1' failed.", "One cannot divide by what is below zero here."]
    assert run.status is RunStatus.COMPLETED


def test_an_error_handler_puts_a_value_in_the_place_of_the_result(client, effects, worker):
    assert client.start(replaced, 7, 0).result(20) == 0.0
    assert notes(effects, "divide.on_error") == [
        "ZeroDivisionError|Step 'divide' failed.|division by zero|divide",
    ]
    well = client.start(replaced, 6, 2)
    assert well.result(20) == 6.0
    assert {step.name: step.status.value for step in well.steps()}["divide.on_error"] == "skipped"
    with pytest.raises(RunFailed) as failed:
        client.start(replaced, 13, 0).result(20)
    assert (failed.value.step, failed.value.type) == ("divide.on_error", "GiveUp")
    assert "13" not in failed.value.public_message


def test_an_order_that_cannot_be_shipped_is_undone_in_reverse_with_its_arguments_and_results(client, effects, worker):
    run = client.start(order_saga, "shoes")
    with pytest.raises(RunFailed) as failed:
        run.result(20)
    assert failed.value.status is RunStatus.FAILED
    assert (failed.value.step, failed.value.public_message) == ("ship", "Step 'ship' failed.")
    assert [effect.step for effect in effects.all()] == [
        *("reserve", "charge", "ship"),
        *("charge.compensate", "reserve.compensate"),
    ]
    assert notes(effects, "charge.compensate") == ["payment for shoes"]
    assert notes(effects, "reserve.compensate") == ["shoes reservation of shoes"]
    with pytest.raises(InvalidRunState, match="have been compensated"):
        run.retry()


def test_a_saga_that_is_cancelled_while_a_step_runs_compensates_that_step_too(client, effects, gate, worker):
    run = client.start(held_saga, "shoes", str(gate))
    wait_until(lambda: effects.of("hold_reserved"), 20, "the step runs")
    run.cancel("changed my mind")
    run.cancel()
    assert run.status is RunStatus.COMPENSATING
    with pytest.raises(InvalidRunState, match="compensating"):
        run.pause()
    gate.touch()
    assert run.wait(20) is RunStatus.CANCELLED
    assert notes(effects, "hold_reserved.compensate") == ["shoes reservation of shoes"]
    assert not effects.of("charge")


def test_a_compensation_has_its_own_retries_and_when_they_are_used_up_an_operator_retries_it(client, effects, worker):
    run = client.start(stubborn_saga, "shoes")
    assert run.wait(20) is RunStatus.COMPENSATION_FAILED
    assert len(effects.of("reserve_stubbornly.compensate")) == 2
    run.retry()
    wait_until(lambda: run.status is RunStatus.FAILED, 20, "the saga is compensated")
    assert len(effects.of("reserve_stubbornly.compensate")) == 3
    assert run.view().error.step == "ship"


def test_hooks_are_called_after_the_end_with_what_there_is_then(client, effects, worker):
    assert client.start(hooked, 6, 2).result(20) == 6.0
    assert client.start(hooked, 6, 0).wait(20) is RunStatus.FAILED
    wait_until(lambda: events_of(client, "StepCompleted") == 4, 20, "both hooks completed")
    assert notes(effects, "on_complete") == ["6 6.0"]
    assert notes(effects, "on_failure") == ["6 ZeroDivisionError divide"]


def test_the_hook_of_a_failure_is_called_once_and_at_once_while_other_branches_still_run(client, effects, gate, worker):
    """FIELD_FAILURES 4: error callbacks are missing, doubled, or come only after all siblings end."""
    run = client.start(hooked_branches, 6, str(gate))
    wait_until(lambda: effects.of("hold_branch"), 20, "the other branch runs")
    wait_until(lambda: notes(effects, "on_failure"), 20, "the hook is called")
    assert {step.name: step.status.value for step in run.steps()}["hold_branch"] == "running"
    gate.touch()
    wait_until(lambda: {step.status.value for step in run.steps()} == {"failed", "completed"}, 20, "all is done")
    assert notes(effects, "on_failure") == ["6 ZeroDivisionError divide"]


def test_the_outcomes_that_a_step_saw_stand_in_the_history_as_json(client, effects, worker):
    run = client.start(all_parts, [2, 0, 4])
    seen = ["1.0", "Step 'part-1' failed.", "1.0"]
    assert run.result(20) == seen
    events = json.loads(json.dumps([event.to_json() for event in run.history()]))
    completed = {event["position"]: event["data"] for event in events if event["type"] == "StepCompleted"}
    assert completed == {0: 1.0, 2: 1.0, 3: seen}
    [failed] = [event for event in events if event["type"] == "StepFailed"]
    assert (failed["position"], failed["data"]["type"]) == (1, "ZeroDivisionError")
