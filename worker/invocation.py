"""Calling a step's function: arguments in, JSON out."""

from __future__ import annotations

import asyncio
import inspect
import threading
import traceback
from collections.abc import Coroutine
from typing import Any, TypeVar

from workflows.context import StepContext
from workflows.errors import ArgumentInvalid, CeleriacError
from workflows.graph import Graph
from workflows.history.attempts import Claim
from workflows.steps import Step
from workflows.templates import MissingPart, evaluate

T = TypeVar("T")
_TRACEBACK_LIMIT = 20_000  # characters; the end is kept, where the error is


class EventLoop:
    """Runs coroutines of all threads on one loop of the process, started when the first one comes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what the coroutine returns, or raise what it raises."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="celeriac-loop", daemon=True).start()
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # interrupted while it waits: the coroutine is to stop too
            raise


def invoke(step: Step[..., Any], graph: Graph, context: StepContext, claim: Claim, loop: EventLoop) -> tuple[Any, str]:
    """Call the step's function as the claimed attempt; return what it returned, and that as JSON text.

    Raises:
        ArgumentInvalid: a parent's result lacks a part that is asked for, or does not fit the parameter.
        ResultInvalid: what it returned does not fit its annotation, or JSON.
        BaseException: whatever the function raises.
    """
    arguments = step.decode_arguments(_texts(step, graph, claim))
    value = step.call(arguments, context)
    if inspect.isawaitable(value):
        value = loop.run(_awaited(value))
    return value, step.encode_result(value)


async def _awaited(value: Any) -> Any:
    return await value


def _texts(step: Step[..., Any], graph: Graph, claim: Claim) -> dict[str, str]:
    texts = {}
    for parameter, template in graph.nodes[claim.attempt.position].arguments.items():
        try:
            texts[parameter] = evaluate(template, claim.run_input, lambda node: claim.results[graph.position[node]])
        except MissingPart as missing:
            raise ArgumentInvalid(parameter=parameter, step=step.name, reason=str(missing)) from None
    return texts


def describe_error(error: BaseException) -> dict[str, Any]:
    """Return an error as the history records it: type, message, and the traceback from the step's code on."""
    own = error.__traceback__
    while own is not None and own.tb_frame.f_globals.get("__name__", "").split(".")[0] in ("worker", "workflows"):
        own = own.tb_next
    lines = traceback.format_exception(type(error), error, own)
    try:
        message = str(error)
    except Exception as unprintable:  # the step's own __str__
        message = f"<{type(unprintable).__name__} while printing the error>"
    described = {"type": type(error).__name__, "message": message}
    if not isinstance(error, CeleriacError):
        described["traceback"] = "".join(lines)[-_TRACEBACK_LIMIT:]
    # A surrogate cannot be encoded to UTF-8, and Postgres has no text with a zero in it.
    return {
        key: value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0") for key, value in described.items()
    }
