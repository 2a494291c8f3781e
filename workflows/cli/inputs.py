"""Parse the input and the tags of a run, as users type them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn, TextIO

import click


def read_input(argument: str | None, stdin: TextIO) -> Any:
    """Return the data that ``--input`` stands for; None without the option.

    Args:
        argument: JSON text, ``@file`` for a file with JSON, or ``-`` for ``stdin``.
        stdin: Read to its end if the argument is ``-``.

    Raises:
        click.ClickException: the file cannot be read, or the text is not JSON; the
            message names the place.
    """
    if argument is None:
        return None
    if argument == "-":
        return _parse(_read(stdin), "Standard input")
    if argument.startswith("@"):
        path = Path(argument[1:])
        return _parse(_read_file(path), f"The file {path}")
    return _parse(argument, "--input")


def read_tags(arguments: Iterable[str]) -> dict[str, str]:
    """Return ``("tenant=acme",)`` as ``{"tenant": "acme"}``.

    Raises:
        click.BadParameter: an argument has no ``=``, or an empty key.
    """
    tags: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{argument!r} is not of the form key=value.", param_hint="--tag")
        tags[key] = value
    return tags


def _read_file(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as file:
            return _read(file)
    except OSError as error:
        raise click.ClickException(
            f"Cannot read the file {path} for --input: {error.strerror}. Check its name and the folder you are in."
        ) from None


def _read(file: TextIO) -> str:
    try:
        return file.read()
    except UnicodeDecodeError as error:
        raise click.ClickException(f"The input is not UTF-8 text (byte {error.start}). Give JSON in UTF-8.") from None


def _parse(text: str, source: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        advice = "" if text.strip() else " It is empty."
        raise click.ClickException(
            f"{source} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.{advice} "
            f"Give JSON, such as '{{\"id\": 1}}', or @file, or - for standard input."
        ) from None
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{source} is not JSON: {error}.") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
