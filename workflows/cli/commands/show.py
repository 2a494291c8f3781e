"""``celeriac start``, ``list``, ``show`` and ``watch``: runs, as people use them."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime

import click
from rich.text import Text

from celeriac.workflows.cli.command_context import Invocation, pass_invocation
from celeriac.workflows.cli.display.as_json import run_to_json
from celeriac.workflows.cli.display.error_report import reasons_page, run_errors
from celeriac.workflows.cli.display.render import history_table, run_page, runs_table
from celeriac.workflows.cli.following import follow
from celeriac.workflows.cli.inputs import read_input, read_tags
from celeriac.workflows.cli.local.stopping import stop_on_signals
from celeriac.workflows.cli.run_report import report_outcome
from celeriac.workflows.engine.states import RunStatus

_GOES_ON = "It goes on; `celeriac watch` shows it again."
_LONGEST_RESULT = 500  # characters of a result that a person is shown


@click.command
@click.argument("workflow")
@click.option("--input", "input_", metavar="JSON|@FILE|-", help="What the run is about; - reads standard input.")
@click.option("--tag", "tags", metavar="KEY=VALUE", multiple=True, help="A label to find the run by; may be repeated.")
@click.option("--idempotency-key", metavar="KEY", help="Starts one run of the workflow, however often it is given.")
@click.option("--wait", is_flag=True, help="Show the run until it ends, then print its result.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="How long --wait waits.")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON, with its result if waited for.")
@pass_invocation
def start(
    invocation: Invocation,
    *,
    workflow: str,
    input_: str | None,
    tags: tuple[str, ...],
    idempotency_key: str | None,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Start a run of a workflow and print its id.

    The run is safe in the database when the id is printed. With --wait, the exit code is 1 unless it completes.
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait.")
    value = read_input(input_, sys.stdin)
    labels = read_tags(tags)
    with invocation.client() as client:
        run = client.start_json(workflow, value, idempotency_key=idempotency_key, tags=labels)
        if not wait:
            if as_json:
                invocation.print_json(run_to_json(run.view(steps=False)))
            else:
                click.echo(run.id)
            return
        if not as_json:
            click.echo(run.id)
        with stop_on_signals() as stop:
            view = follow(run, console=invocation.err, stop=stop, timeout=timeout)
        sys.exit(report_outcome(invocation, run, view, stop, as_json=as_json, later=_GOES_ON))


@click.command("list")
@click.option("--workflow", metavar="NAME", help="Only runs of this workflow.")
@click.option("--status", type=click.Choice([status.value for status in RunStatus]), help="Only runs in this state.")
@click.option("--tag", "tags", metavar="KEY=VALUE", multiple=True, help="Only runs with this label; may be repeated.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, the latest first.")
@click.option("--json", "as_json", is_flag=True, help="Print the runs as JSON.")
@pass_invocation
def list_runs(
    invocation: Invocation,
    *,
    workflow: str | None,
    status: str | None,
    tags: tuple[str, ...],
    limit: int,
    as_json: bool,
) -> None:
    """List runs, the latest first."""
    with invocation.client() as client:
        views = client.list(
            workflow=workflow, status=None if status is None else RunStatus(status), tags=read_tags(tags), limit=limit
        )
    if as_json:
        invocation.print_json([run_to_json(view) for view in views])
    elif views:
        invocation.out.print(runs_table(views, now=datetime.now(UTC), width=invocation.out.width))
    else:
        invocation.note("No such run." if workflow or status or tags else "No runs yet. `celeriac start` starts one.")


@click.command
@click.argument("run_id", metavar="RUN")
@click.option("--all", "everything", is_flag=True, help="A line for each step and reason, also for many alike.")
@click.option("--history", is_flag=True, help="Print the events of the run as well.")
@click.option("--traceback/--no-traceback", default=True, help="Print the traceback of a step that failed.")
@click.option("--json", "as_json", is_flag=True, help="Print the run, its steps and its result as JSON.")
@pass_invocation
def show(
    invocation: Invocation, *, run_id: str, everything: bool, history: bool, traceback: bool, as_json: bool
) -> None:
    """Draw a run: its steps, states, times and errors, and why steps have not run."""
    with invocation.client() as client:
        run = client.get(run_id)
        view = run.view(steps=True)
        reasons = client.explain(view)
        events = run.history() if history else []
        result = run.result_json() if view.status is RunStatus.COMPLETED else None
    if as_json:
        data = {**run_to_json(view, steps=True), "result": result, "explain": [asdict(reason) for reason in reasons]}
        if history:
            data["history"] = [event.to_json() for event in events]
        invocation.print_json(data)
        return
    out = invocation.out
    out.print(run_page(view, now=datetime.now(UTC), width=out.width, fold=not everything))
    out.print(run_errors(view, traceback=traceback))
    out.print(reasons_page(view, reasons, fold=not everything))
    if result is not None:
        out.print(Text.assemble(("result ", "dim"), _short(json.dumps(result, ensure_ascii=False))), soft_wrap=True)
    if history:
        out.print(history_table(view, events))


@click.command
@click.argument("run_id", metavar="RUN")
@pass_invocation
def watch(invocation: Invocation, *, run_id: str) -> None:
    """Show a run until it ends.

    The exit code is 1 unless it completes. Ctrl-C ends the watching, not the run.
    """
    with invocation.client() as client, stop_on_signals() as stop:
        view = follow(client.get(run_id), console=invocation.out, stop=stop)
    invocation.out.print(run_errors(view, traceback=True))
    if stop.made and not view.status.is_terminal:
        sys.exit(stop.exit_code)
    sys.exit(0 if view.status is RunStatus.COMPLETED else 1)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_RESULT else f"{text[:_LONGEST_RESULT]} … (--json has all of it)"
