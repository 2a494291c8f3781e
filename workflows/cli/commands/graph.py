"""``celeriac graph``: print a workflow as it is defined, without a server."""

from __future__ import annotations

import click
from rich.text import Text

from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.cli.command_context import CommandContext, pass_command
from celeriac.workflows.cli.display import drawing
from celeriac.workflows.cli.workflow_target import find_workflow
from celeriac.workflows.engine.graph import Graph


@click.command
@click.argument("workflow")
@click.option(
    "--format", "form", type=click.Choice(["text", "mermaid", "dot", "json"]), default="text", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@pass_command
def graph(command: CommandContext, *, workflow: str, form: str, as_json: bool) -> None:
    """Print a workflow's graph and the canvases it compiles to.

    WORKFLOW is a name or module:workflow. No server is needed.
    """
    found = _find(command, workflow)
    if as_json or form == "json":
        canvases = [
            {"after": list(after), "canvas": canvas.describe(found)} for after, canvas in drawing.published(found)
        ]
        command.print_json({"hash": found.hash, **found.to_json(), "canvases": canvases})
    elif form == "mermaid":
        click.echo(drawing.as_mermaid(found))
    elif form == "dot":
        click.echo(drawing.as_dot(found))
    else:
        command.out.print(Text(drawing.summary(found), style="bold"), soft_wrap=True)
        click.echo(drawing.as_text(found))
        command.out.print(Text("\ncanvases that Celery is handed", style="bold"))
        click.echo(drawing.canvases_as_text(found))


def _find(command: CommandContext, workflow: str) -> Graph:
    if ":" in workflow:
        return find_workflow(workflow)[1].graph
    return Catalog.load(command.settings().imports).workflow(workflow).graph
