"""Error handlers, compensations and hooks: nodes that the body does not call.

Their parameters are bound by name.
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
    """The node of an error handler, a compensation or a hook, with values to bind."""

    name: str  # of the node; numbered if it is taken
    option: str  # the option that names the step, for messages: "on_error"
    arguments: Mapping[str, Template]  # by parameter name
    result: Template | None = None  # for a parameter named "result"
    takes_rest: bool = False  # the only parameter left over takes the result
    error: Template | None = None  # for a parameter annotated ErrorInfo
    handles: str | None = None  # the node whose error the step handles
    compensates: str | None = None  # the node that the step compensates
    hook: str | None = None  # "on_complete" or "on_failure"


class UnboundParameter(TypeError):
    """A parameter cannot be bound.

    The message names the parameter, and the names that have a value.
    """


def bind_by_name(signature: Signature, attachment: Attachment) -> dict[str, Template]:
    """Bind the parameters of a handler, compensation or hook by name.

    A parameter annotated ``ErrorInfo`` takes the error, by any name. An argument that
    is named ``result`` goes before the result.

    Returns:
        A template by parameter name, without the parameters left to their defaults.

    Raises:
        UnboundParameter: a parameter without a default is left over.
    """
    offered = dict(attachment.arguments)
    offers_result = attachment.result is not None and RESULT not in offered
    if attachment.result is not None:
        offered.setdefault(RESULT, attachment.result)
    bound = {}
    for name, parameter in signature.parameters.items():
        if attachment.error is not None and typehints.members(parameter.codec.annotation) == [ErrorInfo]:
            bound[name] = attachment.error
        elif name in offered:
            bound[name] = offered[name]
    unbound = [name for name in signature.parameters if name in signature.required and name not in bound]
    takes_result = attachment.takes_rest and not (offers_result and RESULT in bound)
    if takes_result and attachment.result is not None and len(unbound) == 1:
        bound[unbound.pop()] = attachment.result
    if unbound:
        names = [*offered]
        if attachment.error is not None:
            names.append("a parameter annotated ErrorInfo")
        known = ", ".join(names) or "none"
        raise UnboundParameter(
            f"nothing fills its parameter {unbound[0]!r}. Parameters are filled by name; there are: {known}"
        )
    return bound
