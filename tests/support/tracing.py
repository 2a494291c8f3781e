"""What a process of a worker's pool does with a message, without the pool: Celery's own tracer runs the task."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from celery.app.trace import build_tracer

from celeriac.worker.installation import create_app
from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.authoring.definitions import Workflow
from celeriac.workflows.authoring.steps import Step
from celeriac.workflows.settings import Settings
from tests.support.broker import Broker, body_of
from tests.support.store import WORKER, Store


class TracingProcess:
    """Runs steps in the test's own process, one message at a time. Each thread of the test has a connection."""

    def __init__(self, store: Store, broker: Broker, settings: Settings, *definitions: Workflow | Step) -> None:
        self.store = store
        self.broker = broker
        catalog = Catalog.of(*definitions)
        self.app = create_app(settings, catalog)
        self.tasks = {name: self.app.tasks[name] for name in catalog.steps}
        for name, task in self.tasks.items():
            task.__trace__ = build_tracer(name, task, self.app.loader, WORKER, app=self.app)
        self.runtime = next(iter(self.tasks.values())).runtime
        self.process = self.runtime.process
        self.publisher = self.process.dispatch.publisher

    def close(self) -> None:
        self.disconnect()
        self.app.close()
        self.process.stores.database.close()

    def disconnect(self) -> None:
        """Close the connection of this thread."""
        self.process.stores.attempts.close()

    def start(self, workflow: Workflow, run_input: str = "{}") -> UUID:
        """Start a run and dispatch its first steps."""
        run_id = self.store.start(workflow.graph, run_input)
        self.publisher.dispatch(workflow.graph, run_id, frozenset())
        return run_id

    def trace(self, message: Mapping[str, Any]) -> Any:
        """Run the step of a message, and the steps with which Celery and this process continue.

        Returns:
            What Celery's tracer returns of the first step.
        """
        args, kwargs, embed = body_of(message)
        headers = message["headers"]
        request = {**headers, **embed, "hostname": WORKER, "delivery_info": {}, "is_eager": False}
        return self.tasks[headers["task"]].__trace__(headers["id"], args, kwargs, request)

    def trace_next(self) -> Any:
        """Take the next message of the queue, and trace it."""
        return self.trace(self.broker.take())
