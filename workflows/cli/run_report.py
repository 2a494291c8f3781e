"""What a command says of a run that it waited for, and the exit code it ends with."""

from __future__ import annotations

import json
from typing import Any

import click

from celeriac.workflows.cli.command_context import CommandContext
from celeriac.workflows.cli.display.as_json import run_to_json
from celeriac.workflows.cli.display.error_report import run_errors
from celeriac.workflows.cli.local.stopping import StopRequest
from celeriac.workflows.client.run import Run
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.engine.views import RunView


def report_outcome(
    command: CommandContext, run: Run[Any], view: RunView, stop: StopRequest, *, as_json: bool, later: str
) -> int:
    """Print the result of a run on standard output, or what went wrong, and return the exit code.

    Args:
        command: Where to print.
        run: The run.
        view: The run as last seen, with its steps.
        stop: Whether the user did not want to wait for the end.
        as_json: Whether a program reads it.
        later: What becomes of a run that has not ended.

    Returns:
        0 for a run that completed, 1 for one that ended otherwise or not in time, or what the signal asks for.
    """
    completed = view.status is RunStatus.COMPLETED
    result = run.result_json() if completed else None
    if as_json:
        command.print_json({**run_to_json(view, steps=True), "result": result})
    elif result is not None:
        click.echo(json.dumps(result, indent=2, ensure_ascii=False))
    if view.status.is_terminal:
        if not completed and not as_json:
            command.err.print(run_errors(view, traceback=True))
        return 0 if completed else 1
    command.note(f"Run {run.id} is still {view.status}. {later}")
    return stop.exit_code if stop.made else 1
