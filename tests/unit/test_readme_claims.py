"""The README's map, its table of commands, and the links and lines of all pages, against the repository."""

import re
import tomllib
from pathlib import Path

import click
import pytest

from celeriac.workflows.cli.main import celeriac
from tests.support.processes import ROOT

README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
WIDTH = 100


def section(title: str) -> str:
    return README.partition(f"## {title}\n")[2].partition("\n## ")[0]


def drawn() -> list[str]:
    """The paths of the drawing: a folder of the first level, and what is indented below it."""
    block = re.search(r"^```\n(.*?)^```$", section("Map of the code"), re.MULTILINE | re.DOTALL)[1]
    paths, parent = [], ""
    for line in block.splitlines():
        named = re.split(r"\s{3,}", line.strip())[0].split()
        if not line.startswith(" "):
            parent = named[0]
            paths += named
        else:
            paths += [parent + name for name in named]
    return paths


def tabled() -> list[str]:
    rows = [line for line in section("Map of the code").splitlines() if line.startswith("| ")]
    return [path for row in rows for path in re.findall(r"`((?:workflows|worker|beat)/[^`]*)`", row)]


def test_everything_on_the_map_exists():
    assert [path for path in [*drawn(), *tabled()] if not (ROOT / path).exists()] == []
    assert all((ROOT / path).is_dir() == path.endswith("/") for path in [*drawn(), *tabled()])


def test_every_module_is_on_the_map_or_in_a_folder_on_it():
    known = {*drawn(), *tabled()}
    modules = [
        path.relative_to(ROOT)
        for package in ("workflows", "worker", "beat")
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    ]
    assert len(modules) > 100
    rooms = {path for path in known if path.count("/") > 1 and path.endswith("/")}
    missing = [
        str(module)
        for module in modules
        if str(module) not in known and not {f"{folder}/" for folder in module.parents} & rooms
    ]
    assert missing == []


def test_the_map_lists_the_rooms_of_the_library_from_the_lowest_up():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (rooms,) = [contract["layers"] for contract in contracts if contract["id"] == "rooms"]
    folders = [room for room in reversed(rooms) if (ROOT / "workflows" / room).is_dir()]
    assert [path.split("/")[1] for path in drawn() if re.fullmatch(r"workflows/\w+/", path)] == folders


def test_the_table_has_exactly_the_commands_that_there_are():
    cells = [line.split(" | ")[0] for line in section("Quick start").splitlines() if line.startswith("| `celeriac")]
    named = [name for cell in cells for name in re.findall(r"`celeriac (\w+)", cell)]
    assert sorted(named) == sorted(celeriac.commands)


def test_each_command_has_a_module_of_its_name():
    modules = {path.stem for path in (ROOT / "workflows/cli/commands").glob("*.py")} - {"__init__"}
    assert modules == set(celeriac.commands)


def test_the_help_says_where_the_pages_are():
    assert "celeriac docs" in celeriac.get_help(click.Context(celeriac))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        file, _, anchor = target.partition("#")
        linked = page.parent / file if file else page
        assert linked.is_file(), target
        assert not anchor or anchor in anchors(linked.read_text()), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_fit_on_a_screen_tables_apart(page: Path):
    lines = page.read_text().splitlines()
    assert [line for line in lines if len(line) > WIDTH and not line.startswith("|")] == []


@pytest.mark.parametrize("page", PAGES[2:], ids=lambda page: page.name)
def test_the_readme_leads_to_every_page(page: Path):
    assert f"(docs/{page.name}" in README


def anchors(text: str) -> set[str]:
    """The anchors of headings, as hosts of git repositories make them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
