"""The graph of a workflow: pure data, stored by content hash, the same in every process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from typing import Any

from celeriac.workflows.engine import templates
from celeriac.workflows.engine.states import Phase
from celeriac.workflows.engine.templates import Template
from celeriac.workflows.errors import DefinitionError


class Needs(StrEnum):
    """What a step needs of its parents; see ``progress.decide``."""

    ALL_SUCCEEDED = "all_succeeded"
    ALL_DONE = "all_done"
    ANY_SUCCEEDED = "any_succeeded"
    NONE_FAILED = "none_failed"
    ONE_FAILED = "one_failed"


class FailurePolicy(StrEnum):
    """What the failure of one step means for the rest of the run."""

    FAIL_FAST = "fail_fast"  # the run fails at once, unless every step that waits for it can do with a failure
    CONTINUE = "continue"  # whatever does not depend on the failed step still runs, then the run fails


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One use of a step in a workflow."""

    name: str  # unique in the graph: 'process', 'process-2'
    task: str  # name of the step's Celery task
    arguments: Mapping[str, Template] = field(default_factory=dict)  # by parameter name
    after: tuple[str, ...] = ()  # parents whose results are not used
    queue: str | None = None  # None: wherever the Celery app routes the task
    priority: int | None = None  # as Celery on Redis has it: 0 is served first
    max_attempts: int | None = None  # of all kinds, attempts lost with their worker included; None: see the settings
    retry: Mapping[str, Any] | None = None  # a Retry as JSON; None: as the settings say
    timeout: float | None = None  # seconds, of one attempt; None: as the settings say
    total_timeout: float | None = None  # seconds, of all attempts and the waits between them
    heartbeat_timeout: float | None = None  # seconds between two heartbeats
    needs: Needs | None = None  # None: all_succeeded
    handles: str | None = None  # the node whose error this one handles
    compensates: str | None = None  # the node whose work this one undoes
    hook: str | None = None  # "on_complete" or "on_failure": what makes it run once the run has ended

    @property
    def phase(self) -> Phase:
        """When the node is to run."""
        if self.compensates is not None:
            return Phase.COMPENSATION
        return Phase.FORWARD if self.hook is None else Phase.HOOK

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the nodes whose results this one is called with, each once, in order."""
        return tuple(dict.fromkeys(n for part in self.arguments.values() for n in templates.sources(part)))

    @property
    def observed(self) -> tuple[str, ...]:
        """Names of the nodes whose outcomes this one is called with, each once, in order."""
        return tuple(dict.fromkeys(n for part in self.arguments.values() for n in templates.observed(part)))

    @property
    def parents(self) -> tuple[str, ...]:
        """Names of all nodes that must have ended before this one is ready, each once.

        What runs in another phase waits for none: compensations and hooks are called with what there is then.
        """
        if self.phase is not Phase.FORWARD:
            return ()
        if self.handles is not None:
            return (self.handles,)
        return tuple(dict.fromkeys((*self.inputs, *self.observed, *self.after)))

    def to_json(self) -> dict[str, Any]:
        """Return the node as plain JSON data, without what is left at its default."""
        data: dict[str, Any] = {"name": self.name, "task": self.task}
        if self.arguments:
            data["arguments"] = {key: templates.to_json(part) for key, part in self.arguments.items()}
        if self.after:
            data["after"] = list(self.after)
        for option in _OPTIONS:
            if (value := getattr(self, option)) is not None:
                data[option] = value.value if isinstance(value, StrEnum) else value
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Node:
        """Return the node that ``to_json`` wrote as ``data``."""
        arguments = {key: templates.from_json(part) for key, part in data.get("arguments", {}).items()}
        needs = None if data.get("needs") is None else Needs(data["needs"])
        return cls(**{**data, "arguments": arguments, "after": tuple(data.get("after", ())), "needs": needs})


_OPTIONS = tuple(option.name for option in fields(Node) if option.default is None)


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
    failure_policy: FailurePolicy = FailurePolicy.FAIL_FAST
    saga: bool = False  # whether completed steps are compensated when the run fails or is cancelled

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
    def guaranteed_inputs(self) -> tuple[tuple[int, ...], ...]:
        """Of the inputs of each node those that are sure to have completed when it runs, ascending."""
        return tuple(
            tuple(i for i in inputs if i not in self.handlers) if node.phase is Phase.FORWARD else ()
            for node, inputs in zip(self.nodes, self.inputs, strict=True)
        )

    @cached_property
    def outcome_inputs(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the nodes of which each node has to see what became of them, before it is called; ascending."""
        found = []
        for node, inputs, certain in zip(self.nodes, self.inputs, self.guaranteed_inputs, strict=True):
            seen = {*inputs, *(self.position[name] for name in node.observed)} - set(certain)
            found.append(tuple(sorted(seen | {self.handlers[i] for i in seen if i in self.handlers})))
        return tuple(found)

    @cached_property
    def _children(self) -> tuple[tuple[int, ...], ...]:
        found: list[list[int]] = [[] for _ in self.nodes]
        for child, parents in enumerate(self.parents):
            for parent in parents:
                found[parent].append(child)
        return tuple(tuple(children) for children in found)

    @cached_property
    def dependents(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the nodes at which the outcome of each node counts, ascending.

        The outcome of an error handler counts in place of that of the node whose error it handles.
        """
        found = []
        for position, children in enumerate(self._children):
            handled = self.handled.get(position)
            counted = children if handled is None else self._children[handled]
            found.append(tuple(child for child in counted if child not in self.handled))
        return tuple(found)

    @cached_property
    def handled(self) -> dict[int, int]:
        """Position of the node whose error is handled, by position of the handler."""
        return {i: self.position[node.handles] for i, node in enumerate(self.nodes) if node.handles is not None}

    @cached_property
    def handlers(self) -> dict[int, int]:
        """Position of the handler, by position of the node whose error it handles."""
        return {node: handler for handler, node in self.handled.items()}

    @cached_property
    def compensations(self) -> dict[int, int]:
        """Position of the compensation, by position of the node whose work it undoes."""
        return {self.position[n.compensates]: i for i, n in enumerate(self.nodes) if n.compensates is not None}

    @cached_property
    def hooks(self) -> dict[str, int]:
        """Position of each hook, by what makes it run."""
        return {node.hook: i for i, node in enumerate(self.nodes) if node.hook is not None}

    @cached_property
    def forward(self) -> tuple[int, ...]:
        """Positions of the nodes that the run consists of, without compensations and hooks."""
        return tuple(i for i, node in enumerate(self.nodes) if node.phase is Phase.FORWARD)

    def in_order(self) -> list[int]:
        """Return all positions, each after those of its parents."""
        waiting = [len(parents) for parents in self.parents]
        ordered = [position for position, count in enumerate(waiting) if count == 0]
        for position in ordered:
            for child in self._children[position]:
                waiting[child] -= 1
                if waiting[child] == 0:
                    ordered.append(child)
        return ordered

    @cached_property
    def sinks(self) -> frozenset[int]:
        """Positions of the nodes that nothing waits for."""
        return frozenset(i for i in self.forward if not self._children[i])

    @cached_property
    def is_strict(self) -> bool:
        """Whether each step needs all its parents to succeed, and the run ends with a failure that nothing handles."""
        return self.failure_policy is FailurePolicy.FAIL_FAST and all(
            self.nodes[i].needs in (None, Needs.ALL_SUCCEEDED) for i in self.forward
        )

    @cached_property
    def ends(self) -> frozenset[int]:
        """Positions of the nodes that must all have ended before the run ends as a whole.

        In a strict graph without error handlers the sinks tell; in others a sink may end before steps beside it.
        """
        return self.sinks if self.is_strict and not self.handlers else frozenset(self.forward)

    @cached_property
    def is_simple(self) -> tuple[bool, ...]:
        """Whether the completion of each node can do no more than free others and complete the run.

        In a strict graph nothing that a step waits for is blocked or skipped while the run goes on.
        """
        return tuple(
            self.is_strict
            and node.phase is Phase.FORWARD
            and position not in self.handlers
            and not (position in self.ends and "on_complete" in self.hooks)
            for position, node in enumerate(self.nodes)
        )

    def descendants(self, position: int) -> set[int]:
        """Return the positions of all nodes that the outcome of a node may reach."""
        found: set[int] = set()
        todo = [position]
        while todo:
            here = todo.pop()
            reached = {*self.dependents[here], *self._children[here]} - found
            found |= reached
            todo.extend(reached)
        return found

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
        if self.failure_policy is not FailurePolicy.FAIL_FAST:
            data["failure_policy"] = self.failure_policy.value
        if self.saga:
            data["saga"] = True
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
            failure_policy=FailurePolicy(data.get("failure_policy", FailurePolicy.FAIL_FAST)),
            saga=data.get("saga", False),
        )
