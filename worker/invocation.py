"""Calling a step's function: arguments in, JSON out."""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
import traceback
from collections.abc import Coroutine
from typing import Any, TypeVar

from celeriac.workflows.authoring.context import StepContext
from celeriac.workflows.authoring.steps import Step
from celeriac.workflows.engine.graph import Node
from celeriac.workflows.engine.outcomes import PublicError
from celeriac.workflows.engine.resolving import RunValues
from celeriac.workflows.engine.templates import MissingPart, evaluate
from celeriac.workflows.errors import ArgumentInvalid, CeleriacError

T = TypeVar("T")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_TRACEBACK_LIMIT = 20_000  # characters; the end is kept, where the error is


class EventLoop:
    """Runs the coroutines of all threads on a loop of the process.

    The loop starts with the first coroutine.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return the value of a coroutine, or raise its error."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="celeriac-loop", daemon=True).start()
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # interrupted while it waits: the coroutine should stop too
            raise


def invoke(
    step: Step[..., Any], node: Node, context: StepContext, values: RunValues, loop: EventLoop
) -> tuple[Any, str]:
    """Call the step's function as a node of a graph.

    Returns:
        The value that the function returned, and the value as JSON text.

    Raises:
        ArgumentInvalid: a parent's result lacks a part that the node needs, or does not
            fit the parameter.
        ResultInvalid: the value does not fit the function's annotation, or JSON.
        BaseException: the function raised it.
    """
    arguments = step.decode_arguments(_texts(step, node, values))
    value = step.call(arguments, context)
    if inspect.isawaitable(value):
        value = loop.run(_awaited(value))
    return value, step.encode_result(value)


async def _awaited(value: Any) -> Any:
    return await value


def _texts(step: Step[..., Any], node: Node, values: RunValues) -> dict[str, str]:
    texts = {}
    for parameter, template in node.arguments.items():
        try:
            texts[parameter] = evaluate(template, values)
        except MissingPart as missing:
            raise ArgumentInvalid(parameter=parameter, step=step.name, reason=str(missing)) from None
    return texts


def describe_error(error: BaseException) -> dict[str, Any]:
    """Return an error as the history records it: type, message and traceback.

    The traceback begins with the step's code.
    """
    own = error.__traceback__
    while own is not None and own.tb_frame.f_globals.get("__name__", "").split(".")[0] == "celeriac":
        own = own.tb_next
    lines = traceback.format_exception(type(error), error, own)
    try:
        message = str(error)
    except Exception as unprintable:  # the step's own __str__
        message = f"<{type(unprintable).__name__} while printing the error>"
    described = {"type": type(error).__name__, "message": message}
    if not isinstance(error, CeleriacError):
        described["traceback"] = "".join(lines)[-_TRACEBACK_LIMIT:]
    cleaned: dict[str, Any] = {key: _printable(value) for key, value in described.items()}
    if isinstance(error, PublicError):
        cleaned["public"] = True
    return cleaned


def _printable(text: str) -> str:
    """Return text that Postgres can store and a terminal can show.

    Surrogates and control characters are written as escapes.
    """
    encoded = text.encode("utf-8", "backslashreplace").decode()
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", encoded)
