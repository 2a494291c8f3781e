"""``python -m benchmarks [--quick] [--json] [--no-events]``."""

from __future__ import annotations

import json

import click
from rich.console import Console

from benchmarks.fleet import fleet
from benchmarks.measuring import FULL, QUICK, measure
from benchmarks.report import as_json, as_table


@click.command()
@click.option("--quick", is_flag=True, help="See that it works: a few runs in one round; the numbers mean nothing.")
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON instead of a table.")
@click.option(
    "--events/--no-events",
    default=True,
    show_default=True,
    help="Whether the workers of both sides send task events, as they do when Flower is used.",
)
def main(*, quick: bool, json_wanted: bool, events: bool) -> None:
    """Compare Celeriac with plain Celery canvas, on servers of our own."""
    console = Console(stderr=True)
    with fleet(events=events) as servers:
        comparisons = measure(servers, QUICK if quick else FULL, console.status)
    if json_wanted:
        print(json.dumps(as_json(comparisons, events=events), indent=2))
    else:
        Console().print(as_table(comparisons, events=events))


if __name__ == "__main__":
    main()
