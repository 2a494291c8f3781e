"""``celeriac retry`` and ``fork``: running again what failed, or from some step on."""

from __future__ import annotations

from typing import Any

import click

from celeriac.workflows.cli.command_context import Invocation, pass_invocation
from celeriac.workflows.cli.commands.cancel import report
from celeriac.workflows.cli.display import formatting
from celeriac.workflows.cli.display.as_json import run_to_json
from celeriac.workflows.cli.display.change_report import Outcome, Unchanged
from celeriac.workflows.client.run import Run
from celeriac.workflows.engine.states import StepStatus
from celeriac.workflows.errors import RunEnded


@click.command
@click.argument("run_ids", metavar="RUN...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print what changed as JSON.")
@pass_invocation
def retry(invocation: Invocation, *, run_ids: tuple[str, ...], as_json: bool) -> None:
    """Let failed runs go on from their failed steps.

    Completed steps are not run again; failed ones have all their attempts before them.
    """
    with invocation.client() as client:
        # All ids are looked up before the first run is changed: a wrong one changes nothing.
        runs = [client.get(run_id) for run_id in dict.fromkeys(run_ids)]
        refused = [found for found in map(_retried, runs) if found is not None]
    unchanged = {run.run_id for run in refused}
    outcome = Outcome(action="retried", changed=[run.id for run in runs if run.id not in unchanged], unchanged=refused)
    report(invocation, outcome, as_json=as_json)


@click.command
@click.argument("run_id", metavar="RUN")
@click.option("--from-step", metavar="STEP", required=True, help="The step to run anew, with all that depends on it.")
@click.option("--version", metavar="VERSION", help="Of the workflow; otherwise the very graph of RUN.")
@click.option("--json", "as_json", is_flag=True, help="Print the new run as JSON.")
@pass_invocation
def fork(invocation: Invocation, *, run_id: str, from_step: str, version: str | None, as_json: bool) -> None:
    """Start a new run that reuses the results of another, and print its id.

    Steps that RUN has completed are not run again, except STEP and what depends on it. RUN stays as it is.
    """
    with invocation.client() as client:
        view = client.get(run_id).fork(from_step, version=version).view()
    if as_json:
        invocation.print_json(run_to_json(view, steps=True))
        return
    click.echo(view.id)
    reused = sum(step.status is StepStatus.COMPLETED and step.attempt == 0 for step in view.steps)
    invocation.note(
        f"Reuses {formatting.count(reused, 'result')}, runs {formatting.count(len(view.steps) - reused, 'step')}."
    )


def _retried(run: Run[Any]) -> Unchanged | None:
    """Retry a run; return the run as it is if it cannot be."""
    try:
        run.retry()
    except RunEnded:
        return Unchanged(run_id=run.id, status=run.status, refused=True)
    return None
