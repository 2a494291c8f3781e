"""Writes reference.md from docstrings, annotations and comments: ``python -m docs.reference``."""

from __future__ import annotations

import ast
import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, get_args, get_overloads, is_typeddict

import celeriac
from celeriac.workflows import errors
from celeriac.workflows.authoring import options
from celeriac.workflows.client.audit import Discrepancy
from celeriac.workflows.client.client import Filters
from celeriac.workflows.client.control import Action
from celeriac.workflows.client.explain import Reason
from celeriac.workflows.client.within import AsyncTransactionClient, TransactionClient
from celeriac.workflows.engine.events import Event, EventType
from celeriac.workflows.engine.views import ErrorView, RunView, StepView
from celeriac.workflows.settings import Settings

FILE = Path(__file__).with_name("reference.md")
_WIDTH = 100  # columns of prose
_SIGNATURE_WIDTH = 88
_SECTION = re.compile(r"(Args|Attributes|Returns|Raises):")
_ITEM = re.compile(r"(\*{0,2}[\w.]+): (.*)")
_CODE = re.compile(r"``(.+?)``", re.DOTALL)
_SEE = re.compile(r"\b([Ss]ee) `([\w.]+)`")
_KIND = re.compile(r"<class '(?:\w+\.)*(\w+)'>")
_MODULES = re.compile(r"\b(?:builtins|uuid|typing)\.")
_ALIASES = {
    "Seconds": "float | timedelta",
    "Rule": f"Literal[{', '.join(repr(rule) for rule in get_args(options.Rule))}]",
}
_INTRODUCTION = """\
# Reference

You import the names on this page from `celeriac`, as in `from celeriac import Client`, unless a note says otherwise.
Types are as in the code: `P` stands for the parameters of a step or workflow, `R` for its result.

"""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A class or a function with a heading of its own.

    Attributes:
        thing: The class or the function.
        note: Stands before the docstring.
        members: Of a class; None: all that are public.
        constructed: Whether users call it.
        usage: How users call it, if its signature does not show that.
    """

    thing: Any
    note: str = ""
    members: Sequence[str] | None = None
    constructed: bool = False
    usage: str = ""

    @property
    def name(self) -> str:
        """The heading."""
        return str(self.thing.__name__)

    @property
    def shown_members(self) -> Sequence[str]:
        """The members with a heading of their own."""
        if self.members is not None or not inspect.isclass(self.thing):
            return self.members or ()
        return [
            name
            for name, value in vars(self.thing).items()
            if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property | classmethod))
        ]


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of a class, or a member of an enumeration."""

    name: str
    annotation: str
    value: str  # as the source has it; empty: none
    comment: str  # on its line, or above it
    heading: str  # a comment above it that ends in a colon: it is for the fields down to the next blank line
    begins_group: bool  # a blank line is above it


def _arguments_of(name: str) -> str:
    return f"Keyword arguments of {name}; you do not import it."


_RETURNED = "Methods return it; you do not import it."
CONTENTS: Mapping[str, Sequence[Entry]] = {
    "Steps and workflows": (
        Entry(thing=celeriac.step, usage="@step\n@step(**options: Unpack[StepOptionArgs])"),
        Entry(thing=options.StepOptionArgs, note=_arguments_of("`step`")),
        Entry(thing=celeriac.Step, members=["options"]),
        Entry(thing=options.UseOptionArgs, note=_arguments_of("`Step.options`, beside those of `StepOptionArgs`")),
        Entry(thing=celeriac.workflow, usage="@workflow\n@workflow(**options: Unpack[WorkflowOptionArgs])"),
        Entry(thing=options.WorkflowOptionArgs, note=_arguments_of("`workflow`")),
        Entry(thing=celeriac.Workflow, members=["options"]),
        Entry(thing=options.StartOptionArgs, note=_arguments_of("`Workflow.options` and `Client.start_by_name`")),
        Entry(thing=celeriac.outcome, constructed=True),
        Entry(thing=celeriac.Outcome),
        Entry(thing=celeriac.ErrorInfo),
        Entry(thing=celeriac.Retry, members=[], constructed=True),
    ),
    "Inside a step": (
        Entry(thing=celeriac.StepContext, members=["transaction", "heartbeat", "cancelled"]),
        Entry(thing=celeriac.RetryAfter, constructed=True),
        Entry(thing=celeriac.GiveUp),
        Entry(thing=celeriac.PublicError),
    ),
    "Clients": (
        Entry(thing=celeriac.Client, constructed=True),
        Entry(
            thing=Filters, note=_arguments_of("`Client.pause`, `Client.resume`, `Client.cancel`, `Client.terminate`")
        ),
        Entry(thing=Action, members=[], note="Import it from `celeriac.workflows.client.control`."),
        Entry(thing=TransactionClient, note=_RETURNED),
        Entry(thing=celeriac.AsyncClient, constructed=True),
        Entry(thing=AsyncTransactionClient, note=_RETURNED),
    ),
    "Runs": (
        Entry(thing=celeriac.Run),
        Entry(thing=celeriac.AsyncRun),
        Entry(thing=celeriac.RunStatus, members=["is_terminal"]),
        Entry(thing=celeriac.StepStatus, members=["is_terminal"]),
        Entry(thing=RunView, note=_RETURNED),
        Entry(thing=StepView, note=_RETURNED),
        Entry(thing=ErrorView, note=_RETURNED),
        Entry(thing=Event, members=[], note=_RETURNED),
        Entry(thing=EventType, members=[], note=_RETURNED),
        Entry(thing=Reason, note=_RETURNED),
        Entry(thing=Discrepancy, note=_RETURNED),
    ),
    "Celery apps": (
        Entry(thing=celeriac.install, constructed=True),
        Entry(thing=celeriac.create_app, constructed=True),
    ),
}


