"""Workflows for the tests of the command."""

import os
import signal
import threading
from pathlib import Path

from celeriac import (
    Retry,
    StepContext,
    step,
    workflow,
)


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


@step(max_attempts=1)
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


@step
def announce(file: str) -> str:
    return file


@step(max_attempts=1)
def demand(file: str) -> str:
    """Fails unless the file is there."""
    return Path(file).read_text()


@step
def conclude(text: str) -> str:
    return text.upper()


@workflow
def demanding(file: str):
    return conclude(demand(announce(file)))


@workflow(name="demanding", version="2")
def demanding_again(file: str):
    return conclude(conclude.options(name="polish")(demand(announce(file))))


@step(retry=Retry(max_attempts=2, delay=3600, max_delay=3600, jitter=0))
def stumble() -> None:
    raise ConnectionError("the bank is closed")


@workflow
def stumbling():
    stumble()


@step
def hold(context: StepContext, file: str) -> str:
    """Waits for the file, or for its run to be cancelled."""
    while not Path(file).exists() and not context.cancelled:
        threading.Event().wait(0.02)
    return file


@workflow
def holding(file: str):
    return conclude(hold(file))
