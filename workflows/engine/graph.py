"""The graph of a workflow: pure data, the same in every process, stored by its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from itertools import chain
from typing import Any

from celeriac.workflows.engine import templates
from celeriac.workflows.engine.states import Phase, StepStatus
from celeriac.workflows.engine.templates import Template
from celeriac.workflows.errors import DefinitionError


class Needs(StrEnum):
    """The condition that a step's parents must meet; see ``progress.decide``."""

    ALL_SUCCEEDED = "all_succeeded"
    ALL_DONE = "all_done"
    ANY_SUCCEEDED = "any_succeeded"
    NONE_FAILED = "none_failed"
    ONE_FAILED = "one_failed"


class FailurePolicy(StrEnum):
    """The effect of a step's failure on the rest of the run."""

    FAIL_FAST = "fail_fast"  # the run fails at once, unless all dependents tolerate a failure
    CONTINUE = "continue"  # steps that do not depend on the failure still run, then the run fails


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A use of a step in a workflow."""

    name: str  # unique in the graph: 'process', 'process-2'
    task: str  # name of the step's Celery task
    arguments: Mapping[str, Template] = field(default_factory=dict)  # by parameter name
    after: tuple[str, ...] = ()  # parents whose results are not used
    queue: str | None = None  # None: the Celery app routes the task
    priority: int | None = None  # as in Celery on Redis: 0 is served first
    max_attempts: int | None = None  # lost attempts included; None: see the settings
    retry: Mapping[str, Any] | None = None  # a Retry as JSON; None: see the settings
    timeout: float | None = None  # seconds, of an attempt; None: see the settings
    total_timeout: float | None = None  # seconds, of all attempts and the waits between them
    heartbeat_timeout: float | None = None  # seconds between two heartbeats
    needs: Needs | None = None  # None: all_succeeded
    handles: str | None = None  # the node whose error this node handles
    compensates: str | None = None  # the node that this node compensates
    hook: str | None = None  # "on_complete" or "on_failure", if it runs after the run's end
    unknown: Mapping[str, Any] = field(default_factory=dict)  # as a later version wrote it

    @property
    def phase(self) -> Phase:
        """The phase of the run in which the node runs."""
        if self.compensates is not None:
            return Phase.COMPENSATION
        return Phase.FORWARD if self.hook is None else Phase.HOOK

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the nodes whose results are arguments, each once, in order."""
        return self._sources(templates.result_sources)

    @property
    def outcome_sources(self) -> tuple[str, ...]:
        """Names of the nodes whose outcomes are arguments, each once, in order."""
        return self._sources(templates.outcome_sources)

    def _sources(self, sources_of: Callable[[Template], Iterator[str]]) -> tuple[str, ...]:
        names = chain.from_iterable(sources_of(template) for template in self.arguments.values())
        return tuple(dict.fromkeys(names))

    @property
    def parents(self) -> tuple[str, ...]:
        """Names of all nodes that must have ended before this node is ready, each once.

        Compensations and hooks wait for no node: they are called with the results and
        outcomes that the run has then.
        """
        if self.phase is not Phase.FORWARD:
            return ()
        if self.handles is not None:
            return (self.handles,)
        return tuple(dict.fromkeys((*self.inputs, *self.outcome_sources, *self.after)))

    def to_json(self) -> dict[str, Any]:
        """Return the node as plain JSON data, without fields at their default."""
        data: dict[str, Any] = {"name": self.name, "task": self.task}
        if self.arguments:
            data["arguments"] = {key: templates.to_json(part) for key, part in self.arguments.items()}
        if self.after:
            data["after"] = list(self.after)
        for option in fields(self):
            value = getattr(self, option.name)
            if option.default is None and value is not None:
                data[option.name] = value.value if isinstance(value, StrEnum) else value
        return {**data, **self.unknown}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Node:
        """Return the node that ``to_json`` wrote as ``data``."""
        arguments = {key: templates.from_json(part) for key, part in data.get("arguments", {}).items()}
        needs = None if data.get("needs") is None else Needs(data["needs"])
        known, unknown = _divided(data, cls)
        return cls(
            **{
                **known,
                "arguments": arguments,
                "after": tuple(data.get("after", ())),
                "needs": needs,
                "unknown": unknown,
            }
        )


