"""The client for ``async def`` code: the same methods, awaited.

A call goes to a thread, because the history is read and written in blocking calls of a
millisecond or two. Waiting for a run holds no thread: it listens in the event loop.
"""

from __future__ import annotations

import asyncio
import builtins
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, Unpack, overload

from celery import Celery

from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.authoring.definitions import Workflow, WorkflowUse
from celeriac.workflows.authoring.options import StartOptionArgs
from celeriac.workflows.client.client import Client, Filters
from celeriac.workflows.client.explain import Reason
from celeriac.workflows.client.run import LONGEST_WAIT_SECONDS, Run
from celeriac.workflows.client.services import Services
from celeriac.workflows.client.within import AsyncTransactionClient
from celeriac.workflows.dispatch import async_wakeups
from celeriac.workflows.engine.events import Event
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.engine.views import RunView, StepView
from celeriac.workflows.errors import ResultTimeout
from celeriac.workflows.settings import Settings

if TYPE_CHECKING:  # it needs greenlet, which only the users of asyncio have
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

P = ParamSpec("P")
R = TypeVar("R")


class AsyncRun(Generic[R]):
    """An execution of a workflow; see ``Run``. Each method queries the database.

    Attributes:
        id: The run's id.
    """

    def __init__(self, services: Services, run: Run[R]) -> None:
        self.id = run.id
        self._services = services
        self._run = run

    def __repr__(self) -> str:
        return f"<AsyncRun {self.id}>"

    async def status(self) -> RunStatus:
        """Return the run's status now; see ``Run.status``."""
        return await asyncio.to_thread(lambda: self._run.status)

    async def view(self, *, steps: bool = True) -> RunView:
        """Return the run with its times and error, and by default with its steps."""
        return await asyncio.to_thread(self._run.view, steps=steps)

    async def steps(self) -> tuple[StepView, ...]:
        """Return the run's steps in the order in which the workflow calls them."""
        return await asyncio.to_thread(self._run.steps)

    async def history(self) -> list[Event]:
        """Return the run's events in order."""
        return await asyncio.to_thread(self._run.history)

    async def explain(self, view: RunView | None = None) -> tuple[Reason, ...]:
        """Return a reason for each step that has not ended; see ``Run.explain``."""
        return await asyncio.to_thread(self._run.explain, view)

    async def pause(self) -> None:
        """Pause the run; see ``Run.pause``."""
        await asyncio.to_thread(self._run.pause)

    async def resume(self) -> None:
        """Resume the run; see ``Run.resume``."""
        await asyncio.to_thread(self._run.resume)

    async def cancel(self, reason: str | None = None) -> None:
        """Cancel the run; see ``Run.cancel``."""
        await asyncio.to_thread(self._run.cancel, reason)

    async def terminate(self, reason: str | None = None) -> None:
        """Terminate the run at once; see ``Run.terminate``."""
        await asyncio.to_thread(self._run.terminate, reason)

    async def retry(self) -> None:
        """Retry a failed run from its failed steps; see ``Run.retry``."""
        await asyncio.to_thread(self._run.retry)

    async def fork(self, from_step: str, *, version: str | None = None) -> AsyncRun[Any]:
        """Start a run that reuses results of this run; see ``Run.fork``."""
        forked = await asyncio.to_thread(lambda: self._run.fork(from_step, version=version))
        return AsyncRun(self._services, forked)

    async def wait(self, timeout: float | None = None) -> RunStatus:
        """Wait for the run to end and return its status; see ``Run.wait``."""
        until = None if timeout is None else time.monotonic() + timeout
        async with async_wakeups.listening(self._services.dispatch.wakeups.address, self.id) as waiter:
            while not (status := await self.status()).is_terminal:
                left = LONGEST_WAIT_SECONDS if until is None else until - time.monotonic()
                if left <= 0:
                    raise ResultTimeout(run_id=self.id, status=status, seconds=timeout)
                await waiter.wait(left)
        return status

    async def result(self, timeout: float | None = None) -> R:
        """Wait for the run to end and return its result; see ``Run.result``."""
        await self.wait(timeout)
        return await asyncio.to_thread(self._run.result)

    async def result_json(self, timeout: float | None = None) -> Any:
        """Return the result as plain JSON data; otherwise as ``result``."""
        await self.wait(timeout)
        return await asyncio.to_thread(self._run.result_json)


