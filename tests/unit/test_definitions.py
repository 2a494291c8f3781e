import dataclasses
import json
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, Field

from celeriac import (
    DefinitionError,
    InputInvalid,
    StepContext,
    step,
    workflow,
)
from celeriac.workflows.engine.graph import Graph, Node
from celeriac.workflows.engine.templates import (
    Constant,
    DictOf,
    InputPart,
    ListOf,
    ResultPart,
)


@dataclasses.dataclass
class Order:
    id: int
    lines: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Payment:
    amount: Decimal
    order: Order


class Parcel(BaseModel):
    id: int
    size: int = Field(default=0, gt=-1)


@step
def validate(order: Order) -> Order:
    return order


@step(queue="money", priority=3, max_attempts=2)
def charge(order: Order, note: str = "") -> Payment:
    return Payment(Decimal(1), order)


@step
async def ship(context: StepContext, order: Order, *, amount: Decimal, labels: list[str] | None = None) -> Parcel:
    return Parcel(id=order.id)


@step
def collect(parts: list[Any], by_name: dict[str, Any] | None = None) -> None: ...


@step
def post(parcel: Parcel) -> None: ...


def order_processing_body(order: Order, express: bool = False) -> Parcel:
    checked = validate(order)
    paid = charge.options(after=[checked], queue="fast")(order, note="hi")
    parcel = ship(checked, amount=paid.amount, labels=["a", paid.order.lines[0]])
    collect([checked, express], by_name={"paid": paid, "parcel": [parcel.id]})
    validate(order)
    return parcel


order_processing = workflow(name="order", version="7")(order_processing_body)


def test_body_becomes_a_graph():
    assert order_processing.graph == Graph(
        workflow="order",
        version="7",
        nodes=(
            Node(name="validate", task="validate", arguments={"order": InputPart(parameter="order")}),
            Node(
                name="charge",
                task="charge",
                arguments={"order": InputPart(parameter="order"), "note": Constant(value="hi")},
                after=("validate",),
                queue="fast",
                priority=3,
                max_attempts=2,
            ),
            Node(
                name="ship",
                task="ship",
                arguments={
                    "order": ResultPart(node="validate"),
                    "amount": ResultPart(node="charge", path=("amount",)),
                    "labels": ListOf(
                        items=(Constant(value="a"), ResultPart(node="charge", path=("order", "lines", 0)))
                    ),
                },
            ),
            Node(
                name="collect",
                task="collect",
                arguments={
                    "parts": ListOf(items=(ResultPart(node="validate"), InputPart(parameter="express"))),
                    "by_name": DictOf(
                        items=(
                            ("paid", ResultPart(node="charge")),
                            ("parcel", ListOf(items=(ResultPart(node="ship", path=("id",)),))),
                        )
                    ),
                },
            ),
            Node(name="validate-2", task="validate", arguments={"order": InputPart(parameter="order")}),
        ),
        returns=ResultPart(node="ship"),
    )
    assert Graph.from_json(json.loads(json.dumps(order_processing.graph.to_json()))) == order_processing.graph


def test_calling_the_same_body_again_gives_the_same_graph():
    again = workflow(name="order", version="7")(order_processing_body)
    assert again.graph.hash == order_processing.graph.hash


def test_workflow_tells_what_it_is():
    assert (order_processing.name, order_processing.version) == ("order", "7")
    assert order_processing.module == __name__
    assert order_processing.steps == {"validate": validate, "charge": charge, "ship": ship, "collect": collect}
    assert repr(order_processing) == f"<workflow 'order' of {__name__}>"

    @workflow
    def bare() -> None:
        """Do nothing much."""
        collect([])

    assert (bare.name, bare.version, bare.__doc__) == ("bare", "1", "Do nothing much.")


def graph_of(body: Callable[..., Any]) -> Graph:
    return workflow(body).graph


def test_step_used_often_is_numbered_and_names_given_are_kept():
    def often() -> None:
        collect([])
        collect.options(name="collect-2")([])
        collect([])
        collect.options(name="last")([])

    assert [node.name for node in graph_of(often).nodes] == ["collect", "collect-2", "collect-3", "last"]


def test_constants_are_converted_to_what_the_parameter_takes():
    def constants() -> None:
        charge(Order(1, ["a"]))
        charge({"id": "2"})
        post(Parcel(id=3))
        collect((date(2026, 1, 2), timedelta(hours=1), {Decimal(1)}))

    values = [part.value for node in graph_of(constants).nodes for part in node.arguments.values()]
    assert values == [
        {"id": 1, "lines": ["a"]},
        {"id": 2, "lines": []},
        {"id": 3, "size": 0},
        ["2026-01-02", "PT1H", ["1"]],
    ]