ERRORS = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.CeleriacError)]


def page() -> str:
    """Return the page."""
    parts = [_wrapped(_INTRODUCTION)]
    for title, entries in CONTENTS.items():
        parts.append(f"## {title}\n")
        for entry in entries:
            parts += _entry(entry)
    parts += _errors()
    parts += _settings()
    return "\n".join(parts).rstrip() + "\n"


# ---------------------------------------------------------------------------------------------------------- the parts


def _entry(entry: Entry) -> Iterator[str]:
    yield f"### `{entry.name}`\n"
    if entry.note:
        yield _wrapped(entry.note)
    if entry.constructed or entry.usage:
        yield _code(entry.usage or _signature(entry.name, entry.thing))
    yield from _documentation(entry.thing, fields_of(entry.thing) if inspect.isclass(entry.thing) else ())
    for name in entry.shown_members:
        yield from _member(entry.name, name, inspect.getattr_static(entry.thing, name))


def _member(owner: str, name: str, member: Any) -> Iterator[str]:
    yield f"#### `{owner}.{name}`\n"
    if isinstance(member, property):
        assert member.fget is not None
        yield _code(f"{name}: {_type(inspect.signature(member.fget).return_annotation)}")
        yield from _documentation(member)
        return
    function = member.__func__ if isinstance(member, classmethod) else member
    called = f"{owner}.{name}" if isinstance(member, classmethod) else name
    prefix = "await " if inspect.iscoroutinefunction(function) else ""
    yield _code("\n".join(_signature(f"{prefix}{called}", each) for each in get_overloads(function) or [function]))
    yield from _documentation(function)


def _errors() -> Iterator[str]:
    yield "## Errors\n"
    yield _code(inspect.cleandoc(errors.__doc__ or "").partition("\n\n")[2], language="")
    for kind in ERRORS:
        yield f"### `{kind.__name__}`\n"
        yield from _documentation(kind, fields_of(kind))


def _settings() -> Iterator[str]:
    yield "## `Settings`\n"
    yield from _documentation(Settings)
    for number, field in enumerate(fields_of(Settings)):
        if field.begins_group and number > 0:
            yield ""
        if field.heading:
            yield _wrapped(field.heading)
        value = Settings.model_fields[field.name].get_default()
        default = ",".join(value) if isinstance(value, tuple) else value
        shown = "" if default in (None, "") else f" (default `{str(default).lower()}`)"
        yield _item(f"`CELERIAC_{field.name.upper()}`{shown}", field.comment)
    yield ""
    yield from _member("Settings", "from_env", inspect.getattr_static(Settings, "from_env"))


# ----------------------------------------------------------------------------------------------------------- docstrings


def _documentation(thing: Any, fields: Sequence[Field] = ()) -> Iterator[str]:
    """Yield a docstring as Markdown, with types for its attributes, and fields that it does not describe."""
    types = {field.name: _type(field.annotation) for field in fields}
    described = set[str]()
    for title, lines in _sections(inspect.cleandoc(thing.__doc__ or "")):
        if not title:
            yield _wrapped("\n".join(lines))
        elif title == "Returns":
            yield _wrapped(f"Returns: {_lower(' '.join(lines))}")
        else:
            if not is_typeddict(thing):
                yield f"{_TITLES[title]}\n"
            for name, text in _items(lines):
                described.add(name)
                # Of arguments, the signature has the types.
                yield _item(_name(name, types.get(name, "") if title == "Attributes" else ""), text)
            yield ""
    rest = [field for field in fields if field.name not in described]
    if rest:
        if not is_typeddict(thing):
            yield "Values:\n" if rest[0].value else "Attributes:\n"
        for field in rest:
            yield _item(_name(field.value or field.name, types[field.name]), field.comment)
        yield ""


_TITLES = {"Args": "Arguments:", "Attributes": "Attributes:", "Raises": "Raises:"}


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the parts of a docstring in Google's style; the title of the first, which is prose, is empty."""
    title = ""
    lines: list[str] = []
    for line in text.splitlines():
        found = _SECTION.fullmatch(line)
        if found is None:
            lines.append(line.removeprefix("    ") if title else line)
            continue
        yield title, lines
        title = found[1]
        lines = []
    yield title, lines


