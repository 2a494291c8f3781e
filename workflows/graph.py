"""The graph of a workflow: pure data, stored by content hash, the same in every process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from workflows import templates
from workflows.errors import DefinitionError
from workflows.templates import Template

_OPTIONS = ("queue", "priority", "max_attempts", "retry", "timeout", "total_timeout", "heartbeat_timeout")


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One use of a step in a workflow."""

    name: str  # unique in the graph: 'process', 'process-2'
    step: str  # the step's name, which is its Celery task's name
    arguments: Mapping[str, Template] = field(default_factory=dict)  # by parameter name
    after: tuple[str, ...] = ()  # parents whose results are not used
    queue: str | None = None  # None: wherever the Celery app routes the task
    priority: int | None = None  # as Celery on Redis has it: 0 is served first
    max_attempts: int | None = None  # of all kinds, attempts lost with their worker included; None: see the settings
    retry: Mapping[str, Any] | None = None  # a Retry as JSON; None: as the settings say
    timeout: float | None = None  # seconds, of one attempt; None: as the settings say
    total_timeout: float | None = None  # seconds, of all attempts and the waits between them
    heartbeat_timeout: float | None = None  # seconds between two heartbeats

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the nodes whose results this one is called with, each once, in order."""
        return tuple(dict.fromkeys(n for part in self.arguments.values() for n in templates.sources(part)))

    @property
    def parents(self) -> tuple[str, ...]:
        """Names of all nodes that must complete before this one, each once."""
        return tuple(dict.fromkeys((*self.inputs, *self.after)))

    def to_json(self) -> dict[str, Any]:
        """Return the node as plain JSON data, without what is left at its default."""
        data: dict[str, Any] = {"name": self.name, "step": self.step}
        if self.arguments:
            data["arguments"] = {key: templates.to_json(part) for key, part in self.arguments.items()}
        if self.after:
            data["after"] = list(self.after)
        for option in _OPTIONS:
            if (value := getattr(self, option)) is not None:
                data[option] = value
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Node:
        """Return the node that ``to_json`` wrote as ``data``."""
        arguments = {key: templates.from_json(part) for key, part in data.get("arguments", {}).items()}
        return cls(**{**data, "arguments": arguments, "after": tuple(data.get("after", ()))})


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A workflow as a directed acyclic graph. Nodes are addressed by position, in order of definition.

    Raises:
        DefinitionError: two nodes of one name, a parent that does not exist, or a cycle.
    """

    workflow: str
    version: str
    nodes: tuple[Node, ...]
    returns: Template | None = None  # None: the run has no result
    timeout: float | None = None  # seconds, of the run; None: as the settings say

    def __post_init__(self) -> None:
        if len(self.position) < len(self.nodes):
            twice = next(n.name for i, n in enumerate(self.nodes) if self.position[n.name] != i)
            raise DefinitionError(
                detail=f"Workflow {self.workflow!r} has two steps named {twice!r}. "
                f"Name one of them with .options(name=…)."
            )
        for node in self.nodes:
            for parent in node.parents:
                if parent not in self.position:
                    raise DefinitionError(
                        detail=f"Step {node.name!r} of workflow {self.workflow!r} depends on {parent!r}, "
                        f"which is not a step of it."
                    )
        self._refuse_cycles()

    def _refuse_cycles(self) -> None:
        waiting = set(range(len(self.nodes))).difference(self.in_order())
        if waiting:
            trail = [min(waiting)]
            while trail.count(trail[-1]) < 2:
                trail.append(next(p for p in self.parents[trail[-1]] if p in waiting))
            loop = reversed(trail[trail.index(trail[-1]) :])
            names = " → ".join(self.nodes[i].name for i in loop)
            raise DefinitionError(
                detail=f"Workflow {self.workflow!r} has a cycle: {names}. Remove one of these dependencies."
            )

    @cached_property
    def position(self) -> dict[str, int]:
        """Position of each node by its name."""
        return {node.name: i for i, node in enumerate(self.nodes)}

    @cached_property
    def parents(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the parents of each node, ascending."""
        return tuple(tuple(sorted(self.position[p] for p in node.parents)) for node in self.nodes)

    @cached_property
    def inputs(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the nodes whose results each node is called with, ascending."""
        return tuple(tuple(sorted(self.position[p] for p in node.inputs)) for node in self.nodes)

    @cached_property
    def dependents(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the nodes that wait for each node, ascending."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for child, parents in enumerate(self.parents):
            for parent in parents:
                found[parent].append(child)
        return tuple(tuple(children) for children in found)

    def in_order(self) -> list[int]:
        """Return all positions, each after those of its parents."""
        waiting = [len(parents) for parents in self.parents]
        ordered = [position for position, count in enumerate(waiting) if count == 0]
        for position in ordered:
            for child in self.dependents[position]:
                waiting[child] -= 1
                if waiting[child] == 0:
                    ordered.append(child)
        return ordered

    @cached_property
    def sinks(self) -> frozenset[int]:
        """Positions of the nodes that nothing waits for. A run is complete when all of these are."""
        return frozenset(i for i, children in enumerate(self.dependents) if not children)

    def ancestors(self, positions: Iterable[int]) -> set[int]:
        """Return the positions of everything that must have completed before any of ``positions`` is ready."""
        found: set[int] = set()
        todo = list(positions)
        while todo:
            new = [parent for parent in self.parents[todo.pop()] if parent not in found]
            found.update(new)
            todo.extend(new)
        return found

    @cached_property
    def hash(self) -> str:
        """Content hash: the first 16 bytes of the SHA-256 of the canonical JSON, as hex."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:32]

    def to_json(self) -> dict[str, Any]:
        """Return the graph as plain JSON data."""
        data: dict[str, Any] = {
            "workflow": self.workflow,
            "version": self.version,
            "nodes": [node.to_json() for node in self.nodes],
            "returns": None if self.returns is None else templates.to_json(self.returns),
        }
        if self.timeout is not None:
            data["timeout"] = self.timeout
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Graph:
        """Return the graph that ``to_json`` wrote as ``data``."""
        returns = data["returns"]
        return cls(
            workflow=data["workflow"],
            version=data["version"],
            nodes=tuple(Node.from_json(node) for node in data["nodes"]),
            returns=None if returns is None else templates.from_json(returns),
            timeout=data.get("timeout"),
        )
