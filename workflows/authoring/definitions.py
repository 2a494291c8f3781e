"""Workflows: functions whose body, read once, describes a graph of steps."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, Literal, Never, NoReturn, ParamSpec, Protocol, Self, TypeVar, cast, overload

from pydantic import ValidationError

from celeriac.workflows.authoring import location
from celeriac.workflows.authoring.body import GraphBuilder
from celeriac.workflows.authoring.checks import check_function
from celeriac.workflows.authoring.names import check_name, check_version
from celeriac.workflows.authoring.options import refuse_unknown
from celeriac.workflows.authoring.signatures import (
    BindingFailed,
    Parameter,
    Signature,
    read_signature,
)
from celeriac.workflows.authoring.steps import Step, as_step
from celeriac.workflows.authoring.symbols import is_symbol, source_of
from celeriac.workflows.authoring.values import Codec, ValueInvalid
from celeriac.workflows.engine.graph import FailurePolicy, Graph
from celeriac.workflows.engine.retry import Retry, as_seconds
from celeriac.workflows.engine.templates import Template
from celeriac.workflows.errors import CeleriacError, DefinitionError, InputInvalid
from celeriac.workflows.text import did_you_mean

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, slots=True)
class StartOptions:
    """Options of starting a run.

    Attributes:
        idempotency_key: Starts at most one run of the workflow; a second start returns the first run.
        tags: Labels to find the run by.
    """

    idempotency_key: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, idempotency_key: object, tags: object) -> Self:
        """Return the options, checked.

        Raises:
            DefinitionError: an option cannot have this value.
        """
        if idempotency_key is not None and not (isinstance(idempotency_key, str) and idempotency_key):
            raise DefinitionError(
                detail=f"Bad option for a start: idempotency_key={idempotency_key!r} is not a text, such as an order's."
            )
        if tags is not None and not _is_labels(tags):
            raise DefinitionError(
                detail=f"Bad option for a start: tags={tags!r} are not labels; write texts by name, as in "
                "tags={'tenant': 'acme'}."
            )
        return cls(idempotency_key=idempotency_key, tags=cast("Mapping[str, str]", tags or {}))


def _is_labels(tags: object) -> bool:
    return isinstance(tags, Mapping) and all(isinstance(text, str) for pair in tags.items() for text in pair)


class Workflow(Generic[P, R]):
    """A graph of steps, and how its input and its result travel; made by ``@workflow``.

    Attributes:
        name: Unique in a process; what the command and the client call it.
        version: Stored with each run, for people to read. A run keeps the graph that it started with,
            whether or not the version changes.
        function: The function that describes it.
        module: The module that defines it.
        signature: Its parameters and its result.
        graph: What its body describes.
        steps: The steps that its nodes use, by step name.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None,
        version: str,
        retry: Retry | None,
        timeout: float | timedelta | None,
        failure_policy: str,
        saga: bool,
        hooks: Mapping[str, Callable[..., Any] | None],
    ) -> None:
        functools.update_wrapper(self, function, updated=())
        where = location.of_function(function)
        self.function = function
        self.module = function.__module__
        self.name = check_name("workflow", function.__name__ if name is None else name, where)
        self.version = check_version(self.name, version, where)
        self.signature = read_signature(function, f"workflow {self.name!r}")
        _check_signature(self.name, self.signature, where)
        builder = GraphBuilder(self.name, _checked_retry(self.name, retry, where))
        with builder.building():
            returned = _read(function, self.name, self.signature, builder)
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
            timeout=_checked_timeout(self.name, timeout, where),
            failure_policy=_checked_policy(self.name, failure_policy, where),
            saga=saga,
        )

    def __repr__(self) -> str:
        return f"<workflow {self.name!r} of {self.module}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> NoReturn:  # noqa: ARG002 - so that calls are type-checked
        """Refuse: a workflow runs where workers are.

        Raises:
            DefinitionError: always; it tells how to start a run.
        """
        builder = GraphBuilder.current()
        if builder is not None:
            raise DefinitionError(
                detail=f"Workflow {builder.workflow!r} cannot call workflow {self.name!r} ({location.of_caller()}): "
                f"only steps can be called. Call its steps, or put what both need into a plain function that does."
            )
        raise DefinitionError(
            detail=f"Workflow {self.name!r} cannot be called ({location.of_caller()}). Start a run of it with "
            f"client.start({self.function.__name__}, …); to try a step on its own, call the step."
        )

    def options(
        self, *, idempotency_key: str | None = None, tags: Mapping[str, str] | None = None, **unknown: Never
    ) -> WorkflowUse[P, R]:
        """Return this workflow with options for a start, as in ``client.start(checkout.options(tags=…), order)``.

        Args:
            idempotency_key: Starts at most one run of the workflow; a second start returns the first run.
            tags: Labels to find the run by.
            unknown: None; there to tell which option was meant.

        Raises:
            DefinitionError: an option is unknown or cannot have this value.
        """
        refuse_unknown(unknown, ("idempotency_key", "tags"), f"a start of workflow {self.name!r}")
        return WorkflowUse(workflow=self, chosen=StartOptions.of(idempotency_key, tags))

    def encode_input(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """Return the input of a run as the text of a JSON object, by parameter name, defaults included.

        Values may be what the annotations say, or data that pydantic turns into that.

        Raises:
            InputInvalid: an argument is missing, unexpected, or does not fit.
        """
        try:
            given = self.signature.bind(args, kwargs)
        except BindingFailed as error:
            raise InputInvalid(workflow=self.name, reason=str(error)) from None
        return self._write_input(given, lambda parameter, value: parameter.codec.encode(parameter.codec.accept(value)))

    def encode_json_input(self, value: Any) -> str:
        """Return the input of a run from JSON data, as the command line and HTTP have it.

        An object whose keys are parameters, all required ones among them, gives them by name.
        Otherwise the value is that of the only parameter. None is no input if none is required.

        Raises:
            InputInvalid: the value is neither, or does not fit.
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
        """Return the result of a run from the JSON text that its template was evaluated to.

        Raises:
            CeleriacError: it does not fit the annotation, as after a change of the code.
        """
        try:
            return cast("R", self._result.decode(text))
        except ValueInvalid as error:
            raise CeleriacError(
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
    """What ``@workflow(…)`` is."""

    def __call__(self, function: Callable[P, R], /) -> Workflow[P, R]:
        """Return the workflow that the function describes."""


@overload
def workflow(function: Callable[P, R], /) -> Workflow[P, R]: ...
@overload
def workflow(
    *,
    name: str | None = None,
    version: str = "1",
    retry: Retry | None = None,
    timeout: float | timedelta | None = None,
    failure_policy: Literal["fail_fast", "continue"] = "fail_fast",
    saga: bool = False,
    on_complete: Callable[..., Any] | None = None,
    on_failure: Callable[..., Any] | None = None,
) -> WorkflowDecorator: ...
def workflow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: str = "1",
    retry: Retry | None = None,
    timeout: float | timedelta | None = None,
    failure_policy: Literal["fail_fast", "continue"] = "fail_fast",
    saga: bool = False,
    on_complete: Callable[..., Any] | None = None,
    on_failure: Callable[..., Any] | None = None,
    **unknown: Any,
) -> Any:
    """Make a function a workflow; ``@workflow`` and ``@workflow(version="2")`` both work.

    The body is read here and now, once, with symbols in place of the parameters: calling a step adds
    it to the graph, passing on a symbol makes one step wait for another.

    Args:
        function: A plain function that calls steps.
        name: The function's name if it is not given.
        version: Stored with each run.
        retry: Of steps that have no policy of their own.
        timeout: Of a run, in seconds or as a timedelta.
        failure_policy: Whether a run fails with its first failure, while what runs finishes and nothing new starts; or
            whatever does not depend on the failure is still done.
        saga: Whether completed steps are compensated, the latest first, when a run fails or is cancelled.
        on_complete: A step or function that is called when a run has completed, with the workflow's arguments by name,
            and what it returns as ``result``.
        on_failure: The same for a run that failed; with the error as a parameter annotated ``ErrorInfo``.
        unknown: None; there to tell which option was meant.

    Raises:
        DefinitionError: the function does not describe a graph, or an option is unknown.
    """

    def decorate(function: Callable[..., Any]) -> Workflow[..., Any]:
        check_function(function, "workflow")
        if inspect.iscoroutinefunction(function):
            raise DefinitionError(
                detail=f"Workflow {function.__name__!r} is async ({location.of_function(function)}). Its body only "
                f"describes a graph: write it with 'def' and without 'await'. Its steps may be async."
            )
        refuse_unknown(
            unknown,
            ("name", "version", "retry", "timeout", "failure_policy", "saga", "on_complete", "on_failure"),
            f"workflow {function.__name__ if name is None else name!r}",
        )
        return Workflow(
            function,
            name=name,
            version=version,
            retry=retry,
            timeout=timeout,
            failure_policy=failure_policy,
            saga=saga,
            hooks={"on_complete": on_complete, "on_failure": on_failure},
        )

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


def _read(function: Callable[..., Any], name: str, signature: Signature, builder: GraphBuilder) -> Any:
    symbols = {p.name: builder.parameter(p.name, p.codec.annotation) for p in signature.parameters.values()}
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
    name: str, signature: Signature, builder: GraphBuilder, returned: Any, where: str
) -> tuple[Template | None, Codec]:
    codec = signature.result
    if not signature.annotated_result and is_symbol(returned):
        codec = Codec(source_of(returned).annotation)
    if codec.annotation in (None, type(None)) and returned is not None:
        raise DefinitionError(
            detail=f"Workflow {name!r} returns something, but is annotated to return None ({where}). "
            f"Annotate what it returns, or return nothing."
        )
    template = builder.template_of(returned, codec, "what it returns")
    return (None if returned is None else template), codec
