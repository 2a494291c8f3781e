"""Workflows that chaos and acceptance tests run: each step leaves a mark outside of the history, to be counted."""

import asyncio
import os
import signal
import threading
from pathlib import Path

import sqlalchemy as sa

from celeriac import StepContext, step, workflow
from tests.support.effects import Effects
from tests.support.waiting import wait_until


def leave(context: StepContext, note: str = "") -> None:
    """Mark that an attempt's code ran."""
    Effects.of_environment().leave(context, note)


def rest(seconds: float) -> None:
    threading.Event().wait(seconds)


def await_gate(gate: str) -> None:
    """Hold the step until the test opens the gate, which is a file."""
    if gate:
        wait_until(Path(gate).exists, 60, f"the gate {gate} opens")


# A line of three steps, of some seconds each.


@step
def first(context: StepContext, number: int, seconds: float) -> int:
    leave(context)
    rest(seconds)
    return number + 1


@step
def second(context: StepContext, number: int, seconds: float) -> int:
    leave(context)
    rest(seconds)
    return number + 1


@step
def third(context: StepContext, number: int, seconds: float) -> int:
    leave(context)
    rest(seconds)
    return number + 1


@step
def add(context: StepContext, numbers: list[int]) -> int:
    leave(context)
    return sum(numbers)


@step
def tell(context: StepContext, number: int) -> int:
    leave(context)
    return number


@workflow
def line(number: int, seconds: float):
    return third(second(first(number, seconds), seconds), seconds)


@workflow
def fork(number: int, seconds: float):
    """A chord: three branches, the join, and one step after it."""
    prepared = first(number, seconds)
    branches = [second.options(name=f"branch-{i}")(prepared, seconds) for i in range(3)]
    return tell(add(branches))


# Steps that wait for the test.


@step
def hold(context: StepContext, gate: str) -> int:
    """Every attempt waits."""
    leave(context)
    await_gate(gate)
    return context.attempt


@workflow
def holding(gate: str):
    return hold(gate)


@workflow
def holding_then_telling(gate: str):
    return tell(hold(gate))


@step
def pass_gate(context: StepContext, number: int, gate: str) -> int:
    """Its mark has the name of the gate."""
    leave(context, Path(gate).name)
    await_gate(gate)
    return number + 1


@workflow
def line_through(number: int, seconds: float, gate: str):
    return third(pass_gate(first(number, seconds), gate), seconds)


@workflow
def line_up_to(number: int, seconds: float, gate: str):
    return pass_gate(second(first(number, seconds), seconds), gate)


@workflow
def fork_through(number: int, seconds: float, gate: str):
    """A chord of three branches, behind the gate."""
    passed = pass_gate(first(number, seconds), gate)
    branches = [second.options(name=f"branch-{i}")(passed, seconds) for i in range(3)]
    return tell(add(branches))


@step
def hold_apart(context: StepContext, gate: str) -> int:
    """Each attempt waits for a gate of its own, ``<gate>.1`` and so on."""
    leave(context)
    await_gate(f"{gate}.{context.attempt}")
    return context.attempt


@workflow
def holding_apart(gate: str):
    return tell(hold_apart(gate))


@step
def hold_once(context: StepContext, gate: str) -> int:
    """Only the first attempt waits; each writes a row in the transaction of its completion."""
    context.transaction.execute(
        sa.text("INSERT INTO effects (key, attempt) VALUES (:key, :attempt)"),
        {"key": context.idempotency_key, "attempt": context.attempt},
    )
    leave(context)
    if context.attempt == 1:
        await_gate(gate)
    return context.attempt


@workflow
def holding_once(gate: str):
    return tell(hold_once(gate))


# Steps with SQL of their own.


@step
def record(context: StepContext, number: int, seconds: float) -> int:
    context.transaction.execute(
        sa.text("INSERT INTO effects (key, attempt) VALUES (:key, :attempt)"),
        {"key": context.idempotency_key, "attempt": context.attempt},
    )
    leave(context)
    rest(seconds)
    return number + 1


@workflow
def recording(number: int, seconds: float):
    return third(record(first(number, seconds), seconds), seconds)


@step
def record_and_fail(context: StepContext) -> None:
    context.transaction.execute(
        sa.text("INSERT INTO effects (key, attempt) VALUES (:key, 1)"), {"key": context.idempotency_key}
    )
    raise ValueError("after the insert")


@workflow
def recording_and_failing():
    record_and_fail()


# Steps that kill.


@step
def kill_process(context: StepContext) -> None:
    leave(context)
    os.kill(os.getpid(), signal.SIGKILL)


@workflow
def deadly():
    kill_process()


@workflow
def deadly_at_once():
    kill_process.options(max_attempts=1)()


# The irregular graph of the design: `validate` waits for c alone, `notify` for both of its parents.


@step
def prepare(context: StepContext, gate: str) -> str:
    leave(context)
    return gate


@step
def slow(context: StepContext, gate: str) -> int:
    leave(context)
    await_gate(gate)
    return 1


@step
def quick(context: StepContext, gate: str) -> int:
    leave(context)
    return 1


@step
def validate(context: StepContext, number: int) -> int:
    leave(context)
    return number * 10


@step
def notify(context: StepContext, total: int, checked: int) -> int:
    leave(context)
    return total + checked


@workflow
def irregular(gate: str):
    prepared = prepare(gate)
    a = slow.options(name="a")(prepared)
    b = slow.options(name="b")(prepared)
    c = quick.options(name="c")(prepared)
    return notify(add.options(name="aggregate")([a, b, c]), validate(c))


# What random graphs are made of.


@step
def mix(context: StepContext, salt: int, parents: list[int]) -> int:
    leave(context)
    return (31 * salt + 7 * sum((i + 1) * value for i, value in enumerate(parents))) % 1_000_003


# Asynchronous steps, and others that a pool may stumble over.


@step
async def later(context: StepContext, number: int) -> int:
    leave(context)
    await asyncio.sleep(0.01)
    return number + 1


@workflow
def pooled(number: int):
    counted = record(later(number), 0.0)
    return add([later.options(name="left")(counted), third.options(name="right")(counted, 0.0)])


@step
def refuse(context: StepContext, number: int) -> int:
    leave(context)
    raise ValueError(f"no luck with {number}")


@workflow
def refusing(number: int):
    return tell(refuse(first(number, 0.0)))


# Steps of other queues.


@step(queue="elsewhere")
def far(context: StepContext, number: int) -> int:
    leave(context)
    return number + 1


@workflow
def travelling(number: int):
    return third(far(first(number, 0.0)), 0.0)


@workflow
def stranded(number: int):
    return first.options(queue="nobody-listens")(number, 0.0)


@workflow
def beside_stranded(number: int):
    """One branch waits for a worker that is not there; the other goes on to its end."""
    first.options(queue="nobody-listens", name="stranded")(number, 0.0)
    return third(second(number, 0.0), 0.0)
