"""Reading a workflow's body for code that would silently build a wrong graph.

Symbols refuse operations that need a value. Python lets no class intercept ``is``,
``isinstance``, ``match`` and ``try``, and the clock and random numbers need no symbol:
these are found in the source. The check reads the body only, not the functions that it
calls; a body without source, as in an interactive session, is not checked.
"""

from __future__ import annotations

import ast
import builtins
import datetime as dt
import inspect
import os
import random
import secrets
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from celeriac.workflows.authoring import location
from celeriac.workflows.errors import DefinitionError

_CLOCKS_AND_CHANCE = (
    dt.datetime.now,
    dt.datetime.today,
    dt.datetime.utcnow,
    dt.date.today,
    time.time,
    time.time_ns,
    time.monotonic,
    time.perf_counter,
    time.localtime,
    time.gmtime,
    uuid.uuid1,
    uuid.uuid4,
    os.urandom,
)
_MODULES_OF_CHANCE = (random, secrets)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def check_source(function: Callable[..., Any], workflow: str, is_step: Callable[[Any], bool]) -> None:
    """Refuse code in a body that branches on symbols unseen, or is frozen at import.

    Args:
        function: The body.
        workflow: The workflow's name, for messages.
        is_step: Whether a call of an object adds a node.

    Raises:
        DefinitionError: the body has such code; the message has file, line and remedy.
    """
    try:
        source = textwrap.dedent(inspect.getsource(function))
        definition = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return
    if isinstance(definition, ast.FunctionDef):
        _BodyCheck(function, workflow, is_step, definition).run()


class _BodyCheck:
    def __init__(
        self,
        function: Callable[..., Any],
        workflow: str,
        is_step: Callable[[Any], bool],
        definition: ast.FunctionDef,
    ) -> None:
        self._code = function.__code__
        self._workflow = workflow
        self._is_step = is_step
        self._definition = definition
        self._known = _names_of(function)
        self._symbols = self._find_symbols()

    def run(self) -> None:
        for node in self._nodes():
            match node:
                case ast.Compare(ops=ops) if any(isinstance(op, ast.Is | ast.IsNot) for op in ops):
                    self._check_identity(node)
                case ast.Call():
                    self._check_call(node)
                case ast.Match(subject=subject) if self._is_symbol(subject):
                    self._refuse(
                        node,
                        f"matches {ast.unparse(subject)!r} against patterns",
                        "No pattern sees the value. Decide inside a step.",
                    )
                case ast.Try() | ast.TryStar():
                    self._check_try(node)

    def _nodes(self) -> Iterator[ast.AST]:
        """Yield the nodes of the body, without those of functions inside the body."""
        waiting: list[ast.AST] = list(self._definition.body)
        for node in waiting:
            yield node
            if not isinstance(node, _SCOPES):
                waiting.extend(ast.iter_child_nodes(node))

    def _find_symbols(self) -> set[str]:
        """Return the names that stand for a symbol wherever the body uses them.

        A name that is also assigned another value is left out: ``last = None`` before a
        loop of steps makes ``last is None`` a question about the body, not about a
        value.
        """
        arguments = self._definition.args
        parameters = {argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
        assigned = self._find_assignments()
        symbols = {*parameters, *assigned}
        while True:
            others = {
                name
                for name in symbols
                if any(value is None or not self._gives_symbol(value, symbols) for value in assigned.get(name, ()))
            }
            if not others:
                return symbols
            symbols -= others

    def _find_assignments(self) -> dict[str, list[ast.expr | None]]:
        """Return by name the values that the body assigns.

        None stands for a value that no expression gives.
        """
        values: dict[int, ast.expr | None] = {}
        for node in self._nodes():
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    parts = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
                    values.update(dict.fromkeys(map(id, parts), node.value))
            elif isinstance(node, ast.AnnAssign):
                values[id(node.target)] = node.value
        assigned: dict[str, list[ast.expr | None]] = {}
        for node in self._nodes():
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                assigned.setdefault(node.id, []).append(values.get(id(node)))
        return assigned

    def _gives_symbol(self, value: ast.expr, symbols: set[str]) -> bool:
        match value:
            case ast.Name(id=name):
                return name in symbols
            case ast.Attribute(value=inner) | ast.Subscript(value=inner):
                return self._gives_symbol(inner, symbols)
            case ast.Call():
                return self._calls_step(value)
        return False

    def _is_symbol(self, value: ast.expr) -> bool:
        return self._gives_symbol(value, self._symbols)

    def _check_identity(self, node: ast.Compare) -> None:
        for operand in (node.left, *node.comparators):
            if self._is_symbol(operand):
                self._refuse(
                    node,
                    f"compares {ast.unparse(operand)!r} with 'is'",
                    "The answer is always the same. Decide inside a step.",
                )

    def _check_call(self, node: ast.Call) -> None:
        called = self._resolve(node.func)
        if called in (isinstance, type) and node.args and self._is_symbol(node.args[0]):
            self._refuse(
                node,
                f"asks for the type of {ast.unparse(node.args[0])!r}",
                "The answer is always the same. Decide inside a step.",
            )
        if _is_clock_or_chance(called):
            self._refuse(
                node,
                f"calls {ast.unparse(node.func)!r}",
                "Its value would be the same for all runs. Call it inside a step, or make it a parameter.",
            )

    def _check_try(self, node: ast.Try | ast.TryStar) -> None:
        for statement in node.body:
            for inner in ast.walk(statement):
                if isinstance(inner, ast.Call) and self._calls_step(inner):
                    self._refuse(
                        node,
                        f"has a try around {ast.unparse(inner.func)!r}",
                        "The step does not run here, so it cannot raise here. Handle its error with "
                        ".options(on_error=…), or take its outcome with outcome(…).",
                    )

    def _calls_step(self, call: ast.Call) -> bool:
        """Return whether a call adds a node: of a step, or of ``step.options(…)``."""
        function = call.func
        if isinstance(function, ast.Call) and isinstance(function.func, ast.Attribute):
            function = function.func.value
        return self._is_step(self._resolve(function))

    def _resolve(self, function: ast.expr) -> Any:
        """Return the object that a name or dotted name stands for outside of the body.

        None if it is unknown.
        """
        match function:
            case ast.Name(id=name):
                return None if name in self._code.co_varnames else self._known.get(name)
            case ast.Attribute(value=inner, attr=name):
                owner = self._resolve(inner)
                return None if owner is None else inspect.getattr_static(owner, name, None) and getattr(owner, name)
        return None

    def _refuse(self, node: ast.stmt | ast.expr, problem: str, advice: str) -> NoReturn:
        where = location.in_file(self._code.co_filename, self._code.co_firstlineno + node.lineno - 1)
        raise DefinitionError(
            detail=f"Workflow {self._workflow!r} {problem} ({where}): its graph is built once, when its module is "
            f"imported, before there are values. {advice}"
        )


def _names_of(function: Callable[..., Any]) -> Mapping[str, Any]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    closure = {}
    for name, cell in cells:
        try:
            closure[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return {**vars(builtins), **function.__globals__, **closure}


def _is_clock_or_chance(called: Any) -> bool:
    if called is None:
        return False
    if any(called == known for known in _CLOCKS_AND_CHANCE):
        return True
    for module in _MODULES_OF_CHANCE:
        name = getattr(called, "__name__", "")
        if callable(called) and not isinstance(called, type) and getattr(module, name, None) == called:
            return True
    return False
