"""Workflows of an order, which the tests of the client start."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from celeriac import step, workflow
from tests.support.store import Store

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@dataclass
class Order:
    id: int
    amount: Decimal
    at: datetime = NOON


@dataclass
class Receipt:
    order: Order
    paid: bool


@step
def charge(order: Order) -> Receipt:
    return Receipt(order=order, paid=True)


@step
def notify(receipt: Receipt, copies: int) -> None:
    del receipt, copies


@workflow(version="2")
def ordering(order: Order, copies: int = 1) -> Receipt:
    receipt = charge(order)
    notify(receipt, copies)
    return receipt


@workflow
def quiet():
    charge({"id": 1, "amount": "2"})


@workflow
def summary(order: Order) -> dict[str, Decimal]:
    receipt = charge(order)
    return {"amount": receipt.order.amount, "asked": order.amount}


@step
def label(tags: str, idempotency_key: str, workflow: str) -> None:
    del tags, idempotency_key, workflow


@workflow
def labelling(tags: str, idempotency_key: str, workflow: str, self: str):
    label(tags, idempotency_key, workflow)
    label(self, self, self)


ORDER = Order(id=7, amount=Decimal("12.50"))
RECEIPT = Receipt(order=ORDER, paid=True)
RECEIPT_JSON = '{"order": {"id": 7, "amount": "12.50", "at": "2026-01-02T12:00:00Z"}, "paid": true}'


def finish(store: Store, run_id: UUID) -> None:
    """Run a run of ``ordering``, ``summary`` or ``quiet`` as a worker would."""
    store.complete(store.take(run_id, "charge"), RECEIPT_JSON)
    if "notify" in store.statuses(run_id):
        store.do(run_id, "notify")