def test_constants_beside_symbols_are_converted_to_what_is_expected_there():
    def mixed(number: int) -> None:
        validate({"id": number, "lines": ("a", "b")})
        post({"id": "3", "size": validate({"id": 1}).id})

    first, _, second = graph_of(mixed).nodes
    assert first.arguments["order"] == DictOf(
        items=(("id", InputPart(parameter="number")), ("lines", Constant(value=["a", "b"])))
    )
    assert second.arguments["parcel"].items[0] == ("id", Constant(value=3))


def test_keys_of_a_dict_beside_symbols_become_texts():
    def keys(order: Order) -> None:
        collect([], by_name={1: order, date(2026, 1, 2): 3})

    assert graph_of(keys).nodes[0].arguments["by_name"] == DictOf(
        items=(("1", InputPart(parameter="order")), ("2026-01-02", Constant(value=3)))
    )


def test_defaults_of_steps_are_left_to_the_step():
    def defaults(order: Order) -> None:
        charge(order)

    assert graph_of(defaults).nodes[0].arguments.keys() == {"order"}


def test_order_without_data_may_be_given_by_a_part_of_a_result_and_is_not_doubled():
    def ordered(order: Order) -> None:
        first, second = validate(order), validate(order)
        charge.options(after=(first.lines[0], second, first))(second)

    assert graph_of(ordered).nodes[2].after == ("validate",)
    assert graph_of(ordered).nodes[2].parents == ("validate-2", "validate")


def test_use_with_options_may_be_shared_by_workflows():
    urgent = charge.options(queue="urgent", priority=0)

    def sharing(order: Order) -> None:
        urgent(order)
        urgent(order)

    assert [(node.name, node.queue) for node in graph_of(sharing).nodes] == [
        ("charge", "urgent"),
        ("charge-2", "urgent"),
    ]


@pytest.mark.parametrize(
    ("returned", "template"),
    [
        (lambda _, paid: paid.amount, ResultPart(node="charge", path=("amount",))),
        (lambda order, _: order.id, InputPart(parameter="order", path=("id",))),
        (lambda *_: None, None),
        (lambda *_: 3, Constant(value=3)),
        (
            lambda _, paid: {"paid": [paid], "at": date(2026, 1, 2)},
            DictOf(items=(("paid", ListOf(items=(ResultPart(node="charge"),))), ("at", Constant(value="2026-01-02")))),
        ),
    ],
)
def test_result_of_a_run_may_be_made_of_results_input_and_constants(returned, template):
    def returning(order: Order):
        return returned(order, charge(order))

    assert graph_of(returning).returns == template


def test_result_comes_back_as_annotated():
    assert order_processing.decode_result('{"id":3}') == Parcel(id=3)


def test_result_without_an_annotation_comes_back_as_the_step_has_it():
    @workflow
    def unannotated(order: Order):
        return charge(order).amount

    assert unannotated.decode_result('"1.5"') == Decimal("1.5")


def test_result_that_no_longer_fits_says_so():
    with pytest.raises(
        DefinitionError, match="This run's result does not fit what workflow 'order' now says that it ret"
    ):
        order_processing.decode_result('{"id":"x"}')


def test_plain_functions_can_describe_parts_of_a_graph():
    def paid_parcel(order: Order) -> Parcel:
        return ship(order, amount=charge(order).amount)

    def composed(order: Order) -> list[Parcel]:
        return [paid_parcel(order) for _ in range(2)]

    assert [node.name for node in graph_of(composed).nodes] == ["charge", "ship", "charge-2", "ship-2"]


leaked: list[Any] = []


@workflow
def leaking(order: Order) -> None:
    leaked.extend([order, charge(order)])


other_charge = step(name="charge")(lambda: None)


def refused_two_of_a_name(order: Order) -> None:
    charge.options(name="pay")(order)
    validate.options(name="pay")(order)


def refused_name_of_an_automatic_one(order: Order) -> None:
    validate(order)
    charge.options(name="validate")(order)


def refused_missing(order: Order) -> None:
    ship(order)


def refused_missing_all() -> None:
    ship()


def refused_unexpected(order: Order) -> None:
    charge(order, notes="x")


def refused_too_many(order: Order) -> None:
    validate(order, order)


def refused_twice(order: Order) -> None:
    validate(order, order=order)


def refused_context(order: Order) -> None:
    ship(StepContext.detached("x"), order, amount=Decimal(1))


