"""The catalog: the workflows and steps that a process knows."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from workflows import location
from workflows.definitions import Workflow
from workflows.errors import DefinitionError, ImportFailed, UnknownWorkflow
from workflows.names import did_you_mean
from workflows.steps import Step

Definition: TypeAlias = Workflow[..., Any] | Step[..., Any]
D = TypeVar("D", Workflow[..., Any], Step[..., Any])


class Catalog:
    """Workflows and steps by name. There is no registry behind it: it holds what it was made of.

    Attributes:
        workflows: By name.
        steps: By name, those that are used by the workflows included.
    """

    def __init__(self, *, workflows: Mapping[str, Workflow[..., Any]], steps: Mapping[str, Step[..., Any]]) -> None:
        self.workflows = MappingProxyType(dict(workflows))
        self.steps = MappingProxyType(dict(steps))

    @classmethod
    def of(cls, *definitions: Definition) -> Catalog:
        """Return a catalog of these workflows and steps, and the steps that the workflows use.

        Raises:
            DefinitionError: two different ones have one name; the message tells where both are from.
        """
        workflows: dict[str, Workflow[..., Any]] = {}
        steps: dict[str, Step[..., Any]] = {}
        for definition in definitions:
            if isinstance(definition, Step):
                _add("steps", steps, definition)
            else:
                _add("workflows", workflows, definition)
                for used in definition.steps.values():
                    _add("steps", steps, used)
        return cls(workflows=workflows, steps=steps)

    @classmethod
    def load(cls, modules: Iterable[str]) -> Catalog:
        """Import ``modules`` and return a catalog of the workflows and steps among their names.

        Raises:
            ImportFailed: a module cannot be imported; the message tells the cause, and where it is.
            DefinitionError: two different ones have one name.
        """
        found: list[Definition] = []
        for name in modules:
            found += [value for value in vars(_imported(name)).values() if isinstance(value, Workflow | Step)]
        return cls.of(*found)

    def workflow(self, name: str) -> Workflow[..., Any]:
        """Return the workflow of that name.

        Raises:
            UnknownWorkflow: there is none; the message suggests the nearest and lists all.
        """
        try:
            return self.workflows[name]
        except KeyError:
            raise UnknownWorkflow(workflow=name, hint=self._hint(name)) from None

    def step(self, name: str) -> Step[..., Any] | None:
        """Return the step of that name, or None."""
        return self.steps.get(name)

    def _hint(self, name: str) -> str:
        if not self.workflows:
            return ": no workflows are imported. Set CELERIAC_IMPORTS to the modules that define them."
        return f"{did_you_mean(name, self.workflows) or '.'} Known: {', '.join(sorted(self.workflows))}."


def _add(kind: str, known: dict[str, D], definition: D) -> None:
    other = known.setdefault(definition.name, definition)
    if other is not definition:
        raise DefinitionError(
            detail=f"Two {kind} are named {definition.name!r}: that of {other.module} and that of {definition.module}. "
            f"Rename one of them with name=…."
        )


def _imported(name: str) -> Any:
    if not name or name.startswith("."):
        raise ImportFailed(module=name, reason="it is not the whole name of a module, as 'shop.flows' is")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ImportFailed(module=name, reason=_reason(error)) from error
        advice = " (write the name of the module, not of its file)" if name.endswith(".py") or os.sep in name else ""
        raise ImportFailed(module=name, reason=f"there is no module {error.name!r}{advice}") from None
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        raise ImportFailed(module=name, reason=_reason(error)) from error


def _reason(error: BaseException) -> str:
    """Return the error as one line, with the place in the module that it comes from."""
    what = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, DefinitionError):  # which says where
        return what
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({location.in_file(str(error.filename), error.lineno or 0)})"
    return f"{type(error).__name__}{what and f': {what}'} ({location.of_error(error)})"