def _items(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the names of a section with their texts, which go on over indented lines."""
    name = ""
    parts: list[str] = []
    for line in lines:
        found = _ITEM.fullmatch(line)
        if found is None:
            parts.append(line.strip())
            continue
        if name:
            yield name, " ".join(parts).strip()
        name = found[1]
        parts = [found[2]]
    yield name, " ".join(parts).strip()


# --------------------------------------------------------------------------------------------------------------- code


def fields_of(cls: type) -> list[Field]:
    """Return the fields that a class itself declares, in order."""
    source = textwrap.dedent(inspect.getsource(cls))
    lines = source.splitlines()
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    found = []
    for node in definition.body:
        declared = _declared(node)
        if declared is None:
            continue
        above = node.lineno - 1
        while above in comments and lines[above - 1].lstrip().startswith("#"):
            above -= 1
        leading = " ".join(comments[number] for number in range(above + 1, node.lineno))
        trailing = comments.get(node.end_lineno or 0, "")
        is_heading = leading.endswith(":")
        name, annotation, value = declared
        found.append(
            Field(
                name=name,
                annotation=annotation,
                value=value,
                comment=trailing or ("" if is_heading else leading),
                heading=leading if is_heading else "",
                begins_group=not lines[above - 1].strip(),
            )
        )
    return found


def _declared(node: ast.stmt) -> tuple[str, str, str] | None:
    """Return name, annotation and value of a field; None for any other statement."""
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        annotation = ast.unparse(node.annotation)
        if not annotation.startswith("ClassVar"):
            return node.target.id, annotation, ""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
        target = node.targets[0]
        if isinstance(target, ast.Name) and target.id.isupper():
            return target.id, "", str(node.value.value)
    return None


def _signature(name: str, thing: Any) -> str:
    """Return the call of a function or class as Python declares it, on one line if it fits."""
    signature = inspect.signature(thing)
    parameters = [
        parameter for parameter in signature.parameters.values() if parameter.name not in ("self", "cls", "unknown")
    ]
    shown = list[str]()
    kinds = [parameter.kind for parameter in parameters]
    for kind, parameter in zip(kinds, parameters, strict=True):
        if kind is parameter.KEYWORD_ONLY and kinds.index(kind) == len(shown) and parameter.VAR_POSITIONAL not in kinds:
            shown.append("*")
        shown.append(_parameter(parameter))
    if inspect.Parameter.POSITIONAL_ONLY in kinds:
        shown.insert(kinds.count(inspect.Parameter.POSITIONAL_ONLY), "/")
    returned = "" if inspect.isclass(thing) else f" -> {_type(signature.return_annotation)}"
    line = f"{name}({', '.join(shown)}){returned}"
    if len(line) <= _SIGNATURE_WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in shown) + f"){returned}"


def _parameter(parameter: inspect.Parameter) -> str:
    bare = parameter.replace(annotation=parameter.empty, default=parameter.empty)  # with its stars
    text = f"{bare}: {_type(parameter.annotation)}"
    if parameter.default is parameter.empty:
        return text
    default = _KIND.sub(r"\1", repr(parameter.default))
    return f"{text} = {default}"


def _type(annotation: Any) -> str:
    """Return an annotation as the source has it, without the modules of common types, and with aliases spelled out."""
    text = _MODULES.sub("", str(annotation))
    for alias, meaning in _ALIASES.items():
        text = re.sub(rf"\b{alias}\b", meaning, text)
    return text


# ------------------------------------------------------------------------------------------------------------ Markdown


def _code(text: str, language: str = "python") -> str:
    return f"```{language}\n{text}\n```\n"


def _name(name: str, kind: str) -> str:
    return f"`{name}` (`{kind}`)" if kind else f"`{name}`"


def _item(head: str, text: str) -> str:
    return _filled(f"- {head}: {text}" if text else f"- {head}", indent="  ")


def _wrapped(text: str) -> str:
    """Return paragraphs, each wrapped."""
    return "\n\n".join(_filled(paragraph) for paragraph in text.strip().split("\n\n")) + "\n"


def _filled(paragraph: str, indent: str = "") -> str:
    """Return a paragraph wrapped, with single backquotes, and with links after the word 'see'."""
    text = _SEE.sub(_link, _CODE.sub(r"`\1`", paragraph))
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _link(found: re.Match[str]) -> str:
    name = found[2]
    if name not in _HEADINGS:
        return found[0]
    return f"{found[1]} [`{name}`](#{name.lower().replace('.', '')})"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _headings() -> Iterator[str]:
    yield from (kind.__name__ for kind in ERRORS)
    for entry in chain.from_iterable(CONTENTS.values()):
        yield entry.name
        yield from (f"{entry.name}.{name}" for name in entry.shown_members)


_HEADINGS = set(_headings())

if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
