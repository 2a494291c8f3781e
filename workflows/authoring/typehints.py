"""Annotations: the types that they wrap, members of unions, fields of classes."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

import typing_extensions
from pydantic import BaseModel, PlainSerializer, Secret, SecretBytes, SecretStr, WrapSerializer

_WRAPPERS = (Annotated, Final, *(getattr(typing_extensions, n) for n in ("Required", "NotRequired", "ReadOnly")))
_ALIASES = (typing_extensions.TypeAliasType, getattr(typing, "TypeAliasType", typing_extensions.TypeAliasType))


def bare(annotation: Any) -> Any:
    """Return the type inside ``Annotated``, ``NewType``, a type alias and the like."""
    while True:
        if get_origin(annotation) in _WRAPPERS:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, _ALIASES):
            annotation = annotation.__value__
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif annotation is None:
            return NoneType
        else:
            return annotation


def members(annotation: Any) -> list[Any]:
    """Return the bare types of values other than None; several for a union."""
    whole = bare(annotation)
    if get_origin(whole) not in (Union, UnionType):
        return [] if whole is NoneType else [whole]
    found: list[Any] = []
    for part in get_args(whole):
        found += members(part)
    return found


def class_of(kind: Any) -> type | None:
    """Return the class of a bare type, ``list`` for ``list[int]``, or None."""
    found = get_origin(kind) or kind
    return found if isinstance(found, type) else None


def is_named_tuple(cls: type) -> bool:
    """Whether ``cls`` was made with ``NamedTuple`` or ``collections.namedtuple``."""
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def is_typed_dict(cls: type) -> bool:
    """Whether ``cls`` is a ``TypedDict``."""
    return typing_extensions.is_typeddict(cls)


def fields_of(kind: Any) -> Mapping[str, Any] | None:
    """Return the annotations of the fields that become JSON, by name.

    None for a type without declared fields.
    """
    cls = class_of(kind)
    if cls is None:
        return None
    if issubclass(cls, BaseModel):
        return {
            name: Any if _has_serializer(cls, name) else field.annotation
            for name, field in cls.model_fields.items()
            if not field.exclude
        }
    if dataclasses.is_dataclass(cls):
        hints = _hints(cls)
        named = {f.name: hints.get(f.name, Any) for f in dataclasses.fields(cls) if f.init or _has_default(f)}
        return {name: Any if _has_serializer(cls, name) else _substituted(hint, kind) for name, hint in named.items()}
    if is_named_tuple(cls):
        hints = _hints(cls)
        return {name: _substituted(hints.get(name, Any), kind) for name in getattr(cls, "_fields")}  # noqa: B009
    if is_typed_dict(cls):
        hints = _hints(cls)
        names = (*getattr(cls, "__required_keys__"), *getattr(cls, "__optional_keys__"))  # noqa: B009
        return {name: _substituted(hints.get(name, Any), kind) for name in names}
    return None


def writes_itself(cls: type) -> bool:
    """Whether ``cls`` has a model serializer; its fields then do not tell its JSON."""
    decorators = getattr(cls, "__pydantic_decorators__", None)
    return bool(decorators and decorators.model_serializers)


def configuration(cls: type) -> Mapping[str, Any] | None:
    """Return pydantic's configuration of a class; None if its container's holds."""
    if issubclass(cls, BaseModel):
        return typing.cast("Mapping[str, Any]", cls.model_config)
    return getattr(cls, "__pydantic_config__", None)


def mentions(annotation: Any, *wanted: type, configured: bool = True) -> bool:
    """Whether values of ``annotation`` may hold values of ``wanted``, at any depth.

    Values that the user's serializers write do not count.

    Args:
        annotation: The annotation to search.
        wanted: Classes to look for.
        configured: Whether to search classes with a configuration of their own as well.
    """
    classes = (class_of(kind) for kind in _walk(annotation, [], configured=configured))
    return any(cls is not None and issubclass(cls, wanted) for cls in classes)


def mentions_secret(annotation: Any) -> bool:
    """Whether values may hold a pydantic secret, which is written as ``**********``."""
    return mentions(annotation, SecretStr, SecretBytes, Secret)


def _walk(annotation: Any, seen: list[Any], *, configured: bool) -> Iterator[Any]:
    if get_origin(annotation) is Annotated and any(
        isinstance(note, PlainSerializer | WrapSerializer) for note in annotation.__metadata__
    ):
        return
    kind = bare(annotation)
    if kind is not annotation:
        yield from _walk(kind, seen, configured=configured)
        return
    if get_origin(kind) is Literal or kind in seen:
        return
    seen.append(kind)
    yield kind
    cls = class_of(kind)
    if cls is not None and (writes_itself(cls) or (not configured and configuration(cls) is not None)):
        return
    for part in (*get_args(kind), *(fields_of(kind) or {}).values()):
        yield from _walk(part, seen, configured=configured)


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing_extensions.get_type_hints(cls, include_extras=True)
    except Exception:  # only pydantic may resolve the names: the fields count as Any
        return {}


def _substituted(hint: Any, kind: Any) -> Any:
    """Return a field's hint, with ``int`` for ``T`` if ``kind`` is ``Box[int]``."""
    if isinstance(hint, TypeVar):
        parameters = getattr(get_origin(kind), "__parameters__", ())
        return dict(zip(parameters, get_args(kind), strict=False)).get(hint, Any)
    return Any if getattr(hint, "__parameters__", ()) else hint


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _has_serializer(cls: type, name: str) -> bool:
    decorators = getattr(cls, "__pydantic_decorators__", None)
    return decorators is not None and any(
        name in found.info.fields or "*" in found.info.fields for found in decorators.field_serializers.values()
    )
