"""The report on a run that a command waited for, and the exit code."""

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
    """Print a run's result on standard output, or its errors; return the exit code.

    Args:
        command: The output.
        run: The run.
        view: The last view of the run, with its steps.
        stop: Whether the user stopped waiting for the end.
        as_json: Whether to print for a program.
        later: The sentence to print if the run has not ended: how it goes on.

    Returns:
        0 if the run completed, 1 if it ended otherwise or not in time, or the code that
        the signal asks for.
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
