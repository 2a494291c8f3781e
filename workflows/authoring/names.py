"""Names of workflows, steps and nodes, and versions: rules and automatic numbers."""

from __future__ import annotations

import re
from collections.abc import Collection

from celeriac.workflows.errors import DefinitionError

LONGEST = 100

_NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_.-]{{0,{LONGEST - 1}}}")
_VERSION = re.compile(rf"[A-Za-z0-9_.+-]{{1,{LONGEST}}}")
_RESERVED = ("celery.", "celeriac.")  # a step is a Celery task of the same name


def check_name(kind: str, name: object, where: str) -> str:
    """Return ``name`` if it may name a ``kind`` (workflow, step, …).

    Names become Celery task names, parts of addresses and of log lines, so they are
    plain.

    Raises:
        DefinitionError: the name breaks the rule; the message tells the rule.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DefinitionError(
            detail=f"{name!r} cannot name a {kind} ({where}). Use up to {LONGEST} ASCII letters, digits, '_', '-' and "
            f"'.', starting with a letter or '_'; name=… sets a name that differs from the function's."
        )
    if kind == "step" and name.startswith(_RESERVED):
        raise DefinitionError(
            detail=f"{name!r} cannot name a step ({where}): tasks of Celery and Celeriac themselves have names that "
            f"start with {' and '.join(repr(prefix) for prefix in _RESERVED)}. Choose another with name=…."
        )
    return name


def check_version(workflow: str, version: object, where: str) -> str:
    """Return ``version`` if it may be the version of a workflow.

    Raises:
        DefinitionError: the version breaks the rule; the message tells the rule.
    """
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise DefinitionError(
            detail=f"Workflow {workflow!r} cannot have the version {version!r} ({where}). Write a text of up to "
            f'{LONGEST} ASCII letters, digits, "_", "-", "+" and ".", as in version="2".'
        )
    return version


def numbered(name: str, taken: Collection[str], *, earlier: int = 0) -> str:
    """Return ``name``, or the first of ``name-2``, ``name-3``, … that is not taken.

    Args:
        name: The name to number.
        taken: Names in use.
        earlier: How many names were already made from ``name``; these are not tried
            again.
    """
    count = earlier + 1
    while (candidate := _with_number(name, count)) in taken:
        count += 1
    return candidate


def _with_number(name: str, count: int) -> str:
    return name if count == 1 else f"{name[: LONGEST - len(str(count)) - 1]}-{count}"
