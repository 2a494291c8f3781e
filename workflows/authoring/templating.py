"""Templates of values that the body of a workflow passes on: symbols, data, or both."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from celeriac.workflows.authoring import field_access
from celeriac.workflows.authoring.symbols import Symbol, is_symbol, source_of
from celeriac.workflows.authoring.values import Codec, NotJson, ValueInvalid
from celeriac.workflows.engine.templates import (
    Constant,
    DictOf,
    ListOf,
    Template,
)
from celeriac.workflows.text import describe

# No symbol is a member of a set, but a tuple with symbols may be.
_SEQUENCES = (list, tuple, set, frozenset)


def symbols_in(value: Any) -> Iterator[Symbol]:
    """Yield the symbols in ``value``, at any depth.

    Looks into lists, tuples, sets, dicts, dataclasses and models.
    """
    if is_symbol(value):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from symbols_in(part)
    elif isinstance(value, _SEQUENCES):
        for part in value:
            yield from symbols_in(part)
    elif _is_record(value):
        for part in _contents(value):
            yield from symbols_in(part)


def template_of(value: Any, codec: Codec) -> Template:
    """Return the template for ``value``, which ``codec`` will decode.

    Plain data are checked against the annotation, also next to symbols.

    Raises:
        ValueInvalid: plain data do not fit, or a symbol stands where none can be.
    """
    return _template_of(value, codec, "")


def _template_of(value: Any, codec: Codec, trail: str) -> Template:
    if is_symbol(value):
        return source_of(value).template
    if next(symbols_in(value), None) is None:
        try:
            return Constant(value=json.loads(codec.encode(codec.accept(value))))
        except ValueInvalid as error:
            raise ValueInvalid(f"{trail}: {error}".removeprefix(": ")) from None
    if isinstance(value, _SEQUENCES):
        items = enumerate(value)
        return ListOf(items=tuple(_template_of(part, _within(codec, i), f"{trail}[{i}]") for i, part in items))
    if isinstance(value, Mapping):
        named = [(_written_key(key), part) for key, part in value.items()]
        return DictOf(
            items=tuple((key, _template_of(part, _within(codec, key), f"{trail}[{key!r}]")) for key, part in named)
        )
    raise ValueInvalid(
        f"{trail}: an instance of {describe(type(value))} cannot be made from symbols, before there are values; "
        f"pass a dict with its fields, or make it inside a step".removeprefix(": ")
    )


def _within(codec: Codec, key: str | int) -> Codec:
    try:
        return Codec(field_access.inside(codec.annotation, key))
    except NotJson:
        return Codec(Any)


def _written_key(key: object) -> str:
    return str(next(iter(to_jsonable_python({key: None}))))


def _is_record(value: Any) -> bool:
    return isinstance(value, BaseModel) or (dataclasses.is_dataclass(value) and not isinstance(value, type))


def _contents(value: Any) -> Iterator[Any]:
    names = type(value).model_fields if isinstance(value, BaseModel) else [f.name for f in dataclasses.fields(value)]
    return (getattr(value, name, None) for name in names)
