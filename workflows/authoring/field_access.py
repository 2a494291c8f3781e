"""The place and the type of a value's fields and items in its JSON, by annotation.

Best effort in one direction: a type that an annotation does not tell counts as ``Any``,
whose fields and items are taken on trust. A refusal is certain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Union, get_args
from uuid import UUID

from pydantic import BaseModel, PydanticUserError, RootModel, TypeAdapter
from pydantic_core import PydanticSerializationError

from celeriac.workflows.authoring import typehints
from celeriac.workflows.engine.templates import Path
from celeriac.workflows.text import describe, did_you_mean

_SCALARS = (str, bytes, int, float, complex, Decimal, date, time, timedelta, UUID, Enum, PurePath)


class NoSuchField(TypeError):
    """A value has no such field or item in its JSON.

    The message says why, and names the remedy if there is a known remedy.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldRef:
    """A field or an item of a value, at any depth."""

    path: Path  # from the JSON of the value to the JSON of the field or item
    annotation: Any


def attribute(annotation: Any, name: str) -> FieldRef:
    """Return the place of ``value.name`` in the JSON of a value.

    Raises:
        NoSuchField: the value has no such field, or its JSON leaves the field out.
    """
    return _of_some_member(annotation, lambda kind: _attribute(kind, name))


def item(annotation: Any, key: object) -> FieldRef:
    """Return the place of ``value[key]`` in the JSON of a value.

    Raises:
        NoSuchField: the value has no such item, or its JSON leaves the item out.
    """
    return _of_some_member(annotation, lambda kind: _item(kind, key))


def unpacked(annotation: Any) -> list[Any] | None:
    """Return the annotations of the items of a tuple of fixed length, or None."""
    kinds = typehints.members(annotation)
    if len(kinds) != 1:
        return None
    cls = typehints.class_of(kinds[0])
    if cls is None or not issubclass(cls, tuple):
        return None
    if typehints.is_named_tuple(cls):
        return list((typehints.fields_of(kinds[0]) or {}).values())
    parts = get_args(kinds[0])
    return None if not parts or Ellipsis in parts else list(parts)


def inside(annotation: Any, key: str | int) -> Any:
    """Return the annotation at a key of a dict literal, or at an index of a sequence.

    The literal stands for a value of ``annotation``, so ``{"id": …}`` may stand for a
    model with a field ``id``.
    """
    for kind in typehints.members(annotation):
        cls = typehints.class_of(kind)
        fields = typehints.fields_of(kind)
        if isinstance(key, str) and fields is not None and key in fields:
            return fields[key]
        if (
            cls is not None
            and isinstance(key, int)
            and issubclass(cls, Sequence | AbstractSet)
            and cls not in (str, bytes)
        ):
            parts = unpacked(kind) or [next(iter(get_args(kind)), Any)]
            return parts[min(key, len(parts) - 1)]
        if cls is not None and isinstance(key, str) and issubclass(cls, Mapping):
            return _key_and_value(kind)[1]
    return Any


def _of_some_member(annotation: Any, find: Callable[[Any], FieldRef]) -> FieldRef:
    refs: list[FieldRef] = []
    refusal = NoSuchField("it is always None")
    for kind in typehints.members(annotation):
        try:
            refs.append(find(kind))
        except NoSuchField as error:
            refusal = error
    if not refs:
        raise refusal
    if len({ref.path for ref in refs}) > 1:
        raise NoSuchField(f"{describe(annotation)} may have it in different places; take it apart inside a step")
    annotations = [ref.annotation for ref in refs]
    return FieldRef(path=refs[0].path, annotation=annotations[0] if len(annotations) == 1 else _union(annotations))


def _union(parts: list[Any]) -> Any:
    return Any if Any in parts else Union[tuple(parts)]  # noqa: UP007 - as many parts as there are


def _attribute(kind: Any, name: str) -> FieldRef:
    cls = typehints.class_of(kind)
    if cls is None or typehints.writes_itself(cls):
        return FieldRef(path=(name,), annotation=Any)
    fields = typehints.fields_of(kind)
    if typehints.is_typed_dict(cls) or issubclass(cls, Mapping):
        raise NoSuchField(f"{describe(kind)} has items, not fields; write [{name!r}]")
    if fields is not None:
        if name not in fields and issubclass(cls, BaseModel) and cls.model_config.get("extra") == "allow":
            return FieldRef(path=(name,), annotation=Any)
        if name not in fields:
            raise NoSuchField(_missing_field(cls, name, list(fields)))
        if issubclass(cls, RootModel):
            return FieldRef(path=(), annotation=fields[name])
        _refuse_other_bytes(cls, fields[name])
        key = list(fields).index(name) if issubclass(cls, tuple) else name
        return FieldRef(path=(key,), annotation=fields[name])
    if issubclass(cls, _SCALARS):
        raise NoSuchField(f"{describe(kind)} has no fields that travel with it; take it apart inside a step")
    if issubclass(cls, Sequence | AbstractSet):
        raise NoSuchField(f"{describe(kind)} has items, not fields")
    return FieldRef(path=(name,), annotation=Any)


