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


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One use of a step in a workflow."""

    name: str  # unique in the graph: 'process', 'process-2'
    step: str  # the step's name, which is its Celery task's name
    arguments: Mapping[str, Template] = field(default_factory=dict)  # by parameter name
    after: tuple[str, ...] = ()  # parents whose results are not used
    queue: str | None = None  # None: wherever the Celery app routes the task
    priority: int | None = None  # as Celery on Redis has it: 0 is served first
    max_attempts: int | None = None  # of all kinds, attempts lost with their worker included

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
        for option in ("queue", "priority", "max_attempts"):
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
        waiting = {i: len(self.parents[i]) for i in range(len(self.nodes))}
        free = [i for i, count in waiting.items() if count == 0]
        while free:
            done = free.pop()
            del waiting[done]
            for child in self.dependents[done]:
                waiting[child] -= 1
                if waiting[child] == 0:
                    free.append(child)
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
        return {
            "workflow": self.workflow,
            "version": self.version,
            "nodes": [node.to_json() for node in self.nodes],
            "returns": None if self.returns is None else templates.to_json(self.returns),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Graph:
        """Return the graph that ``to_json`` wrote as ``data``."""
        returns = data["returns"]
        return cls(
            workflow=data["workflow"],
            version=data["version"],
            nodes=tuple(Node.from_json(node) for node in data["nodes"]),
            returns=None if returns is None else templates.from_json(returns),
        )
