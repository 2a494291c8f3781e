"""Views of runs, steps and workers: frozen records, assembled from the projections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from celeriac.workflows.engine.states import RunStatus, StepStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorView:
    """The error of a step or a run that failed."""

    type: str  # name of the exception's class
    message: str
    traceback: str | None = None
    step: str | None = None  # of a run's error: the step that failed
    public: bool = False  # whether people outside may read the message; see ``PublicError``

    @property
    def public_message(self) -> str:
        """A message that anybody may read: the error's own only if it is public."""
        if self.public:
            return self.message
        return "The run failed." if self.step is None else f"Step '{self.step}' failed."


@dataclass(frozen=True, kw_only=True, slots=True)
class StepView:
    """A step of a run."""

    name: str  # unique in the run
    task: str  # name of the step's Celery task
    position: int
    parents: tuple[str, ...]
    status: StepStatus
    attempt: int  # 0: never claimed
    lost: int  # attempts lost with their worker
    queue: str | None
    worker: str | None  # host and process of the last attempt
    ready_at: datetime | None
    started_at: datetime | None  # of the last attempt
    finished_at: datetime | None
    due_at: datetime | None  # of a step that waits for its next attempt
    error: ErrorView | None  # of the step, or of the last attempt if the step is retried
    needs: str | None = None  # the rule of a join, unless all parents must succeed
    handles: str | None = None  # the step whose error this step handles
    compensates: str | None = None  # the step that this step compensates
    hook: str | None = None  # "on_complete" or "on_failure", if it runs after the run's end


@dataclass(frozen=True, kw_only=True, slots=True)
class RunView:
    """A run with or without its steps."""

    id: UUID
    workflow: str
    version: str
    graph_hash: str  # of the graph that the run is pinned to
    status: RunStatus
    tags: Mapping[str, str]
    idempotency_key: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: ErrorView | None
    steps: tuple[StepView, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerScope:
    """The steps that a worker can run."""

    queues: frozenset[str] = frozenset()  # it takes messages from them; empty: not known yet
    tasks: frozenset[str] = frozenset()  # it has their code


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveWorker:
    """A worker with at least one lease that has not expired."""

    name: str
    processes: int
    expires_at: datetime
    scope: WorkerScope


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A step that is ready in runs that accept work."""

    task: str
    queue: str  # empty: where the app routes the step
    runs: tuple[UUID, ...]  # the first few
