"""``celeriac start``: start a run, and wait for it if asked."""

from __future__ import annotations

import sys

import click

from celeriac.workflows.cli.command_context import CommandContext, pass_command
from celeriac.workflows.cli.display.as_json import run_to_json
from celeriac.workflows.cli.following import follow
from celeriac.workflows.cli.inputs import read_input, read_tags
from celeriac.workflows.cli.local.stopping import stop_on_signals
from celeriac.workflows.cli.run_report import report_outcome

_GOES_ON = "It goes on; `celeriac watch` shows it again."


@click.command
@click.argument("workflow")
@click.option("--input", "input_", metavar="JSON|@FILE|-", help="What the run is about; - reads standard input.")
@click.option("--tag", "tags", metavar="KEY=VALUE", multiple=True, help="A label to find the run by; may be repeated.")
@click.option("--idempotency-key", metavar="KEY", help="Starts one run of the workflow, however often it is given.")
@click.option("--wait", is_flag=True, help="Show the run until it ends, then print its result.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="How long --wait waits.")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON, with its result if waited for.")
@pass_command
def start(
    command: CommandContext,
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

    The run is safe in the database before its id is printed. With --wait, the exit code
    is 1 unless the run completes.
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait.")
    value = read_input(input_, sys.stdin)
    labels = read_tags(tags)
    with command.client() as client:
        run = client.start_by_name(workflow, value, idempotency_key=idempotency_key, tags=labels)
        if not wait:
            if as_json:
                command.print_json(run_to_json(run.view(steps=False)))
            else:
                click.echo(run.id)
            return
        if not as_json:
            click.echo(run.id)
        with stop_on_signals() as stop:
            view = follow(run, console=command.err, stop=stop, timeout=timeout)
        sys.exit(report_outcome(command, run, view, stop, as_json=as_json, later=_GOES_ON))
