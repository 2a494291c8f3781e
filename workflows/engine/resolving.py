"""The values of a run for templates: input, results and outcomes.

The result of an error handler stands in for the result of the step that failed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.outcomes import error_info
from celeriac.workflows.engine.states import StepStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedStep:
    """The status and the data of a step, as recorded."""

    status: StepStatus
    data: str | None  # the result, or the error, as JSON text


@dataclass(frozen=True, kw_only=True, slots=True)
class RunValues:
    """The values of a run; implements ``templates.Values``.

    Attributes:
        graph: Graph of the run.
        run_input: A JSON object by parameter name.
        results: JSON texts of completed steps, by position.
        recorded: Steps whose status counts too, not their result alone, by position.
        error: The run's error, as JSON data of an ``ErrorInfo``.
    """

    graph: Graph
    run_input: str
    results: Mapping[int, str] = field(default_factory=dict)
    recorded: Mapping[int, RecordedStep] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None

    def result(self, node: str) -> str:
        """Return the result of a node or its error handler; ``null`` without either."""
        position = self.graph.position[node]
        if position in self.results:
            return self.results[position]
        return self._value(position) or "null"

    def outcome(self, node: str) -> Any:
        """Return the outcome of a node as JSON data of an ``Outcome``."""
        position = self.graph.position[node]
        own = self.recorded[position]
        value = self._value(position)
        failed = own.status is StepStatus.FAILED and own.data is not None
        return {
            "status": (own.status if value is None else StepStatus.COMPLETED).value,
            "value": None if value is None else json.loads(value),
            "error": error_info(json.loads(own.data or ""), node) if failed else None,
        }

    def run_error(self) -> Any:
        """Return the run's error as JSON data of an ``ErrorInfo``."""
        return self.error

    def _value(self, position: int) -> str | None:
        own = self.recorded.get(position)
        if own is not None and own.status is StepStatus.COMPLETED:
            return own.data
        handler = self.recorded.get(self.graph.handlers.get(position, -1))
        if handler is not None and handler.status is StepStatus.COMPLETED:
            return handler.data
        return None
