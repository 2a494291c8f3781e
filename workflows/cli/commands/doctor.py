"""``celeriac doctor``: find the problems that stop runs, with remedies."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.table import Table
from rich.text import Text

from celeriac.workflows.cli.checks import Check, CheckStatus
from celeriac.workflows.cli.command_context import CommandContext, pass_command
from celeriac.workflows.cli.diagnostics import examine
from celeriac.workflows.cli.display.render import StatusStyle

_STYLES = {
    CheckStatus.OK: StatusStyle(glyph="✓", style="green"),
    CheckStatus.WARNING: StatusStyle(glyph="!", style="yellow"),
    CheckStatus.ERROR: StatusStyle(glyph="✗", style="bold red"),
    CheckStatus.SKIPPED: StatusStyle(glyph="-", style="dim"),
}


@click.command
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@pass_command
def doctor(command: CommandContext, *, as_json: bool) -> None:
    """Check that runs can go on; name a remedy for each problem.

    The command checks settings, package, imports, database, schema, broker, workers and
    queues, whether workers have the code of ready steps, and how long these steps have
    waited. The exit code is 1 if there is an error, and 0 if there are only warnings.
    """
    found = examine(command.settings)
    healthy = all(check.status is not CheckStatus.ERROR for check in found)
    if as_json:
        command.print_json({"healthy": healthy, "checks": [asdict(check) for check in found]})
    else:
        command.out.print(report(found))
    if not healthy:
        sys.exit(1)


def report(found: Sequence[Check]) -> Table:
    """Return the checks as a page: status, finding and remedy of each."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for check in found:
        status_style = _STYLES[check.status]
        message = Text(check.message)
        if check.hint:
            message.append(f"\n→ {check.hint}", "bold")
        table.add_row(
            Text(f"{status_style.glyph} {check.name}", status_style.style),
            Text(check.status.value, status_style.style),
            message,
        )
    return table
