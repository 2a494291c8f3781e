"""Nodes that the body of a workflow does not call: error handlers, compensations and hooks. Their parameters are
filled by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from celeriac.workflows.authoring import typehints
from celeriac.workflows.authoring.signatures import Signature
from celeriac.workflows.engine.outcomes import ErrorInfo
from celeriac.workflows.engine.templates import Template

RESULT = "result"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    """The node of an error handler, a compensation or a hook, and the values for its parameters."""

    name: str  # of the node; numbered if it is taken
    option: str  # the option that names the step, for messages: "on_error"
    arguments: Mapping[str, Template]  # by parameter name
    result: Template | None = None  # for a parameter named "result"
    takes_rest: bool = False  # whether the only parameter that is left over takes the result, whatever its name
    error: Template | None = None  # for a parameter annotated ErrorInfo
    handles: str | None = None  # the node whose error the step handles
    compensates: str | None = None  # the node that the step compensates
    hook: str | None = None  # "on_complete" or "on_failure"


class UnboundParameter(TypeError):
    """A parameter cannot be filled. The message says which, and what there is to fill parameters with."""


def bind_by_name(signature: Signature, attachment: Attachment) -> dict[str, Template]:
    """Return what a step's parameters are filled with that nobody calls by hand.

    Raises:
        UnboundParameter: a parameter is left over that has no default.
    """
    offered = dict(attachment.arguments)
    if attachment.result is not None:
        offered[RESULT] = attachment.result
    bound = {}
    for name, parameter in signature.parameters.items():
        if attachment.error is not None and typehints.members(parameter.codec.annotation) == [ErrorInfo]:
            bound[name] = attachment.error
        elif name in offered:
            bound[name] = offered[name]
    unbound = [name for name in signature.parameters if name in signature.required and name not in bound]
    if attachment.takes_rest and attachment.result is not None and len(unbound) == 1 and RESULT not in bound:
        bound[unbound.pop()] = attachment.result
    if unbound:
        there = [*offered, *(["one annotated ErrorInfo"] if attachment.error is not None else [])]
        known = ", ".join(there) or "none"
        raise UnboundParameter(
            f"nothing fills its parameter {unbound[0]!r}. Parameters are filled by name; there are: {known}"
        )
    return bound
