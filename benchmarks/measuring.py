"""What is measured, and how: in rounds, each side in turn, so that whatever else the machine does meets both."""

from __future__ import annotations

import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from benchmarks.fleet import Fleet, Sides
from benchmarks.shapes import WIDE, Shape
from benchmarks.sides import Side

_POLL_SECONDS = 0.01
_TIMEOUT = 120.0  # seconds for one measurement
_NO_NEW_ROUND_AFTER = 100.0  # seconds; a busy machine gets fewer rounds, not a longer wait


@dataclass(frozen=True, kw_only=True, slots=True)
class Amounts:
    """How much is measured."""

    rounds: int = 3
    runs: int = 200  # of chains and chords
    irregular: int = 100
    latencies: int = 50
    starts: int = 200
    wide: bool = True


FULL = Amounts()
QUICK = Amounts(rounds=1, runs=4, irregular=2, latencies=3, starts=5, wide=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One line of the table."""

    what: str
    unit: str
    against: str  # what Celeriac is compared with
    peer: float
    celeriac: float
    less_is_better: bool = False
    target: float | None = None  # of the ratio

    @property
    def ratio(self) -> float:
        """How many times as good as the peer: above 1 is better."""
        return self.peer / self.celeriac if self.less_is_better else self.celeriac / self.peer

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None if there is none."""
        return None if self.target is None else self.ratio >= self.target


Samples = dict[tuple[str, str], list[float]]  # by what is measured and the side's name


def measure(
    fleet: Fleet, amounts: Amounts, progress: Callable[[str], AbstractContextManager[object]] | None = None
) -> list[Comparison]:
    """Measure everything and return the lines of the table."""
    step = progress or (lambda _: nullcontext())
    samples: Samples = defaultdict(list)
    with fleet.without_workers() as sides:
        for side in _in_turn(sides, amounts.rounds):
            with step(f"start: {side.name}"):
                samples["start", side.name].append(_seconds_to_start(side, amounts.starts))
    with fleet.with_workers() as sides:
        with step("warming up"):
            _warm_up(sides)
        began = time.perf_counter()
        for number in range(amounts.rounds):
            if time.perf_counter() - began > _NO_NEW_ROUND_AFTER:
                break
            with step(f"round {number + 1} of {amounts.rounds}"):
                _round(sides, amounts, samples, swapped=number % 2 == 1)
    return list(_compare(samples, amounts))


def _in_turn(sides: Sides, rounds: int) -> Iterator[Side]:
    """Yield the sides in the order ABBA…: who is measured first is not always the same."""
    for number in range(rounds):
        yield from reversed(sides.both) if number % 2 else sides.both


def _warm_up(sides: Sides) -> None:
    """Have every process of both workers run every shape, and see that both sides come to the same results."""
    for shape in Shape:
        expected, found = (side.result(shape) for side in sides.both)
        if expected != found:
            raise AssertionError(f"{shape}: Celery came to {expected}, Celeriac to {found}")
    for side in sides.both:
        _seconds_to_finish(side, Shape.CHAIN, 20)


def _round(sides: Sides, amounts: Amounts, samples: Samples, *, swapped: bool) -> None:
    turn = tuple(reversed(sides.both)) if swapped else sides.both
    throughput = {"chain": (Shape.CHAIN, amounts.runs), "chord": (Shape.CHORD, amounts.runs)}
    throughput["irregular"] = (Shape.IRREGULAR, amounts.irregular)
    if amounts.wide:
        throughput["wide"] = (Shape.WIDE, 1)
    for what, (shape, runs) in throughput.items():
        for side in turn:
            samples[what, side.name].append(shape.steps * runs / _seconds_to_finish(side, shape, runs))
    if amounts.wide:
        samples["separate", sides.celeriac.name].append(WIDE / _seconds_to_finish(sides.celeriac, Shape.SINGLE, WIDE))
    for number in range(amounts.latencies):
        for side in turn if number % 2 else reversed(turn):
            samples["latency", side.name].append(_seconds_to_result(side))


def _seconds_to_start(side: Side, count: int) -> float:
    side.start(Shape.CHAIN)  # opens the connections
    began = time.perf_counter()
    for _ in range(count):
        side.start(Shape.CHAIN)
    return (time.perf_counter() - began) / count


def _seconds_to_result(side: Side) -> float:
    began = time.perf_counter()
    side.result(Shape.CHAIN)
    return time.perf_counter() - began


def _seconds_to_finish(side: Side, shape: Shape, runs: int) -> float:
    """Return the time from before the first start until the last run has ended."""
    pause = threading.Event()
    began = time.perf_counter()
    for _ in range(runs):
        side.start(shape)
    while left := side.unfinished():
        if time.perf_counter() - began > _TIMEOUT:
            raise TimeoutError(f"{side.name}: {left} of {runs} runs of {shape} did not end within {_TIMEOUT:g} s")
        pause.wait(_POLL_SECONDS)
    return time.perf_counter() - began


def _compare(samples: Samples, amounts: Amounts) -> Iterator[Comparison]:
    """Take the best of the rounds: what disturbs a measurement only ever makes it worse. Of latencies, the median."""

    def rate(name: str, what: str, target: float | None = None) -> Comparison:
        peer, celeriac = (max(samples[what, side]) for side in ("Celery", "Celeriac"))
        return Comparison(what=name, unit="steps/s", against="Celery", peer=peer, celeriac=celeriac, target=target)

    def duration(name: str, what: str, take: Callable[[list[float]], float], target: float | None = None) -> Comparison:
        peer, celeriac = (1000 * take(samples[what, side]) for side in ("Celery", "Celeriac"))
        return Comparison(
            what=name, unit="ms", against="Celery", peer=peer, celeriac=celeriac, less_is_better=True, target=target
        )

    yield rate(f"{amounts.runs} chains of 10", "chain", 2.0)
    yield rate(f"{amounts.runs} chords of 10", "chord", 1.2)
    yield rate(f"{amounts.irregular} irregular graphs", "irregular")
    yield duration("latency of a chain of 10", "latency", statistics.median, 1.0)
    if amounts.wide:
        wide = rate(f"one fan-out of {WIDE:,}", "wide")
        yield wide
        yield Comparison(
            what=f"one fan-out of {WIDE:,}",
            unit="steps/s",
            against=f"Celeriac, {WIDE:,} runs",
            peer=max(samples["separate", "Celeriac"]),
            celeriac=wide.celeriac,
            target=0.8,
        )
    yield duration("start of a chain of 10", "start", min)
