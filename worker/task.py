"""The Celery task of a step."""

from __future__ import annotations

import logging
from typing import Any, ClassVar
from uuid import UUID

from celery import Task
from celery.exceptions import Ignore
from kombu.exceptions import OperationalError

from celeriac.worker.runtime import Runtime
from celeriac.workflows.authoring.steps import Step
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.ids import parse_task_id
from celeriac.workflows.engine.log_fields import step_fields
from celeriac.workflows.history.outage import retry_through_outage
from celeriac.workflows.history.records import Claim

logger = logging.getLogger(__name__)


class StepTask(Task):
    """Base of the tasks of steps; each step has a subclass of its own.

    Celery moves the task, traces it and reports it to Flower. Its outcome is in the
    history. The message has the id of the run, the step's name in the run, and the hash
    of the graph.
    """

    abstract = True
    typing = False
    ignore_result = True  # by Celery: the result goes into the history
    track_started = False
    acks_late = False  # the history, not the broker, knows the steps that have not finished
    store_errors_even_if_ignored = False

    step: ClassVar[Step[..., Any]]
    runtime: ClassVar[Runtime]

    @property
    def backend(self) -> Any:
        """The history, instead of the app's result backend."""
        return self.runtime.backend

    def run(self, run: str, step: str, graph_hash: str) -> Any:
        """Claim the step, run it and record its outcome; see ``StepExecutor``."""
        process = self.runtime.process
        graph = self._graph(run, step, graph_hash)
        claim = self._claim(graph, run, step)
        try:
            value, following = process.executor.run(
                self, graph, claim, lambda: process.continuation.choose(graph, claim)
            )
        except BaseException as error:
            process.executor.close_attempt(graph, claim.attempt, error)
            raise
        process.continuation.set_next(following)
        return value

    def _graph(self, run: str, step: str, graph_hash: str) -> Graph:
        runs = self.runtime.process.stores.runs
        try:
            return retry_through_outage(lambda: runs.graph(graph_hash))
        except LookupError:
            logger.warning(
                "Run %s is not in this worker's database; the message is dropped",
                run,
                extra=step_fields(run, step, "dropped"),
            )
            raise Ignore from None

    def _claim(self, graph: Graph, run: str, step: str) -> Claim:
        """Return the continuation's claim, or claim the step that a message names."""
        process = self.runtime.process
        return process.continuation.take_claim(run, step) or process.executor.claim(graph, UUID(run), step)

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Continue with the step that the completion claimed.

        Celery calls this after it has measured the step's runtime, and before it takes
        the next message.
        """
        self.runtime.process.continuation.run(self, retval)

    def apply_async(self, *args: Any, **options: Any) -> Any:
        """Publish the task, as Celery does for the next step of a chain or chord.

        A broker that is down does not fail the step that has completed.
        """
        try:
            return super().apply_async(*args, **options)
        except OperationalError as error:
            task_id = options.get("task_id") or ""
            run_and_step = parse_task_id(task_id)
            logger.warning(
                "The broker did not take %s (%s); it will be dispatched when the broker is back",
                self.name,
                error,
                extra=None if run_and_step is None else step_fields(*run_and_step, "not_dispatched"),
            )
            return self.AsyncResult(task_id)


def task_of(step: Step[..., Any], runtime: Runtime) -> StepTask:
    """Return the task of a step, for an app to register."""
    kind = type(
        f"{step.name}_task",
        (StepTask,),
        {"name": step.name, "step": step, "runtime": runtime, "__doc__": step.__doc__, "__module__": step.module},
    )
    return kind()  # type: ignore[no-any-return]
