import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

import pytest

from celeriac import (
    ArgumentInvalid,
    DefinitionError,
    ResultInvalid,
    StepContext,
    step,
    workflow,
)
from celeriac.workflows.authoring.options import NodeOptions, UseOptionArgs
from celeriac.workflows.authoring.steps import StepUse


@dataclass
class Order:
    id: int
    price: Decimal = Decimal(1)


@step
def charge(order: Order, currency: str = "EUR", *, note: str | None = None) -> Decimal:
    """Charge the order."""
    return order.price


@step(name="shop.charge", queue="money", priority=0, max_attempts=5)
async def charge_later(context: StepContext, order: Order) -> str:
    return f"{context.step} {order.id}"


def test_step_outside_of_a_workflow_is_the_plain_function():
    assert charge(Order(1)) == Decimal(1)
    assert charge(Order(1, Decimal(2)), "USD", note="x") == Decimal(2)
    assert charge.options(name="x", queue="y")(order=Order(3)) == Decimal(1)


def test_async_step_outside_of_a_workflow_returns_its_coroutine():
    assert asyncio.run(charge_later(Order(7))) == "shop.charge 7"


def test_step_called_as_a_plain_function_may_be_given_a_context():
    context = StepContext(run_id=None, step="mine", attempt=2)
    assert asyncio.run(charge_later(context, Order(7))) == "mine 7"
    assert asyncio.run(charge_later(context=context, order=Order(7))) == "mine 7"


def test_step_tells_what_it_is():
    assert (charge.name, charge.default_options) == ("charge", NodeOptions())
    assert (charge.context_parameter, charge.module) == (None, __name__)
    assert charge_later.name == "shop.charge"
    assert charge_later.default_options == NodeOptions(queue="money", priority=0, max_attempts=5)
    assert charge_later.context_parameter == "context"
    assert charge.__doc__ == "Charge the order."
    assert charge.__name__ == "charge"
    assert repr(charge_later) == f"<step 'shop.charge' of {__name__}>"


def test_arguments_come_from_json_as_their_annotations_say():
    arguments = charge.decode_arguments({"order": '{"id":1,"price":"2.50"}', "note": "null"})
    assert arguments == {"order": Order(1, Decimal("2.50")), "note": None}
    assert charge.call(arguments, StepContext.detached("charge")) == Decimal("2.50")


def test_context_is_handed_to_the_step_that_asks_for_it():
    context = StepContext(run_id=None, step="shop.charge-2", attempt=3)
    arguments = charge_later.decode_arguments({"order": '{"id":1}'})
    assert asyncio.run(charge_later.call(arguments, context)) == "shop.charge-2 1"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"order": "{}"}, "Argument 'order' of step 'charge' is not valid: id: Field required"),
        (
            {"order": '{"id":"x"}'},
            (
                "Argument 'order' of step 'charge' is not valid: id: Input should be a valid integer, unable to parse "
                "string as an integer, got 'x'"
            ),
        ),
        ({"order": "nonsense"}, "Argument 'order' of step 'charge' is not valid: Invalid JSON: expected ident at"),
        ({"note": '"x"'}, "Argument 'order' of step 'charge' is not valid: it is missing"),
        (
            {"order": '{"id":1}', "gone": "1"},
            "Argument 'gone' of step 'charge' is not valid: the step has no such parameter",
        ),
    ],
)
def test_arguments_that_do_not_fit_name_the_parameter(texts, message):
    with pytest.raises(ArgumentInvalid) as caught:
        charge.decode_arguments(texts)
    assert str(caught.value).startswith(message)
    assert caught.value.step == "charge"


def test_result_becomes_json_and_comes_back():
    assert charge.encode_result(Decimal("1.50")) == '"1.50"'
    assert charge.decode_result('"1.50"') == Decimal("1.50")


def test_step_without_annotations_takes_and_returns_plain_data():
    @step
    def plain(value, times=2):
        return value

    assert plain.decode_arguments({"value": '{"a":[1]}'}) == {"value": {"a": [1]}}
    assert plain.encode_result({"a": (1, 2), "\0": "\0"}) == '{"a":[1,2],"\\u0000":"\\u0000"}'


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("much", "Input should be a valid decimal, got 'much'"),
        (None, "Decimal input should be an integer, float, string or Decimal object, got None"),
        (Decimal("nan"), "Input should be a finite number, got 'NaN'"),
        (threading.Lock(), "Unable to serialize unknown type: <class '_thread.lock'>"),
    ],
)
def test_result_that_does_not_fit_names_the_step(value, reason):
    with pytest.raises(ResultInvalid) as caught:
        charge.encode_result(value)
    assert str(caught.value) == f"The result of step 'charge' is not valid: {reason}"


def test_result_that_no_longer_fits_the_code_is_refused():
    with pytest.raises(ResultInvalid, match="The result of step 'charge' is not valid: Input should be a valid dec"):
        charge.decode_result('"much"')


def test_step_that_returns_nothing_has_the_result_null():
    @step
    def notify() -> None: ...

    assert notify.encode_result(None) == "null"
    assert notify.decode_result("null") is None


def test_type_checkers_know_the_options_that_a_use_has():
    assert UseOptionArgs.__optional_keys__ == {field.name for field in fields(NodeOptions)}


