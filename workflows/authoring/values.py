"""Values as JSON and back, by annotation, through pydantic."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, Never, NoReturn, cast

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticSerializationError, core_schema
from typing_extensions import TypeAliasType

from celeriac.workflows.authoring import typehints

# For types without a configuration of their own. Bytes are written as base64, because
# most bytes are not UTF-8. NaN stays NaN until the JSON encoder refuses it; pydantic's
# default would silently write null.
_CONFIG = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")

_to_json = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode

_MOST_PROBLEMS = 3  # in a message
# The input of these errors is the whole value, not the part with the problem.
_WITHOUT_INPUT = ("missing", "json_invalid", "string_unicode")
_LONGEST_INPUT = 40  # characters of a bad value in a message


class ValueInvalid(ValueError):
    """A value does not fit its annotation, or JSON.

    The message is a single line with the place inside the value and the reason.
    """


class NotJson(TypeError):
    """Values of an annotation cannot become JSON and come back.

    The message says why.
    """


class Codec:
    """Turns values of an annotation into JSON text, and back into themselves.

    Models and dataclasses are written by field name, and read by field name or alias.
    ``encode`` makes sure that its text can be decoded.

    Args:
        annotation: As resolved by ``typing.get_type_hints(…, include_extras=True)``.

    Raises:
        NotJson: values of the annotation cannot become JSON and come back.
    """

    def __init__(self, annotation: Any) -> None:
        self.annotation: Any = Any if annotation in (Never, NoReturn) else annotation
        self._adapter = _adapter(self.annotation)

    def encode(self, value: Any) -> str:
        """Return ``value`` as JSON text.

        Raises:
            ValueInvalid: the value does not fit the annotation, or has no JSON, such as
                NaN.
        """
        try:
            text = self._write(value, warnings="error")
        except PydanticSerializationError:
            text = self._convert(value)
        self.decode(text)  # a constraint or a Literal is checked by decoding only
        return text

    def _convert(self, value: Any) -> str:
        """Return JSON text for a value of another type that can be read as annotated.

        Examples: a tuple for a list; an int in a field for Decimals, which a dataclass
        does not check.
        """
        try:
            return self._write(self.decode(self._write(value, warnings="none")), warnings="none")
        except PydanticSerializationError as error:
            raise ValueInvalid(_first_line(error)) from None

    def decode(self, text: str) -> Any:
        """Return the value that ``text`` stands for.

        Raises:
            ValueInvalid: the value does not fit the annotation.
        """
        try:
            return self._adapter.validate_json(text, by_alias=True, by_name=True)
        except ValidationError as error:
            raise ValueInvalid(explain(error)) from None

    def accept(self, value: Any) -> Any:
        """Return a value as the annotated type: ``{"id": 1}`` becomes an ``Order``.

        Raises:
            ValueInvalid: the value does not fit the annotation.
        """
        try:
            return self._adapter.validate_python(value, by_alias=True, by_name=True)
        except ValidationError as error:
            raise ValueInvalid(explain(error)) from None

    def normalize(self, data: Any) -> str:
        """Return outside JSON data as text, checked and as ``encode`` writes it.

        Raises:
            ValueInvalid: the data do not fit the annotation.
        """
        try:
            text = _to_json(data)
        except (ValueError, RecursionError) as error:
            raise ValueInvalid(_why_not_json(error)) from None
        return self.encode(self.decode(text))

    def _write(self, value: Any, *, warnings: Literal["error", "none"]) -> str:
        try:
            return _to_json(
                self._adapter.dump_python(value, mode="json", by_alias=False, round_trip=True, warnings=warnings)
            )
        except PydanticSerializationError:
            raise
        except (ValueError, RecursionError) as error:
            raise ValueInvalid(_why_not_json(error)) from None


def explain(error: ValidationError) -> str:
    """Return the problems that pydantic found as a single line.

    As in ``items[0].price: Input should be a valid number, got 'abc'``.
    """
    problems = error.errors(include_url=False, include_context=False)
    shown = "; ".join(_problem(p["loc"], p["msg"], p["type"], p["input"]) for p in problems[:_MOST_PROBLEMS])
    more = len(problems) - _MOST_PROBLEMS
    return f"{shown}; and {more} more" if more > 0 else shown


def _problem(location: Sequence[str | int], message: str, kind: str, value: Any) -> str:
    trail = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
    if kind not in _WITHOUT_INPUT and (value is None or isinstance(value, bool | int | float | str)):
        shown = repr(value)
        message += f", got {shown if len(shown) <= _LONGEST_INPUT else shown[: _LONGEST_INPUT - 1] + '…'}"
    return " ".join(f"{trail}: {message}".removeprefix(": ").split())


def _why_not_json(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep for JSON"
    if "Circular" in str(error):
        return "it contains itself, so it has no JSON"
    return "NaN and infinity have no JSON; use None or a text instead"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    if typehints.mentions_secret(annotation):
        raise NotJson(
            "its secret would be stored as '**********' and be lost; pass the secret's name and read it inside the step"
        )
    try:
        # An alias, because TypeAdapter refuses a configuration for a bare dataclass or
        # TypedDict. Without a configuration, their bytes would be written differently
        # from the bytes in a list of them.
        adapter = TypeAdapter(cast("Any", TypeAliasType("_Value", annotation)), config=_CONFIG)
        adapter.json_schema(mode="serialization", schema_generator=_JsonCheck)
    except PydanticSchemaGenerationError:
        raise NotJson("pydantic does not know how") from None
    except PydanticUserError as error:
        raise NotJson(_first_line(error).rstrip(".")) from None
    return adapter


class _JsonCheck(GenerateJsonSchema):
    """Generates a JSON schema to find types without JSON; nobody uses the schema."""

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        # The user's serializer replaces the schema below it.
        return {} if schema.get("serialization", {}).get("type") == "function-plain" else super().generate_inner(schema)

    def callable_schema(self, schema: core_schema.CallableSchema) -> JsonSchemaValue:
        return self._refuse(schema, "functions are not data")

    def is_instance_schema(self, schema: core_schema.IsInstanceSchema) -> JsonSchemaValue:
        return self._refuse(schema, f"{schema['cls']!r} is a class that pydantic cannot take apart")

    def is_subclass_schema(self, schema: core_schema.IsSubclassSchema) -> JsonSchemaValue:
        return self._refuse(schema, "classes are not data")

    def generator_schema(self, schema: core_schema.GeneratorSchema) -> JsonSchemaValue:
        return self._refuse(schema, "an iterable can be read only once; write list[…] or Sequence[…]")

    def _refuse(self, schema: Any, reason: str) -> JsonSchemaValue:
        if "serialization" in schema:  # the user's serializer writes the values
            return {}
        raise PydanticInvalidForJsonSchema(reason)

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:  # noqa: ARG002 - pydantic's
        return {}  # such types travel as JSON; JSON Schema cannot describe them

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Ignore the warning: nobody sees the schema."""
