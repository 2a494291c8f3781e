"""Steps: functions that a workflow is made of, each of which is a Celery task of its own name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import (
    Any,
    Concatenate,
    Generic,
    Literal,
    Never,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeVar,
    cast,
    overload,
)

from celeriac.workflows.authoring import location
from celeriac.workflows.authoring.body import GraphBuilder
from celeriac.workflows.authoring.checks import check_function
from celeriac.workflows.authoring.context import StepContext
from celeriac.workflows.authoring.names import check_name
from celeriac.workflows.authoring.options import NodeOptions, StepOptions, refuse_unknown
from celeriac.workflows.authoring.signatures import read_signature
from celeriac.workflows.authoring.symbols import is_symbol, source_of
from celeriac.workflows.authoring.values import ValueInvalid
from celeriac.workflows.engine.retry import Retry
from celeriac.workflows.errors import ArgumentInvalid, DefinitionError, ResultInvalid

Rule: TypeAlias = Literal["all_succeeded", "all_done", "any_succeeded", "none_failed", "one_failed"]
P = ParamSpec("P")
R = TypeVar("R")


class Step(Generic[P, R]):
    """A function that a workflow can use as a step; made by ``@step``.

    In the body of a workflow, calling it adds a node to the graph and returns a symbol, typed as the
    result. Anywhere else it is the plain function: it runs, and an async one returns its coroutine.

    Attributes:
        name: Unique in a process; also the name of the Celery task.
        function: The function itself.
        module: The module that defines it.
        signature: Its parameters and its result, without the context.
        is_async: Whether the function is a coroutine function.
        defaults: Options of uses that have none of their own.
        use: What a use without options has.
    """

    def __init__(self, function: Callable[..., Any], *, name: str | None, options: StepOptions) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.module = function.__module__
        self.name = check_name("step", function.__name__ if name is None else name, location.of_function(function))
        self.signature = read_signature(function, f"step {self.name!r}")
        self.is_async = inspect.iscoroutinefunction(function)
        self.defaults = options
        self.use = NodeOptions(**_given(options))
        self._decoders = {p.name: p.codec.decode for p in self.signature.parameters.values()}
        self._encode = self.signature.result.encode

    @property
    def context_parameter(self) -> str | None:
        """The parameter annotated ``StepContext``, if there is one. Callers do not fill it."""
        return self.signature.context_parameter

    def __repr__(self) -> str:
        return f"<step {self.name!r} of {self.module}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Add a node in the body of a workflow; run the function anywhere else."""
        return cast("R", _use(self, args, kwargs, self.use))

    def options(
        self,
        *,
        name: str | None = None,
        after: list[Any] | tuple[Any, ...] = (),
        queue: str | None = None,
        priority: int | None = None,
        max_attempts: int | None = None,
        retry: Retry | None = None,
        timeout: float | timedelta | None = None,
        total_timeout: float | timedelta | None = None,
        heartbeat_timeout: float | timedelta | None = None,
        needs: Rule | None = None,
        on_error: Callable[..., Any] | None = None,
        compensate: Callable[..., Any] | None = None,
        **unknown: Never,
    ) -> StepUse[P, R]:
        """Return this step with options for some of its uses. Outside of a workflow they change nothing.

        Args:
            name: Of the node, unique in the workflow. Without it: the step's name, numbered if it is taken.
            after: Results of steps to wait for, without using them.
            queue: Where the step goes.
            priority: From 0, served first, to 9, served last.
            max_attempts: How often the step is tried, lost attempts included.
            retry: Whether and when a failed attempt is followed by another.
            timeout: Of one attempt, in seconds or as a timedelta.
            total_timeout: Of all attempts together, and the waits between them.
            heartbeat_timeout: Between two calls of ``StepContext.heartbeat``.
            needs: What it needs of the steps before it, in order to run; by default that all succeed.
            on_error: A step or function that is called if this one fails, with the error as a parameter annotated
                ``ErrorInfo``, and with this one's arguments by name. What it returns takes the place of the result.
            compensate: A step or function that undoes what this one did, when a saga fails or is cancelled; called with
                this one's arguments by name, and its result as ``result``.
            unknown: None; there to tell which option was meant.

        Raises:
            DefinitionError: an option is unknown or cannot have this value.
        """
        where = location.of_caller()
        subject = f"a use of step {self.name!r} ({where})"
        refuse_unknown(unknown, (f.name for f in fields(NodeOptions)), subject)
        if name is not None:
            check_name("use of a step", name, where)
        try:
            own = StepOptions(
                queue=queue,
                priority=priority,
                max_attempts=max_attempts,
                retry=retry,
                timeout=timeout,
                total_timeout=total_timeout,
                heartbeat_timeout=heartbeat_timeout,
                needs=needs,
                on_error=_made_step(on_error),
                compensate=_made_step(compensate),
            )
            chosen = NodeOptions(name=name, after=after, **{**_given(self.defaults), **_given(own)})
        except ValueError as error:
            raise DefinitionError(detail=f"Bad option for {subject}: {error}.") from None
        return StepUse(step=self, chosen=chosen)

    def call(self, arguments: Mapping[str, Any], context: StepContext) -> Any:
        """Run the function and return what it returns; a coroutine, if it is async.

        Args:
            arguments: Values by parameter name.
            context: Handed over if the function asks for it.
        """
        if self.context_parameter is None:
            return self.function(**arguments)
        return self.function(**arguments, **{self.context_parameter: context})

    def decode_arguments(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Return the arguments of a call from JSON texts by parameter name.

        Raises:
            ArgumentInvalid: one does not fit, is missing, or is not known, as after a change of the code.
        """
        arguments = {}
        for name, text in texts.items():
            decode = self._decoders.get(name)
            if decode is None:
                raise ArgumentInvalid(step=self.name, parameter=name, reason="the step has no such parameter")
            try:
                arguments[name] = decode(text)
            except ValueInvalid as error:
                raise ArgumentInvalid(step=self.name, parameter=name, reason=str(error)) from None
        if missing := self.signature.required - arguments.keys():
            raise ArgumentInvalid(step=self.name, parameter=min(missing), reason="it is missing")
        return arguments

    def encode_result(self, value: Any) -> str:
        """Return what the function returned as JSON text, which ``decode_result`` is sure to read.

        Raises:
            ResultInvalid: it does not fit the annotation, or has no JSON, such as NaN.
        """
        try:
            return self._encode(value)
        except ValueInvalid as error:
            raise ResultInvalid(step=self.name, reason=str(error)) from None

    def decode_result(self, text: str) -> R:
        """Return the value that ``encode_result`` wrote as ``text``.

        Raises:
            ResultInvalid: it does not fit the annotation, as after a change of the code.
        """
        try:
            return cast("R", self.signature.result.decode(text))
        except ValueInvalid as error:
            raise ResultInvalid(step=self.name, reason=str(error)) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class StepUse(Generic[P, R]):
    """A step with options for some of its uses; made by ``step.options(…)``, called as the step is."""

    step: Step[P, R]
    chosen: NodeOptions

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Add a node in the body of a workflow; run the function anywhere else."""
        return cast("R", _use(self.step, args, kwargs, self.chosen))


class StepDecorator(Protocol):
    """What ``@step(…)`` is: it takes the function, and hides its context and its being async from callers."""

    @overload
    def __call__(self, function: Callable[Concatenate[StepContext, P], Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[StepContext, P], R], /) -> Step[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Step[P, R]: ...


@overload
def step(function: Callable[Concatenate[StepContext, P], Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
@overload
def step(function: Callable[Concatenate[StepContext, P], R], /) -> Step[P, R]: ...
@overload
def step(function: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *,
    name: str | None = None,
    queue: str | None = None,
    priority: int | None = None,
    max_attempts: int | None = None,
    retry: Retry | None = None,
    timeout: float | timedelta | None = None,
    total_timeout: float | timedelta | None = None,
    heartbeat_timeout: float | timedelta | None = None,
    needs: Rule | None = None,
    on_error: Callable[..., Any] | None = None,
    compensate: Callable[..., Any] | None = None,
) -> StepDecorator: ...
def step(function: Callable[..., Any] | None = None, /, *, name: str | None = None, **options: Any) -> Any:
    """Make a function a step of workflows; ``@step`` and ``@step(queue=…)`` both work.

    Args:
        function: A plain or async function at module level. Its annotations tell how its arguments and
            its result travel as JSON. A parameter annotated ``StepContext`` is filled in; put it first,
            for then type checkers know that callers leave it out.
        name: The function's name if it is not given.
        options: Those of ``Step.options`` but for ``name`` and ``after``: defaults for all uses of the step.

    Raises:
        DefinitionError: the function cannot be a step, or an option is unknown or cannot have this value.
    """

    def decorate(function: Callable[..., Any]) -> Step[..., Any]:
        check_function(function, "step")
        subject = f"step {function.__name__ if name is None else name!r}"
        refuse_unknown(options.keys() - known, ("name", *known), subject)
        try:
            made = {key: _made_step(options.get(key)) for key in ("on_error", "compensate")}
            defaults = StepOptions(**{**options, **made})
        except ValueError as error:
            where = location.of_function(function)
            raise DefinitionError(detail=f"Bad option for {subject} ({where}): {error}.") from None
        return Step(function, name=name, options=defaults)

    known = {f.name for f in fields(StepOptions)}
    return decorate if function is None else decorate(function)


@functools.cache
def as_step(function: Callable[..., Any]) -> Step[..., Any]:
    """Return the step that a function is made, the same one each time; a step is one already.

    Raises:
        DefinitionError: the function cannot be a step.
    """
    if isinstance(function, Step):
        return function
    check_function(function, "step")
    return Step(function, name=None, options=StepOptions())


def _made_step(function: Any) -> Any:
    return as_step(function) if callable(function) else function


def _given(options: StepOptions) -> dict[str, Any]:
    """Return the options that were given."""
    return {f.name: value for f in fields(options) if (value := getattr(options, f.name)) is not None}


def _use(step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], chosen: NodeOptions) -> Any:
    builder = GraphBuilder.current()
    if builder is not None:
        return builder.call(step, args, kwargs, chosen)
    for symbol in filter(is_symbol, (*args, *kwargs.values(), *chosen.after)):  # not inside: data may be large
        part = source_of(symbol)
        raise DefinitionError(
            detail=f"Step {step.name!r} cannot be called with {part.label} of workflow {part.workflow!r} "
            f"({location.of_caller()}): the workflow's body has been read. Call the step inside the body."
        )
    if step.context_parameter is None or _brings_context(args, kwargs):
        return step.function(*args, **kwargs)
    return step.call(step.signature.bind(args, kwargs), StepContext.detached(step.name))


def _brings_context(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    return any(isinstance(value, StepContext) for value in (*args, *kwargs.values()))
