"""The context of a command: its settings and its output."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import click
from rich.console import Console

from celeriac.workflows.cli import broker
from celeriac.workflows.client.client import Client
from celeriac.workflows.settings import Settings

_WIDTH_OF_A_FILE = 120  # columns of a pipe or file, which has no width itself


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandContext:
    """The settings and the consoles of a call of the command."""

    overrides: Mapping[str, Any]  # settings from options, over the environment
    out: Console
    err: Console

    def settings(self) -> Settings:
        """Read the settings from the environment and the options.

        Raises:
            ConfigurationError: a variable or an option is not valid.
        """
        return Settings.from_env(**self.overrides)

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Open a client of the configured servers, after a check of the schema.

        Raises:
            ConfigurationError: the database or the broker is not configured, or its
                address cannot be used.
            DatabaseUnavailable: Postgres does not answer.
            SchemaMismatch: the database is not migrated, or by another version.
        """
        settings = self.settings()
        settings.require_database_url()
        broker.app_for(settings.require_broker_url())  # refuse before a run starts
        with Client(settings) as client:
            client.check_schema()
            yield client

    def print_json(self, data: Any) -> None:
        """Write data for a program: JSON, alone on standard output."""
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))

    def note(self, text: str) -> None:
        """Write a remark for people, apart from the result, to standard error."""
        self.err.print(text, style="dim", soft_wrap=not self.err.is_terminal)


pass_command = click.make_pass_decorator(CommandContext)


def console(file: IO[str]) -> Console:
    """Return a console that prints verbatim: no markup, no emoji, no highlights."""
    width = None if file.isatty() or "COLUMNS" in os.environ else _WIDTH_OF_A_FILE
    return Console(file=file, width=width, markup=False, emoji=False, highlight=False)
