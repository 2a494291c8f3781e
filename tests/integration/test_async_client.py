"""The client for event loops: the same as the client, awaited."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from celeriac import AsyncClient, AsyncRun, Client, ResultTimeout, Run, RunFailed, Settings, step, workflow
from celeriac.workflows.authoring.catalog import Catalog
from tests.support.store import ERROR, Store
from tests.support.waiting import wait_until


@step
def double(number: int) -> int:
    return 2 * number


@workflow
def doubling(number: int) -> int:
    return double(number)


@pytest.fixture
def run_async(settings: Settings, store: Store) -> Callable[..., Any]:
    """``run_async(body)``: run ``await body(client)`` on a loop of its own."""

    def run(body: Callable[[AsyncClient], Awaitable[Any]], chosen: Settings = settings) -> Any:
        async def main() -> Any:
            async with AsyncClient(chosen, catalog=Catalog.of(doubling)) as client:
                return await body(client)

        return asyncio.run(main())

    return run


def complete(store: Store, run: AsyncRun) -> None:
    """In a thread of its own, and so on a connection of its own."""
    try:
        store.complete(store.take(run.id, "double"), "8")
    finally:
        store.attempts.close()


def test_a_run_is_started_followed_and_has_its_result(run_async, store):
    async def body(client: AsyncClient) -> None:
        run = await client.start(doubling, 4)
        assert await run.status() == "pending"
        waiting = asyncio.create_task(run.result(timeout=20))
        await asyncio.to_thread(complete, store, run)
        assert await waiting == 8
        assert await run.result_json() == 8
        assert [step.name for step in await run.steps()] == ["double"]
        assert [event.type for event in await run.history()][-1] == "RunCompleted"
        assert (await run.view(steps=False)).status == "completed"
        assert await run.explain() == ()
        assert await (await client.get(run.id, doubling)).result() == 8

    run_async(body)


def test_many_wait_at_once_without_a_thread_each(run_async, store):
    async def body(client: AsyncClient) -> None:
        run = await client.start(doubling, 4)
        waiting = [asyncio.create_task(run.result(timeout=30)) for _ in range(100)]
        await asyncio.wait(waiting, timeout=0.5)
        await asyncio.to_thread(complete, store, run)
        assert await asyncio.gather(*waiting) == [8] * 100

    run_async(body)


def test_one_who_waits_is_woken_by_the_broker(run_async, store, settings):
    with Client(settings) as waking:

        async def body(client: AsyncClient) -> int:
            run = await client.start(doubling, 4)
            waiting = asyncio.create_task(run.result(timeout=20))
            redis = waking.services.dispatch.wakeups._client
            channel = f"celeriac.run.{run.id}"
            await asyncio.to_thread(wait_until, lambda: redis.pubsub_numsub(channel)[0][1] == 1)
            await asyncio.to_thread(complete, store, run)
            waking.services.dispatch.wakeups.wake(run.id)
            return await waiting

        assert run_async(body) == 8


def test_one_who_waits_without_a_broker_finds_out_by_asking(run_async, store, settings):
    async def body(client: AsyncClient) -> int:
        run = await client.start(doubling, 4)
        waiting = asyncio.create_task(run.result(timeout=20))
        await asyncio.wait([waiting], timeout=0.2)
        await asyncio.to_thread(complete, store, run)
        return await waiting

    alone = Settings(database_url=settings.database_url, broker_url="redis://127.0.0.1:1/0")
    assert run_async(body, alone) == 8


def test_a_result_that_takes_too_long_is_a_timeout(run_async):
    async def body(client: AsyncClient) -> None:
        run = await client.start(doubling, 4)
        with pytest.raises(ResultTimeout, match="is still pending after 0.1 s"):
            await run.result(timeout=0.1)

    run_async(body)


def test_runs_are_controlled_retried_and_forked(run_async, store):
    async def body(client: AsyncClient) -> None:
        run = await client.start(doubling.options(tags={"tenant": "acme"}), 4)
        await run.pause()
        assert await run.status() == "paused"
        await run.resume()
        assert await client.pause(tags={"tenant": "acme"}) == [run.id]
        assert await client.resume(workflow="doubling") == [run.id]
        store.fail(store.take(run.id, "double"))
        with pytest.raises(RunFailed, match=ERROR["message"]):
            await run.result()
        forked = await run.fork("double")
        await forked.cancel("not needed")
        assert [view.id for view in await client.list(status="cancelled")] == [forked.id]
        await run.retry()
        assert await run.status() == "running"
        await run.terminate()
        by_name = await client.start_by_name("doubling", 4, idempotency_key="k")
        assert await client.cancel(dry_run=True) == [by_name.id]
        assert await client.terminate(status="pending") == [by_name.id]

    run_async(body)


@pytest.mark.parametrize(("sync", "awaited"), [(Client, AsyncClient), (Run, AsyncRun)])
def test_it_has_the_methods_of_its_model(sync, awaited):
    """But for those of operators, who work with the command."""
    left_out = {"audit", "catalog", "check_schema", "control", "control_runs"}
    methods = {name for name in vars(sync) if not name.startswith("_")} - left_out
    assert {name for name in vars(awaited) if not name.startswith("_")} == methods
    for name in methods:
        model, own = inspect.getattr_static(sync, name), inspect.getattr_static(awaited, name)
        if inspect.isfunction(model):
            assert list(inspect.signature(own).parameters) == list(inspect.signature(model).parameters), name
