"""Carrying on: running the next step in the same process, without sending it through the broker.

The step that follows is claimed by the statement that completes the one before, and then traced by Celery
as if its message had just come in. So signals, logs and the task stack are as people know them; the events that
Flower reads, which the parent process sends for a message, are sent from here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.utils.saferepr import saferepr

from celeriac.worker.execution import Budget, NextStep
from celeriac.worker.telemetry import Telemetry
from celeriac.workflows.dispatch.messages import arguments_of
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.ids import task_id
from celeriac.workflows.history.attempts import Attempt, Claim

if TYPE_CHECKING:
    from celeriac.worker.task import StepTask


class InlineContinuation(threading.local):
    """The state of carrying on in one thread.

    Args:
        app: Whose tasks the steps are.
        telemetry: Tells Flower.
        seconds: The time that one message may take before the next step goes through the broker; 0 turns carrying off.
        hand_back: Makes a claimed step ready again, unless its outcome is recorded.
    """

    def __init__(
        self, app: Celery, telemetry: Telemetry, seconds: float, release: Callable[[Graph, Attempt], None]
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._seconds = seconds
        self._release = release
        self._budget: Budget | None = None
        self._next: NextStep | None = None
        self._is_carrying = False
        self._began = 0.0
        self._routes: dict[str, Any] = {}  # of steps without a queue of their own; asking the router takes its time

    def take_claim(self, run: str, step: str) -> Claim | None:
        """Return the claim of the step that is being carried on with, or None if a message brought the step."""
        carried, self._next = self._next, None
        if carried is not None:
            attempt = carried.claim.attempt
            if task_id(run, step) == task_id(attempt.run_id, attempt.name):
                return carried.claim
            # Celery failed between the step that handed this over and its ``on_success``.
            self._release(carried.graph, attempt)
        self._budget = Budget(self._seconds)
        self._began = time.monotonic()
        return None

    def choose(self, graph: Graph, claim: Claim) -> int | None:
        """Return the step to carry on with if it is freed, or None to leave all of them to the broker."""
        if self._budget is None or self._budget.is_used or not graph.is_simple[claim.attempt.position]:
            return None
        candidates = [
            position for position in graph.dependents[claim.attempt.position] if self._may_run(graph, position, claim)
        ]
        # One that waits for nothing else is sure to be freed.
        return min(candidates, key=lambda position: (len(graph.parents[position]), position), default=None)

    def _may_run(self, graph: Graph, position: int, claim: Claim) -> bool:
        here, there = graph.nodes[claim.attempt.position], graph.nodes[position]
        follower = self._app.tasks.get(there.task)
        if follower is None or follower.rate_limit:
            return False
        if any(task.time_limit or task.soft_time_limit for task in (follower, self._app.tasks[here.task])):
            return False  # Celery would hold both to the limit together
        if (here.queue, here.priority) != (there.queue, there.priority):
            return False
        return here.queue is not None or here.task == there.task or self._route(here.task) == self._route(there.task)

    def _route(self, step: str) -> Any:
        if step not in self._routes:
            route = self._app.amqp.router.route({}, step)
            queue = route.get("queue")
            self._routes[step] = queue.name if queue is not None else (route.get("exchange"), route.get("routing_key"))
        return self._routes[step]

    def hand_over(self, carried: NextStep | None) -> None:
        """Keep what ``carry_on`` is to run next."""
        self._next = carried

    def carry_on(self, task: StepTask, value: Any) -> None:
        """Run what was handed over, and what that hands over, until there is nothing more.

        Args:
            task: Of the step that was just completed.
            value: What it returned.
        """
        if self._is_carrying or self._next is None:
            return
        # The parent process will tell Flower so too, but only when everything here is done.
        self._telemetry.succeeded(
            task.request.id, saferepr(value, task.resultrepr_maxsize), time.monotonic() - self._began
        )
        self._is_carrying = True
        uncounted_attempts = task
        delivery_info = task.request.delivery_info
        carried = None
        try:
            while (carried := self._next) is not None:
                uncounted_attempts = self._trace(carried, uncounted_attempts, delivery_info)
        finally:
            # After an error: what is claimed, and will not be run here, is for another process.
            for left in (carried, self._next):
                if left is not None:
                    self._release(left.graph, left.claim.attempt)
            self._is_carrying = False
            self._next = None

    def _trace(self, carried: NextStep, uncounted_attempts: StepTask, delivery_info: Any) -> StepTask:
        claim, graph = carried.claim, carried.graph
        node = graph.nodes[claim.attempt.position]
        run_id = claim.attempt.run_id
        task: StepTask = self._app.tasks[node.task]
        uuid = task_id(run_id, node.name)
        parent_id = task_id(run_id, graph.nodes[carried.parent].name)
        arguments = arguments_of(graph, run_id, claim.attempt.position)
        hostname = uncounted_attempts.request.hostname or ""
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
        return task
