"""Reading the body of a workflow: while it goes on, calls of steps add nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from workflows import location
from workflows.errors import DefinitionError
from workflows.graph import Node
from workflows.literals import symbols_in, template_of
from workflows.names import numbered
from workflows.retry import Retry, as_seconds
from workflows.signatures import BindingFailed
from workflows.symbols import Part, Symbol, is_symbol, part_of
from workflows.templates import InputPart, ResultPart, Template, sources
from workflows.values import Codec, ValueInvalid
from workflows.wording import sentence

if TYPE_CHECKING:
    from workflows.options import NodeOptions
    from workflows.steps import Step

_current: ContextVar[Reading | None] = ContextVar("celeriac_reading", default=None)


class Reading:
    """One reading of one workflow's body. Its nodes are in the order of the calls."""

    def __init__(self, workflow: str, retry: Retry | None = None) -> None:
        self.workflow = workflow
        self._retry = retry
        self.nodes: list[Node] = []
        self.steps: dict[str, Step[..., Any]] = {}
        self._names: set[str] = set()
        self._numbered: Counter[str] = Counter()  # names given automatically, by step

    @classmethod
    def current(cls) -> Reading | None:
        """Return the reading that goes on, if one does."""
        return _current.get()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Make this the current reading, until the block ends."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def parameter(self, name: str, annotation: Any) -> Symbol:
        """Return the symbol for a parameter of the workflow."""
        return self._symbol(InputPart(parameter=name), annotation, name)

    def call(
        self, step: Step[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: NodeOptions
    ) -> Symbol:
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
        inputs = {name for template in arguments.values() for name in sources(template)}
        after = tuple(name for name in self._nodes_of(options.after, step.name) if name not in inputs)
        name = self._name(step.name, options.name)
        self.nodes.append(
            Node(
                name=name,
                step=step.name,
                arguments=arguments,
                after=after,
                queue=options.queue,
                priority=options.priority,
                **self._limits(options),
            )
        )
        return self._symbol(ResultPart(node=name), step.signature.result.annotation, name)

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
        limit = options.max_attempts
        if limit is None and retry is not None:
            limit = retry.max_attempts
        times = {
            name: None if (value := getattr(options, name)) is None else as_seconds(name, value)
            for name in ("timeout", "total_timeout", "heartbeat_timeout")
        }
        return {"max_attempts": limit, "retry": None if retry is None else retry.to_json(), **times}

    def _admit(self, step: Step[..., Any]) -> None:
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

    def _own(self, symbol: Symbol) -> Part:
        part = part_of(symbol)
        if part.reading is not self:
            again = "from an earlier reading of the same body" if part.workflow == self.workflow else "not of this one"
            raise self._error(
                f"cannot use {part.label} of workflow {part.workflow!r}", f"it is {again}; make it a parameter instead"
            )
        return part

    def _symbol(self, template: InputPart | ResultPart, annotation: Any, expression: str) -> Symbol:
        return Symbol(
            Part(workflow=self.workflow, reading=self, template=template, annotation=annotation, expression=expression)
        )

    def _error(self, problem: str, reason: str) -> DefinitionError:
        return DefinitionError(
            detail=f"Workflow {self.workflow!r} {problem} ({location.of_caller()}): {sentence(reason)}"
        )
