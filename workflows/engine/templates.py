"""Templates: where the arguments of a step, and the result of a run, come from.

A template is data, so that the graph can store it. It is a constant; a part of the
run's input, of a step's result, of its outcome or of the run's error; or a list or dict
of templates. ``evaluate`` turns it into JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Constant:
    """A value written in the workflow itself, already as plain JSON data."""

    value: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class InputPart:
    """A parameter of the workflow, or a field or item inside it."""

    parameter: str
    path: Path = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultPart:
    """The result of another node of the graph, or a field or item inside it."""

    node: str
    path: Path = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class OutcomePart:
    """The outcome of another node, however it ended, or a field inside it.

    See ``outcomes.Outcome``.
    """

    node: str
    path: Path = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RunError:
    """The run's error, or a field inside it; see ``outcomes.ErrorInfo``."""

    path: Path = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ListOf:
    """A list (or tuple, or set) some of whose items are symbols."""

    items: tuple[Template, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DictOf:
    """A dict some of whose values are symbols."""

    items: tuple[tuple[str, Template], ...]


Template: TypeAlias = Constant | InputPart | ResultPart | OutcomePart | RunError | ListOf | DictOf


class MissingPart(LookupError):
    """A field or item that a template asks for is not in the data."""


class Values(Protocol):
    """The values with which templates are evaluated."""

    @property
    def run_input(self) -> str:
        """The run's input, a JSON object by parameter name."""

    def result(self, node: str) -> str:
        """Return the JSON text of a node's result."""

    def outcome(self, node: str) -> Any:
        """Return the outcome of a node, as JSON data."""

    def run_error(self) -> Any:
        """Return the run's error, as JSON data."""


def result_sources(template: Template) -> Iterator[str]:
    """Yield the names of nodes whose results ``template`` needs, with repetitions."""
    return (part.node for part in _leaves(template) if isinstance(part, ResultPart))


def outcome_sources(template: Template) -> Iterator[str]:
    """Yield the names of nodes whose outcomes ``template`` needs, with repetitions."""
    return (part.node for part in _leaves(template) if isinstance(part, OutcomePart))


def needs_run_error(template: Template) -> bool:
    """Return whether ``template`` needs the run's error."""
    return any(isinstance(part, RunError) for part in _leaves(template))


def _leaves(template: Template) -> Iterator[Template]:
    match template:
        case ListOf(items=parts):
            for part in parts:
                yield from _leaves(part)
        case DictOf(items=pairs):
            for _, part in pairs:
                yield from _leaves(part)
        case _:
            yield template


def to_json(template: Template) -> dict[str, Any]:
    """Return ``template`` as plain JSON data, as graphs are stored and hashed."""
    match template:
        case Constant(value=value):
            return {"constant": value}
        case InputPart(parameter=parameter, path=path):
            return {"input": [parameter, *path]}
        case ResultPart(node=node, path=path):
            return {"result": [node, *path]}
        case OutcomePart(node=node, path=path):
            return {"outcome": [node, *path]}
        case RunError(path=path):
            return {"run_error": [*path]}
        case ListOf(items=parts):
            return {"list": [to_json(part) for part in parts]}
        case DictOf(items=pairs):
            return {"dict": {key: to_json(part) for key, part in pairs}}


def from_json(data: Mapping[str, Any]) -> Template:
    """Return the template that ``to_json`` wrote as ``data``."""
    match data:
        case {"constant": value}:
            return Constant(value=value)
        case {"input": [parameter, *path]}:
            return InputPart(parameter=parameter, path=tuple(path))
        case {"result": [node, *path]}:
            return ResultPart(node=node, path=tuple(path))
        case {"outcome": [node, *path]}:
            return OutcomePart(node=node, path=tuple(path))
        case {"run_error": path}:
            return RunError(path=tuple(path))
        case {"list": parts}:
            return ListOf(items=tuple(from_json(part) for part in parts))
        case {"dict": pairs}:
            return DictOf(items=tuple((key, from_json(part)) for key, part in pairs.items()))
    raise ValueError(f"Not a template: {data!r}")


def evaluate(template: Template, values: Values) -> str:
    """Return the JSON text that ``template`` stands for.

    If the template is a whole result, the stored text is passed on unparsed.

    Raises:
        MissingPart: a field or item of the path is not there; the message names it.
    """
    if isinstance(template, ResultPart) and not template.path:
        return values.result(template.node)
    return json.dumps(_value(template, values), separators=(",", ":"))


def _value(template: Template, values: Values) -> Any:
    match template:
        case Constant(value=value):
            return value
        case InputPart(parameter=parameter, path=path):
            return _follow(json.loads(values.run_input), (parameter, *path), "the input")
        case ResultPart(node=node, path=path):
            return _follow(json.loads(values.result(node)), path, f"the result of {node!r}")
        case OutcomePart(node=node, path=path):
            return _follow(values.outcome(node), path, f"the outcome of {node!r}")
        case RunError(path=path):
            return _follow(values.run_error(), path, "the run's error")
        case ListOf(items=parts):
            return [_value(part, values) for part in parts]
        case DictOf(items=pairs):
            return {key: _value(part, values) for key, part in pairs}


def _follow(value: Any, path: Path, whole: str) -> Any:
    for depth, key in enumerate(path):
        try:
            value = value[key]
        except (LookupError, TypeError):
            at = "".join(f"[{part!r}]" for part in path[:depth])
            raise MissingPart(f"{whole}{at} has no {key!r}") from None
    return value
