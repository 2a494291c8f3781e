"""Starting runs, in a transaction of their own or in the caller's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celeriac.workflows.authoring.definitions import Workflow, WorkflowUse
from celeriac.workflows.authoring.options import StartOptionArgs, StartOptions
from celeriac.workflows.client.after_commit import StartedRun
from celeriac.workflows.client.callers_transaction import CallersTransaction
from celeriac.workflows.client.run import Run
from celeriac.workflows.client.services import Services


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """A start that is validated and not recorded yet."""

    workflow: Workflow[..., Any]
    run_input: str  # a JSON object by parameter name
    options: StartOptions


class Starter:
    """Validates, records and dispatches starts."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def with_values(
        self, workflow: Workflow[..., Any] | WorkflowUse[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Start:
        """Return the start of a workflow with arguments.

        Raises:
            InputInvalid: the arguments do not fit.
            TypeError: ``workflow`` is not a workflow.
        """
        if isinstance(workflow, Workflow):
            workflow = workflow.options()
        if not isinstance(workflow, WorkflowUse):
            raise TypeError(
                f"start(…) takes a workflow, as @workflow makes it, not {workflow!r}. "
                "By name a run is started with start_by_name('order_processing', {…})."
            )
        bare = workflow.workflow
        return Start(workflow=bare, run_input=bare.encode_input(args, kwargs), options=workflow.chosen)

    def by_name(self, name: str, value: Any, options: StartOptionArgs) -> Start:
        """Return the start of a workflow by its name with JSON data.

        Raises:
            UnknownWorkflow: there is no workflow of that name.
            InputInvalid: the value does not fit.
        """
        workflow = self._services.catalog.workflow(name)
        return Start(
            workflow=workflow, run_input=workflow.encode_json_input(value), options=StartOptions.of(name, **options)
        )

    def record(self, start: Start, transaction: CallersTransaction | None = None) -> Run[Any]:
        """Record a start, and dispatch the run after the commit.

        Raises:
            IdempotencyKeyReused: the key started a run with other input before.
            DatabaseUnavailable: Postgres does not answer.
            SchemaMismatch: the database is not migrated.
        """
        graph = start.workflow.graph
        run_id, is_new = self._services.stores.runs.start(
            graph,
            start.run_input,
            tags=start.options.tags,
            idempotency_key=start.options.idempotency_key,
            transaction=None if transaction is None else transaction.scalar,
            timeout=self._services.settings.run_timeout_seconds,
        )
        if is_new and transaction is None:
            self._services.dispatch.publisher.dispatch(graph, run_id, frozenset())
        elif is_new and transaction is not None:
            transaction.dispatch_after_commit(StartedRun(run_id=run_id, graph=graph))
        return Run(self._services, run_id, start.workflow.decode_result)

    def prepare(self, start: Start) -> None:
        """Store the graph of a start, on a connection that is not the caller's.

        ``record`` then needs no connection but the caller's.
        """
        self._services.stores.runs.keep(start.workflow.graph)
