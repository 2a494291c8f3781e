"""Inline continuation: running the next step in the same process, without the broker.

The statement that completes a step claims the next step. Celery then traces that step
as if its message had just arrived, so signals, logs and the task stack are as usual.
The events that Flower reads, which the parent process sends for a message, are sent
from here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from celery import Celery
from celery.utils.saferepr import saferepr

from celeriac.worker.execution import NextStep
from celeriac.worker.telemetry import Telemetry
from celeriac.workflows.dispatch.messages import arguments_of
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.ids import task_id
from celeriac.workflows.history.records import Attempt, Claim


class TracedTask(Protocol):
    """The part of a step's Celery task that continuation uses."""

    request: Any
    resultrepr_maxsize: int
    __trace__: Callable[[str, tuple[()], dict[str, str], dict[str, Any]], Any]


class InlineContinuation(threading.local):
    """The state of continuation in a thread.

    Args:
        app: The app that has the tasks of the steps.
        telemetry: Sends the events that Flower reads.
        seconds: How long a process continues inline before the next step goes through
            the broker; 0: never.
        release: Makes a claimed step ready again, unless its outcome is recorded.
    """

    def __init__(
        self, app: Celery, telemetry: Telemetry, seconds: float, release: Callable[[Graph, Attempt], None]
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._seconds = seconds
        self._release = release
        self._until = 0.0
        self._next: NextStep | None = None
        self._is_running = False
        self._began = 0.0
        self._routes: dict[str, Any] = {}  # of tasks without a queue; the router is slow

    def take_claim(self, run: str, step: str) -> Claim | None:
        """Return the claim to continue with, or None if a message named the step."""
        following = self._next
        self._next = None
        if following is not None:
            attempt = following.claim.attempt
            if task_id(run, step) == task_id(attempt.run_id, attempt.name):
                return following.claim
            # Celery failed after the previous step returned, before its ``on_success``.
            self._release(following.graph, attempt)
        self._began = time.monotonic()
        self._until = self._began + self._seconds
        return None

    def choose(self, graph: Graph, claim: Claim) -> int | None:
        """Return the step to claim with the completion, or None to use the broker."""
        if time.monotonic() >= self._until or not graph.is_simple[claim.attempt.position]:
            return None
        candidates = [
            position for position in graph.dependents[claim.attempt.position] if self._may_run(graph, position, claim)
        ]
        # A step with a single parent is sure to be freed.
        return min(candidates, key=lambda position: (len(graph.parents[position]), position), default=None)

    def _may_run(self, graph: Graph, position: int, claim: Claim) -> bool:
        here = graph.nodes[claim.attempt.position]
        there = graph.nodes[position]
        follower = self._app.tasks.get(there.task)
        if follower is None or follower.rate_limit:
            return False
        if any(task.time_limit or task.soft_time_limit for task in (follower, self._app.tasks[here.task])):
            return False  # Celery would apply the limit to both steps together
        if (here.queue, here.priority) != (there.queue, there.priority):
            return False
        return here.queue is not None or here.task == there.task or self._route(here.task) == self._route(there.task)

    def _route(self, task: str) -> Any:
        if task not in self._routes:
            route = self._app.amqp.router.route({}, task)
            queue = route.get("queue")
            self._routes[task] = queue.name if queue is not None else (route.get("exchange"), route.get("routing_key"))
        return self._routes[task]

    def set_next(self, following: NextStep | None) -> None:
        """Set the step that ``run`` runs next."""
        self._next = following

    def run(self, task: TracedTask, value: Any) -> None:
        """Run the next step, and the steps that follow it, until no step is set.

        Args:
            task: The task of the step that has just completed.
            value: The value that the step returned.
        """
        if self._is_running or self._next is None:
            return
        # The parent process will send this event too, but after the last step here.
        self._telemetry.succeeded(
            task.request.id, saferepr(value, task.resultrepr_maxsize), time.monotonic() - self._began
        )
        self._is_running = True
        hostname = task.request.hostname or ""
        delivery_info = task.request.delivery_info
        following = None
        try:
            while (following := self._next) is not None:
                self._trace(following, hostname, delivery_info)
        finally:
            # After an error: claimed steps that will not run here are for others.
            for left in (following, self._next):
                if left is not None:
                    self._release(left.graph, left.claim.attempt)
            self._is_running = False
            self._next = None

    def _trace(self, following: NextStep, hostname: str, delivery_info: Any) -> None:
        claim = following.claim
        graph = following.graph
        node = graph.nodes[claim.attempt.position]
        run_id = claim.attempt.run_id
        task: TracedTask = self._app.tasks[node.task]
        uuid = task_id(run_id, node.name)
        parent_id = task_id(run_id, graph.nodes[following.parent].name)
        arguments = arguments_of(graph, run_id, claim.attempt.position)
        request = {
            "lang": "py",
            "task": node.task,
            "id": uuid,
            "root_id": str(run_id),
            "parent_id": parent_id,
            "kwargsrepr": repr(arguments),
            "argsrepr": "()",
            "retries": 0,
            "hostname": hostname,
            "delivery_info": delivery_info,
            "is_eager": False,
            "ignore_result": True,
        }
        self._telemetry.started(uuid, node.task, repr(arguments), str(run_id), parent_id)
        began = time.monotonic()
        trace = task.__trace__(uuid, (), arguments, request)
        self._telemetry.ended(uuid, trace, time.monotonic() - began)
