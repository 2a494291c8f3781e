"""The signature of a step or a workflow: parameters, their codecs, and binding."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from celeriac.workflows.authoring import location, typehints
from celeriac.workflows.authoring.context import StepContext
from celeriac.workflows.authoring.values import Codec, NotJson
from celeriac.workflows.errors import DefinitionError
from celeriac.workflows.text import describe, did_you_mean, sentence


class BindingFailed(TypeError):
    """A call does not fit the parameters. The message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """A parameter that takes data."""

    name: str
    codec: Codec
    keyword_only: bool
    default: Any  # inspect.Parameter.empty if there is none

    @property
    def required(self) -> bool:
        """Whether a call must give a value."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """The parameters and the result of a step or a workflow."""

    parameters: Mapping[str, Parameter]  # by name, in order, without the context
    required: frozenset[str]
    context_parameter: str | None  # the parameter annotated StepContext
    result: Codec
    annotated_result: bool

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by parameter name, without defaults.

        The arguments are in the order of the parameters.

        Raises:
            BindingFailed: an argument is missing, unexpected or given twice.
        """
        positional = [p.name for p in self.parameters.values() if not p.keyword_only]
        if len(args) > len(positional):
            raise BindingFailed(f"{len(args)} positional arguments, where {len(positional)} fit. {self}")
        given = dict(zip(positional, args, strict=False))
        for name, value in kwargs.items():
            if name not in self.parameters:
                problem = sentence(f"unexpected argument {name!r}{did_you_mean(name, self.parameters)}")
                raise BindingFailed(f"{problem} {self}")
            if name in given:
                raise BindingFailed(f"argument {name!r} is given twice. {self}")
            given[name] = value
        missing = [repr(name) for name in self.parameters if name in self.required and name not in given]
        if missing:
            raise BindingFailed(f"missing argument{'s' if len(missing) > 1 else ''} {', '.join(missing)}. {self}")
        return {name: given[name] for name in self.parameters if name in given}

    def __str__(self) -> str:
        """Return the parameters as messages show them.

        As in ``Parameters: order: Order, priority: int (optional).``
        """
        if not self.parameters:
            return "It has no parameters."
        shown = ", ".join(
            f"{p.name}: {describe(p.codec.annotation)}{'' if p.required else ' (optional)'}"
            for p in self.parameters.values()
        )
        return f"Parameters: {shown}."


def read_signature(function: Callable[..., Any], subject: str) -> Signature:
    """Return the signature of a step's or a workflow's function.

    Args:
        function: A plain or async function.
        subject: The function's name in messages: ``step 'charge'``.

    Raises:
        DefinitionError: a parameter cannot be bound by name, an annotation cannot be
            resolved, or its values cannot become JSON.
    """
    where = location.of_function(function)
    try:
        found = inspect.signature(function).parameters
        resolved = get_type_hints(function, include_extras=True)
    except Exception as error:  # the user's annotations may raise any error
        raise DefinitionError(
            detail=f"The annotations of {subject} cannot be resolved ({where}): {error}. "
            f"Define or import these names at module level, and not under TYPE_CHECKING."
        ) from error
    for parameter in found.values():
        _check_kind(parameter, subject, where)
    contexts = [name for name in found if _is_context(resolved.get(name))]
    if len(contexts) > 1:
        raise DefinitionError(
            detail=f"{', '.join(contexts)} of {subject} are all annotated StepContext ({where}). Keep one of them."
        )
    parameters = {
        name: Parameter(
            name=name,
            codec=_codec(resolved.get(name, Any), f"parameter {name!r} of {subject}", where),
            keyword_only=parameter.kind is inspect.Parameter.KEYWORD_ONLY,
            default=parameter.default,
        )
        for name, parameter in found.items()
        if name not in contexts
    }
    return Signature(
        parameters=parameters,
        required=frozenset(name for name, parameter in parameters.items() if parameter.required),
        context_parameter=contexts[0] if contexts else None,
        result=_codec(resolved.get("return", Any), f"the result of {subject}", where),
        annotated_result="return" in resolved,
    )


def _check_kind(parameter: inspect.Parameter, subject: str, where: str) -> None:
    if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
        raise DefinitionError(
            detail=f"Parameter {parameter.name!r} of {subject} is positional-only ({where}). "
            f"Arguments travel by name: drop the '/'."
        )
    if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        raise DefinitionError(
            detail=f"Parameter '{str(parameter).partition(':')[0]}' of {subject} takes any number of arguments "
            f"({where}). Arguments travel by name: declare each, or take one list or dict."
        )


def _is_context(hint: Any) -> bool:
    return typehints.members(hint) == [StepContext]


def _codec(annotation: Any, label: str, where: str) -> Codec:
    try:
        return Codec(annotation)
    except NotJson as error:
        raise DefinitionError(
            detail=f"{label[0].upper()}{label[1:]} cannot become JSON ({where}): {describe(annotation)}: {error}. "
            f"Use a dataclass, a pydantic model, or plain data."
        ) from None
