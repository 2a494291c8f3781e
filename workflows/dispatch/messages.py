"""Celery signatures of canvases, as they go over the wire.

They carry ids alone: no payload, never the graph.

When Celery applies a ``chain``, ``group`` or ``chord``, it gives each task an id, hangs
the rest of a chain onto its first task, and the body of a chord onto the last task of
each part of its header. This module does so directly, because Celery's classes copy
every signature several times and do not pass a producer on, so that a wide fan-out
could not be published as a batch. A test compares the messages with Celery's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from celery import Celery
from celery.canvas import Signature

from celeriac.workflows.engine.compiler import Canvas
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.ids import task_id


def messages_of(graph: Graph, run_id: UUID, canvas: Canvas, app: Celery | None = None) -> list[Signature]:
    """Return the signatures of a canvas, bound to ``app``, for ``apply_async``."""
    ending: dict[str, Any] = {}
    if canvas.body:
        ending["chord"] = _chain(graph, run_id, canvas.body, app, {})
    if len(canvas.segments) > 1:
        # From the id of the first task, so that each process that publishes the same
        # steps gives the group the same id.
        ending["group_id"] = f"{task_id(run_id, graph.nodes[canvas.segments[0][0]].name)}.group"
    return [_chain(graph, run_id, segment, app, ending) for segment in canvas.segments]


def arguments_of(graph: Graph, run_id: UUID, position: int) -> dict[str, str]:
    """Return the keyword arguments of a step's Celery task."""
    return {"run": str(run_id), "step": graph.nodes[position].name, "graph_hash": graph.hash}


def _chain(
    graph: Graph, run_id: UUID, positions: Sequence[int], app: Celery | None, ending: dict[str, Any]
) -> Signature:
    """Return the first link of a chain; its ``chain`` has the rest, last link first."""
    links = [_signature(graph, run_id, position, app) for position in positions]
    links[-1].options.update(ending)
    if len(links) > 1:
        links[0].options["chain"] = links[:0:-1]
    return links[0]


def _signature(graph: Graph, run_id: UUID, position: int, app: Celery | None) -> Signature:
    node = graph.nodes[position]
    options: dict[str, Any] = {"task_id": task_id(run_id, node.name), "root_id": str(run_id)}
    if node.queue is not None:
        options["queue"] = node.queue
    if node.priority is not None:
        options["priority"] = node.priority
    return Signature(
        task=node.task, kwargs=arguments_of(graph, run_id, position), options=options, immutable=True, app=app
    )
