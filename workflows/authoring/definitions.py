"""Workflows: functions whose body, called once with symbols, describes a graph."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from pydantic import ValidationError

from celeriac.workflows.authoring import location
from celeriac.workflows.authoring.body import GraphBuilder
from celeriac.workflows.authoring.body_source import check_source
from celeriac.workflows.authoring.checks import check_function
from celeriac.workflows.authoring.names import check_name, check_version
from celeriac.workflows.authoring.options import StartOptionArgs, StartOptions, WorkflowOptionArgs, refuse_unknown
from celeriac.workflows.authoring.signatures import (
    BindingFailed,
    Parameter,
    Signature,
    read_signature,
)
from celeriac.workflows.authoring.steps import Step, StepUse, as_step
from celeriac.workflows.authoring.symbols import is_symbol, source_of
from celeriac.workflows.authoring.values import Codec, ValueInvalid
from celeriac.workflows.engine.graph import FailurePolicy, Graph
from celeriac.workflows.engine.retry import Retry, as_seconds
from celeriac.workflows.engine.templates import Template
from celeriac.workflows.errors import DefinitionError, InputInvalid
from celeriac.workflows.text import did_you_mean

P = ParamSpec("P")
R = TypeVar("R")


class Workflow(Generic[P, R]):
    """A graph of steps, with codecs for input and result; made by ``@workflow``.

    Attributes:
        name: Unique in a process; names the workflow in commands and in the client.
        version: Stored with each run, for people to read. A run keeps the graph that it
            started with, whether or not the version changes.
        function: The decorated function.
        module: The module that defines the function.
        signature: The parameters and the result.
        graph: The graph that the function's body describes.
        steps: The steps that the nodes use, by step name.
    """

    def __init__(self, function: Callable[..., Any], **options: Unpack[WorkflowOptionArgs]) -> None:
        functools.update_wrapper(self, function, updated=())
        where = location.of_function(function)
        self.function = function
        self.module = function.__module__
        name = options.get("name")
        self.name = check_name("workflow", function.__name__ if name is None else name, where)
        self.version = check_version(self.name, options.get("version", "1"), where)
        self.signature = read_signature(function, f"workflow {self.name!r}")
        _check_signature(self.name, self.signature, where)
        retry = _checked_retry(self.name, options.get("retry"), where)
        builder: GraphBuilder[Step[..., Any]] = GraphBuilder(self.name, retry)
        saga = options.get("saga", False)
        hooks = {"on_complete": options.get("on_complete"), "on_failure": options.get("on_failure")}
        check_source(function, self.name, lambda called: isinstance(called, Step | StepUse))
        with builder.building():
            returned = _call_body(function, self.name, self.signature, builder)
            returns, self._result = _result(self.name, self.signature, builder, returned, where)
            if saga:
                builder.attach_compensations()
            for hook, function_of_hook in hooks.items():
                if function_of_hook is not None and builder.nodes:
                    builder.attach_hook(as_step(function_of_hook), hook, self.signature.parameters, returns)
        if not builder.nodes:
            raise DefinitionError(detail=f"Workflow {self.name!r} has no steps ({where}). Call a step in its body.")
        self.steps: Mapping[str, Step[..., Any]] = dict(builder.steps)
        self.graph = Graph(
            workflow=self.name,
            version=self.version,
            nodes=tuple(builder.nodes),
            returns=returns,
            timeout=_checked_timeout(self.name, options.get("timeout"), where),
            failure_policy=_checked_policy(self.name, options.get("failure_policy", FailurePolicy.FAIL_FAST), where),
            saga=saga,
        )

    def __repr__(self) -> str:
        return f"<workflow {self.name!r} of {self.module}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> NoReturn:  # noqa: ARG002 - so that calls are type-checked
        """Refuse: only workers run a workflow.

        Raises:
            DefinitionError: always; the message tells how to start a run.
        """
        builder = GraphBuilder.current()
        if builder is not None:
            raise DefinitionError(
                detail=f"Workflow {builder.workflow!r} cannot call workflow {self.name!r} ({location.of_caller()}): "
                f"only steps can be called. Call its steps, or put the common part into a plain function "
                "that calls them."
            )
        raise DefinitionError(
            detail=f"Workflow {self.name!r} cannot be called ({location.of_caller()}). Start a run of it with "
            f"client.start({self.function.__name__}, …); to try a step on its own, call the step."
        )

    def options(self, **options: Unpack[StartOptionArgs]) -> WorkflowUse[P, R]:
        """Return this workflow with options for a start.

        As in ``client.start(checkout.options(tags={"tenant": "acme"}), order)``.

        Args:
            options: See ``StartOptionArgs``.

        Raises:
            DefinitionError: an option is unknown or cannot have this value.
        """
        return WorkflowUse(workflow=self, chosen=StartOptions.of(self.name, **options))

    def encode_input(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """Return the input of a run as JSON text: an object by parameter name.

        Parameters that are not given have their defaults. Values may be of the
        annotated types, or data that pydantic converts to these.

        Raises:
            InputInvalid: an argument is missing, unexpected, or does not fit.
        """
        try:
            given = self.signature.bind(args, kwargs)
        except BindingFailed as error:
            raise InputInvalid(workflow=self.name, reason=str(error)) from None
        return self._write_input(given, lambda parameter, value: parameter.codec.encode(parameter.codec.accept(value)))

    def encode_json_input(self, value: Any) -> str:
        """Return the input of a run as JSON text, from data of the command or of HTTP.

        An object gives the parameters by name if all its keys are parameters and all
        required parameters are among its keys. None gives no parameter if none is
        required. Any other value is the value of the only parameter.

        Raises:
            InputInvalid: the value has none of these forms, or does not fit.
        """
        parameters = self.signature.parameters
        if isinstance(value, Mapping) and self.signature.required <= value.keys() <= parameters.keys():
            given = dict(value)
        elif value is None and not self.signature.required:
            given = {}
        elif len(parameters) == 1:
            given = dict.fromkeys(parameters, value)
        else:
            given = self._refuse_json(value)
        return self._write_input(given, lambda parameter, value: parameter.codec.normalize(value))

    def decode_result(self, text: str) -> R:
        """Return the result of a run from the JSON text of its evaluated template.

        Raises:
            DefinitionError: the text does not fit the annotation, as after a change of
                the code.
        """
        try:
            return cast("R", self._result.decode(text))
        except ValueInvalid as error:
            raise DefinitionError(
                detail=f"This run's result does not fit what workflow {self.name!r} now says that it returns: {error}"
            ) from None

    def _refuse_json(self, value: Any) -> NoReturn:
        reason = f"it must be a JSON object by parameter name. {self.signature}"
        if isinstance(value, Mapping):
            try:
                self.signature.bind((), {str(key): part for key, part in value.items()})
            except BindingFailed as error:
                reason = str(error)
        raise InputInvalid(workflow=self.name, reason=reason)

    def _write_input(self, given: Mapping[str, Any], write: Callable[[Parameter, Any], str]) -> str:
        written = []
        for name, parameter in self.signature.parameters.items():
            try:
                text = write(parameter, given[name]) if name in given else parameter.codec.encode(parameter.default)
            except ValueInvalid as error:
                raise InputInvalid(workflow=self.name, reason=f"parameter {name!r}: {error}") from None
            written.append(f"{json.dumps(name)}:{text}")
        return "{" + ",".join(written) + "}"


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkflowUse(Generic[P, R]):
    """A workflow with options for a start; made by ``workflow.options(…)``."""

    workflow: Workflow[P, R]
    chosen: StartOptions


class WorkflowDecorator(Protocol):
    """The decorator that ``@workflow(…)`` returns."""

    def __call__(self, function: Callable[P, R], /) -> Workflow[P, R]:
        """Return the workflow that the function describes."""


@overload
def workflow(function: Callable[P, R], /) -> Workflow[P, R]: ...
@overload
def workflow(**options: Unpack[WorkflowOptionArgs]) -> WorkflowDecorator: ...
def workflow(function: Callable[..., Any] | None = None, /, **options: Unpack[WorkflowOptionArgs]) -> Any:
    """Make a function a workflow, as ``@workflow`` or ``@workflow(version="2")``.

    The decorator calls the function once, with symbols in place of the arguments. Each
    call of a step in the body adds a node to the graph. Passing the symbol of a result
    to a step makes that step wait for the result.

    Args:
        function: A plain function that calls steps.
        options: See ``WorkflowOptionArgs``.

    Raises:
        DefinitionError: the function does not describe a graph, or an option is unknown
            or cannot have its value.
    """

    def decorate(function: Callable[..., Any]) -> Workflow[..., Any]:
        check_function(function, "workflow")
        if inspect.iscoroutinefunction(function):
            raise DefinitionError(
                detail=f"Workflow {function.__name__!r} is async ({location.of_function(function)}). Its body only "
                f"describes a graph: write it with 'def' and without 'await'. Its steps may be async."
            )
        name = options.get("name")
        subject = f"workflow {function.__name__ if name is None else name!r}"
        refuse_unknown(options, WorkflowOptionArgs.__optional_keys__, subject)
        return Workflow(function, **options)

    return decorate if function is None else decorate(function)


def _checked_retry(name: str, retry: Any, where: str) -> Retry | None:
    if retry is not None and not isinstance(retry, Retry):
        raise DefinitionError(
            detail=f"Bad option for workflow {name!r} ({where}): retry={retry!r} is not a policy, "
            "as in retry=Retry(max_attempts=5)."
        )
    return retry


def _checked_timeout(name: str, timeout: Any, where: str) -> float | None:
    if timeout is None:
        return None
    seconds = as_seconds(f"timeout of workflow {name!r} ({where})", timeout)
    if seconds == 0:
        raise DefinitionError(detail=f"Bad option for workflow {name!r} ({where}): timeout=0 leaves no time to run.")
    return seconds


def _checked_policy(name: str, policy: str, where: str) -> FailurePolicy:
    try:
        return FailurePolicy(policy)
    except ValueError:
        hint = did_you_mean(str(policy), FailurePolicy) or f". There are: {', '.join(FailurePolicy)}."
        raise DefinitionError(
            detail=f"Bad option for workflow {name!r} ({where}): failure_policy={policy!r} is not known{hint}"
        ) from None


def _check_signature(name: str, signature: Signature, where: str) -> None:
    if signature.context_parameter is not None:
        raise DefinitionError(
            detail=f"Parameter {signature.context_parameter!r} of workflow {name!r} is a StepContext ({where}). "
            f"Only steps run, so only they have a context: declare it there."
        )
    for parameter in signature.parameters.values():
        if parameter.required:
            continue
        try:
            parameter.codec.encode(parameter.default)
        except ValueInvalid as error:
            raise DefinitionError(
                detail=f"The default of parameter {parameter.name!r} of workflow {name!r} does not fit its annotation "
                f"({where}): {error}."
            ) from None


def _call_body(function: Callable[..., Any], name: str, signature: Signature, builder: GraphBuilder[Any]) -> Any:
    parameters = signature.parameters
    symbols = {name: builder.parameter(name, parameters[name].codec.annotation) for name in parameters}
    try:
        return function(**symbols)
    except ValidationError as error:
        if not any(is_symbol(problem["input"]) for problem in error.errors()):
            raise
        raise DefinitionError(
            detail=f"Workflow {name!r} makes an instance of {error.title} from symbols ({location.of_error(error)}), "
            f"before there are values. Pass a dict with its fields to a step, or make it inside a step."
        ) from None


def _result(
    name: str, signature: Signature, builder: GraphBuilder[Any], returned: Any, where: str
) -> tuple[Template | None, Codec]:
    codec = signature.result
    if not signature.annotated_result and is_symbol(returned):
        codec = Codec(source_of(returned).annotation)
    if codec.annotation in (None, type(None)) and returned is not None:
        raise DefinitionError(
            detail=f"Workflow {name!r} returns something, but is annotated to return None ({where}). "
            f"Annotate the result, or return nothing."
        )
    template = builder.template_of(returned, codec, "its result")
    return (None if returned is None else template), codec
