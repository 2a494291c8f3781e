"""The report of a command that changes runs, in words and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from celeriac.workflows.cli.display import formatting
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.errors import InvalidRunState

_MOST_RUNS = 20  # runs that have a line each


@dataclass(frozen=True, kw_only=True, slots=True)
class Unchanged:
    """A run that was named and did not change."""

    run_id: UUID
    status: RunStatus
    refused: bool  # the status forbids the change; False: the run was so already


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeReport:
    """The runs that a command changed, and those that it did not."""

    action: str  # 'paused'
    changed: Sequence[UUID]
    unchanged: Sequence[Unchanged] = ()
    dry_run: bool = False

    @property
    def refusals(self) -> list[str]:
        """A line for each run whose status does not allow the change."""
        return [
            str(InvalidRunState(run_id=run.run_id, status=run.status.value, action=self.action))
            for run in self.unchanged
            if run.refused
        ]

    def lines(self) -> Iterator[str]:
        """Yield the lines for people: the first runs, and the number of runs."""
        verb = f"would be {self.action}" if self.dry_run else self.action
        for run_id in self.changed[:_MOST_RUNS]:
            yield f"{run_id} {verb}"
        if len(self.changed) > _MOST_RUNS:
            yield f"… and {formatting.count(len(self.changed) - _MOST_RUNS, 'more run')} (--json names all)"
        for run in self.unchanged:
            if not run.refused:
                yield f"{run.run_id} is {run.status} already"
        if len(self.changed) != 1 and not self.unchanged:
            yield (
                f"{formatting.count(len(self.changed), 'run')} {verb}."
                if self.changed
                else f"No run to be {self.action}."
            )

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON data."""
        return {
            "action": self.action,
            "dry_run": self.dry_run,
            "changed": [str(run_id) for run_id in self.changed],
            "unchanged": [
                {"id": str(run.run_id), "status": run.status.value, "refused": run.refused} for run in self.unchanged
            ],
        }
