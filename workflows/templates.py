"""Templates: where the arguments of a step, and the result of a run, come from.

A template is data, so that it can be stored with the graph. It is a constant, a part of the run's
input, a part of a step's result, or a list or dict of templates. ``evaluate`` turns it into JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

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
class ListOf:
    """A list (or tuple, or set) some of whose items are symbols."""

    items: tuple[Template, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DictOf:
    """A dict some of whose values are symbols."""

    items: tuple[tuple[str, Template], ...]


Template: TypeAlias = Constant | InputPart | ResultPart | ListOf | DictOf


class MissingPart(LookupError):
    """A field or item that a template asks for is not in the data."""


def sources(template: Template) -> Iterator[str]:
    """Yield the names of the nodes whose results ``template`` needs, with repetitions."""
    match template:
        case ResultPart(node=node):
            yield node
        case ListOf(items=parts):
            for part in parts:
                yield from sources(part)
        case DictOf(items=pairs):
            for _, part in pairs:
                yield from sources(part)


def to_json(template: Template) -> dict[str, Any]:
    """Return ``template`` as plain JSON data, the form in which graphs are stored and hashed."""
    match template:
        case Constant(value=value):
            return {"constant": value}
        case InputPart(parameter=parameter, path=path):
            return {"input": [parameter, *path]}
        case ResultPart(node=node, path=path):
            return {"result": [node, *path]}
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
        case {"list": parts}:
            return ListOf(items=tuple(from_json(part) for part in parts))
        case {"dict": pairs}:
            return DictOf(items=tuple((key, from_json(part)) for key, part in pairs.items()))
    raise ValueError(f"Not a template: {data!r}")


def evaluate(template: Template, run_input: str, result_of: Callable[[str], str]) -> str:
    """Return the JSON text that ``template`` stands for.

    A template that is one whole result is passed on as the text that is stored, unparsed.

    Args:
        template: What to evaluate.
        run_input: The run's input, a JSON object by parameter name.
        result_of: Returns the JSON text of a node's result, by node name.

    Raises:
        MissingPart: a field or item of the path is not there; the message names it.
    """
    if isinstance(template, ResultPart) and not template.path:
        return result_of(template.node)
    return json.dumps(_value(template, run_input, result_of), separators=(",", ":"))


def _value(template: Template, run_input: str, result_of: Callable[[str], str]) -> Any:
    match template:
        case Constant(value=value):
            return value
        case InputPart(parameter=parameter, path=path):
            return _follow(json.loads(run_input), (parameter, *path), "the input")
        case ResultPart(node=node, path=path):
            return _follow(json.loads(result_of(node)), path, f"the result of {node!r}")
        case ListOf(items=parts):
            return [_value(part, run_input, result_of) for part in parts]
        case DictOf(items=pairs):
            return {key: _value(part, run_input, result_of) for key, part in pairs}


def _follow(value: Any, path: Path, whole: str) -> Any:
    for depth, key in enumerate(path):
        try:
            value = value[key]
        except (LookupError, TypeError):
            at = "".join(f"[{part!r}]" for part in path[:depth])
            raise MissingPart(f"{whole}{at} has no {key!r}") from None
    return value
