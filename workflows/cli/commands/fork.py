"""``celeriac fork``: start a run that reuses the results of another."""

from __future__ import annotations

import click

from celeriac.workflows.cli.command_context import CommandContext, pass_command
from celeriac.workflows.cli.display import formatting
from celeriac.workflows.cli.display.as_json import run_to_json
from celeriac.workflows.engine.states import StepStatus


@click.command
@click.argument("run_id", metavar="RUN")
@click.option("--from-step", metavar="STEP", required=True, help="The step to run anew, with all that depends on it.")
@click.option("--version", metavar="VERSION", help="Of the workflow; otherwise the very graph of RUN.")
@click.option("--json", "as_json", is_flag=True, help="Print the new run as JSON.")
@pass_command
def fork(command: CommandContext, *, run_id: str, from_step: str, version: str | None, as_json: bool) -> None:
    """Start a run that reuses the results of another run.

    The command prints the id of the new run. Steps that RUN has completed are not run
    again, except STEP and the steps that depend on STEP. RUN itself does not change.
    """
    with command.client() as client:
        view = client.get(run_id).fork(from_step, version=version).view()
    if as_json:
        command.print_json(run_to_json(view, steps=True))
        return
    click.echo(view.id)
    reused = sum(step.status is StepStatus.COMPLETED and step.attempt == 0 for step in view.steps)
    command.note(
        f"Reuses {formatting.count(reused, 'result')}, runs {formatting.count(len(view.steps) - reused, 'step')}."
    )
