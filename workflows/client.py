"""The client: start runs and look at them, from a web app, a script or the command line."""

from __future__ import annotations

import builtins
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, ParamSpec, Self, TypeVar, overload

from celery import Celery
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from workflows.audit import Audit, Discrepancy
from workflows.catalog import Catalog
from workflows.definitions import Workflow
from workflows.errors import UnknownRun
from workflows.graph import Graph
from workflows.history.database import Database
from workflows.history.leases import LeaseStore
from workflows.history.reading import Reader
from workflows.history.runs import RunStore
from workflows.publisher import Publisher, publishing_app, publishing_app_like
from workflows.run import Run
from workflows.settings import Settings
from workflows.states import RunStatus
from workflows.views import RunView
from workflows.wakeup import Wakeups

P = ParamSpec("P")
R = TypeVar("R")


class Client:
    """Starts runs and finds them. Thread-safe; make one per process and keep it.

    Args:
        settings: Where database and broker are, and which modules have workflows.
        catalog: The workflows that can be started by name; by default those of ``settings.imports``, which are imported
            when a name is first asked for.
        celery: The team's own app, so that steps go where its routes send them; by default one is made
            from the settings.

    Raises:
        ConfigurationError: there is no database or no broker in the settings.
    """

    def __init__(self, settings: Settings, *, catalog: Catalog | None = None, celery: Celery | None = None) -> None:
        self.settings = settings
        self.database = Database.of(settings)
        self.runs = RunStore(self.database)
        self.reader = Reader(self.database, self.runs)
        self.leases = LeaseStore(self.database)
        self._app = publishing_app(settings) if celery is None else publishing_app_like(celery)
        self.publisher = Publisher(self._app)
        self.wakeups = Wakeups(self._app.conf.broker_url)
        self._catalog = catalog

    @classmethod
    def from_env(cls) -> Client:
        """Return a client with the settings of the environment.

        Raises:
            ConfigurationError: a setting is missing or cannot work.
        """
        return cls(Settings.from_env())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are not in use."""
        self.database.close()
        self._app.close()

    @cached_property
    def catalog(self) -> Catalog:
        """The workflows that can be started by name.

        Raises:
            ImportFailed: a module of the settings cannot be imported.
        """
        return Catalog.load(self.settings.imports) if self._catalog is None else self._catalog

    @overload
    def start(
        self,
        workflow: Workflow[P, R],
        *args: Any,
        idempotency_key: str | None = None,
        tags: Mapping[str, str] | None = None,
        connection: Connection | Session | None = None,
        **kwargs: Any,
    ) -> Run[R]: ...

    @overload
    def start(
        self,
        workflow: str,
        *args: Any,
        idempotency_key: str | None = None,
        tags: Mapping[str, str] | None = None,
        connection: Connection | Session | None = None,
        **kwargs: Any,
    ) -> Run[Any]: ...

    def start(
        self,
        workflow: Workflow[P, R] | str,
        *args: Any,
        idempotency_key: str | None = None,
        tags: Mapping[str, str] | None = None,
        connection: Connection | Session | None = None,
        **kwargs: Any,
    ) -> Run[Any]:
        """Start a run.

        Once the transaction has committed, the run will be carried on to its end. A broker that is down
        delays it until the broker is back.

        Args:
            workflow: The workflow or its name.
            *args: Its arguments, as values or as JSON data; they are validated before anything is written.
            idempotency_key: Starts at most one run of the workflow; a second start returns the first run.
            tags: Labels to find the run by.
            connection: A SQLAlchemy connection or session whose transaction the start is to be part of.
                The run is dispatched by a worker's reconciler after the commit.
            **kwargs: Its arguments by name.

        Raises:
            UnknownWorkflow: there is no workflow of that name.
            InputInvalid: the arguments do not fit; nothing was written.
            DatabaseUnavailable: Postgres does not answer; nothing was started.
            SchemaMismatch: the database is not migrated.
        """
        known = self.catalog.workflow(workflow) if isinstance(workflow, str) else workflow
        return self._start(known, known.encode_input(args, kwargs), idempotency_key, tags, connection)

    def start_json(
        self, workflow: str, value: Any, *, idempotency_key: str | None = None, tags: Mapping[str, str] | None = None
    ) -> Run[Any]:
        """Start a run from one JSON value; see ``Workflow.encode_json_input``. Otherwise as ``start``."""
        known = self.catalog.workflow(workflow)
        return self._start(known, known.encode_json_input(value), idempotency_key, tags, None)

    def _start(
        self,
        workflow: Workflow[..., Any],
        run_input: str,
        idempotency_key: str | None,
        tags: Mapping[str, str] | None,
        connection: Connection | Session | None,
    ) -> Run[Any]:
        joined = connection.connection() if isinstance(connection, Session) else connection
        run_id, is_new = self.runs.start(
            workflow.graph, run_input, tags=tags or {}, idempotency_key=idempotency_key, connection=joined
        )
        if is_new and joined is None:
            self.publisher.dispatch(workflow.graph, run_id, frozenset())
        return Run(self, run_id, workflow.decode_result)

    def get(self, run_id: uuid.UUID | str) -> Run[Any]:
        """Return the run of that id.

        Raises:
            UnknownRun: there is none.
        """
        known = _parse(run_id)
        view = self.reader.run(known, steps=False)
        workflow = self.catalog.workflows.get(view.workflow)
        if workflow is None or workflow.graph.hash != view.definition:
            return Run(self, known)
        return Run(self, known, workflow.decode_result)

    def list(
        self,
        *,
        workflow: str | None = None,
        status: RunStatus | str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int | None = 50,
    ) -> builtins.list[RunView]:
        """Return runs without their steps, the latest first; see ``Reader.find``."""
        return self.reader.find(
            workflow=workflow, status=None if status is None else RunStatus(status), tags=tags, limit=limit
        )

    def graph_of(self, definition: str) -> Graph:
        """Return the graph of a hash.

        Raises:
            LookupError: no run was ever started with it.
        """
        return self.runs.graph(definition)

    def audit(
        self, run_id: uuid.UUID | str | None = None, on_progress: Callable[[int], None] | None = None
    ) -> builtins.list[Discrepancy]:
        """Compare projections with events, of one run or of all; an empty list means that they agree.

        Args:
            run_id: The run; None audits all.
            on_progress: Called with the number of runs audited so far.

        Raises:
            UnknownRun: there is no such run.
        """
        ids: Iterator[uuid.UUID] = self.reader.ids() if run_id is None else iter([_parse(run_id)])
        found: builtins.list[Discrepancy] = []
        for number, (_, discrepancies) in enumerate(Audit(self.reader, self.runs).audit(ids), start=1):
            found.extend(discrepancies)
            if on_progress is not None:
                on_progress(number)
        return found


def _parse(run_id: uuid.UUID | str) -> uuid.UUID:
    try:
        return uuid.UUID(str(run_id))
    except ValueError:
        raise UnknownRun(run_id=run_id) from None