def _missing_field(cls: type, name: str, fields: list[str]) -> str:
    if issubclass(cls, BaseModel) and name in cls.model_fields:
        return f"{describe(cls)} excludes it from its JSON"
    if hasattr(cls, name):
        return f"{describe(cls)} computes it, and only fields travel; compute it inside a step"
    return f"{describe(cls)} has no field {name!r}{did_you_mean(name, fields)}"


def _item(kind: Any, key: object) -> FieldRef:
    if isinstance(key, slice):
        raise NoSuchField("a slice is not one item; take it inside a step")
    cls = typehints.class_of(kind)
    fields = typehints.fields_of(kind)
    if cls is None or cls is object or typehints.writes_itself(cls):
        return _trusted(key)
    if typehints.is_typed_dict(cls) and fields is not None:
        if not isinstance(key, str) or key not in fields:
            raise NoSuchField(f"{describe(kind)} has no key {key!r}{did_you_mean(str(key), fields)}")
        return FieldRef(path=(key,), annotation=fields[key])
    if issubclass(cls, RootModel) and fields is not None:
        return item(fields["root"], key)
    if issubclass(cls, tuple | Sequence) and not issubclass(cls, _SCALARS):
        return _item_of_sequence(kind, key)
    if issubclass(cls, Mapping):
        keys, values = _key_and_value(kind)
        return FieldRef(path=(_written_key(keys, key),), annotation=values)
    if issubclass(cls, AbstractSet):
        raise NoSuchField(f"{describe(kind)} has no order, so no item {key!r}; take it inside a step")
    if fields is not None:
        raise NoSuchField(f"{describe(kind)} has fields, not items" + (f"; write .{key}" if key in fields else ""))
    if issubclass(cls, _SCALARS):
        raise NoSuchField(f"{describe(kind)} has no items that travel with it; take it apart inside a step")
    return _trusted(key)


def _trusted(key: object) -> FieldRef:
    if isinstance(key, str | int) and not isinstance(key, bool):
        return FieldRef(path=(key,), annotation=Any)
    raise NoSuchField(f"the keys of JSON are texts and indexes, not {key!r}")


def _item_of_sequence(kind: Any, key: object) -> FieldRef:
    if not isinstance(key, int) or isinstance(key, bool):
        raise NoSuchField(f"{describe(kind)} is indexed by number, not by {key!r}")
    parts = unpacked(kind)
    if parts is None:
        return FieldRef(path=(key,), annotation=next(iter(get_args(kind)), Any))
    if not -len(parts) <= key < len(parts):
        raise NoSuchField(f"{describe(kind)} has {len(parts)} items, so none at {key}")
    return FieldRef(path=(key,), annotation=parts[key])


def _key_and_value(kind: Any) -> tuple[Any, Any]:
    """Return the annotations of the keys and of the values of a mapping."""
    found = get_args(kind)
    return found if len(found) == 2 else (Any, Any)


def _written_key(keys: Any, key: object) -> str:
    """Return a dict's key as JSON writes it: as text."""
    try:
        written = TypeAdapter(dict[keys, Any]).dump_python({key: None}, mode="json", warnings="error")
    except (PydanticSerializationError, PydanticUserError, TypeError):
        raise NoSuchField(f"its keys are {describe(keys)}, so none is {key!r}") from None
    return str(next(iter(written)))


def _refuse_other_bytes(cls: type, annotation: Any) -> None:
    """Refuse bytes that ``cls`` writes as UTF-8: alone they would be read as base64."""
    own = typehints.configuration(cls)
    if own is None or own.get("ser_json_bytes") == "base64":
        return
    if typehints.mentions(annotation, bytes, bytearray, configured=False):
        raise NoSuchField(
            f"{describe(cls)} writes bytes as UTF-8 text, and they would be read as base64; pass the whole "
            f"{describe(cls)}, or configure it with ser_json_bytes='base64' and val_json_bytes='base64'"
        )
