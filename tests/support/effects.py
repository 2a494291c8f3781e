"""Marks that step code leaves outside of the history, so that a test can count how often it really ran."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from celeriac import StepContext

VARIABLE = "CELERIAC_TEST_EFFECTS"


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    key: str  # idempotency key: the run and the step
    attempt: int
    pid: int  # of the process that ran it
    note: str

    @property
    def step(self) -> str:
        return self.key.partition(".")[2]


class Effects:
    """A file to which processes append lines; one write each, so that lines do not mix."""

    def __init__(self, file: Path) -> None:
        self.path = file
        file.touch()

    @classmethod
    def of_environment(cls) -> "Effects":
        return cls(Path(os.environ[VARIABLE]))

    def leave(self, context: StepContext, note: str = "") -> None:
        self.write(f"{context.idempotency_key} {context.attempt} {os.getpid()} {note}")

    def write(self, line: str) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, f"{line}\n".encode())
        finally:
            os.close(descriptor)

    def all(self) -> list[Effect]:
        parts = [line.split(" ", 3) for line in self.path.read_text().splitlines()]
        return [Effect(key=key, attempt=int(attempt), pid=int(pid), note=note) for key, attempt, pid, note in parts]

    def per_step(self) -> Counter[str]:
        """How often the code of each step of each run was begun, by idempotency key."""
        return Counter(effect.key for effect in self.all() if effect.attempt)

    def of(self, step: str) -> list[Effect]:
        return [effect for effect in self.all() if effect.step == step]
