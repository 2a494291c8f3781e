"""The functions that ``@step`` and ``@workflow`` take."""

from __future__ import annotations

import inspect
from typing import Any

from celeriac.workflows.authoring import location
from celeriac.workflows.errors import DefinitionError


def check_function(function: Any, kind: str) -> None:
    """Refuse everything but a plain or async function.

    The function may be at module level or inside another function.

    Args:
        function: The decorated object.
        kind: ``step`` or ``workflow``.

    Raises:
        DefinitionError: the object is no function, or is a method or a generator.
    """
    if not inspect.isfunction(function):
        raise DefinitionError(
            detail=f"@{kind} cannot take {function!r} ({location.of_caller()}). Put it on a function; write options "
            f"by name, as in @{kind}(name='charge')."
        )
    where = location.of_function(function)
    original = inspect.unwrap(function)
    if inspect.isgeneratorfunction(original) or inspect.isasyncgenfunction(original):
        raise DefinitionError(
            detail=f"{kind.capitalize()} {function.__name__!r} is a generator ({where}). It has one result: "
            f"return it, as a list if there are many."
        )
    if function.__code__.co_varnames[:1] in (("self",), ("cls",)):
        raise DefinitionError(
            detail=f"{kind.capitalize()} {function.__name__!r} is a method ({where}). Workers find it by name, without "
            f"an object: make it a function at module level."
        )
