"""The catalog: the workflows and steps that a process knows."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from celeriac.workflows.authoring import location
from celeriac.workflows.authoring.definitions import Workflow
from celeriac.workflows.authoring.steps import Step
from celeriac.workflows.errors import DefinitionError, ImportFailed, UnknownWorkflow
from celeriac.workflows.text import did_you_mean

Definition: TypeAlias = Workflow[..., Any] | Step[..., Any]
D = TypeVar("D", Workflow[..., Any], Step[..., Any])


class Catalog:
    """Workflows and steps by name. There is no registry behind it: it holds what it was made of.

    Attributes:
        workflows: By name, each in its newest version.
        versions: All versions of each, by name and version, the oldest first.
        steps: By name, those that are used by the workflows included.
    """

    def __init__(
        self, *, versions: Mapping[str, Mapping[str, Workflow[..., Any]]], steps: Mapping[str, Step[..., Any]]
    ) -> None:
        ordered = {
            name: dict(sorted(known.items(), key=lambda item: _age(item[0]))) for name, known in versions.items()
        }
        self.versions = MappingProxyType(ordered)
        self.workflows = MappingProxyType({name: list(known.values())[-1] for name, known in ordered.items()})
        self.steps = MappingProxyType(dict(steps))

    @classmethod
    def of(cls, *definitions: Definition) -> Catalog:
        """Return a catalog of these workflows and steps, and the steps that the workflows use.

        Raises:
            DefinitionError: two different ones have one name; the message tells where both are from.
        """
        versions: dict[str, dict[str, Workflow[..., Any]]] = {}
        steps: dict[str, Step[..., Any]] = {}
        for definition in definitions:
            if isinstance(definition, Step):
                _add("steps", steps, definition, definition.name)
            else:
                known = versions.setdefault(definition.name, {})
                _add(f"workflows of version {definition.version!r}", known, definition, definition.version)
                for used in definition.steps.values():
                    _add("steps", steps, used, used.name)
        return cls(versions=versions, steps=steps)

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

    def workflow(self, name: str, version: str | None = None) -> Workflow[..., Any]:
        """Return the workflow of that name, by default in its newest version.

        Raises:
            UnknownWorkflow: there is none; the message suggests the nearest and lists all.
        """
        if name not in self.workflows:
            raise UnknownWorkflow(workflow=name, hint=self._hint(name))
        if version is None:
            return self.workflows[name]
        if version not in self.versions[name]:
            known = ", ".join(self.versions[name])
            raise UnknownWorkflow(workflow=name, hint=f" in version {version!r}. Known versions: {known}.")
        return self.versions[name][version]

    def workflow_of(self, name: str, definition: str) -> Workflow[..., Any] | None:
        """Return the version of a workflow that describes a graph, given by its hash; None if none does."""
        known = self.versions.get(name, {}).values()
        return next((workflow for workflow in known if workflow.graph.hash == definition), None)

    def _hint(self, name: str) -> str:
        if not self.workflows:
            return ": no workflows are imported. Set CELERIAC_IMPORTS to the modules that define them."
        return f"{did_you_mean(name, self.workflows) or '.'} Known: {', '.join(sorted(self.workflows))}."


def _age(version: str) -> list[tuple[int, int, str]]:
    """Return what versions are ordered by: runs of digits as numbers, so that 10 comes after 9."""
    parts = re.findall(r"[0-9]+|[^0-9]+", version)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


def _add(kind: str, known: dict[str, D], definition: D, key: str) -> None:
    other = known.setdefault(key, definition)
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
