"""The result backend of steps: the history itself.

Celery asks a result backend whether a chord is complete, and for the state of a task.
The history has both before Celery asks, so the backend stores nothing, and nothing
expires.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from celery import Celery, states
from celery.backends.base import BaseBackend
from celery.canvas import maybe_signature

from celeriac.workflows.engine.ids import parse_task_id
from celeriac.workflows.engine.states import StepStatus
from celeriac.workflows.history.tasks import Task

_STATES = {
    StepStatus.DORMANT: states.PENDING,
    StepStatus.PENDING: states.PENDING,
    StepStatus.READY: states.PENDING,
    StepStatus.RUNNING: states.STARTED,
    StepStatus.COMPLETED: states.SUCCESS,
    StepStatus.RETRYING: states.RETRY,
    StepStatus.FAILED: states.FAILURE,
    StepStatus.UPSTREAM_FAILED: states.REVOKED,  # Celery's word for a task that will not run
    StepStatus.SKIPPED: states.REVOKED,
}


class HistoryBackend(BaseBackend):
    """Answers from the history.

    Celery's tracer calls it after the outcome of the step was recorded.
    """

    persistent = True

    def __init__(self, app: Celery, find: Callable[[UUID, str], Task | None], **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self._find = find

    def mark_as_done(
        self, task_id: str, result: Any, request: Any = None, store_result: bool = True, state: str = states.SUCCESS
    ) -> None:
        """Publish a chord's body if this part freed it. The result is recorded."""
        if request is not None and request.chord:
            self.on_chord_part_return(request, state, result)

    def on_chord_part_return(self, request: Any, state: str, result: Any, **kwargs: Any) -> None:
        """Publish the chord's body.

        The completion removed the chord from the request, unless it freed the body.
        """
        maybe_signature(request.chord, app=self.app).apply_async(parent_id=request.id)

    def mark_as_failure(self, task_id: str, exc: BaseException, *args: Any, **kwargs: Any) -> None:
        """Do nothing: ``StepTask.run`` has recorded any failure."""

    def mark_as_revoked(self, task_id: str, *args: Any, **kwargs: Any) -> None:
        """Do nothing: a message is a hint; to revoke it does not cancel the step."""

    def mark_as_retry(self, task_id: str, *args: Any, **kwargs: Any) -> None:
        """Do nothing: a retry is an event of the history."""

    def apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> None:
        """Do nothing: the history counts the parts."""

    def _store_result(self, task_id: str, result: Any, state: str, *args: Any, **kwargs: Any) -> None:
        """Do nothing; see ``mark_as_done``."""

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        meta: dict[str, Any] = {"task_id": task_id, "status": states.PENDING, "result": None, "traceback": None}
        key = parse_task_id(task_id)
        found = None if key is None else self._find(*key)
        if found is None:
            return meta
        meta["status"] = _STATES[found.status]
        if found.status is StepStatus.COMPLETED:
            meta["result"] = found.data
        elif found.status is StepStatus.FAILED:
            meta["result"] = {"exc_type": found.data["type"], "exc_message": found.data["message"], "exc_module": None}
            meta["traceback"] = found.data.get("traceback")
        meta["date_done"] = found.finished_at
        return self.meta_from_decoded(meta)  # type: ignore[no-any-return]
