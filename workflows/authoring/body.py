"""Reading the body of a workflow: while it goes on, calls of steps add nodes."""

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
    observed,
    sources,
)
from celeriac.workflows.errors import DefinitionError
from celeriac.workflows.text import sentence

_current: ContextVar[GraphBuilder[Any] | None] = ContextVar("celeriac_builder", default=None)


class StepDefinition(Protocol):
    """The attributes of a step that a graph is built of."""

    name: str
    module: str
    signature: Signature
    default_options: NodeOptions


S = TypeVar("S", bound=StepDefinition)


class GraphBuilder(Generic[S]):
    """One reading of one workflow's body. Its nodes are in the order of the calls."""

    def __init__(self, workflow: str, retry: Retry | None = None) -> None:
        self.workflow = workflow
        self._retry = retry
        self.nodes: list[Node] = []
        self.steps: dict[str, S] = {}
        self._compensations: dict[str, S] = {}  # by name of the node that they compensate
        self._names: set[str] = set()
        self._numbered: Counter[str] = Counter()  # names given automatically, by step

    @classmethod
    def current(cls) -> GraphBuilder[Any] | None:
        """Return the reading that goes on, if one does."""
        return _current.get()

    @contextmanager
    def building(self) -> Iterator[None]:
        """Make this the current reading, until the block ends."""
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
            DefinitionError: the call does not fit the step, or the workflow.
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
            inputs.update(sources(template), observed(template))
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
        """Add a node for each step of a saga that can be undone.

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
        """Add a node that runs once the run has ended.

        Args:
            step: What it calls.
            hook: ``on_complete`` or ``on_failure``.
            parameters: Those of the workflow.
            returns: What the run returns.

        Raises:
            DefinitionError: a parameter of the step cannot be filled.
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
                "a step that handles, undoes or follows up cannot have needs, on_error or compensate of its own",
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
                f"it may run without a result of {node.inputs[0]!r}; pass outcome(…) of that, or put it in after=[…]",
            )

    def template_of(self, value: Any, codec: Codec, what: str) -> Template:
        """Return the template for a value that the body passes on.

        Args:
            value: A symbol, plain data, or a mixture of both.
            codec: How the value will be read.
            what: How messages call it.

        Raises:
            DefinitionError: it does not fit the annotation, or holds a symbol of another workflow.
        """
        for symbol in symbols_in(value):
            self._own(symbol)
        try:
            return template_of(value, codec)
        except ValueInvalid as error:
            raise self._error(f"cannot use {what}", str(error)) from None

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
        advice = "write a list of what steps returned in this workflow, as in after=[reserved]"
        if not isinstance(after, list | tuple):
            raise self._error(f"cannot use after=… of {step!r}", advice)
        names: dict[str, None] = {}
        for symbol in after:
            if not is_symbol(symbol):
                raise self._error(f"cannot use after=… of {step!r}", f"{symbol!r} is no result of a step; {advice}")
            part = self._own(symbol)
            if not isinstance(part.template, ResultPart):
                raise self._error(f"cannot use after=… of {step!r}", f"{part.label} is there from the start; {advice}")
            names[part.template.node] = None
        return list(names)

    def _own(self, symbol: Symbol) -> SymbolSource:
        part = source_of(symbol)
        if part.builder is not self:
            again = "from an earlier reading of the same body" if part.workflow == self.workflow else "not of this one"
            raise self._error(
                f"cannot use {part.label} of workflow {part.workflow!r}", f"it is {again}; make it a parameter instead"
            )
        return part

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
