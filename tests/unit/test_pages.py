"""docs/reference.md is current and complete, and ``celeriac docs`` prints the pages."""

import re

import pytest
from click.testing import CliRunner
from rich.console import Console

import celeriac
from celeriac.workflows.cli.command_context import CommandContext
from celeriac.workflows.cli.commands.docs import read_pages
from celeriac.workflows.cli.main import celeriac as command
from docs import reference
from tests.support.processes import ROOT

PAGES = {file.stem: file.read_text() for file in (ROOT / "docs").glob("*.md")}
HEADINGS = re.findall(r"^#+ `([\w.]+)`$", PAGES["reference"], re.MULTILINE)


def test_the_reference_is_current():
    assert PAGES["reference"] == reference.page(), "docs/reference.md is old: make docs"


def test_every_public_name_is_in_the_reference():
    assert set(celeriac.__all__) <= set(HEADINGS)
    assert len(HEADINGS) == len(set(HEADINGS))


def test_every_setting_is_in_the_reference_with_its_default():
    for name, field in celeriac.Settings.model_fields.items():
        line = re.search(rf"^- `CELERIAC_{name.upper()}`(.*)$", PAGES["reference"], re.MULTILINE)
        assert line, name
        assert field.default in (None, ()) or f"(default `{str(field.default).lower()}`)" in line[1]


def test_the_reference_has_the_markup_of_markdown_only():
    prose = re.sub(r"^```.*?^```$", "", PAGES["reference"], flags=re.MULTILINE | re.DOTALL)
    assert "``" not in prose
    titles = r"^(?:Args|Arguments|Attributes|Raises|Values):"
    lists = re.findall(titles + r"\n\n- `", prose, re.MULTILINE)
    assert len(lists) == len(re.findall(titles, prose, re.MULTILINE)) > 50
    assert prose.count("`") % 2 == 0


def test_arguments_of_a_docstring_become_a_list():
    start = PAGES["reference"].partition("#### `Client.start`\n")[2].partition("\n#### ")[0]
    assert "Arguments:\n\n- `workflow`: The workflow, or " in start
    assert "Raises:\n\n- `InputInvalid`: the arguments do not fit; nothing was written.\n" in start


def test_the_command_lists_all_pages():
    listed = CliRunner().invoke(command, ["docs"]).output
    assert read_pages() == PAGES
    assert re.findall(r"^celeriac docs (\S+) ", listed, re.MULTILINE) == sorted(PAGES)
    assert "When a step fails" in listed


@pytest.mark.parametrize("page", sorted(PAGES))
def test_the_command_writes_a_page_to_a_pipe_as_it_is(page: str):
    assert CliRunner().invoke(command, ["docs", page]).output == PAGES[page]


def test_a_terminal_shows_a_page_formatted():
    terminal = Console(force_terminal=True, width=200, markup=False, record=True)
    shown = CommandContext(overrides={}, out=terminal, err=terminal)
    with terminal.capture() as captured:
        command.commands["docs"].main(["states"], obj=shown, standalone_mode=False)
    text = captured.get()
    assert "States of runs and steps" in text
    assert "# States" not in text
    assert max(len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in text.splitlines()) <= 100


def test_an_unknown_page_is_refused_with_the_nearest():
    refused = CliRunner().invoke(command, ["docs", "failure"])
    assert refused.exit_code == 2
    assert "'failure' is no page; did you mean 'failures'?" in refused.output
    assert "There are: deploying, failures, reference" in CliRunner().invoke(command, ["docs", "zzz"]).output
