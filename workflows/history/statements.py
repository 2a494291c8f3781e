"""The named statements of the ``.sql`` files beside this module."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from sqlalchemy import TextClause, text

_HEADER = re.compile(r"^-- name: (\w+)\n((?:-- .*\n)+)", re.MULTILINE)
_PARAMETER = re.compile(r"(?<!:):([a-z_]+)")
FILES = ("runs", "attempts", "transitions", "control", "reconciliation", "leases")


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """A statement and its description."""

    name: str
    description: str  # the effect of the statement, and the meaning of no row
    sql: str


@cache
def load(file: str) -> dict[str, Statement]:
    """Return the statements of ``sql/<file>.sql`` by name."""
    source = (files(__package__) / "sql" / f"{file}.sql").read_text()
    headers = list(_HEADER.finditer(source))
    ends = [header.start() for header in headers[1:]] + [len(source)]
    found = {}
    for header, end in zip(headers, ends, strict=True):
        description = " ".join(line.removeprefix("-- ") for line in header[2].splitlines())
        found[header[1]] = Statement(name=header[1], description=description, sql=source[header.end() : end].strip())
    return found


@cache
def statement(name: str) -> TextClause:
    """Return a statement for SQLAlchemy, with named parameters.

    Raises:
        KeyError: no file has a statement of that name.
    """
    for file in FILES:
        if name in load(file):
            return text(load(file)[name].sql)
    raise KeyError(name)


@cache
def driver_sql(name: str) -> str:
    """Return a statement in the placeholder style of psycopg.

    Raises:
        KeyError: no file has a statement of that name.
    """
    return _PARAMETER.sub(r"%(\1)s", statement(name).text.replace("%", "%%"))
