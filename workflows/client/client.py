"""The client: starts, finds and controls runs, for web apps, scripts and commands."""

from __future__ import annotations

import builtins
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypedDict, TypeVar, Unpack, cast, overload

from celery import Celery

from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.authoring.definitions import Workflow, WorkflowUse
from celeriac.workflows.authoring.options import StartOptionArgs
from celeriac.workflows.client.audit import Audit, Discrepancy
from celeriac.workflows.client.callers_transaction import SyncTransaction
from celeriac.workflows.client.control import Action
from celeriac.workflows.client.run import Run
from celeriac.workflows.client.services import Services
from celeriac.workflows.client.starting import Starter
from celeriac.workflows.client.within import AsyncTransactionClient, TransactionClient
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.engine.views import RunView
from celeriac.workflows.errors import UnknownRun, UnknownStatus
from celeriac.workflows.history import schema
from celeriac.workflows.settings import Settings

if TYPE_CHECKING:  # it needs greenlet, which only the users of asyncio have
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

P = ParamSpec("P")
R = TypeVar("R")


class Filters(TypedDict, total=False):
    """The arguments of ``Client.control``, but for the action."""

    workflow: str | None
    status: RunStatus | str | None
    tags: Mapping[str, str] | None
    reason: str | None
    dry_run: bool