def test_options_change_one_use_and_leave_the_rest_to_the_step():
    use = charge_later.options(name="last", after=[], priority=9)
    assert isinstance(use, StepUse)
    assert use.chosen == NodeOptions(name="last", after=[], queue="money", priority=9, max_attempts=5)
    assert charge_later.default_options.priority == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_attemps": 3}, "Unknown option 'max_attemps' for step 'pay'; did you mean 'max_attempts'?"),
        ({"zzz": 3}, "Unknown option 'zzz' for step 'pay'. Options: compensate, heartbeat_timeout, max_attempts, name"),
        ({"queue": ""}, "Bad option for step 'pay' (…): queue='' is not the name of a queue."),
        ({"queue": 3}, "Bad option for step 'pay' (…): queue=3 is not the name of a queue."),
        (
            {"priority": 10},
            "Bad option for step 'pay' (…): priority=10 is not a number from 0, served first, to 9, served last.",
        ),
        ({"priority": True}, "Bad option for step 'pay' (…): priority=True is not a number from 0, served first"),
        ({"max_attempts": 0}, "Bad option for step 'pay' (…): max_attempts=0 is not a number from 1 up."),
        ({"max_attempts": "3"}, "Bad option for step 'pay' (…): max_attempts='3' is not a number from 1 up."),
    ],
)
def test_bad_options_of_a_step_are_refused(options, message, without_place):
    with pytest.raises(DefinitionError) as caught:

        @step(**options)
        def pay() -> None: ...

    assert without_place(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"max_attemps": 3},
            "Unknown option 'max_attemps' for a use of step 'charge' (…); did you mean 'max_attempts'?",
        ),
        (
            {"z": 3},
            "Unknown option 'z' for a use of step 'charge' (…). Options: after, compensate, heartbeat_timeout, max_att",
        ),
        ({"queue": " "}, "Bad option for a use of step 'charge' (…): queue=' ' is not the name of a queue."),
        ({"name": "a b"}, "'a b' cannot name a use of a step (…). Use up to 100 ASCII letters"),
    ],
)
def test_bad_options_of_a_use_are_refused(options, message, without_place):
    with pytest.raises(DefinitionError) as caught:
        charge.options(**options)
    assert without_place(caught.value).startswith(message)


class Shop:
    def method(self) -> None: ...


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


@functools.wraps(generator)
def wrapped_generator() -> Any:
    return generator()


def positional(value: int, /) -> None: ...


def variadic(*values: int) -> None: ...


def variadic_by_name(**values: int) -> None: ...


def unresolved(value: "Nowhere") -> None: ...  # noqa: F821 - that is the point


def with_callback(done: Callable[[], None]) -> None: ...


def returning_lock() -> type(threading.Lock()): ...


def two_contexts(one: StepContext, two: StepContext | None) -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (generator, "Step 'generator' is a generator (…). It has one result: return it, as a list if there are many."),
        (async_generator, "Step 'async_generator' is a generator (…)."),
        (wrapped_generator, "Step 'generator' is a generator (…)."),
        (Shop.method, "Step 'method' is a method (…). Workers find it by name, without an object: make it a function"),
        (Shop, f"@step cannot take {Shop!r} (…). Put it on a function; write options by name, as in @step(name='charg"),
        (len, "@step cannot take <built-in function len> (…). Put it on a function"),
        ("charge", "@step cannot take 'charge' (…). Put it on a function; write options by name"),
        (lambda: None, "'<lambda>' cannot name a step (…). Use up to 100"),
        (
            positional,
            "Parameter 'value' of step 'positional' is positional-only (…). Arguments travel by name: drop the '/'.",
        ),
        (
            variadic,
            (
                "Parameter '*values' of step 'variadic' takes any number of arguments (…). Arguments travel by name: "
                "declare each, or take one list or dict."
            ),
        ),
        (variadic_by_name, "Parameter '**values' of step 'variadic_by_name' takes any number of arguments (…)."),
        (
            unresolved,
            (
                "The annotations of step 'unresolved' cannot be resolved (…): name 'Nowhere' is not defined. Define or "
                "import these names at module level, and not under TYPE_CHECKING."
            ),
        ),
        (
            with_callback,
            (
                "Parameter 'done' of step 'with_callback' cannot become JSON (…): Callable[[], None]: functions are "
                "not data. Use a dataclass, a pydantic model, or plain data."
            ),
        ),
        (
            returning_lock,
            "The result of step 'returning_lock' cannot become JSON (…): lock: pydantic does not know how. Use a",
        ),
        (two_contexts, "one, two of step 'two_contexts' are all annotated StepContext (…). Keep one of them."),
    ],
)
def test_what_cannot_be_a_step_is_refused_with_the_reason(function, message, without_place):
    with pytest.raises(DefinitionError) as caught:
        step(function)
    assert without_place(caught.value).startswith(message)


def test_symbol_cannot_leave_its_workflow_for_a_plain_call(without_place):
    leaked: list[Any] = []

    @workflow
    def leaking(order: Order) -> None:
        leaked.extend([order, charge(order)])

    with pytest.raises(DefinitionError) as caught:
        charge(leaked[0])
    assert without_place(caught.value) == (
        "Step 'charge' cannot be called with the input 'order' of workflow 'leaking' (…): the graph of that workflow "
        "is built. Call the step inside the body."
    )
    with pytest.raises(DefinitionError, match="Step 'charge' cannot be called with the result 'charge'"):
        charge.options(after=[leaked[1]])(Order(1))


def test_attributes_of_the_function_do_not_shadow_the_steps():
    def tagged() -> None: ...

    tagged.call = "mine"
    assert callable(step(tagged).call)
