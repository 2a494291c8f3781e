"""The repository's Python sources as the house rules see them: modules, functions, prose and names."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.support.processes import ROOT

PACKAGES = ("workflows", "worker", "beat", "celeriac")
Function = ast.FunctionDef | ast.AsyncFunctionDef
WITH_DOCSTRING = ast.Module | ast.ClassDef | Function


@dataclass(frozen=True, kw_only=True, slots=True)
class Prose:
    """A docstring, a text under a name, or a comment."""

    line: int  # of its first line
    text: str
    is_trailing: bool = False  # a comment behind code


@dataclass(frozen=True)
class Module:
    """A source file."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def room(self) -> str:
        """Its package, or its folder in ``workflows``."""
        parts = self.path.relative_to(ROOT).parts
        return "/".join(parts[:2]) if parts[0] == "workflows" and len(parts) > 2 else parts[0]

    @cached_property
    def source(self) -> str:
        return self.path.read_text()

    @cached_property
    def lines(self) -> list[str]:
        return self.source.splitlines()

    @cached_property
    def functions(self) -> list[Function]:
        return [node for node in self._nodes if isinstance(node, Function)]

    @cached_property
    def prose(self) -> list[Prose]:
        """Docstrings and comments; what a linter or formatter reads is no prose."""
        docstrings = [
            Prose(line=statement.lineno, text=statement.value.value)
            for node in self._nodes
            if isinstance(node, WITH_DOCSTRING)
            for statement in node.body
            if _is_text(statement)
        ]
        comments = [
            Prose(line=token.start[0], text=token.string, is_trailing=bool(token.line[: token.start[1]].strip()))
            for token in self._tokens
            if token.type == tokenize.COMMENT and not token.string.startswith(("# noqa", "# type:"))
        ]
        return docstrings + comments

    @cached_property
    def words(self) -> list[str]:
        """The words of the prose."""
        return [word.lower() for prose in self.prose for word in re.findall(r"\w+", prose.text)]

    @cached_property
    def names(self) -> set[str]:
        """All identifiers in the module, and its own name."""
        return {token.string for token in self._tokens if token.type == tokenize.NAME} | {self.path.stem}

    @cached_property
    def _nodes(self) -> list[ast.AST]:
        return list(ast.walk(ast.parse(self.source)))

    @cached_property
    def _tokens(self) -> list[tokenize.TokenInfo]:
        return list(tokenize.generate_tokens(io.StringIO(self.source).readline))


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def modules() -> Iterator[Module]:
    """Yield the modules of the packages. ``celeriac`` has links to the other packages, which are not followed."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if not any(parent.is_symlink() for parent in path.parents):
                yield Module(path)
