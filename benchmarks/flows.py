"""The Celeriac side: what runs are made of. A step does next to nothing, so that what is measured is the engine."""

from __future__ import annotations

from typing import Any

from benchmarks.shapes import CHAIN, CHORD, WIDE, Shape
from celeriac import Workflow, step, workflow


@step
def increment(number: int) -> int:
    return number + 1


@step
def total(numbers: list[int]) -> int:
    return sum(numbers)


@workflow
def single(number: int) -> int:
    return increment(number)


@workflow
def chain_of_ten(number: int) -> int:
    for _ in range(CHAIN):
        number = increment(number)
    return number


@workflow
def chord_of_ten(number: int) -> int:
    return total([increment(number) for _ in range(CHORD)])


@workflow
def irregular(number: int) -> int:
    """``validate`` waits for c alone: it starts while a and b still run."""
    prepared = increment.options(name="prepare")(number)
    a, b, c = (increment.options(name=name)(prepared) for name in "abc")
    aggregated = total.options(name="aggregate")([a, b, c])
    validated = increment.options(name="validate")(c)
    return total.options(name="notify")([aggregated, validated])


@workflow
def wide(number: int) -> int:
    return total([increment(number) for _ in range(WIDE)])


WORKFLOWS: dict[Shape, Workflow[..., Any]] = {
    Shape.SINGLE: single,
    Shape.CHAIN: chain_of_ten,
    Shape.CHORD: chord_of_ten,
    Shape.IRREGULAR: irregular,
    Shape.WIDE: wide,
}
