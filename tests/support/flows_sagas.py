"""Workflows that go wrong on purpose: sagas, joins by rule, error handlers and hooks."""

from celeriac import (
    ErrorInfo,
    GiveUp,
    Outcome,
    PublicError,
    Retry,
    StepContext,
    outcome,
    step,
    workflow,
)
from tests.support.flows_chaos import await_gate, leave

ONCE = Retry(max_attempts=1)


@step
def release(context: StepContext, order: str, result: str) -> None:
    leave(context, f"{order} {result}")


@step
def refund(context: StepContext, result: str, gate: str) -> None:
    """Only the first attempt waits for the gate."""
    leave(context, result)
    if context.attempt == 1:
        await_gate(gate)


@step
def unpack(context: StepContext, order: str) -> None:
    leave(context)


@step(compensate=release)
def reserve(context: StepContext, order: str) -> str:
    leave(context)
    return f"reservation of {order}"


@step(compensate=refund)
def charge(context: StepContext, order: str, gate: str) -> str:
    leave(context)
    return f"payment for {order}"


@step(compensate=unpack, retry=ONCE)
def ship(context: StepContext, order: str) -> str:
    leave(context)
    raise ConnectionError("10.0.0.7 refused: password=hunter2")


@workflow(saga=True)
def order_saga(order: str, gate: str = ""):
    reserved = reserve(order)
    charged = charge.options(after=[reserved])(order, gate)
    return ship.options(after=[charged])(order)


@step(compensate=release)
def hold_reserved(context: StepContext, order: str, gate: str) -> str:
    leave(context)
    await_gate(gate)
    return f"reservation of {order}"


@workflow(saga=True)
def held_saga(order: str, gate: str):
    return charge.options(after=[hold_reserved(order, gate)])(order, "")


@step(retry=Retry(max_attempts=2, delay=0.1))
def refuse_release(context: StepContext, result: str) -> None:
    leave(context)
    if context.attempt <= 2:
        raise RuntimeError("the warehouse is closed")


@step(compensate=refuse_release)
def reserve_stubbornly(context: StepContext, order: str) -> str:
    return f"reservation of {order}"


@workflow(saga=True)
def stubborn_saga(order: str):
    reserved = reserve_stubbornly(order)
    return ship.options(after=[reserved])(order)


# Joins and handlers.


@step(retry=ONCE)
def divide(context: StepContext, number: int, by: int) -> float:
    leave(context)
    if by < 0:
        raise PublicError("One cannot divide by what is below zero here.")
    return number / by


@step
def summarize(context: StepContext, parts: list[Outcome[float]]) -> list[str]:
    leave(context)
    return [str(part.value) if part.succeeded or part.error is None else part.error.message for part in parts]


@workflow(failure_policy="continue")
def all_parts(numbers: list[int]):
    parts = [divide.options(name=f"part-{i}")(numbers[i], numbers[i]) for i in range(3)]
    return summarize.options(needs="all_done")([outcome(part) for part in parts])


@step
def replace_by_zero(context: StepContext, error: ErrorInfo, number: int) -> float:
    leave(context, f"{error.type}|{error.message}|{error.raw_message}|{error.step}")
    if number == 13:
        raise GiveUp("13 is not to be replaced")
    return 0.0


@step
def double(context: StepContext, number: float) -> float:
    leave(context)
    return number * 2


@workflow
def replaced(number: int, by: int):
    return double(divide.options(on_error=replace_by_zero)(number, by))


# Hooks.


@step
def praise(context: StepContext, number: int, result: float) -> None:
    leave(context, f"{number} {result}")


@step
def alert(context: StepContext, number: int, error: ErrorInfo) -> None:
    leave(context, f"{number} {error.type} {error.step}")


@workflow(on_complete=praise, on_failure=alert)
def hooked(number: int, by: int):
    return double(divide(number, by))


@step
def hold_branch(context: StepContext, gate: str) -> None:
    leave(context)
    await_gate(gate)


@workflow(on_failure=alert)
def hooked_branches(number: int, gate: str):
    divide(number, 0)
    hold_branch(gate)
