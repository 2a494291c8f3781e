"""Steps around an order, and a workflow of them: what the tests of definitions build from."""

import dataclasses
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, Field

from celeriac import StepContext, step, workflow


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
