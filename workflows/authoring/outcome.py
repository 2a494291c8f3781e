"""``outcome(…)``: pass on how a step ended, instead of its result."""

from __future__ import annotations

from typing import TypeVar, cast

from celeriac.workflows.authoring import location
from celeriac.workflows.authoring.symbols import Symbol, SymbolSource, is_symbol, source_of
from celeriac.workflows.engine.outcomes import Outcome
from celeriac.workflows.engine.templates import OutcomePart, ResultPart
from celeriac.workflows.errors import DefinitionError

T = TypeVar("T")


def outcome(result: T) -> Outcome[T]:
    """Pass on how a step ended, instead of its result, in the body of a workflow.

    A step whose ``needs`` lets it run although another step failed takes the outcome of
    that step.

    Args:
        result: The whole result of a step.

    Raises:
        DefinitionError: the argument is not the whole result of a step.
    """
    if not is_symbol(result):
        raise DefinitionError(
            detail=f"outcome(…) cannot take {result!r} ({location.of_caller()}). It takes the result of a step, in the "
            "body of a workflow."
        )
    source = source_of(result)
    if not isinstance(source.template, ResultPart) or source.template.path:
        raise DefinitionError(
            detail=f"Workflow {source.workflow!r} cannot use outcome({source.expression}) ({location.of_caller()}): "
            f"{source.label} is not the whole result of a step. Pass the step's whole result."
        )
    whole = SymbolSource(
        workflow=source.workflow,
        builder=source.builder,
        template=OutcomePart(node=source.template.node),
        annotation=Outcome[source.annotation],  # type: ignore[name-defined]
        expression=f"outcome({source.expression})",
    )
    return cast("Outcome[T]", Symbol(whole))
