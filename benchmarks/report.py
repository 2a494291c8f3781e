"""The table, and the same as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.measuring import Comparison
from benchmarks.worker import POOL, PROCESSES


def conditions(*, events: bool) -> dict[str, Any]:
    """Return what the numbers depend on."""
    return {
        "python": platform.python_version(),
        **{package: version(package) for package in ("celery", "kombu", "psycopg", "redis")},
        "cores": os.cpu_count(),
        "pool": POOL,
        "processes": PROCESSES,
        "task_events": events,
    }


def as_json(comparisons: Sequence[Comparison], *, events: bool) -> dict[str, Any]:
    """Return everything as plain JSON data."""
    lines = [{**asdict(line), "ratio": line.ratio, "met": line.met} for line in comparisons]
    return {"conditions": conditions(events=events), "comparisons": lines}


def as_table(comparisons: Sequence[Comparison], *, events: bool) -> RenderableType:
    """Return the table with what it depends on below it."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("measured", no_wrap=True)
    table.add_column("against", no_wrap=True)
    table.add_column("peer", justify="right", no_wrap=True)
    table.add_column("Celeriac", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("target", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for line in comparisons:
        table.add_row(
            line.what,
            line.against,
            _number(line.peer),
            _number(line.celeriac),
            Text(line.unit, style="dim"),
            Text(f"{line.ratio:.2f}×", style="bold"),
            "" if line.target is None else f"≥ {line.target:g}×",
            "" if line.met is None else Text("✓", style="green") if line.met else Text("✗", style="bold red"),
        )
    facts = conditions(events=events)
    setting = (
        f"A ratio above 1 means that Celeriac is better. Celery {facts['celery']} with Redis as broker and result "
        f"backend, Python {facts['python']}, {facts['cores']} cores, {facts['pool']} pool of {facts['processes']}, "
        f"task events {'on' if events else 'off'} on both sides."
    )
    barrier = "Celery's irregular graph has a barrier that the graph does not ask for: canvas cannot do without it."
    return Group(table, "", Text(setting, style="dim"), Text(barrier, style="dim"))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
