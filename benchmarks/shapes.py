"""The shapes of work that both sides run."""

from __future__ import annotations

from enum import StrEnum

CHAIN = 10  # links
CHORD = 10  # parts of the header
WIDE = 2_000  # parts of the header


class Shape(StrEnum):
    """What one run is; the value is a word for messages."""

    SINGLE = "one step"
    CHAIN = "a chain of 10"
    CHORD = "a chord of 10"
    IRREGULAR = "the irregular graph"
    WIDE = "a fan-out of 2,000"

    @property
    def steps(self) -> int:
        """How many steps or tasks one run of it has."""
        return _STEPS[self]


_STEPS = {Shape.SINGLE: 1, Shape.CHAIN: CHAIN, Shape.CHORD: CHORD + 1, Shape.IRREGULAR: 7, Shape.WIDE: WIDE + 1}
