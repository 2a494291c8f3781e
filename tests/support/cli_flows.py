"""Workflows for the tests of the command."""

import os
import signal
import threading

from workflows import step, workflow


@step
def prepare(number: int) -> int:
    return number


@step
def double(number: int) -> int:
    return number * 2


@step(queue="second")
def triple(number: int) -> int:
    return number * 3


@step
def add(numbers: list[int]) -> dict[str, int]:
    return {"sum": sum(numbers)}


@workflow
def arithmetic(number: int):
    prepared = prepare(number)
    return add([double(prepared), triple(prepared)])


@step
def refuse(number: int) -> int:
    raise ValueError(f"no luck with {number}")


@workflow
def failing(number: int = 13):
    return refuse(prepare(number))


@step
def nap(seconds: float) -> float:
    threading.Event().wait(seconds)
    return seconds


@workflow
def napping(seconds: float):
    return nap(seconds)


@step(max_attempts=1)
def vanish() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    threading.Event().wait()


@workflow
def vanishing():
    vanish()
