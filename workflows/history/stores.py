"""All stores of a database, made together so that they share connections and graphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from celeriac.workflows.history.attempts import AttemptStore
from celeriac.workflows.history.control import ControlStore
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.leases import LeaseStore
from celeriac.workflows.history.reader import Reader
from celeriac.workflows.history.reconciliation import ReconcilerStore
from celeriac.workflows.history.runs import RunStore
from celeriac.workflows.history.transitions import TransitionStore


@dataclass(frozen=True, kw_only=True, slots=True)
class Stores:
    """The stores of a process. Each opens connections when it is first used."""

    database: Database
    runs: RunStore
    attempts: AttemptStore
    transitions: TransitionStore
    control: ControlStore
    reconciliation: ReconcilerStore
    leases: LeaseStore
    reader: Reader

    @classmethod
    def of(cls, database: Database) -> Self:
        """Return the stores of a database."""
        transitions = TransitionStore(database)
        runs = RunStore(database, transitions)
        return cls(
            database=database,
            runs=runs,
            attempts=AttemptStore(database, transitions),
            transitions=transitions,
            control=ControlStore(database),
            reconciliation=ReconcilerStore(database),
            leases=LeaseStore(database),
            reader=Reader(database, runs),
        )
