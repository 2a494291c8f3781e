"""Outcomes: what a workflow's body passes on of a step that may fail, and what may be shown of its error."""

from dataclasses import dataclass

import pytest

from celeriac import (
    DefinitionError,
    ErrorInfo,
    Outcome,
    outcome,
    step,
    workflow,
)
from celeriac.workflows.authoring.values import Codec
from celeriac.workflows.engine.graph import (
    FailurePolicy,
    Graph,
    Needs,
    Node,
)
from celeriac.workflows.engine.outcomes import error_info
from celeriac.workflows.engine.resolving import RecordedStep, RunValues
from celeriac.workflows.engine.states import StepStatus
from celeriac.workflows.engine.templates import OutcomePart


@dataclass(frozen=True)
class Payment:
    amount: int


@step
def charge(amount: int) -> Payment:
    return Payment(amount)


@step
def report(paid: Outcome[Payment]) -> str:
    return str(paid.value)


@step
def report_all(parts: list[Outcome[Payment]], why: str = "") -> str:
    return f"{parts}{why}"


@step
def start_over() -> None: ...


def test_an_outcome_is_an_edge_that_passes_on_what_became_of_a_step():
    @workflow
    def tested(amount: int):
        paid = charge(amount)
        return report.options(needs="all_done")(outcome(paid))

    node = tested.graph.nodes[1]
    assert node.arguments == {"paid": OutcomePart(node="charge")}
    assert (node.parents, node.inputs, node.outcome_sources) == (("charge",), (), ("charge",))
    assert node.needs is Needs.ALL_DONE
    assert Graph.from_json(tested.graph.to_json()) == tested.graph


def test_outcomes_may_sit_in_lists_and_their_fields_may_be_passed_on():
    @workflow
    def tested(amount: int):
        paid = [charge(amount), charge(amount)]
        return report_all.options(needs="all_done")([outcome(part) for part in paid], outcome(paid[0]).error.message)

    assert tested.graph.nodes[2].arguments["why"] == OutcomePart(node="charge", path=("error", "message"))
    assert tested.graph.nodes[2].parents == ("charge", "charge-2")


@pytest.mark.parametrize("value", [None, 3, "charge"])
def test_an_outcome_of_what_is_no_result_is_refused(value):
    with pytest.raises(DefinitionError, match=r"outcome\(…\) cannot take .* It takes the result of a step"):
        outcome(value)


def test_an_outcome_of_a_part_or_of_the_input_is_refused():
    with pytest.raises(DefinitionError, match=r"outcome\(charge\.amount\) .* not the whole result of a step"):

        @workflow
        def of_a_part(amount: int):
            report(outcome(charge(amount).amount))

    with pytest.raises(DefinitionError, match=r"outcome\(amount\) .* not the whole result of a step"):

        @workflow
        def of_the_input(amount: int):
            charge(outcome(amount))


def test_a_rule_that_allows_failures_takes_outcomes_instead_of_results():
    with pytest.raises(DefinitionError, match=r"may run without a result of 'charge'; pass outcome\(…\) of that"):

        @workflow
        def tested(amount: int):
            report.options(needs="all_done")(charge(amount))


def test_a_rule_needs_a_step_before_it():
    with pytest.raises(DefinitionError, match="cannot use needs='one_failed' of 'start_over'.* no step before it"):

        @workflow
        def tested(amount: int):
            charge(amount)
            start_over.options(needs="one_failed")()


def test_a_rule_and_a_policy_that_are_misspelt_are_refused_with_the_nearest():
    with pytest.raises(DefinitionError, match="needs='al_done' is no rule for a join; did you mean 'all_done'"):
        charge.options(needs="al_done")
    with pytest.raises(DefinitionError, match="failure_policy='continu' is not known; did you mean 'continue'"):
        workflow(failure_policy="continu")(lambda_of_one_step())


def lambda_of_one_step():
    def tested(amount: int):
        charge(amount)

    return tested


def test_the_rule_that_all_succeed_is_the_same_as_none():
    @workflow(failure_policy="continue")
    def tested(amount: int):
        paid = charge(amount)
        start_over.options(needs="all_succeeded", after=[paid])()

    assert tested.graph.nodes[1].needs is None
    assert tested.graph.failure_policy is FailurePolicy.CONTINUE


@pytest.mark.parametrize(
    "found",
    [
        Outcome[Payment](status=StepStatus.COMPLETED, value=Payment(3)),
        Outcome[Payment](
            status=StepStatus.FAILED,
            error=ErrorInfo(type="ValueError", message="Step 'a' failed.", raw_message="no", step="a"),
        ),
        Outcome[Payment](status=StepStatus.SKIPPED),
    ],
)
def test_an_outcome_travels_as_json(found):
    codec = Codec(Outcome[Payment])
    assert codec.decode(codec.encode(found)) == found


def test_an_error_is_told_apart_from_what_may_be_shown_of_it():
    error = {"type": "OperationalError", "message": "password=hunter2", "traceback": "…"}
    assert error_info(error, "charge") == {
        "type": "OperationalError",
        "message": "Step 'charge' failed.",
        "raw_message": "password=hunter2",
        "step": "charge",
    }
    assert error_info({**error, "message": "Declined.", "public": True}, "charge")["message"] == "Declined."
    assert error_info(error, None)["message"] == "The run failed."


HANDLED = Graph(
    workflow="tested", version="1", nodes=(Node(name="a", task="a"), Node(name="a.on_error", task="h", handles="a"))
)
FAILED = RecordedStep(status=StepStatus.FAILED, data='{"type": "ValueError", "message": "no"}')


@pytest.mark.parametrize(
    ("handler", "result", "status"),
    [
        (RecordedStep(status=StepStatus.COMPLETED, data="7"), "7", "completed"),
        (RecordedStep(status=StepStatus.FAILED, data='{"type": "E", "message": "m"}'), "null", "failed"),
        (RecordedStep(status=StepStatus.READY, data=None), "null", "failed"),
    ],
)
def test_what_an_error_handler_returned_stands_for_the_result(handler, result, status):
    values = RunValues(graph=HANDLED, run_input="{}", recorded={0: FAILED, 1: handler})
    assert values.result("a") == result
    found = values.outcome("a")
    assert (found["status"], found["error"]["type"]) == (status, "ValueError")


def test_what_was_skipped_has_neither_a_value_nor_an_error():
    skipped = RecordedStep(status=StepStatus.SKIPPED, data=None)
    values = RunValues(graph=HANDLED, run_input="{}", recorded={0: skipped})
    assert values.outcome("a") == {"status": "skipped", "value": None, "error": None}
    assert values.result("a") == "null"