class AsyncClient:
    """Starts, finds and controls runs from an event loop. Make one per process.

    Keep it while the process lives.

    Args:
        settings: The addresses of database and broker, and the modules with workflows.
        catalog: The workflows that can be started by name. The default are those of
            ``settings.imports``.
        celery: The team's own app, so that steps go where its routes send them.

    Attributes:
        settings: As given.

    Raises:
        ConfigurationError: the settings have no database or no broker.
    """

    def __init__(self, settings: Settings, *, catalog: Catalog | None = None, celery: Celery | None = None) -> None:
        self.settings = settings
        self._client = Client(settings, catalog=catalog, celery=celery)
        self._services = self._client.services

    @classmethod
    def from_env(cls) -> Self:
        """Return a client with the settings of the environment.

        Raises:
            ConfigurationError: a setting is missing or invalid.
        """
        return cls(Settings.from_env())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections that are not in use."""
        await asyncio.to_thread(self._client.close)

    async def start(
        self, workflow: Workflow[P, R] | WorkflowUse[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncRun[R]:
        """Start a run; see ``Client.start``."""
        run = await asyncio.to_thread(lambda: self._client.start(workflow, *args, **kwargs))
        return AsyncRun(self._services, run)

    async def start_by_name(self, name: str, value: Any = None, /, **options: Unpack[StartOptionArgs]) -> AsyncRun[Any]:
        """Start a run of a workflow by its name; see ``Client.start_by_name``."""
        run = await asyncio.to_thread(lambda: self._client.start_by_name(name, value, **options))
        return AsyncRun(self._services, run)

    def within(self, transaction: AsyncSession | AsyncConnection, /) -> AsyncTransactionClient:
        """Return a client for the caller's transaction; see ``Client.within``."""
        return self._client.within(transaction)

    @overload
    async def get(self, run_id: uuid.UUID | str) -> AsyncRun[Any]: ...
    @overload
    async def get(self, run_id: uuid.UUID | str, workflow: Workflow[..., R]) -> AsyncRun[R]: ...
    async def get(self, run_id: uuid.UUID | str, workflow: Workflow[..., R] | None = None) -> AsyncRun[Any]:
        """Return the run with an id; see ``Client.get``."""
        if workflow is None:
            return AsyncRun(self._services, await asyncio.to_thread(self._client.get, run_id))
        return AsyncRun(self._services, await asyncio.to_thread(lambda: self._client.get(run_id, workflow)))

    async def list(
        self,
        *,
        workflow: str | None = None,
        status: RunStatus | str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int | None = 50,
        after: uuid.UUID | None = None,
    ) -> builtins.list[RunView]:
        """Return runs without their steps, the latest first; see ``Client.list``."""
        return await asyncio.to_thread(
            lambda: self._client.list(workflow=workflow, status=status, tags=tags, limit=limit, after=after)
        )

    async def pause(self, **filters: Unpack[Filters]) -> builtins.list[uuid.UUID]:
        """Pause all runs that fit; see ``Client.control``."""
        return await asyncio.to_thread(lambda: self._client.pause(**filters))

    async def resume(self, **filters: Unpack[Filters]) -> builtins.list[uuid.UUID]:
        """Resume all paused runs that fit; see ``Client.control``."""
        return await asyncio.to_thread(lambda: self._client.resume(**filters))

    async def cancel(self, **filters: Unpack[Filters]) -> builtins.list[uuid.UUID]:
        """Cancel all runs that fit; see ``Client.control``."""
        return await asyncio.to_thread(lambda: self._client.cancel(**filters))

    async def terminate(self, **filters: Unpack[Filters]) -> builtins.list[uuid.UUID]:
        """Terminate all runs that fit; see ``Client.control``."""
        return await asyncio.to_thread(lambda: self._client.terminate(**filters))