def _divided(data: Mapping[str, Any], kind: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parts of JSON data that a dataclass knows, and the others.

    A later version may have written the others, as during a rolling deploy. They are
    kept, so that the graph keeps its hash, and have no effect.
    """
    names = {known.name for known in fields(kind)} - {"unknown"}
    unknown = {key: value for key, value in data.items() if key not in names}
    return {key: value for key, value in data.items() if key in names}, unknown


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A workflow as a directed acyclic graph.

    Nodes are addressed by position, in order of definition.

    Raises:
        DefinitionError: two nodes have the same name, a parent does not exist, or there
            is a cycle.
    """

    workflow: str
    version: str
    nodes: tuple[Node, ...]
    returns: Template | None = None  # None: the run has no result
    timeout: float | None = None  # seconds, of the run; None: see the settings
    failure_policy: FailurePolicy = FailurePolicy.FAIL_FAST
    saga: bool = False  # whether a failed or cancelled run compensates completed steps
    unknown: Mapping[str, Any] = field(default_factory=dict)  # as a later version wrote it

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
        """For each node, its parents, ascending."""
        return tuple(self._positions(node.parents) for node in self.nodes)

    @cached_property
    def inputs(self) -> tuple[tuple[int, ...], ...]:
        """For each node, the nodes whose results are its arguments, ascending."""
        return tuple(self._positions(node.inputs) for node in self.nodes)

    def _positions(self, names: Iterable[str]) -> tuple[int, ...]:
        return tuple(sorted(self.position[name] for name in names))

    @cached_property
    def guaranteed_inputs(self) -> tuple[tuple[int, ...], ...]:
        """For each node, the inputs that have surely completed before it, ascending."""
        found = []
        for node, inputs in zip(self.nodes, self.inputs, strict=True):
            unhandled = tuple(i for i in inputs if i not in self.handlers)
            found.append(unhandled if node.phase is Phase.FORWARD else ())
        return tuple(found)

    @cached_property
    def outcome_inputs(self) -> tuple[tuple[int, ...], ...]:
        """For each node, the nodes whose outcome it reads, ascending.

        They include inputs that may not have completed, and error handlers.
        """
        found = []
        for node, inputs, certain in zip(self.nodes, self.inputs, self.guaranteed_inputs, strict=True):
            seen = {*inputs, *self._positions(node.outcome_sources)} - set(certain)
            handlers = {self.handlers[i] for i in seen if i in self.handlers}
            found.append(tuple(sorted(seen | handlers)))
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
        """For each node, the nodes at which its outcome counts, ascending.

        An error handler's outcome counts in place of the failure that it handles.
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
        """Position of the compensation, by position of the node that it compensates."""
        return {self.position[n.compensates]: i for i, n in enumerate(self.nodes) if n.compensates is not None}

    @cached_property
    def hooks(self) -> dict[str, int]:
        """Position of each hook, by its kind: ``on_complete`` or ``on_failure``."""
        return {node.hook: i for i, node in enumerate(self.nodes) if node.hook is not None}

    @cached_property
    def forward(self) -> tuple[int, ...]:
        """Positions of all nodes but compensations and hooks."""
        return tuple(i for i, node in enumerate(self.nodes) if node.phase is Phase.FORWARD)

    def in_order(self) -> list[int]:
        """Return all positions, each after its parents."""
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
        """Positions of the nodes that no other node waits for."""
        return frozenset(i for i in self.forward if not self._children[i])

    @cached_property
    def is_strict(self) -> bool:
        """Whether a failure without an error handler ends the run at once.

        Each step needs all its parents to succeed, and the policy is ``fail_fast``.
        """
        return self.failure_policy is FailurePolicy.FAIL_FAST and all(
            self.nodes[i].needs in (None, Needs.ALL_SUCCEEDED) for i in self.forward
        )

    @cached_property
    def ends(self) -> frozenset[int]:
        """Positions of the nodes that must all end before the run ends as a whole.

        In a strict graph without error handlers these are the sinks. In other graphs a
        sink may end before steps beside it, so all forward nodes count.
        """
        return self.sinks if self.is_strict and not self.handlers else frozenset(self.forward)

    @cached_property
    def is_simple(self) -> tuple[bool, ...]:
        """For each node, whether completing it only frees others and may end the run.

        In a strict graph no parent is upstream_failed or skipped while the run accepts
        work.
        """
        return tuple(
            self.is_strict
            and node.phase is Phase.FORWARD
            and position not in self.handlers
            and not (position in self.ends and "on_complete" in self.hooks)
            for position, node in enumerate(self.nodes)
        )

    def affected_by(self, position: int, status: StepStatus) -> set[int]:
        """Return the positions of the nodes whose rows the end of a node may change.

        Its own is included.

        Args:
            position: Of the node.
            status: How it ends, ``completed`` or ``failed``.
        """
        hooks = self.hooks.values()  # of which one is called if the run ends with this
        node = self.nodes[position]
        if node.phase is Phase.HOOK:
            return {position}
        if node.phase is Phase.COMPENSATION:
            return {position, *self.compensations.values(), *hooks}
        if status is StepStatus.COMPLETED and not self._may_skip:
            handler = self.handlers.get(position)
            return {position, *self.dependents[position], *([] if handler is None else [handler]), *hooks}
        return {position, *self.descendants(position), *hooks}

    @cached_property
    def _may_skip(self) -> bool:
        """Whether a completion may skip steps beyond those that wait for it."""
        return any(self.nodes[position].needs is Needs.ONE_FAILED for position in self.forward)

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
        """Return the positions of all direct and indirect parents of ``positions``."""
        found: set[int] = set()
        todo = list(positions)
        while todo:
            new = [parent for parent in self.parents[todo.pop()] if parent not in found]
            found.update(new)
            todo.extend(new)
        return found

    @cached_property
    def hash(self) -> str:
        """Content hash: first 16 bytes of the SHA-256 of the canonical JSON, as hex."""
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
        return {**data, **self.unknown}

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
            unknown=_divided(data, cls)[1],
        )
