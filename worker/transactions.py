"""The transaction that a step may use, which commits with the step's completion."""

from __future__ import annotations

from sqlalchemy import Connection

from celeriac.workflows.errors import StepError
from celeriac.workflows.history.database import Database


class StepTransaction:
    """Opens a transaction when the step first uses it; other steps pay nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.connection: Connection | None = None

    def open(self) -> Connection:
        """Return the connection in its transaction, the same at each call."""
        if self.connection is None:
            self.connection = self._database.engine.connect()
            self.connection.begin()
        return self.connection

    @property
    def is_broken(self) -> bool:
        """Whether the connection was lost, with the work that was not committed."""
        if self.connection is None or self.connection.closed:
            return False
        if self.connection.invalidated:
            return True
        driver = self.connection.connection.driver_connection
        return driver is not None and bool(driver.closed)

    def check(self, step: str) -> None:
        """Return if the step left the transaction open, as it should.

        Raises:
            StepError: the step has ended the transaction, so that the completion cannot
                join it.
        """
        if self.connection is None or self.is_broken:
            return
        if self.connection.closed or not self.connection.in_transaction():
            raise StepError(
                detail=f"Step {step!r} has committed, rolled back or closed context.transaction. "
                "Leave that to the engine: it commits together with the step's completion."
            )

    def commit(self) -> None:
        """Commit the work of the step together with its completion."""
        if self.connection is not None:
            self.connection.commit()

    def close(self) -> None:
        """Roll back work that is not committed, and close the connection."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
