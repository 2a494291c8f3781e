"""Error handlers, compensations and hooks: their nodes, and the binding of parameters."""

import pytest

from celeriac import (
    DefinitionError,
    ErrorInfo,
    Retry,
    StepContext,
    step,
    workflow,
)
from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.states import Phase
from celeriac.workflows.engine.templates import (
    Constant,
    InputPart,
    OutcomePart,
    ResultPart,
    RunError,
)


def release(order: str, result: int) -> None: ...


@step(retry=Retry(max_attempts=7), queue="refunds", timeout=5)
def refund(context: StepContext, payment: int, reason: str = "") -> None: ...


@step(compensate=release)
def reserve(order: str) -> int:
    return len(order)


@step(compensate=refund)
def charge(order: str, cents: int = 0) -> int:
    return cents


@step
def ship(order: str, paid: int) -> str:
    return order


def mend(error: ErrorInfo, cents: int) -> int:
    return cents


def alert(order: str, error: ErrorInfo | None = None) -> None: ...


def praise(result: str, order: str) -> None: ...


def node_of(graph: Graph, name: str):
    return graph.nodes[graph.position[name]]


@workflow(saga=True, on_complete=praise, on_failure=alert)
def ordering(order: str):
    reserved = reserve(order)
    paid = charge.options(after=[reserved], on_error=mend)(order, cents=3)
    again = charge(order)
    return ship.options(after=[again])(order, paid)


def test_the_nodes_of_a_saga_stand_after_those_that_the_body_calls():
    assert [node.name for node in ordering.graph.nodes] == [
        *("reserve", "charge", "charge.on_error", "charge-2", "ship"),
        *("reserve.compensate", "charge.compensate", "charge-2.compensate", "on_complete", "on_failure"),
    ]
    assert ordering.graph.saga
    assert Graph.from_json(ordering.graph.to_json()) == ordering.graph


def test_a_handler_gets_the_error_and_the_arguments_of_its_step_by_name():
    node = node_of(ordering.graph, "charge.on_error")
    assert (node.task, node.handles, node.phase, node.parents) == ("mend", "charge", Phase.FORWARD, ("charge",))
    assert node.arguments == {"error": OutcomePart(node="charge", path=("error",)), "cents": Constant(value=3)}


def test_a_compensation_gets_the_arguments_of_its_step_by_name_and_the_result():
    node = node_of(ordering.graph, "reserve.compensate")
    assert (node.task, node.compensates, node.phase, node.parents) == ("release", "reserve", Phase.COMPENSATION, ())
    assert node.arguments == {"order": InputPart(parameter="order"), "result": ResultPart(node="reserve")}


def test_the_only_parameter_left_over_gets_the_result_and_the_compensation_has_its_own_options():
    node = node_of(ordering.graph, "charge.compensate")
    assert node.arguments == {"payment": ResultPart(node="charge")}
    assert (node.queue, node.timeout, node.max_attempts) == ("refunds", 5, 7)


def test_an_argument_that_is_named_result_goes_before_the_result():
    @step
    def publish(result: str) -> int:
        return len(result)

    @step
    def withdraw(result: str, published: int) -> None: ...

    @workflow(saga=True)
    def publishing(result: str):
        publish.options(compensate=withdraw)(result)

    node = publishing.graph.nodes[1]
    assert node.arguments == {"result": InputPart(parameter="result"), "published": ResultPart(node="publish")}


def test_hooks_get_the_arguments_of_the_workflow_by_name_the_result_and_the_error():
    complete, failure = (node_of(ordering.graph, name) for name in ("on_complete", "on_failure"))
    assert (complete.hook, failure.hook, complete.phase) == ("on_complete", "on_failure", Phase.HOOK)
    assert complete.arguments == {"result": ResultPart(node="ship"), "order": InputPart(parameter="order")}
    assert failure.arguments == {"order": InputPart(parameter="order"), "error": RunError()}


def test_workers_know_the_steps_that_functions_were_made():
    assert set(Catalog.of(ordering).steps) == {
        "reserve",
        "charge",
        "ship",
        "release",
        "refund",
        "mend",
        "alert",
        "praise",
    }


def test_a_function_is_made_one_step_however_often_it_is_used():
    @workflow(saga=True)
    def twice(order: str):
        reserve(order)
        reserve(order)

    assert twice.steps["release"] is ordering.steps["release"]


def test_only_a_saga_compensates():
    @workflow
    def plain(order: str):
        reserve(order)

    assert [node.name for node in plain.graph.nodes] == ["reserve"]


def test_the_workflows_retry_holds_for_what_is_attached_to_it_too():
    @workflow(saga=True, retry=Retry(max_attempts=9))
    def tested(order: str):
        reserve(order)
        charge(order)

    assert node_of(tested.graph, "reserve.compensate").max_attempts == 9
    assert node_of(tested.graph, "charge.compensate").max_attempts == 7


def wants_more(order: str, colour: str, size: str) -> None: ...


@step(on_error=mend)
def careful(order: str) -> None: ...


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"on_failure": wants_more},
            "on_failure=wants_more.* its parameter 'colour'.* order, a parameter annotated ErrorInfo",
        ),
        ({"on_complete": praise}, "on_complete=praise.* nothing fills its parameter 'result'.* there are: order"),
        ({"on_complete": careful}, "cannot have needs, on_error or compensate of its own"),
    ],
)
def test_a_hook_that_cannot_be_bound_is_refused(options, message):
    with pytest.raises(DefinitionError, match=message):

        @workflow(**options)
        def tested(order: str):
            charge(order)


def test_a_handler_and_a_compensation_that_cannot_be_bound_are_refused():
    with pytest.raises(DefinitionError, match="on_error=wants_more.* its parameter 'colour'.* there are: order, cents"):

        @workflow
        def handled(order: str):
            charge.options(on_error=wants_more)(order, cents=1)

    with pytest.raises(DefinitionError, match="compensate=wants_more.* its parameter 'colour'.* order, result"):

        @workflow(saga=True)
        def undone(order: str):
            reserve.options(compensate=wants_more)(order)


@pytest.mark.parametrize("option", ["on_error", "compensate"])
def test_what_is_neither_a_step_nor_a_function_is_refused(option):
    with pytest.raises(DefinitionError, match=f"{option}='refund' is neither a step nor a function"):
        charge.options(**{option: "refund"})


def test_a_name_that_is_taken_is_numbered():
    @workflow
    def tested(order: str):
        ship.options(name="charge.on_error")(order, 1)
        charge.options(on_error=mend)(order, cents=2)

    assert [node.name for node in tested.graph.nodes] == ["charge.on_error", "charge", "charge.on_error-2"]