def refused_constant() -> None:
    validate({"id": "x"})


def refused_nested_constant(order: Order) -> None:
    ship(order, amount=Decimal(1), labels=[3, order.lines[0]])


def refused_nan() -> None:
    collect([float("nan")])


def refused_lock() -> None:
    collect([object()])


def refused_dataclass(number: int) -> None:
    validate(Order(number))


def refused_nested_dataclass(number: int) -> None:
    collect([{"a": Order(1, [number])}])


def refused_model(number: int) -> None:
    post(Parcel(id=number))


def refused_symbol_of_another() -> None:
    validate(leaked[0])


def refused_nested_symbol_of_another() -> None:
    collect([{"a": [leaked[1].amount]}])


def refused_after_of_another() -> None:
    collect.options(after=[leaked[1]])([])


def refused_after_symbol(order: Order) -> None:
    charge.options(after=validate(order))(order)


def refused_after_name(order: Order) -> None:
    charge.options(after=["validate"])(order)


def refused_after_text(order: Order) -> None:
    charge.options(after="validate")(order)


def refused_after_step(order: Order) -> None:
    charge.options(after=[validate])(order)


def refused_after_input(order: Order) -> None:
    charge.options(after=[order])(order)


def refused_steps_of_a_name(order: Order) -> None:
    charge(order)
    other_charge()


def refused_return_of_another() -> Any:
    collect([])
    return leaked[1]


def refused_wrong_return() -> Parcel:
    collect([])


def refused_return_for_none(order: Order) -> None:
    return charge(order)


def refused_constant_return() -> int:
    collect([])
    return "x"


def refused_no_steps(order: Order) -> Order:
    return order


def refused_context_parameter(context: StepContext) -> None:
    collect([])


def refused_default(count: int = None) -> None:  # noqa: RUF013 - that is the point
    collect([count])


def refused_parameter(done: Callable[[], None]) -> None:
    collect([])


def refused_variadic(*orders: Order) -> None:
    collect([])


async def refused_async(order: Order) -> None:
    validate(order)


def refused_generator(order: Order) -> Any:
    yield validate(order)


def refused_method(self) -> None:
    collect([])


def refused_call_of_a_workflow(order: Order) -> None:
    leaking(order)


