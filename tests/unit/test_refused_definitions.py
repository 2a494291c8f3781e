"""Bodies that describe no workflow, each refused with the reason."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from celeriac import DefinitionError, StepContext, step, workflow
from tests.support.orders import Order, Parcel, charge, collect, order_processing_body, post, ship, validate

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
            f"uses two different steps of one name (…): 'charge' of {charge.module} and 'charge' of {__name__}; rename",
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
    with pytest.raises(DefinitionError, match=rf"two steps named 'pay' \(\S*test_refused_definitions\.py:{line}\)"):
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
