"""``celeriac show``: draw a run with its steps, errors and reasons."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime

import click
from rich.text import Text

from celeriac.workflows.cli.command_context import CommandContext, pass_command
from celeriac.workflows.cli.display.as_json import run_to_json
from celeriac.workflows.cli.display.error_report import reasons_page, run_errors
from celeriac.workflows.cli.display.render import history_table, run_page
from celeriac.workflows.engine.states import RunStatus

_LONGEST_RESULT = 500  # characters of a result on a page


@click.command
@click.argument("run_id", metavar="RUN")
@click.option("--all", "everything", is_flag=True, help="Print a line for each step and reason, also for many alike.")
@click.option("--history", is_flag=True, help="Print the events of the run as well.")
@click.option("--traceback/--no-traceback", default=True, help="Print the traceback of a step that failed.")
@click.option("--json", "as_json", is_flag=True, help="Print the run, its steps and its result as JSON.")
@pass_command
def show(
    command: CommandContext, *, run_id: str, everything: bool, history: bool, traceback: bool, as_json: bool
) -> None:
    """Draw a run: its steps with states, times and errors.

    A step that has not run is shown with the reason.
    """
    with command.client() as client:
        run = client.get(run_id)
        view = run.view(steps=True)
        reasons = run.explain(view)
        events = run.history() if history else []
        result = run.result_json() if view.status is RunStatus.COMPLETED else None
    if as_json:
        data = {**run_to_json(view, steps=True), "result": result, "explain": [asdict(reason) for reason in reasons]}
        if history:
            data["history"] = [event.to_json() for event in events]
        command.print_json(data)
        return
    out = command.out
    out.print(run_page(view, now=datetime.now(UTC), width=out.width, collapse=not everything))
    out.print(run_errors(view, traceback=traceback))
    out.print(reasons_page(view, reasons, collapse=not everything))
    if result is not None:
        out.print(Text.assemble(("result ", "dim"), _short(json.dumps(result, ensure_ascii=False))), soft_wrap=True)
    if history:
        out.print(history_table(view, events))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_RESULT else f"{text[:_LONGEST_RESULT]} … (--json has all of it)"
