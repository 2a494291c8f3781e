"""The other side: the same work as plain Celery canvas, as people write it."""

from __future__ import annotations

from celery import Celery, chain, chord, group
from celery.canvas import Signature

from benchmarks.shapes import CHAIN, CHORD, WIDE, Shape


def create_app(broker_url: str) -> Celery:
    """Return an app with Celery's default settings, and Redis as its broker and its result backend."""
    app = Celery("plain", broker=broker_url, backend=broker_url, set_as_current=False)
    app.conf.broker_connection_retry_on_startup = True  # the default, said aloud: without it Celery warns
    for task in (increment, increment_last, total):
        app.task(task, name=task.__name__, shared=False)  # else every app in the process has it
    return app


def increment(number: int) -> int:
    return number + 1


def increment_last(numbers: list[int]) -> int:
    return numbers[-1] + 1


def total(numbers: list[int]) -> int:
    return sum(numbers)


def canvas(app: Celery, shape: Shape, number: int) -> Signature:
    """Return the canvas of a shape.

    Canvas cannot say that ``validate`` waits for c alone. What people write for the irregular graph is two
    groups after one another, with a barrier between them: ``validate`` waits for a and b too.
    """
    increment, increment_last, total = (app.tasks[name] for name in ("increment", "increment_last", "total"))
    match shape:
        case Shape.SINGLE:
            return increment.s(number)
        case Shape.CHAIN:
            return chain(increment.s(number), *(increment.s() for _ in range(CHAIN - 1)))
        case Shape.CHORD:
            return chord([increment.s(number) for _ in range(CHORD)], total.s())
        case Shape.IRREGULAR:
            parts = group(increment.s() for _ in "abc")
            return chain(increment.s(number), parts, group(total.s(), increment_last.s()), total.s())
        case Shape.WIDE:
            return chord([increment.s(number) for _ in range(WIDE)], total.s())
