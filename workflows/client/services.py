"""The parts that a client and its runs share: settings, stores, dispatch, control."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from celery import Celery

from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.client.after_commit import AfterCommit
from celeriac.workflows.client.callers_transaction import CallersTransactions
from celeriac.workflows.client.control import RunControl
from celeriac.workflows.client.explain import Reason, explain
from celeriac.workflows.dispatch.dispatch import Dispatch
from celeriac.workflows.dispatch.publisher import publishing_app, publishing_app_like
from celeriac.workflows.engine.forking import reusable, standing_results
from celeriac.workflows.engine.views import RunView
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.stores import Stores
from celeriac.workflows.settings import Settings


class Services:
    """All parts of a client. Thread-safe; opens connections when they are first used.

    Args:
        settings: The addresses of database and broker, and the modules with workflows.
        catalog: The workflows that can be started by name; None imports those of
            ``settings.imports``.
        celery: The team's own app; None makes an app from the settings.
    """

    def __init__(self, settings: Settings, catalog: Catalog | None, celery: Celery | None) -> None:
        self.settings = settings
        self.stores = Stores.of(Database.of(settings))
        self._app = publishing_app(settings) if celery is None else publishing_app_like(celery)
        self.dispatch = Dispatch.of(self._app, self.stores)
        self.control = RunControl(self.stores, self.dispatch, settings.run_timeout_seconds)
        self.transactions = CallersTransactions(AfterCommit(self.stores.runs, self.dispatch.publisher))
        self._catalog = catalog

    @cached_property
    def catalog(self) -> Catalog:
        """The workflows that can be started by name.

        Raises:
            ImportFailed: a module of the settings cannot be imported.
        """
        return Catalog.load(self.settings.imports) if self._catalog is None else self._catalog

    def close(self) -> None:
        """Close the connections that are not in use."""
        self.transactions.close()
        self.stores.database.close()
        self._app.close()

    def decoder_of(self, view: RunView) -> Callable[[str], Any]:
        """Return the function that turns a run's result from JSON into its type.

        If this process does not have the workflow, the result stays JSON data.
        """
        workflow = self.catalog.workflow_of(view.workflow, view.graph_hash)
        return json.loads if workflow is None else workflow.decode_result

    def explain(self, view: RunView) -> tuple[Reason, ...]:
        """Return why steps of a run have not run to their ends."""
        return explain(
            view,
            self.stores.leases.live_workers(),
            default_queue=self._app.conf.task_default_queue,
            now=datetime.now(UTC),
        )

    def fork(self, run_id: UUID, from_step: str, version: str | None) -> UUID:
        """Start and dispatch a run that reuses results of another; see ``Run.fork``."""
        stores = self.stores
        original = stores.reader.run(run_id)
        run_input = stores.reader.input(run_id)
        if version is None:
            graph = stores.runs.graph(original.graph_hash)
        else:
            workflow = self.catalog.workflow(original.workflow, version)
            graph = workflow.graph
            run_input = workflow.encode_json_input(json.loads(run_input))
        standing = standing_results(original, stores.runs.graph(original.graph_hash))
        reused = reusable(graph, standing, from_step)
        forked, transition = stores.runs.fork(
            graph, run_input, reused, run_id, tags=original.tags, timeout=self.settings.run_timeout_seconds
        )
        self.dispatch.publisher.dispatch(graph, forked, set(reused), transition.ready)
        return forked
