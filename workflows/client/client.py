"""The client: start runs and look at them, from a web app, a script or the command line."""

from __future__ import annotations

import builtins
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ParamSpec, Self, TypedDict, TypeVar, Unpack, overload

from celery import Celery
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.authoring.definitions import Workflow
from celeriac.workflows.client.audit import Audit, Discrepancy
from celeriac.workflows.client.control import Action, RunControl
from celeriac.workflows.client.explain import Reason, explain
from celeriac.workflows.client.run import Run
from celeriac.workflows.dispatch.follow_up import FollowUp
from celeriac.workflows.dispatch.publisher import Publisher, publishing_app, publishing_app_like
from celeriac.workflows.dispatch.wakeups import Wakeups
from celeriac.workflows.engine.forking import reusable
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.states import RunStatus, StepStatus
from celeriac.workflows.engine.views import RunView
from celeriac.workflows.errors import CeleriacError, UnknownRun
from celeriac.workflows.history.control import ControlStore
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.leases import LeaseStore
from celeriac.workflows.history.reader import Reader
from celeriac.workflows.history.runs import RunStore
from celeriac.workflows.history.transitions import TransitionStore
from celeriac.workflows.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")


class Filters(TypedDict, total=False):
    """Which runs to steer, and how; see ``Client.steer``."""

    workflow: str | None
    status: RunStatus | str | None
    tags: Mapping[str, str] | None
    reason: str | None
    dry_run: bool


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
        transitions = TransitionStore(self.database)
        self.control = RunControl(
            store=ControlStore(self.database),
            transitions=transitions,
            runs=self.runs,
            follow_up=FollowUp(transitions, self.publisher, self.wakeups),
            wakeups=self.wakeups,
        )
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
            workflow.graph,
            run_input,
            tags=tags or {},
            idempotency_key=idempotency_key,
            connection=joined,
            timeout=self.settings.run_timeout_seconds,
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
        workflow = self.catalog.workflow_of(view.workflow, view.graph_hash)
        return Run(self, known) if workflow is None else Run(self, known, workflow.decode_result)

    def list(
        self,
        *,
        workflow: str | None = None,
        status: RunStatus | str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int | None = 50,
    ) -> builtins.list[RunView]:
        """Return runs without their steps, the latest first; see ``Reader.find``."""
        return self.reader.find(workflow=workflow, status=_status(status), tags=tags, limit=limit)

    def steer(
        self,
        action: Action,
        *,
        workflow: str | None = None,
        status: RunStatus | str | None = None,
        tags: Mapping[str, str] | None = None,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> builtins.list[uuid.UUID]:
        """Pause, resume, cancel or terminate all runs that fit; runs for which that means nothing are left alone.

        Args:
            action: What to do.
            workflow: Only runs of this workflow.
            status: Only runs in this state.
            tags: Only runs with all of these.
            reason: For the history, of cancelling or terminating.
            dry_run: Only tell which runs would change.

        Returns:
            The ids of the runs that changed, or would, the latest first.
        """
        wanted = _status(status)
        fitting = [
            view.id
            for view in self.reader.find(workflow=workflow, status=wanted, tags=tags)
            if action.applies_to(view.status)
        ]
        if dry_run:
            return fitting
        changed = self.control.steer_all(action, fitting, reason)
        return [run_id for run_id in fitting if run_id in changed]

    def pause(self, **filters: Unpack[Filters]) -> builtins.list[uuid.UUID]:
        """Pause all runs that fit; see ``steer``."""
        return self.steer(Action.PAUSE, **filters)

    def resume(self, **filters: Unpack[Filters]) -> builtins.list[uuid.UUID]:
        """Let all paused runs that fit go on; see ``steer``."""
        return self.steer(Action.RESUME, **filters)

    def cancel(self, **filters: Unpack[Filters]) -> builtins.list[uuid.UUID]:
        """Cancel all runs that fit; see ``steer``."""
        return self.steer(Action.CANCEL, **filters)

    def terminate(self, **filters: Unpack[Filters]) -> builtins.list[uuid.UUID]:
        """Terminate all runs that fit; see ``steer``."""
        return self.steer(Action.TERMINATE, **filters)

    def retry(self, run_id: uuid.UUID) -> None:
        """Let a failed run go on from its failed steps; see ``Run.retry``."""
        graph = self.runs.graph(self.reader.run(run_id, steps=False).graph_hash)
        timeout = self.settings.run_timeout_seconds if graph.timeout is None else graph.timeout
        self.control.retry(run_id, graph, timeout)

    def fork(self, run_id: uuid.UUID, from_step: str, *, version: str | None = None) -> Run[Any]:
        """Start a new run that reuses results of another; see ``Run.fork``."""
        original = self.reader.run(run_id)
        run_input = self.reader.input(run_id)
        if version is None:
            graph = self.runs.graph(original.graph_hash)
        else:
            workflow = self.catalog.workflow(original.workflow, version)
            graph, run_input = workflow.graph, workflow.encode_json_input(json.loads(run_input))
        completed = {step.name for step in original.steps if step.status is StepStatus.COMPLETED}
        reused = reusable(graph, completed, from_step)
        forked, settled = self.runs.fork(
            graph, run_input, reused, run_id, tags=original.tags, timeout=self.settings.run_timeout_seconds
        )
        self.publisher.dispatch(graph, forked, set(reused), settled.ready)
        return self.get(forked)

    def explain(self, view: RunView) -> tuple[Reason, ...]:
        """Return why each step of a run that has not run to its end has not."""
        return explain(
            view, self.leases.live_workers(), default_queue=self._app.conf.task_default_queue, now=datetime.now(UTC)
        )

    def graph_of(self, graph_hash: str) -> Graph:
        """Return the graph of a hash.

        Raises:
            LookupError: no run was ever started with it.
        """
        return self.runs.graph(graph_hash)

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


def _status(value: RunStatus | str | None) -> RunStatus | None:
    try:
        return None if value is None else RunStatus(value)
    except ValueError:
        raise CeleriacError(detail=f"Unknown status {value!r}. There are: {', '.join(RunStatus)}.") from None
