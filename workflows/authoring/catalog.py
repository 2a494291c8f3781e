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
    """Workflows and steps by name. No registry stands behind it.

    Attributes:
        workflows: The newest version of each workflow, by name.
        versions: All versions of each workflow, by name and version, the oldest first.
        steps: Steps by name, with those that the workflows use.
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
        """Return a catalog of workflows and steps, and of the steps that they use.

        Raises:
            DefinitionError: two definitions have the same name; the message names the
                modules of both.
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
        """Import modules; return a catalog of the workflows and steps that they name.

        Raises:
            ImportFailed: a module cannot be imported; the message tells the cause and
                its place.
            DefinitionError: two definitions have the same name.
        """
        found: list[Definition] = []
        for name in modules:
            found += [value for value in vars(_imported(name)).values() if isinstance(value, Workflow | Step)]
        return cls.of(*found)

    def workflow(self, name: str, version: str | None = None) -> Workflow[..., Any]:
        """Return the workflow of that name, by default in its newest version.

        Raises:
            UnknownWorkflow: no workflow has that name, or none has that version; the
                message suggests the nearest name, and lists the known names or
                versions.
        """
        if name not in self.workflows:
            raise UnknownWorkflow(workflow=name, hint=self._hint(name))
        if version is None:
            return self.workflows[name]
        if version not in self.versions[name]:
            known = ", ".join(self.versions[name])
            raise UnknownWorkflow(workflow=name, hint=f" in version {version!r}. Known versions: {known}.")
        return self.versions[name][version]

    def workflow_of(self, name: str, graph_hash: str) -> Workflow[..., Any] | None:
        """Return the version of a workflow whose graph has the hash, or None."""
        known = self.versions.get(name, {}).values()
        return next((workflow for workflow in known if workflow.graph.hash == graph_hash), None)

    def _hint(self, name: str) -> str:
        if not self.workflows:
            return ": no workflows are imported. Set CELERIAC_IMPORTS to the modules that define them."
        return f"{did_you_mean(name, self.workflows) or '.'} Known: {', '.join(sorted(self.workflows))}."


def _age(version: str) -> list[tuple[int, int, str]]:
    """Return the key that orders versions: digits count as numbers, so 10 follows 9."""
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
    except (Exception, SystemExit) as error:  # the user's module may raise any error
        raise ImportFailed(module=name, reason=_reason(error)) from error


def _reason(error: BaseException) -> str:
    """Return the error as a single line, with its place in the user's code."""
    message = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, DefinitionError):  # its message has the place
        return message
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({location.in_file(str(error.filename), error.lineno or 0)})"
    return f"{type(error).__name__}{message and f': {message}'} ({location.of_error(error)})"