AFTER = "write a list of results of this workflow's steps, as in after=[reserved]."
INSTANCE = "pass a dict with its fields, or make it inside a step."


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (refused_two_of_a_name, "has two steps named 'pay' (…): give each use another name, with .options(name=…), or"),
        (refused_name_of_an_automatic_one, "has two steps named 'validate' (…): give each use another name"),
        (
            refused_missing,
            (
                "calls step 'ship' wrongly (…): missing argument 'amount'. Parameters: order: Order, amount: Decimal, "
                "labels: list[str] | None (optional)."
            ),
        ),
        (refused_missing_all, "calls step 'ship' wrongly (…): missing arguments 'order', 'amount'. Parameters: order"),
        (
            refused_unexpected,
            "calls step 'charge' wrongly (…): unexpected argument 'notes'; did you mean 'note'? Param",
        ),
        (refused_too_many, "calls step 'validate' wrongly (…): 2 positional arguments, where 1 fit. Parameters: order"),
        (
            refused_twice,
            "calls step 'validate' wrongly (…): argument 'order' is given twice. Parameters: order: Order.",
        ),
        (refused_context, "calls step 'ship' wrongly (…): 2 positional arguments, where 1 fit."),
        (
            refused_constant,
            (
                "cannot use argument 'order' of 'validate' (…): id: Input should be a valid integer, unable to parse "
                "string as an integer, got 'x'."
            ),
        ),
        (
            refused_nested_constant,
            "cannot use argument 'labels' of 'ship' (…): [0]: Input should be a valid string, got 3.",
        ),
        (
            refused_nan,
            "cannot use argument 'parts' of 'collect' (…): NaN and infinity have no JSON; use None or a text",
        ),
        (
            refused_lock,
            "cannot use argument 'parts' of 'collect' (…): Unable to serialize unknown type: <class 'object",
        ),
        (
            refused_dataclass,
            (
                "cannot use argument 'order' of 'validate' (…): an instance of Order cannot be made from symbols, "
                f"before there are values; {INSTANCE}"
            ),
        ),
        (
            refused_nested_dataclass,
            "cannot use argument 'parts' of 'collect' (…): [0]['a']: an instance of Order cannot be",
        ),
        (
            refused_model,
            "makes an instance of Parcel from symbols (…), before there are values. Pass a dict with its fields to a",
        ),
        (
            refused_symbol_of_another,
            "cannot use the input 'order' of workflow 'leaking' (…): it belongs to another workflow; make it a",
        ),
        (
            refused_nested_symbol_of_another,
            "cannot use the result 'charge.amount' of workflow 'leaking' (…): it belongs",
        ),
        (refused_after_of_another, "cannot use the result 'charge' of workflow 'leaking' (…): it belongs to another"),
        (refused_return_of_another, "cannot use the result 'charge' of workflow 'leaking' (…): it belongs to another"),
        (refused_after_symbol, f"cannot use after=… of 'charge' (…): {AFTER}"),
        (refused_after_text, f"cannot use after=… of 'charge' (…): {AFTER}"),
        (refused_after_name, f"cannot use after=… of 'charge' (…): 'validate' is no result of a step; {AFTER}"),
        (refused_after_step, f"cannot use after=… of 'charge' (…): {validate!r} is no result of a step; {AFTER}"),
        (
            refused_after_input,
            f"cannot use after=… of 'charge' (…): the input 'order' is there from the start; {AFTER}",
        ),
        (
            refused_steps_of_a_name,
            f"uses two different steps of one name (…): 'charge' of {__name__} and 'charge' of {__name__}; rename one",
        ),
        (
            refused_wrong_return,
            "cannot use its result (…): Input should be a valid dictionary or instance of Parc",
        ),
        (
            refused_return_for_none,
            "returns something, but is annotated to return None (…). Annotate the result, or return nothing.",
        ),
        (refused_constant_return, "cannot use its result (…): Input should be a valid integer, unable to parse"),
        (refused_no_steps, "has no steps (…). Call a step in its body."),
        (
            refused_call_of_a_workflow,
            "cannot call workflow 'leaking' (…): only steps can be called. Call its steps, or put the common part",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_body_that_describes_no_graph_is_refused_with_the_reason(body, message, without_place):
    with pytest.raises(DefinitionError) as caught:
        workflow(name="example")(body)
    assert without_place(caught.value).startswith(f"Workflow 'example' {message}")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            refused_async,
            "Workflow 'refused_async' is async (…). Its body only describes a graph: write it with 'def' and ",
        ),
        (refused_generator, "Workflow 'refused_generator' is a generator (…)."),
        (refused_method, "Workflow 'refused_method' is a method (…)."),
        (
            refused_context_parameter,
            (
                "Parameter 'context' of workflow 'refused_context_parameter' is a StepContext (…). Only steps run, so "
                "only they have a context: declare it there."
            ),
        ),
        (
            refused_default,
            (
                "The default of parameter 'count' of workflow 'refused_default' does not fit its annotation (…): Input "
                "should be a valid integer, got None."
            ),
        ),
        (
            refused_parameter,
            "Parameter 'done' of workflow 'refused_parameter' cannot become JSON (…): Callable[[], None",
        ),
        (refused_variadic, "Parameter '*orders' of workflow 'refused_variadic' takes any number of arguments (…)."),
        (Order, f"@workflow cannot take {Order!r} (…). Put it on a function"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_cannot_be_a_workflow_is_refused_with_the_reason(body, message, without_place):
    with pytest.raises(DefinitionError) as caught:
        workflow(body)
    assert without_place(caught.value).startswith(message)


def test_refusal_names_the_offending_line_of_the_body():
    line = refused_two_of_a_name.__code__.co_firstlineno + 2
    with pytest.raises(DefinitionError, match=rf"two steps named 'pay' \(\S*test_definitions\.py:{line}\)"):
        workflow(refused_two_of_a_name)


def test_unknown_option_of_a_workflow_is_refused():
    with pytest.raises(DefinitionError) as caught:
        workflow(verson="2")(order_processing_body)
    message = "Unknown option 'verson' for workflow 'order_processing_body'; did you mean 'version'?"
    assert str(caught.value) == message


def test_symbol_of_an_earlier_build_of_the_same_graph_is_refused():
    kept: list[Any] = []

    def again(order: Order) -> None:
        kept.append(charge(order))
        collect([kept[0]])

    workflow(again)
    with pytest.raises(DefinitionError, match="it belongs to an earlier build of the same graph; make"):
        workflow(again)


def test_error_of_the_bodys_own_is_not_touched():
    def mistaken(order: Order) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        workflow(mistaken)
    assert validate(Order(1)) == Order(1)


def test_workflow_is_not_called_but_started(without_place):
    with pytest.raises(DefinitionError) as caught:
        leaking(Order(1))
    assert without_place(caught.value) == (
        "Workflow 'leaking' cannot be called (…). Start a run of it with client.start(leaking, …); to try a step on "
        "its own, call the step."
    )


def test_workflow_may_be_defined_while_another_is_built():
    inner: list[Any] = []

    def outer(order: Order) -> None:
        inner.append(workflow(refused_free))
        validate(order)

    def refused_free() -> None:
        collect([])

    assert [node.name for node in graph_of(outer).nodes] == ["validate"]
    assert [node.name for node in inner[0].graph.nodes] == ["collect"]


def test_input_is_validated_and_written_by_parameter_name_with_defaults():
    assert json.loads(order_processing.encode_input((Order(1),), {})) == {
        "order": {"id": 1, "lines": []},
        "express": False,
    }
    assert order_processing.encode_input((), {"express": "yes", "order": {"id": "1"}}) == order_processing.encode_input(
        (Order(1), True), {}
    )


@pytest.mark.parametrize(
    ("args", "kwargs", "reason"),
    [
        ((), {}, "missing argument 'order'. Parameters: order: Order, express: bool (optional)."),
        ((1, 2, 3), {}, "3 positional arguments, where 2 fit. Parameters: order: Order, express: bool (optional)."),
        ((), {"ordr": 1}, "unexpected argument 'ordr'; did you mean 'order'? Parameters: order: Order, express: bool"),
        ((Order(1),), {"order": 2}, "argument 'order' is given twice. Parameters: "),
        (
            ({"id": "x"},),
            {},
            "parameter 'order': id: Input should be a valid integer, unable to parse string as an int",
        ),
        (
            (Order("x"),),
            {},
            "parameter 'order': id: Input should be a valid integer, unable to parse string as an inte",
        ),
        ((Order(1), 7), {}, "parameter 'express': Input should be a valid boolean, unable to interpret input, got 7"),
    ],
)
def test_input_that_does_not_fit_names_the_parameter_and_the_reason(args, kwargs, reason):
    with pytest.raises(InputInvalid) as caught:
        order_processing.encode_input(args, kwargs)
    assert str(caught.value).startswith(f"Input of workflow 'order' is not valid: {reason}")
    assert "\n" not in str(caught.value)


@workflow
def single(order: Order) -> None:
    validate(order)


@workflow
def optional(limit: int | None = 3) -> None:
    collect([limit])


@workflow
def without_input() -> None:
    collect([])


@pytest.mark.parametrize(
    ("definition", "value", "written"),
    [
        (order_processing, {"order": {"id": 1}}, {"order": {"id": 1, "lines": []}, "express": False}),
        (order_processing, {"express": True, "order": {"id": 1}}, {"order": {"id": 1, "lines": []}, "express": True}),
        (single, {"order": {"id": 1}}, {"order": {"id": 1, "lines": []}}),
        (single, {"id": 1}, {"order": {"id": 1, "lines": []}}),
        (optional, {}, {"limit": 3}),
        (optional, None, {"limit": 3}),
        (optional, 5, {"limit": 5}),
        (optional, {"limit": None}, {"limit": None}),
        (without_input, None, {}),
        (without_input, {}, {}),
    ],
)
def test_json_input_is_taken_by_name_or_as_the_only_parameter(definition, value, written):
    assert json.loads(definition.encode_json_input(value)) == written


@pytest.mark.parametrize(
    ("definition", "value", "reason"),
    [
        (order_processing, {"express": True}, "missing argument 'order'. Parameters: order: Order, express: bool (opt"),
        (order_processing, {"order": {}, "x": 1}, "unexpected argument 'x'. Parameters: order: Order"),
        (order_processing, [1], "it must be a JSON object by parameter name. Parameters: order: Order, express: bool"),
        (order_processing, None, "it must be a JSON object by parameter name. Parameters: order: Order, express"),
        (order_processing, {"order": {"id": []}}, "parameter 'order': id: Input should be a valid integer"),
        (single, None, "parameter 'order': Input should be an object, got None"),
        (single, {"ordr": {"id": 1}}, "parameter 'order': id: Field required"),
        (optional, float("nan"), "parameter 'limit': NaN and infinity have no JSON"),
        (without_input, 3, "it must be a JSON object by parameter name. It has no parameters."),
        (without_input, {"a": 1}, "unexpected argument 'a'. It has no parameters."),
    ],
)
def test_json_input_that_does_not_fit_says_what_would(definition, value, reason):
    with pytest.raises(InputInvalid) as caught:
        definition.encode_json_input(value)
    assert str(caught.value).startswith(f"Input of workflow {definition.name!r} is not valid: {reason}")