class Client:
    """Starts, finds and controls runs. Thread-safe; make one per process and keep it.

    Args:
        settings: The addresses of database and broker, and the modules with workflows.
        catalog: The workflows that can be started by name. The default are those of
            ``settings.imports``, which are imported when a name is first needed.
        celery: The team's own app, so that steps go where its routes send them. The
            default is made from the settings.

    Attributes:
        settings: As given.
        services: The parts behind the client, for Celeriac's own tools.

    Raises:
        ConfigurationError: the settings have no database or no broker.
    """

    def __init__(self, settings: Settings, *, catalog: Catalog | None = None, celery: Celery | None = None) -> None:
        self.settings = settings
        self.services = Services(settings, catalog, celery)
        self._starter = Starter(self.services)

    @classmethod
    def from_env(cls) -> Self:
        """Return a client with the settings of the environment.

        Raises:
            ConfigurationError: a setting is missing or invalid.
        """
        return cls(Settings.from_env())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are not in use."""
        self.services.close()

    @property
    def catalog(self) -> Catalog:
        """The workflows that can be started by name.

        Raises:
            ImportFailed: a module of the settings cannot be imported.
        """
        return self.services.catalog

    def check_schema(self) -> None:
        """Return if the database has the schema that this version needs.

        Raises:
            SchemaMismatch: the database has another schema, or none.
            DatabaseUnavailable: Postgres does not answer.
        """
        schema.check(self.services.stores.database)

    def start(self, workflow: Workflow[P, R] | WorkflowUse[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Run[R]:
        """Start a run.

        Once the start has committed, the run will be continued to its end. A broker
        that is down delays the run until the broker is back.

        Args:
            workflow: The workflow, or ``workflow.options(idempotency_key=…, tags=…)``.
            *args: The workflow's arguments, which are validated before any write.
            **kwargs: The workflow's arguments by name.

        Raises:
            InputInvalid: the arguments do not fit; nothing was written.
            IdempotencyKeyReused: the key started a run with other input before.
            DatabaseUnavailable: Postgres does not answer; nothing was started.
            SchemaMismatch: the database is not migrated.
        """
        return self._starter.record(self._starter.with_values(workflow, args, kwargs))

    def start_by_name(self, name: str, value: Any = None, /, **options: Unpack[StartOptionArgs]) -> Run[Any]:
        """Start a run of a workflow by its name, with JSON data.

        For input from a command line or an HTTP request.

        Args:
            name: The name of the workflow, which a module of the settings defines.
            value: A JSON object by parameter name, or the value of the only parameter;
                None if the workflow needs no input.
            options: See ``StartOptionArgs``.

        Raises:
            UnknownWorkflow: there is no workflow of that name.
            InputInvalid: the value does not fit; nothing was written.
            IdempotencyKeyReused: the key started a run with other input before.
            DatabaseUnavailable: Postgres does not answer; nothing was started.
            SchemaMismatch: the database is not migrated.
        """
        return self._starter.record(self._starter.by_name(name, value, options))

    @overload
    def within(self, transaction: AsyncSession | AsyncConnection, /) -> AsyncTransactionClient: ...
    @overload
    def within(self, transaction: SyncTransaction, /) -> TransactionClient: ...
    def within(
        self, transaction: SyncTransaction | AsyncSession | AsyncConnection, /
    ) -> TransactionClient | AsyncTransactionClient:
        """Return a client whose starts belong to the caller's transaction.

        Args:
            transaction: A SQLAlchemy ``Connection``, ``Session``, ``AsyncConnection``
                or ``AsyncSession`` on the database that has Celeriac's tables, or
                ``django.db.connection``.
        """
        if hasattr(transaction, "run_sync"):
            return AsyncTransactionClient(self.services, cast("AsyncSession | AsyncConnection", transaction))
        return TransactionClient(self.services, transaction)

    @overload
    def get(self, run_id: uuid.UUID | str) -> Run[Any]: ...
    @overload
    def get(self, run_id: uuid.UUID | str, workflow: Workflow[..., R]) -> Run[R]: ...
    def get(self, run_id: uuid.UUID | str, workflow: Workflow[..., R] | None = None) -> Run[Any]:
        """Return the run with an id.

        Args:
            run_id: The id, also as text.
            workflow: The run's workflow, for a result of the right type. The default is
                looked up in the catalog.

        Raises:
            UnknownRun: there is no such run, or it is not a run of that workflow.
        """
        parsed = _parse(run_id)
        view = self.services.stores.reader.run(parsed, steps=False)
        if workflow is None:
            return Run(self.services, parsed, self.services.decoder_of(view))
        if view.workflow != workflow.name:
            raise UnknownRun(run_id=run_id)
        return Run(self.services, parsed, workflow.decode_result)

    def list(
        self,
        *,
        workflow: str | None = None,
        status: RunStatus | str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int | None = 50,
        after: uuid.UUID | None = None,
    ) -> builtins.list[RunView]:
        """Return runs without their steps, the latest first.

        Args:
            workflow: Only runs of this workflow.
            status: Only runs with this status.
            tags: Only runs with all of these tags.
            limit: The highest number of runs; None: all.
            after: Only runs that started before this run, for the next page.
        """
        return self.services.stores.reader.find(
            workflow=workflow, status=_status(status), tags=tags, limit=limit, after=after
        )

    def control(
        self,
        action: Action,
        *,
        workflow: str | None = None,
        status: RunStatus | str | None = None,
        tags: Mapping[str, str] | None = None,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> builtins.list[uuid.UUID]:
        """Pause, resume, cancel or terminate all runs that fit.

        Skips runs that are already in the requested state, or have ended.

        Args:
            action: The change to make.
            workflow: Only runs of this workflow.
            status: Only runs with this status.
            tags: Only runs with all of these tags.
            reason: The reason for cancelling or terminating, for the history.
            dry_run: Change no run; return the runs that would change.

        Returns:
            The ids of the runs that changed, or would change, the latest first.
        """
        wanted = _status(status)
        fitting = [
            view.id
            for view in self.services.stores.reader.find(workflow=workflow, status=wanted, tags=tags)
            if action.applies_to(view.status)
        ]
        return fitting if dry_run else self.control_runs(action, fitting, reason)

    def control_runs(
        self, action: Action, run_ids: Collection[uuid.UUID], reason: str | None = None
    ) -> builtins.list[uuid.UUID]:
        """Pause, resume, cancel or terminate these runs.

        Returns:
            The ids of the runs that changed, in the order of ``run_ids``.
        """
        changed = self.services.control.control_all(action, run_ids, reason) if run_ids else set()
        return [run_id for run_id in run_ids if run_id in changed]

    def pause(self, **filters: Unpack[Filters]) -> builtins.list[uuid.UUID]:
        """Pause all runs that fit; see ``control``."""
        return self.control(Action.PAUSE, **filters)

    def resume(self, **filters: Unpack[Filters]) -> builtins.list[uuid.UUID]:
        """Resume all paused runs that fit; see ``control``."""
        return self.control(Action.RESUME, **filters)

    def cancel(self, **filters: Unpack[Filters]) -> builtins.list[uuid.UUID]:
        """Cancel all runs that fit; see ``control``."""
        return self.control(Action.CANCEL, **filters)

    def terminate(self, **filters: Unpack[Filters]) -> builtins.list[uuid.UUID]:
        """Terminate all runs that fit; see ``control``."""
        return self.control(Action.TERMINATE, **filters)

    def audit(
        self, run_id: uuid.UUID | str | None = None, on_progress: Callable[[int], None] | None = None
    ) -> builtins.list[Discrepancy]:
        """Compare projections with events, of a run or of all runs.

        Args:
            run_id: The run; None audits all runs.
            on_progress: Called with the number of runs audited so far.

        Returns:
            The differences; an empty list if projections and events agree.

        Raises:
            UnknownRun: there is no such run.
        """
        stores = self.services.stores
        ids: Iterator[uuid.UUID] = stores.reader.ids() if run_id is None else iter([_parse(run_id)])
        found: builtins.list[Discrepancy] = []
        for number, (_, discrepancies) in enumerate(Audit(stores.reader, stores.runs).audit(ids), start=1):
            found.extend(discrepancies)
            if on_progress is not None:
                on_progress(number)
        return found


def _parse(run_id: uuid.UUID | str) -> uuid.UUID:
    try:
        return uuid.UUID(str(run_id))
    except ValueError:
        raise UnknownRun(run_id=run_id) from None


def _status(value: RunStatus | str | None) -> RunStatus | None:
    try:
        return None if value is None else RunStatus(value)
    except ValueError:
        raise UnknownStatus(status=value, known=", ".join(RunStatus)) from None
