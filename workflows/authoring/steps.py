"""Steps: functions that workflows call, each of them a Celery task of the same name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import (
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from celeriac.workflows.authoring import location
from celeriac.workflows.authoring.body import GraphBuilder
from celeriac.workflows.authoring.checks import check_function
from celeriac.workflows.authoring.context import StepContext
from celeriac.workflows.authoring.names import check_name
from celeriac.workflows.authoring.options import NodeOptions, StepOptionArgs, UseOptionArgs, refuse_unknown
from celeriac.workflows.authoring.signatures import read_signature
from celeriac.workflows.authoring.symbols import is_symbol, source_of
from celeriac.workflows.authoring.values import ValueInvalid
from celeriac.workflows.errors import ArgumentInvalid, DefinitionError, ResultInvalid

P = ParamSpec("P")
R = TypeVar("R")


class Step(Generic[P, R]):
    """A function that a workflow can use as a step; made by ``@step``.

    In the body of a workflow, a call adds a node to the graph and returns a symbol,
    typed as the result. Anywhere else a call runs the plain function; an async function
    returns its coroutine.

    Attributes:
        name: Unique in a process; also the name of the Celery task.
        function: The decorated function.
        module: The module that defines the function.
        signature: The parameters and the result, without the context.
        default_options: Options of a call without ``.options(…)``.
    """

    def __init__(self, function: Callable[..., Any], *, name: str | None, options: NodeOptions) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.module = function.__module__
        self.name = check_name("step", function.__name__ if name is None else name, location.of_function(function))
        self.signature = read_signature(function, f"step {self.name!r}")
        self.default_options = options
        self._decoders = {p.name: p.codec.decode for p in self.signature.parameters.values()}
        self._encode = self.signature.result.encode

    @property
    def context_parameter(self) -> str | None:
        """Name of the parameter annotated ``StepContext``; callers leave it out."""
        return self.signature.context_parameter

    def __repr__(self) -> str:
        return f"<step {self.name!r} of {self.module}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Add a node in the body of a workflow; run the function anywhere else."""
        return cast("R", _use(self, args, kwargs, self.default_options))

    def options(self, **options: Unpack[UseOptionArgs]) -> StepUse[P, R]:
        """Return this step with options for some of its uses.

        Outside of a workflow the options change nothing.

        Args:
            options: See ``UseOptionArgs``. The step's own options stand in for those
                left out.

        Raises:
            DefinitionError: an option is unknown or cannot have its value.
        """
        where = location.of_caller()
        subject = f"a use of step {self.name!r} ({where})"
        refuse_unknown(options, UseOptionArgs.__optional_keys__, subject)
        name = options.get("name")
        if name is not None:
            check_name("use of a step", name, where)
        after = options.pop("after", ())
        try:
            chosen = replace(self.default_options, after=after, **_given(options))
        except ValueError as error:
            raise DefinitionError(detail=f"Bad option for {subject}: {error}.") from None
        return StepUse(step=self, chosen=chosen)

    def call(self, arguments: Mapping[str, Any], context: StepContext) -> Any:
        """Call the function and return its result; the coroutine of an async function.

        Args:
            arguments: Values by parameter name.
            context: Passed on if the function declares a parameter for a context.
        """
        if self.context_parameter is None:
            return self.function(**arguments)
        return self.function(**arguments, **{self.context_parameter: context})

    def decode_arguments(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Return the arguments of a call from JSON texts by parameter name.

        Raises:
            ArgumentInvalid: an argument does not fit, is missing, or is not known, as
                after a change of the code.
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
        missing = self.signature.required - arguments.keys()
        if missing:
            raise ArgumentInvalid(step=self.name, parameter=min(missing), reason="it is missing")
        return arguments

    def encode_result(self, value: Any) -> str:
        """Return the function's result as JSON text, for ``decode_result`` to read.

        Raises:
            ResultInvalid: the result does not fit the annotation, or has no JSON, such
                as NaN.
        """
        try:
            return self._encode(value)
        except ValueInvalid as error:
            raise ResultInvalid(step=self.name, reason=str(error)) from None

    def decode_result(self, text: str) -> R:
        """Return the value that ``encode_result`` wrote as ``text``.

        Raises:
            ResultInvalid: the value does not fit the annotation, as after a change of
                the code.
        """
        try:
            return cast("R", self.signature.result.decode(text))
        except ValueInvalid as error:
            raise ResultInvalid(step=self.name, reason=str(error)) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class StepUse(Generic[P, R]):
    """A step with options for some of its uses; made by ``step.options(…)``.

    It is called as the step is.
    """

    step: Step[P, R]
    chosen: NodeOptions

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Add a node in the body of a workflow; run the function anywhere else."""
        return cast("R", _use(self.step, args, kwargs, self.chosen))


class StepDecorator(Protocol):
    """The decorator that ``@step(…)`` returns.

    Its types hide from callers that the function takes a context, or is async.
    """

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
def step(**options: Unpack[StepOptionArgs]) -> StepDecorator: ...
def step(function: Callable[..., Any] | None = None, /, **options: Unpack[StepOptionArgs]) -> Any:
    """Make a function a step of workflows; ``@step`` and ``@step(queue=…)`` both work.

    Args:
        function: A plain or async function at module level. Its annotations tell how
            its arguments and its result travel as JSON. A parameter annotated
            ``StepContext`` is filled in; put that parameter first, because then type
            checkers know that callers leave it out.
        options: See ``StepOptionArgs``.

    Raises:
        DefinitionError: the function cannot be a step, or an option is unknown or
            cannot have its value.
    """
    name = options.pop("name", None)

    def decorate(function: Callable[..., Any]) -> Step[..., Any]:
        check_function(function, "step")
        subject = f"step {function.__name__ if name is None else name!r}"
        refuse_unknown(options, StepOptionArgs.__optional_keys__, subject)
        try:
            defaults = NodeOptions(**_given(options))
        except ValueError as error:
            where = location.of_function(function)
            raise DefinitionError(detail=f"Bad option for {subject} ({where}): {error}.") from None
        return Step(function, name=name, options=defaults)

    return decorate if function is None else decorate(function)


@functools.cache
def as_step(function: Callable[..., Any]) -> Step[..., Any]:
    """Return the step of a function, the same for each call; return a step as it is.

    Raises:
        DefinitionError: the function cannot be a step.
    """
    if isinstance(function, Step):
        return function
    check_function(function, "step")
    return Step(function, name=None, options=NodeOptions())


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are not None, with a step in place of each function."""
    given = {name: value for name, value in options.items() if value is not None}
    for name in ("on_error", "compensate"):
        if callable(given.get(name)):
            given[name] = as_step(given[name])
    return given


def _use(step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], chosen: NodeOptions) -> Any:
    builder = GraphBuilder.current()
    if builder is not None:
        return builder.call(step, args, kwargs, chosen)
    values = (*args, *kwargs.values(), *chosen.after)
    for symbol in filter(is_symbol, values):  # not inside of values: data may be large
        source = source_of(symbol)
        raise DefinitionError(
            detail=f"Step {step.name!r} cannot be called with {source.label} of workflow {source.workflow!r} "
            f"({location.of_caller()}): the graph of that workflow is built. Call the step inside the body."
        )
    if step.context_parameter is None or _brings_context(args, kwargs):
        return step.function(*args, **kwargs)
    return step.call(step.signature.bind(args, kwargs), StepContext.detached(step.name))


def _brings_context(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    return any(isinstance(value, StepContext) for value in (*args, *kwargs.values()))
