"""``outcome(…)``: passing on what becomes of a step instead of its result."""

from __future__ import annotations

from typing import TypeVar, cast

from celeriac.workflows.authoring import location
from celeriac.workflows.authoring.symbols import Symbol, SymbolSource, is_symbol, source_of
from celeriac.workflows.engine.outcomes import Outcome
from celeriac.workflows.engine.templates import OutcomePart, ResultPart
from celeriac.workflows.errors import DefinitionError

T = TypeVar("T")


def outcome(result: T) -> Outcome[T]:
    """In the body of a workflow: pass on what becomes of a step, instead of its result.

    A step that is to run although another failed, as ``needs`` allows, takes that one's outcome.

    Args:
        result: What calling a step returned, whole.

    Raises:
        DefinitionError: it is something else.
    """
    if not is_symbol(result):
        raise DefinitionError(
            detail=f"outcome(…) cannot take {result!r} ({location.of_caller()}). It takes what a step returned, in the "
            "body of a workflow."
        )
    part = source_of(result)
    if not isinstance(part.template, ResultPart) or part.template.path:
        raise DefinitionError(
            detail=f"Workflow {part.workflow!r} cannot use outcome({part.expression}) ({location.of_caller()}): "
            f"{part.label} is not the whole result of a step. Pass what the step returned."
        )
    whole = SymbolSource(
        workflow=part.workflow,
        builder=part.builder,
        template=OutcomePart(node=part.template.node),
        annotation=Outcome[part.annotation],  # type: ignore[name-defined]
        expression=f"outcome({part.expression})",
    )
    return cast("Outcome[T]", Symbol(whole))
