"""The graph builder: while it is current, calls of steps add nodes to its graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, Protocol, TypeVar

from celeriac.workflows.authoring import location
from celeriac.workflows.authoring.handlers import Attachment, UnboundParameter, bind_by_name
from celeriac.workflows.authoring.names import numbered
from celeriac.workflows.authoring.options import NodeOptions
from celeriac.workflows.authoring.signatures import BindingFailed, Signature
from celeriac.workflows.authoring.symbols import (
    Symbol,
    SymbolSource,
    is_symbol,
    source_of,
)
from celeriac.workflows.authoring.templating import symbols_in, template_of
from celeriac.workflows.authoring.values import Codec, ValueInvalid
from celeriac.workflows.engine.graph import Needs, Node
from celeriac.workflows.engine.retry import Retry, as_seconds
from celeriac.workflows.engine.templates import (
    InputPart,
    OutcomePart,
    ResultPart,
    RunError,
    Template,
    outcome_sources,
    result_sources,
)
from celeriac.workflows.errors import DefinitionError
from celeriac.workflows.text import sentence

_current: ContextVar[GraphBuilder[Any] | None] = ContextVar("celeriac_builder", default=None)


class StepDefinition(Protocol):
    """The attributes of a step that the builder reads."""

    name: str
    module: str
    signature: Signature
    default_options: NodeOptions


S = TypeVar("S", bound=StepDefinition)


class GraphBuilder(Generic[S]):
    """Builds a single graph of a workflow. Nodes are in the order of the calls.

    Attributes:
        workflow: The workflow's name.
        nodes: The nodes so far.
        steps: The steps that the nodes use, by step name.
    """

    def __init__(self, workflow: str, retry: Retry | None = None) -> None:
        self.workflow = workflow
        self._retry = retry
        self.nodes: list[Node] = []
        self.steps: dict[str, S] = {}
        self._compensations: dict[str, S] = {}  # by name of the node to compensate
        self._names: set[str] = set()
        self._numbered: Counter[str] = Counter()  # automatic names so far, by step

    @classmethod
    def current(cls) -> GraphBuilder[Any] | None:
        """Return the current builder, or None outside of the body of a workflow."""
        return _current.get()

    @contextmanager
    def building(self) -> Iterator[None]:
        """Make this builder the current builder until the block ends."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def parameter(self, name: str, annotation: Any) -> Symbol:
        """Return the symbol for a parameter of the workflow."""
        return self._symbol(InputPart(parameter=name), annotation, name)

    def call(self, step: S, args: Sequence[Any], kwargs: Mapping[str, Any], options: NodeOptions) -> Symbol:
        """Add a node for a call of ``step``, and return the symbol for its result.

        Raises:
            DefinitionError: the call does not fit the step or the workflow.
        """
        self._admit(step)
        try:
            bound = step.signature.bind(args, kwargs)
        except BindingFailed as error:
            raise self._error(f"calls step {step.name!r} wrongly", str(error)) from None
        arguments = {
            name: self.template_of(value, step.signature.parameters[name].codec, f"argument {name!r} of {step.name!r}")
            for name, value in bound.items()
        }
        inputs: set[str] = set()
        for template in arguments.values():
            inputs.update(result_sources(template), outcome_sources(template))
        after = tuple(name for name in self._nodes_of(options.after, step.name) if name not in inputs)
        name = self._name(step.name, options.name)
        node = self._node(name, step, options, arguments, after=after, needs=_rule(options))
        self._check_rule(node, step.name)
        self.nodes.append(node)
        if options.compensate is not None:
            self._compensations[name] = options.compensate
        if options.on_error is not None:
            handler = Attachment(
                name=f"{name}.on_error",
                option="on_error",
                arguments=arguments,
                error=OutcomePart(node=name, path=("error",)),
                handles=name,
            )
            self._attach(options.on_error, handler)
        return self._symbol(ResultPart(node=name), step.signature.result.annotation, name)

    def attach_compensations(self) -> None:
        """Add the compensations that the options of the nodes name.

        Raises:
            DefinitionError: a compensation does not fit its step.
        """
        for node in list(self.nodes):
            step = self._compensations.get(node.name)
            if step is not None:
                compensation = Attachment(
                    name=f"{node.name}.compensate",
                    option="compensate",
                    arguments=node.arguments,
                    result=ResultPart(node=node.name),
                    takes_rest=True,
                    compensates=node.name,
                )
                self._attach(step, compensation)

    def attach_hook(self, step: S, hook: str, parameters: Iterable[str], returns: Template | None) -> None:
        """Add a node that runs after the end of the run.

        Args:
            step: The step of the node.
            hook: ``on_complete`` or ``on_failure``.
            parameters: Names of the workflow's parameters.
            returns: The template of the run's result; None if there is no result.

        Raises:
            DefinitionError: a parameter of the step cannot be bound.
        """
        arguments = {name: InputPart(parameter=name) for name in parameters}
        if hook == "on_failure":
            attachment = Attachment(name=hook, option=hook, arguments=arguments, error=RunError(), hook=hook)
        else:
            attachment = Attachment(name=hook, option=hook, arguments=arguments, result=returns, hook=hook)
        self._attach(step, attachment)

    def _attach(self, step: S, attachment: Attachment) -> None:
        self._admit(step)
        problem = f"cannot use {attachment.option}={step.name}"
        options = step.default_options
        if options.needs is not None or options.on_error is not None or options.compensate is not None:
            raise self._error(
                problem,
                "an error handler, a compensation or a hook cannot have needs, on_error or compensate of its own",
            )
        try:
            arguments = bind_by_name(step.signature, attachment)
        except UnboundParameter as error:
            raise self._error(problem, str(error)) from None
        node = self._node(
            self._name(attachment.name, None),
            step,
            options,
            arguments,
            handles=attachment.handles,
            compensates=attachment.compensates,
            hook=attachment.hook,
        )
        self.nodes.append(node)

    def _node(self, name: str, step: S, options: NodeOptions, arguments: Mapping[str, Template], **more: Any) -> Node:
        return Node(
            name=name,
            task=step.name,
            arguments=arguments,
            queue=options.queue,
            priority=options.priority,
            **self._limits(options),
            **more,
        )

    def _check_rule(self, node: Node, step: str) -> None:
        if node.needs is None:
            return
        if not node.parents:
            raise self._error(f"cannot use needs={node.needs.value!r} of {step!r}", "there is no step before it")
        if node.inputs:
            raise self._error(
                f"cannot use needs={node.needs.value!r} of {step!r}",
                f"this step may run without a result of {node.inputs[0]!r}; pass outcome(…) of that result, "
                "or list it in after=[…]",
            )

    def template_of(self, value: Any, codec: Codec, label: str) -> Template:
        """Return the template for a value that the body passes on.

        Args:
            value: A symbol, plain data, or a mixture of both.
            codec: The codec that will decode the value.
            label: The value's name in messages.

        Raises:
            DefinitionError: the value does not fit the annotation, or holds a symbol of
                another workflow.
        """
        for symbol in symbols_in(value):
            self._own_source(symbol)
        try:
            return template_of(value, codec)
        except ValueInvalid as error:
            raise self._error(f"cannot use {label}", str(error)) from None

    def _limits(self, options: NodeOptions) -> dict[str, Any]:
        retry = options.retry or self._retry
        limits: dict[str, Any] = {"max_attempts": options.max_attempts}
        if retry is not None:
            limits["retry"] = retry.to_json()
            if options.max_attempts is None:
                limits["max_attempts"] = retry.max_attempts
        for name in ("timeout", "total_timeout", "heartbeat_timeout"):
            value = getattr(options, name)
            if value is not None:
                limits[name] = as_seconds(name, value)
        return limits

    def _admit(self, step: S) -> None:
        known = self.steps.setdefault(step.name, step)
        if known is not step:
            raise self._error(
                "uses two different steps of one name",
                f"{step.name!r} of {known.module} and {step.name!r} of {step.module}; rename one with name=…",
            )

    def _name(self, step: str, wanted: str | None) -> str:
        if wanted is not None and wanted in self._names:
            raise self._error(
                f"has two steps named {wanted!r}", "give each use another name, with .options(name=…), or none"
            )
        if wanted is None:
            wanted = numbered(step, self._names, earlier=self._numbered[step])
            self._numbered[step] += 1
        self._names.add(wanted)
        return wanted

    def _nodes_of(self, after: Any, step: str) -> list[str]:
        advice = "write a list of results of this workflow's steps, as in after=[reserved]"
        if not isinstance(after, list | tuple):
            raise self._error(f"cannot use after=… of {step!r}", advice)
        names: dict[str, None] = {}
        for symbol in after:
            if not is_symbol(symbol):
                raise self._error(f"cannot use after=… of {step!r}", f"{symbol!r} is no result of a step; {advice}")
            source = self._own_source(symbol)
            if not isinstance(source.template, ResultPart):
                raise self._error(
                    f"cannot use after=… of {step!r}", f"{source.label} is there from the start; {advice}"
                )
            names[source.template.node] = None
        return list(names)

    def _own_source(self, symbol: Symbol) -> SymbolSource:
        source = source_of(symbol)
        if source.builder is not self:
            owner = "an earlier build of the same graph" if source.workflow == self.workflow else "another workflow"
            raise self._error(
                f"cannot use {source.label} of workflow {source.workflow!r}",
                f"it belongs to {owner}; make it a parameter instead",
            )
        return source

    def _symbol(self, template: InputPart | ResultPart, annotation: Any, expression: str) -> Symbol:
        return Symbol(
            SymbolSource(
                workflow=self.workflow, builder=self, template=template, annotation=annotation, expression=expression
            )
        )

    def _error(self, problem: str, reason: str) -> DefinitionError:
        return DefinitionError(
            detail=f"Workflow {self.workflow!r} {problem} ({location.of_caller()}): {sentence(reason)}"
        )


def _rule(options: NodeOptions) -> Needs | None:
    rule = None if options.needs is None else Needs(options.needs)
    return None if rule is Needs.ALL_SUCCEEDED else rule
