"""Symbols: stand-ins for values while the graph of a workflow is built."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeGuard

from celeriac.workflows.authoring import field_access, location
from celeriac.workflows.authoring.field_access import FieldRef, NoSuchField
from celeriac.workflows.engine.templates import InputPart, OutcomePart, ResultPart
from celeriac.workflows.errors import DefinitionError
from celeriac.workflows.text import sentence


@dataclass(frozen=True, kw_only=True, slots=True)
class SymbolSource:
    """The source of a symbol's value: an input, a result, an outcome, or part of it."""

    workflow: str
    builder: object  # the GraphBuilder that made the symbol, by identity
    template: InputPart | ResultPart | OutcomePart
    annotation: Any  # of the value, as far as it is known
    expression: str  # as in the body: 'charge.amount', with node names for calls

    @property
    def label(self) -> str:
        """The source's name in messages: ``the result 'charge'``."""
        if isinstance(self.template, OutcomePart):
            return f"{self.expression!r}"
        kind = "the input" if isinstance(self.template, InputPart) else "the result"
        return f"{kind} {self.expression!r}"

    def at(self, ref: FieldRef, suffix: str) -> SymbolSource:
        """Return the source of a field or an item of the value."""
        template = replace(self.template, path=(*self.template.path, *ref.path))
        return replace(self, template=template, annotation=ref.annotation, expression=self.expression + suffix)


class Symbol:
    """Stands for a value that exists only when the workflow runs.

    A symbol can be passed to steps, and its fields and items are symbols too.
    Operations that need the value raise a ``DefinitionError``. Python lets no class
    intercept ``is``, ``isinstance`` and the class patterns of ``match``: these see a
    symbol.
    """

    __slots__ = ("_celeriac_source",)

    _celeriac_source: SymbolSource

    def __init__(self, source: SymbolSource) -> None:
        object.__setattr__(self, "_celeriac_source", source)

    def __repr__(self) -> str:
        return f"<{source_of(self).label} of workflow {source_of(self).workflow!r}>"

    def __getattr__(self, name: str) -> Symbol:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)  # a protocol that Python or a library looks for
        return self._take(lambda annotation: field_access.attribute(annotation, name), f".{name}")

    def __getitem__(self, key: object) -> Symbol:
        return self._take(lambda annotation: field_access.item(annotation, key), f"[{key!r}]")

    def __iter__(self) -> Iterator[Symbol]:
        """Unpack a tuple of known length, as in ``low, high = bounds(rows)``.

        No other symbol can be iterated over.
        """
        return iter([self[i] for i in range(len(self))])

    def __len__(self) -> int:
        items = field_access.unpacked(source_of(self).annotation)
        if items is None:
            _refuse(self, "count or iterate over", "Loop inside a step; to unpack a tuple, annotate it with its items.")
        return len(items)

    def _take(self, find: Callable[[Any], FieldRef], suffix: str) -> Symbol:
        source = source_of(self)
        try:
            return Symbol(source.at(find(source.annotation), suffix))
        except NoSuchField as error:
            raise DefinitionError(
                detail=f"Workflow {source.workflow!r} cannot use {source.expression + suffix!r} "
                f"({location.of_caller()}): {sentence(str(error))}"
            ) from None


def is_symbol(value: object) -> TypeGuard[Symbol]:
    """Whether ``value`` is a symbol; unlike ``==``, no symbol refuses this check."""
    return type(value) is Symbol


def source_of(symbol: Symbol) -> SymbolSource:
    """Return the source of a symbol's value."""
    source: SymbolSource = object.__getattribute__(symbol, "_celeriac_source")
    return source


def _refuse(symbol: Symbol, action: str, advice: str) -> NoReturn:
    source = source_of(symbol)
    raise DefinitionError(
        detail=f"Workflow {source.workflow!r} cannot {action} {source.label} ({location.of_caller()}): "
        f"its graph is built before there are values. {advice}"
    )


def _trap(action: str, advice: str) -> Callable[..., NoReturn]:
    def refuse(self: Symbol, *_: object) -> NoReturn:
        _refuse(self, action, advice)

    return refuse


_OPERATORS = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and or xor"
_REFLECTED = " ".join(f"r{name}" for name in _OPERATORS.split())  # 1 + s: __radd__

# (special methods without their underscores, the user's attempt, advice)
_REFUSED: tuple[tuple[str, str, str], ...] = (
    ("bool", "branch on", "Decide inside a step: if, while, and, or and not need a value."),
    ("eq ne lt le gt ge contains", "compare", "Compare inside a step."),
    ("reversed next", "iterate over", "Loop inside a step."),
    ("str format bytes fspath", "make text of", "Build texts, paths and messages inside a step."),
    (
        f"int float complex index round trunc floor ceil abs neg pos invert {_OPERATORS} {_REFLECTED}",
        "calculate with",
        "Calculate inside a step.",
    ),
    ("call", "call", "Only steps can be called; call methods of values inside a step."),
    ("hash", "hash", "Symbols cannot be keys of a dict or members of a set: use a list, or values of a dict."),
    ("setattr delattr setitem delitem", "change", "Return the changed value from a step."),
    ("reduce_ex", "copy or pickle", "Pass it to steps as it is."),
)

for _names, _action, _advice in _REFUSED:
    for _name in _names.split():
        setattr(Symbol, f"__{_name}__", _trap(_action, _advice))
