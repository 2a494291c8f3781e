"""Forking runs as the client does, and what a fork has taken over."""

from uuid import UUID

from celeriac.workflows.engine.events import EventType
from celeriac.workflows.engine.forking import reusable
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.states import StepStatus
from celeriac.workflows.history.records import Transition
from tests.support.store import Store


def completed_steps(store: Store, run_id: UUID) -> set[str]:
    return {name for name, status in store.statuses(run_id).items() if status == StepStatus.COMPLETED}


def fork(store: Store, original: UUID, from_step: str, graph: Graph | None = None) -> tuple[UUID, Transition]:
    """Fork as the client does, without dispatching."""
    graph = graph or store.graph(original)
    reused = reusable(graph, completed_steps(store, original), from_step)
    return store.runs.fork(graph, store.reader.input(original), reused, original, tags={})


def reused_by(store: Store, run_id: UUID) -> dict[str, str]:
    """The results that a run took over, by the name of the step, in the order of its history."""
    nodes = store.graph(run_id).nodes
    events = store.reader.events(run_id)
    return {nodes[e.position].name: e.data for e in events if e.type is EventType.STEP_REUSED}


def started(store: Store, run_id: UUID) -> set[str]:
    return {event.split()[1] for event in store.history(run_id) if event.startswith("StepStarted")}


def counts(store: Store, run_id: UUID) -> tuple[int, int]:
    run, _ = store.reader.projections(run_id)
    return run.remaining, run.unhandled_failures
