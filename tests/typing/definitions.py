"""Type-checked, never run: what a type checker must accept of definitions, and what it must reject.

Each ``type: ignore`` names the error that must be found there; one that finds none is an error itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import assert_type

from celeriac import (
    Step,
    StepContext,
    Workflow,
    step,
    workflow,
)


@dataclass
class Order:
    id: int


@dataclass
class Payment:
    amount: Decimal


@step
def validate(order: Order, *, strict: bool = True) -> Order:
    return order


@step(queue="money", priority=3, max_attempts=2, name="shop.charge")
def charge(context: StepContext, order: Order) -> Payment:
    context.logger.info("attempt %d", context.attempt)
    return Payment(Decimal(1))


@step
async def ship(order: Order, amount: Decimal) -> tuple[int, str]:
    return order.id, str(amount)


@step(queue="mail")
async def notify(context: StepContext, text: str) -> None:
    context.logger.info(text)


@workflow
def accepted(order: Order, express: bool = False) -> str:
    checked = validate(order, strict=express)
    assert_type(checked, Order)
    paid = charge.options(after=[checked], name="pay", queue="fast", priority=0, max_attempts=1)(checked)
    assert_type(paid, Payment)
    number, label = ship(checked, paid.amount)
    assert_type(number, int)
    notified = notify(label)
    validate.options(after=(notified, paid.amount))(order)
    return label


@workflow(name="shop.versioned", version="2")
def versioned(order: Order) -> list[Payment]:
    return [charge(order), charge(order)]


def steps_keep_their_types(context: StepContext) -> None:
    assert_type(charge(Order(1)), Payment)
    assert_type(charge.name, str)
    assert_type(charge.decode_result("{}"), Payment)
    assert_type(versioned.decode_result("[]"), list[Payment])
    taken: Step[[Order], Payment] = charge
    started: Workflow[[Order], list[Payment]] = versioned
    print(taken, started)


@workflow
def rejected(order: Order) -> str:
    validate("order")  # type: ignore[arg-type]
    validate()  # type: ignore[call-arg]
    validate(order, strict="no")  # type: ignore[arg-type]
    validate(order, strickt=True)  # type: ignore[call-arg]
    charge(order, order)  # type: ignore[call-arg]
    ship(order, charge(order).amont)  # type: ignore[attr-defined]
    ship(order, order.id)  # type: ignore[arg-type]
    charge.options(queue=1)(order)  # type: ignore[arg-type]
    charge.options(after=validate(order))(order)  # type: ignore[arg-type]
    charge.options(afterr=[])(order)  # type: ignore[call-arg]
    charge.options(name="x")("order")  # type: ignore[arg-type]
    return charge(order)  # type: ignore[return-value]


def options_are_checked() -> None:
    @step(max_attemps=3)  # type: ignore[call-overload, untyped-decorator]
    def misspelt() -> None: ...

    @step(priority="high")  # type: ignore[call-overload, untyped-decorator]
    def wrong() -> None: ...

    @workflow(version=1)  # type: ignore[call-overload, untyped-decorator]
    def numbered() -> None: ...


def workflows_are_not_called() -> None:
    versioned(Order(1))
    print("never reached")  # type: ignore[unreachable]
