"""Mutations: small changes that break a promise of the code, each with the tests that must notice.

``python -m tests.mutations`` (``make mutations``) makes one at a time in a copy of the repository and runs its tests.
A mutation that they do not notice is a survivor: a test is missing, or the code is superfluous.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

LIST = Path(__file__).with_name("mutations.toml")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mutation:
    """One small change."""

    promise: str  # that the change breaks
    file: str  # path in the repository
    old: str  # text that occurs once in the file
    new: str  # text in its place
    tests: tuple[str, ...]  # arguments of pytest; one of these tests must fail

    def apply(self, source: str) -> str:
        """Return the file's text with the change made.

        Raises:
            ValueError: the old text does not occur exactly once.
        """
        if (found := source.count(self.old)) != 1:
            raise ValueError(f"{self.old!r} occurs {found} times in {self.file}, not once")
        return source.replace(self.old, self.new)


def load() -> tuple[Mutation, ...]:
    """Return the mutations of the list, in its order."""
    entries = tomllib.loads(LIST.read_text())["mutation"]
    return tuple(Mutation(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries)
