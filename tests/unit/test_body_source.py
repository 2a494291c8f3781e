"""Code in a body that would build a wrong graph without a word is refused where it stands."""

import datetime as dt
import random
import secrets
import time
import uuid
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pytest

from celeriac import DefinitionError, step, workflow

REGIONS = ("north", "south")
OPTIONS = {"express": None}


@dataclass
class Order:
    id: str
    coupon: str | None = None


@step
def check(order: Order, at: object = None) -> Order:
    return order


@step
def split(order: Order) -> tuple[Order, Order | None]:
    return order, None


@step
def ship(order: Order) -> str:
    return order.id


def an_input_compared_with_is(order: Order):
    if order.coupon is None:
        check(order)
    ship(order)


def a_result_compared_with_is_not(order: Order):
    checked = check(order)
    coupon = checked.coupon
    if coupon is not None:
        ship(checked)


def an_unpacked_result_compared_with_is(order: Order):
    first, second = split(order)
    if second is None:
        check(first)
    ship(first)


def a_call_compared_with_is(order: Order):
    return ship(order) if check.options(name="first")(order) is None else None


def an_input_asked_for_its_type(order: Order):
    if isinstance(order, Order):
        check(order)
    ship(order)


def a_result_asked_for_its_type(order: Order):
    checked: Order = check(order)
    if type(checked.coupon) == str:  # noqa: E721
        ship(checked)


def an_input_matched(order: Order):
    match order:
        case Order(coupon=None):
            check(order)
    ship(order)


def a_try_around_a_step(order: Order):
    try:
        checked = check(order)
    except ValueError:
        checked = order
    ship(checked)


def a_finally_around_a_step(order: Order):
    try:
        ship.options(queue="fast")(check(order))
    finally:
        check(order)


def the_clock(order: Order):
    check(order, at=datetime.now())  # noqa: DTZ005


def the_clock_of_a_module(order: Order):
    check(order, dt.datetime.now(dt.UTC))


def today(order: Order):
    check(order, date.today())  # noqa: DTZ011


def seconds(order: Order):
    check(order, time.time())


def an_id(order: Order):
    key = str(uuid.uuid4())
    check(order, key)


def chance(order: Order):
    if random.random() < 0.5:
        check(order)
    ship(order)


def a_choice(order: Order):
    check(order, random.choice(REGIONS))


def a_secret(order: Order):
    check(order, secrets.token_hex(4))


@pytest.mark.parametrize(
    ("body", "line", "problem", "remedy"),
    [
        (an_input_compared_with_is, 1, "compares 'order.coupon' with 'is'", "Decide inside a step."),
        (a_result_compared_with_is_not, 3, "compares 'coupon' with 'is'", "Decide inside a step."),
        (
            a_call_compared_with_is,
            1,
            "compares \"check.options(name='first')(order)\" with 'is'",
            "Decide inside a step.",
        ),
        (an_input_asked_for_its_type, 1, "asks for the type of 'order'", "Decide inside a step."),
        (a_result_asked_for_its_type, 2, "asks for the type of 'checked.coupon'", "Decide inside a step."),
        (an_input_matched, 1, "matches 'order' against patterns", "Decide inside a step."),
        (a_try_around_a_step, 1, "has a try around 'check'", "on_error="),
        (a_finally_around_a_step, 1, "has a try around \"ship.options(queue='fast')\"", "on_error="),
        (the_clock, 1, "calls 'datetime.now'", "or make it a parameter."),
        (the_clock_of_a_module, 1, "calls 'dt.datetime.now'", "or make it a parameter."),
        (today, 1, "calls 'date.today'", "or make it a parameter."),
        (seconds, 1, "calls 'time.time'", "or make it a parameter."),
        (an_id, 1, "calls 'uuid.uuid4'", "or make it a parameter."),
        (chance, 1, "calls 'random.random'", "or make it a parameter."),
        (a_choice, 1, "calls 'random.choice'", "or make it a parameter."),
        (a_secret, 1, "calls 'secrets.token_hex'", "or make it a parameter."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_it_is_refused_with_file_line_and_remedy(body, line, problem, remedy):
    with pytest.raises(DefinitionError) as caught:
        workflow(body)
    first = body.__code__.co_firstlineno
    assert problem in str(caught.value)
    assert f"(tests/unit/test_body_source.py:{first + line})" in str(caught.value)
    assert str(caught.value).endswith(remedy) or remedy in str(caught.value)


def a_chain_over_a_constant(order: Order):
    last = None
    for _ in REGIONS:
        last = check(order) if last is None else check(last)
    ship(last)


def questions_about_constants(order: Order):
    if OPTIONS["express"] is None:
        check(order)
    regions = list(REGIONS)
    if isinstance(regions, list):
        ship(order)


def a_try_without_a_step(order: Order):
    try:
        express = OPTIONS["express"]["fast"]
    except (KeyError, TypeError):
        express = None
    check(order, express)


def a_function_inside(order: Order):
    def key(region: str) -> str:
        return f"{region} {uuid.uuid4()}"

    assert callable(key)
    check(order)


def own_names(order: Order):
    random = {"random": lambda: 4}
    check(order, random["random"]())


@pytest.mark.parametrize(
    "body",
    [a_chain_over_a_constant, questions_about_constants, a_try_without_a_step, a_function_inside, own_names],
    ids=lambda body: body.__name__,
)
def test_code_about_the_body_itself_is_left_alone(body):
    assert workflow(body).graph.nodes


def test_a_body_without_source_is_not_checked():
    names = {"check": check, "workflow": workflow, "Order": Order}
    exec("@workflow\ndef flow(order: Order):\n    check(order)\n", names)
    assert len(names["flow"].graph.nodes) == 1


def test_a_decorator_above_does_not_move_the_line():
    with pytest.raises(DefinitionError) as caught:

        @workflow(
            name="decorated",
            version="2",
        )
        def flow(order: Order):
            check(order, time.time())  # this line

    line = next(n for n, text in enumerate(Path(__file__).read_text().splitlines(), 1) if text.endswith("# this line"))
    assert f"test_body_source.py:{line})" in str(caught.value)
