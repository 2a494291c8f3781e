"""An order: validate, reserve, charge, ship, notify. Each step may run more than once, and nothing is done twice.

    celeriac run examples.orders:order_processing --input @examples/data/order.json

In an application, one order should have one run, however often the customer clicks:

    client.start(order_processing.options(idempotency_key=f"order-{order.id}"), order)
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, Field
from sqlalchemy import Connection, text

from celeriac import StepContext, step, workflow
from examples import outside

Money = Annotated[Decimal, Field(ge=0, decimal_places=2)]  # travels as text, so that no cent is lost

PRICES = {"mug": Decimal("12.50"), "teapot": Decimal("49.00"), "tea": Decimal("7.95")}
IN_STOCK = 10_000  # of each article, when the shop opens


# -- The data ----------------------------------------------------------------------------------------------------------
# The order comes from outside. A pydantic model refuses a bad one before a run of it is started.


class Line(BaseModel):
    """An article of an order."""

    article: str
    quantity: int = Field(ge=1)
    price: Money  # of one, as the customer was told


class Order(BaseModel):
    """What a customer orders."""

    id: str = Field(min_length=1)
    customer: str = Field(pattern="^[^@ ]+@[^@ ]+$")
    address: str = Field(min_length=1)
    lines: list[Line] = Field(min_length=1)


@dataclass(frozen=True, kw_only=True)
class CheckedOrder:
    """An order that we can fulfil at the prices that it names."""

    order: Order
    total: Money


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """Goods taken from the stock for an order."""

    order: Order
    pieces: int


@dataclass(frozen=True, kw_only=True)
class Payment:
    """Money taken from a customer."""

    reference: str
    amount: Money


@dataclass(frozen=True, kw_only=True)
class Shipment:
    """A parcel on its way."""

    order_id: str
    customer: str
    tracking: str
    insured_for: Money


class OrderRejected(Exception):
    """An order that we cannot fulfil. Raised by a step, it fails the run, with this as the reason."""


# -- The steps ---------------------------------------------------------------------------------------------------------


@step
def validate(order: Order) -> CheckedOrder:
    """Check articles and prices, and add up."""
    for line in order.lines:
        if line.article not in PRICES:
            raise OrderRejected(f"Order {order.id}: there is no article {line.article!r}.")
        if line.price != PRICES[line.article]:
            raise OrderRejected(
                f"Order {order.id}: {line.article!r} costs {PRICES[line.article]}, the order says {line.price}."
            )
    return CheckedOrder(order=order, total=sum((line.quantity * line.price for line in order.lines), Decimal("0.00")))


@step
def reserve(context: StepContext, checked: CheckedOrder) -> Reservation:
    """Take the goods from the stock, all or none.

    Done twice, a subtraction takes twice. On ``context.transaction`` it commits together with this step's completion,
    and so happens once, even if the step runs again because a worker died.
    """
    database = context.transaction
    _open_shop(database)
    lines = checked.order.lines
    for line in sorted(lines, key=lambda line: line.article):  # in one order for all, or two runs may deadlock
        taken = database.execute(
            text("UPDATE stock SET pieces = pieces - :quantity WHERE article = :article AND pieces >= :quantity"),
            {"article": line.article, "quantity": line.quantity},
        )
        if taken.rowcount == 0:
            raise OrderRejected(f"Order {checked.order.id}: fewer than {line.quantity} of {line.article!r} are left.")
    return Reservation(order=checked.order, pieces=sum(line.quantity for line in lines))


@step
def charge(context: StepContext, checked: CheckedOrder) -> Payment:
    """Take the money.

    The provider is outside of our transaction. If the worker dies after the provider has taken the money and before we
    have recorded it, this step runs again; the idempotency key, the same for each attempt, keeps the customer from
    paying twice.
    """
    reference = outside.request(
        "payment", f"{checked.total} from {checked.order.customer}", idempotency_key=context.idempotency_key
    )
    return Payment(reference=reference, amount=checked.total)


@step
def ship(context: StepContext, reserved: Reservation, insured_for: Money) -> Shipment:
    """Hand the goods to the carrier."""
    order = reserved.order
    tracking = outside.request(
        "parcel", f"{reserved.pieces} pieces to {order.address}", idempotency_key=context.idempotency_key
    )
    return Shipment(order_id=order.id, customer=order.customer, tracking=tracking, insured_for=insured_for)


@step
def notify(context: StepContext, shipped: Shipment) -> None:
    """Tell the customer."""
    message = f"to {shipped.customer}: order {shipped.order_id} is on its way as {shipped.tracking}"
    outside.request("mail", message, idempotency_key=context.idempotency_key)
    context.logger.info("mailed %s", shipped.customer)


# -- The workflow ------------------------------------------------------------------------------------------------------


@workflow
def order_processing(order: Order) -> Shipment:
    """Bring an order to its customer."""
    checked = validate(order)
    reserved = reserve(checked)
    paid = charge.options(after=[reserved])(checked)  # takes nothing from `reserved`, but waits for it
    shipped = ship(reserved, paid.amount)  # a field of a result that does not exist yet
    notify(shipped)
    return shipped


def _open_shop(database: Connection) -> None:
    """Create the stock if this is the first order ever. In an application, this would be among its migrations."""
    database.execute(text("SELECT pg_advisory_xact_lock(hashtext('stock'))"))  # two first orders at a time
    database.execute(
        text("CREATE TABLE IF NOT EXISTS stock (article text PRIMARY KEY, pieces integer NOT NULL CHECK (pieces >= 0))")
    )
    database.execute(
        text("INSERT INTO stock (article, pieces) VALUES (:article, :pieces) ON CONFLICT DO NOTHING"),
        [{"article": article, "pieces": IN_STOCK} for article in PRICES],
    )
