"""Clients whose starts belong to the caller's transaction."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack

from celeriac.workflows.authoring.definitions import Workflow, WorkflowUse
from celeriac.workflows.authoring.options import StartOptionArgs
from celeriac.workflows.client.callers_transaction import SyncTransaction
from celeriac.workflows.client.run import Run
from celeriac.workflows.client.services import Services
from celeriac.workflows.client.starting import Start, Starter

if TYPE_CHECKING:  # it needs greenlet, which only the users of asyncio have
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

P = ParamSpec("P")
R = TypeVar("R")


class TransactionClient:
    """Starts runs in the caller's transaction; made by ``Client.within``.

    The runs exist if the caller commits, and not if the caller rolls back. They are
    dispatched within 100 ms of the commit.
    """

    def __init__(self, services: Services, transaction: SyncTransaction) -> None:
        self._services = services
        self._starter = Starter(services)
        self._transaction = transaction

    def start(self, workflow: Workflow[P, R] | WorkflowUse[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Run[R]:
        """Start a run of a workflow; see ``Client.start``."""
        return self._record(self._starter.with_values(workflow, args, kwargs))

    def start_by_name(self, name: str, value: Any = None, /, **options: Unpack[StartOptionArgs]) -> Run[Any]:
        """Start a run of a workflow by its name; see ``Client.start_by_name``."""
        return self._record(self._starter.by_name(name, value, options))

    def _record(self, start: Start) -> Run[Any]:
        return self._starter.record(start, self._services.transactions.of(self._transaction))


class AsyncTransactionClient:
    """Starts runs in the transaction of an ``AsyncSession`` or ``AsyncConnection``.

    Made by ``Client.within``; otherwise as ``TransactionClient``.
    """

    def __init__(self, services: Services, transaction: AsyncSession | AsyncConnection) -> None:
        self._services = services
        self._starter = Starter(services)
        self._transaction = transaction

    async def start(self, workflow: Workflow[P, R] | WorkflowUse[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Run[R]:
        """Start a run of a workflow; see ``Client.start``."""
        return await self._record(self._starter.with_values(workflow, args, kwargs))

    async def start_by_name(self, name: str, value: Any = None, /, **options: Unpack[StartOptionArgs]) -> Run[Any]:
        """Start a run of a workflow by its name; see ``Client.start_by_name``."""
        return await self._record(self._starter.by_name(name, value, options))

    async def _record(self, start: Start) -> Run[Any]:
        await asyncio.to_thread(self._starter.prepare, start)
        return await self._transaction.run_sync(
            lambda given: self._starter.record(start, self._services.transactions.of(given))
        )
