"""Nodes that the body of a workflow does not call: error handlers, compensations and hooks. Their parameters are
filled by name.
"""

from __future__ import annotations

from collections.abc import Mapping

from celeriac.workflows.authoring import typehints
from celeriac.workflows.authoring.signatures import Signature
from celeriac.workflows.engine.outcomes import ErrorInfo
from celeriac.workflows.engine.templates import Template

RESULT = "result"


class UnboundParameter(TypeError):
    """A parameter cannot be filled. The message says which, and what there is to fill parameters with."""


def bind_by_name(
    signature: Signature,
    arguments: Mapping[str, Template],
    *,
    result: Template | None = None,
    takes_rest: bool = False,
    error: Template | None = None,
) -> dict[str, Template]:
    """Return what a step's parameters are filled with that nobody calls by hand.

    Args:
        signature: That of the step.
        arguments: What there is, by the name of a parameter.
        result: What a parameter named ``result`` gets.
        takes_rest: Whether the only parameter that is left over gets the result, whatever its name.
        error: What a parameter annotated ``ErrorInfo`` gets.

    Raises:
        NotFillable: a parameter is left over that has no default.
    """
    offered = dict(arguments)
    if result is not None:
        offered[RESULT] = result
    filled = {}
    for name, parameter in signature.parameters.items():
        if error is not None and typehints.members(parameter.codec.annotation) == [ErrorInfo]:
            filled[name] = error
        elif name in offered:
            filled[name] = offered[name]
    left = [name for name in signature.parameters if name in signature.required and name not in filled]
    if takes_rest and result is not None and len(left) == 1 and RESULT not in filled:
        filled[left.pop()] = result
    if left:
        there = [*offered, *(["one annotated ErrorInfo"] if error is not None else [])]
        known = ", ".join(there) or "none"
        raise UnboundParameter(
            f"nothing fills its parameter {left[0]!r}. Parameters are filled by name; there are: {known}"
        )
    return filled
