"""Type-checked, never run: starts take exactly the parameters of their workflow, and give a run of its result.

Each ``type: ignore`` names the error that must be found there; one that finds none is an error itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from celeriac import AsyncClient, AsyncRun, Client, Run, step, workflow


@dataclass
class Order:
    id: str


@dataclass
class Shipment:
    label: str


@step
def ship(order: Order, express: bool) -> Shipment:
    return Shipment(f"{order.id} {express}")


@step
def label(tags: list[str], workflow: str) -> None: ...


@workflow
def order_processing(order: Order, express: bool = False) -> Shipment:
    return ship(order, express)


@workflow(version="2", timeout=60)
def labelling(tags: list[str], idempotency_key: int, workflow: str) -> None:
    label(tags, workflow)


ORDER = Order("a")


def accepted(client: Client) -> None:
    assert_type(client.start(order_processing, ORDER), Run[Shipment])
    assert_type(client.start(order_processing, ORDER, express=True), Run[Shipment])
    assert_type(client.start(order_processing, order=ORDER).result(timeout=30), Shipment)
    keyed = order_processing.options(idempotency_key=ORDER.id, tags={"tenant": "acme"})
    assert_type(client.start(keyed, ORDER), Run[Shipment])
    assert_type(client.start(labelling, tags=["a"], idempotency_key=7, workflow="w"), Run[None])
    assert_type(client.start_by_name("order_processing", {"order": {"id": "a"}}, tags={"a": "b"}), Run[Any])
    assert_type(client.get("4711"), Run[Any])
    assert_type(client.get("4711", order_processing), Run[Shipment])
    assert_type(client.get("4711", order_processing).result(), Shipment)


def refused(client: Client) -> None:
    client.start(order_processing)  # type: ignore[call-arg]
    client.start(order_processing, "a")  # type: ignore[arg-type]
    client.start(order_processing, ORDER, True, 2)  # type: ignore[call-arg]
    client.start(order_processing, ORDER, exprss=True)  # type: ignore[call-arg]
    client.start(order_processing, ORDER, tags={"a": "b"})  # type: ignore[call-arg]
    client.start("order_processing", ORDER)  # type: ignore[arg-type]
    client.start(ship, ORDER, True)  # type: ignore[arg-type]
    order_processing.options(idempotency_key=7)  # type: ignore[arg-type]
    order_processing.options(tag={})  # type: ignore[call-arg]
    order_processing.options(tags={"a": 1})  # type: ignore[dict-item]
    client.start_by_name(order_processing, {})  # type: ignore[arg-type]


def within(client: Client, connection: Connection, session: Session) -> None:
    assert_type(client.within(connection).start(order_processing, ORDER), Run[Shipment])
    assert_type(client.within(session).start_by_name("order_processing", {}), Run[Any])
    client.within(session).start(order_processing, 7)  # type: ignore[arg-type]
    client.within("postgresql://…")  # type: ignore[call-overload]


async def within_async(client: Client, session: AsyncSession, connection: AsyncConnection) -> None:
    assert_type(await client.within(session).start(order_processing, ORDER), Run[Shipment])
    assert_type(await client.within(connection).start_by_name("order_processing", {}), Run[Any])
    await client.within(session).start(order_processing, 7)  # type: ignore[arg-type]


async def awaited(client: AsyncClient) -> None:
    run = await client.start(order_processing, ORDER)
    assert_type(run, AsyncRun[Shipment])
    assert_type(await run.result(timeout=1), Shipment)
    assert_type(await client.get("4711", order_processing), AsyncRun[Shipment])
    await client.start(order_processing, "a")  # type: ignore[arg-type]
    client.start(order_processing, ORDER).result()  # type: ignore[attr-defined]
