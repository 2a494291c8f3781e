"""Workflows of steps that do to the engine what they should not."""

from threading import Event

from celery.exceptions import Ignore, Reject
from celery.exceptions import Retry as CeleryRetry
from sqlalchemy import text

from celeriac import StepContext, step, workflow


@step
def before(number: int) -> int:
    return number


@step
def raises_from_celery(number: int) -> int:
    raise (Ignore(), Reject("no"), CeleryRetry("later"))[number]


@step
def ends_its_transaction(context: StepContext, how: str) -> str:
    context.transaction.execute(text("SELECT 1"))
    getattr(context.transaction, how)()
    return how


@step
def exits(code: int) -> int:
    raise SystemExit(code)


@step
def interrupts() -> int:
    raise KeyboardInterrupt


@step
def nap(seconds: float) -> float:
    Event().wait(seconds)
    return seconds


@step
def after(anything: object) -> str:
    return str(anything)


@workflow
def celery_control(number: int) -> str:
    return after(raises_from_celery(before(number)))


@workflow
def transaction_ended(how: str) -> str:
    return after(ends_its_transaction(how))


@workflow
def naps(seconds: float) -> str:
    for _ in range(4):
        seconds = nap(seconds)
    return after(seconds)


@workflow
def interrupting() -> str:
    return after(interrupts())


@workflow
def exiting(code: int) -> str:
    return after(exits(code))
