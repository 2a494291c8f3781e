"""Symbols: what stands for values while the body of a workflow is read."""

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
    """What a symbol stands for: a parameter of the workflow, a step's result, or a part of one."""

    workflow: str
    builder: object  # the reading of a workflow's body that it belongs to, by identity
    template: InputPart | ResultPart | OutcomePart
    annotation: Any  # of the value, as far as it is known
    expression: str  # as written in the body: 'charge.amount', with the node's name for its call

    @property
    def label(self) -> str:
        """How messages call it."""
        if isinstance(self.template, OutcomePart):
            return f"{self.expression!r}"
        kind = "the input" if isinstance(self.template, InputPart) else "the result"
        return f"{kind} {self.expression!r}"

    def at(self, piece: FieldRef, suffix: str) -> SymbolSource:
        """Return a part of this part."""
        template = replace(self.template, path=(*self.template.path, *piece.path))
        return replace(self, template=template, annotation=piece.annotation, expression=self.expression + suffix)


class Symbol:
    """Stands for a value that exists only when the workflow runs.

    It can be passed to steps, and its fields and items are symbols too. Whatever would need the
    value raises a ``DefinitionError``. Python does not let ``is``, ``isinstance`` and the class
    patterns of ``match`` be caught: they see a symbol.
    """

    __slots__ = ("_celeriac_part",)

    _celeriac_part: SymbolSource

    def __init__(self, part: SymbolSource) -> None:
        object.__setattr__(self, "_celeriac_part", part)

    def __repr__(self) -> str:
        return f"<{source_of(self).label} of workflow {source_of(self).workflow!r}>"

    def __getattr__(self, name: str) -> Symbol:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)  # a protocol that Python or a library looks for
        return self._take(lambda annotation: field_access.attribute(annotation, name), f".{name}")

    def __getitem__(self, key: object) -> Symbol:
        return self._take(lambda annotation: field_access.item(annotation, key), f"[{key!r}]")

    def __iter__(self) -> Iterator[Symbol]:
        """Unpack a tuple of known length, as in ``low, high = bounds(rows)``; nothing else can be iterated over."""
        return iter([self[i] for i in range(len(self))])

    def __len__(self) -> int:
        items = field_access.unpacked(source_of(self).annotation)
        if items is None:
            _refuse(self, "count or iterate over", "Loop inside a step; to unpack a tuple, annotate it with its items.")
        return len(items)

    def _take(self, find: Callable[[Any], FieldRef], suffix: str) -> Symbol:
        part = source_of(self)
        try:
            return Symbol(part.at(find(part.annotation), suffix))
        except NoSuchField as error:
            raise DefinitionError(
                detail=f"Workflow {part.workflow!r} cannot use {part.expression + suffix!r} "
                f"({location.of_caller()}): {sentence(str(error))}"
            ) from None


def is_symbol(value: object) -> TypeGuard[Symbol]:
    """Whether ``value`` is a symbol, asked in a way that no symbol refuses."""
    return type(value) is Symbol


def source_of(symbol: Symbol) -> SymbolSource:
    """Return what ``symbol`` stands for."""
    part: SymbolSource = object.__getattribute__(symbol, "_celeriac_part")
    return part


def _refuse(symbol: Symbol, action: str, advice: str) -> NoReturn:
    part = source_of(symbol)
    raise DefinitionError(
        detail=f"Workflow {part.workflow!r} cannot {action} {part.label} ({location.of_caller()}): "
        f"the body is read once, before there are values. {advice}"
    )


def _trap(action: str, advice: str) -> Callable[..., NoReturn]:
    def refuse(self: Symbol, *_: object) -> NoReturn:
        _refuse(self, action, advice)

    return refuse


_OPERATORS = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and or xor"
_REFLECTED = " ".join(f"r{name}" for name in _OPERATORS.split())  # 1 + symbol calls __radd__

# What would need the value, in Python's words; what that is in the user's; and what to do instead.
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
