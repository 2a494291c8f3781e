"""``celeriac docs``: print the pages of the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

import click
from rich.markdown import Markdown
from rich.table import Table

from celeriac.workflows.cli.command_context import CommandContext, pass_command
from celeriac.workflows.text import did_you_mean, sentence

_WIDEST_PAGE = 100  # columns


@click.command
@click.argument("page", required=False)
@pass_command
def docs(command: CommandContext, *, page: str | None) -> None:
    """List the pages of the documentation, or print PAGE.

    A terminal shows the page formatted. A pipe or a file gets the Markdown.
    """
    pages = read_pages()
    if page is None:
        command.out.print(_contents(pages))
    elif page not in pages:
        hint = did_you_mean(page, pages) or f". There are: {', '.join(pages)}"
        raise click.BadParameter(sentence(f"{page!r} is no page{hint}"), param_hint="PAGE")
    elif command.out.is_terminal:
        command.out.print(Markdown(pages[page]), width=min(command.out.width, _WIDEST_PAGE))
    else:
        click.echo(pages[page], nl=False)


def read_pages() -> Mapping[str, str]:
    """Return the pages, as Markdown, by name."""
    found = {entry.name: entry for entry in (files("celeriac") / "docs").iterdir()}
    return {
        name.removesuffix(".md"): found[name].read_text(encoding="utf-8")
        for name in sorted(found)
        if name.endswith(".md")
    }


def _contents(pages: Mapping[str, str]) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, text in pages.items():
        table.add_row(f"celeriac docs {name}", text.partition("\n")[0].removeprefix("# "))
    return table
