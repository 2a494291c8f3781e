"""A run as a tree of steps with states, attempts, times and workers; runs as a table.

Pure: takes views and the present instant, returns rich renderables.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from celeriac.workflows.cli.display import formatting
from celeriac.workflows.cli.display.layout import COLLAPSE_FROM, Row, arrange
from celeriac.workflows.engine.events import Event
from celeriac.workflows.engine.states import RunStatus, StepStatus
from celeriac.workflows.engine.views import RunView, StepView


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusStyle:
    """The glyph and the rich style of a status."""

    glyph: str
    style: str


STEP_STYLES: Mapping[StepStatus, StatusStyle] = {
    StepStatus.DORMANT: StatusStyle(glyph=" ", style="dim"),
    StepStatus.PENDING: StatusStyle(glyph="○", style="dim"),
    StepStatus.READY: StatusStyle(glyph="◌", style="blue"),
    StepStatus.RUNNING: StatusStyle(glyph="●", style="yellow"),
    StepStatus.RETRYING: StatusStyle(glyph="↻", style="magenta"),
    StepStatus.COMPLETED: StatusStyle(glyph="✓", style="green"),
    StepStatus.FAILED: StatusStyle(glyph="✗", style="bold red"),
    StepStatus.UPSTREAM_FAILED: StatusStyle(glyph="⊘", style="red"),
    StepStatus.SKIPPED: StatusStyle(glyph="–", style="dim"),
}
RUN_STYLES: Mapping[RunStatus, StatusStyle] = {
    RunStatus.PENDING: StatusStyle(glyph="○", style="blue"),
    RunStatus.RUNNING: StatusStyle(glyph="●", style="yellow"),
    RunStatus.PAUSED: StatusStyle(glyph="‖", style="magenta"),
    RunStatus.COMPENSATING: StatusStyle(glyph="↩", style="magenta"),
    RunStatus.COMPLETED: StatusStyle(glyph="✓", style="green"),
    RunStatus.FAILED: StatusStyle(glyph="✗", style="bold red"),
    RunStatus.CANCELLED: StatusStyle(glyph="⊘", style="bold red"),
    RunStatus.COMPENSATION_FAILED: StatusStyle(glyph="!", style="bold red"),
    RunStatus.TERMINATED: StatusStyle(glyph="■", style="bold red"),
}

# The order in which steps keep their line if the page cannot hold all.
_URGENCY = (
    StepStatus.FAILED,
    StepStatus.RETRYING,
    StepStatus.RUNNING,
    StepStatus.READY,
    StepStatus.UPSTREAM_FAILED,
    StepStatus.COMPLETED,
    StepStatus.PENDING,
    StepStatus.SKIPPED,
    StepStatus.DORMANT,
)

_WIDTH_BESIDE_STEP = 40  # columns for state, attempts and time; the worker has the rest
_WIDE = 100  # columns that a page needs for optional facts


def run_page(
    view: RunView, *, now: datetime, width: int, collapse: bool = True, height: int | None = None
) -> RenderableType:
    """Return a run's head and its steps.

    Args:
        view: The run, with its steps.
        now: The instant up to which open runs and steps are timed.
        width: Columns of the page.
        collapse: Whether many alike siblings share a line.
        height: Most lines for the steps; None: without limit.
    """
    return Group(*_head(view, now), _steps(view, now, width=width, collapse=collapse, height=height))


def runs_table(views: Sequence[RunView], *, now: datetime, width: int) -> Table:
    """Return runs as a table, in the order given. Narrow pages leave out the tags."""
    table = _table()
    table.add_column("run", min_width=36, no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("age", no_wrap=True, justify="right")
    table.add_column("took", no_wrap=True, justify="right")
    table.add_column("workflow", overflow="ellipsis")
    tagged = width >= _WIDE and any(view.tags for view in views)
    if tagged:
        table.add_column("tags", overflow="ellipsis")
    for view in views:
        cells = [
            Text(str(view.id)),
            Text(view.status.value, style=RUN_STYLES[view.status].style),
            Text(formatting.age(now - view.created_at)),
            Text(formatting.duration(view.finished_at - view.created_at) if view.finished_at else ""),
            _clipped(view.workflow),
        ]
        if tagged:
            cells.append(_clipped(_tags(view.tags), style="dim"))
        table.add_row(*cells)
    return table


def tally(steps: Iterable[StepView]) -> str:
    """Return how many steps are in each state: '3 completed, 1 running, 2 pending'."""
    counts = Counter(step.status for step in steps)
    order = (
        StepStatus.COMPLETED,
        StepStatus.FAILED,
        StepStatus.UPSTREAM_FAILED,
        StepStatus.RETRYING,
        StepStatus.RUNNING,
        StepStatus.READY,
        StepStatus.PENDING,
        StepStatus.SKIPPED,
        StepStatus.DORMANT,
    )
    return ", ".join(f"{counts[status]:,} {status}" for status in order if counts[status])


def _head(view: RunView, now: datetime) -> Iterator[Text]:
    status_style = RUN_STYLES[view.status]
    yield Text.assemble(
        (f"{status_style.glyph} ", status_style.style),
        (view.workflow, "bold"),
        (f" version {view.version}  ", "dim"),
        (view.status.value, status_style.style),
        _run_time(view, now),
    )
    facts = [f"run {view.id}", f"started {formatting.instant(view.created_at)}"]
    if view.idempotency_key is not None:
        facts.append(f"key {view.idempotency_key}")
    if view.tags:
        facts.append(_tags(view.tags))
    yield Text(" · ".join(facts), style="dim")


def _run_time(view: RunView, now: datetime) -> str:
    took = formatting.duration((view.finished_at or now) - view.created_at)
    if view.status is RunStatus.PAUSED:  # since when, only its history tells
        return f", started {took} ago"
    return f" in {took}" if view.status.is_terminal else f" for {took}"


def _steps(view: RunView, now: datetime, *, width: int, collapse: bool, height: int | None) -> RenderableType:
    steps = sorted(view.steps, key=lambda step: step.position)
    by_name = {step.name: step for step in steps}
    index = {step.name: i for i, step in enumerate(steps)}
    parents = [[index[parent] for parent in step.parents] for step in steps]

    def alike(i: int) -> tuple[str, StepStatus] | None:
        step = steps[i]
        own_line = step.status in (StepStatus.RUNNING, StepStatus.FAILED)
        return None if not collapse or own_line else (step.task, step.status)

    rows = arrange(parents, alike)
    shown = rows if height is None else _most_urgent(rows, steps, max(height, 2))
    table = _table()
    table.add_column("step", no_wrap=True, max_width=max(width - _WIDTH_BESIDE_STEP, 16))
    table.add_column("state", no_wrap=True)
    table.add_column("attempts", no_wrap=True, justify="right")
    table.add_column("time", no_wrap=True, justify="right")
    table.add_column("worker", overflow="ellipsis")
    for row in shown:
        group = [steps[i] for i in row.positions]
        status = group[0].status
        table.add_row(
            _name(row, group, by_name),
            Text(status.value, style=STEP_STYLES[status].style),
            Text(_attempts(group)),
            Text(_retry_wait(view, group, now) if status is StepStatus.RETRYING else _times(group, now)),
            _clipped(_workers(group), style="dim"),
        )
    if len(shown) == len(rows):
        return table
    hidden = _positions(rows) - _positions(shown)
    return Group(table, Text(f"… not shown: {tally(steps[i] for i in sorted(hidden))}", style="dim"))


def _positions(rows: Iterable[Row]) -> set[int]:
    return set().union(*(row.positions for row in rows))


def _name(row: Row, group: Sequence[StepView], by_name: Mapping[str, StepView]) -> Text:
    first = group[0]
    status_style = STEP_STYLES[first.status]
    text = Text.assemble(
        (row.guide, "dim"), (status_style.glyph, status_style.style), " ", no_wrap=True, overflow="ellipsis"
    )
    if len(group) > 1:
        text.append(first.task).append(f" × {len(group):,}", "bold")
    else:
        text.append(first.name)
    if role := formatting.role(first):
        text.append(f"  {role}", "dim")
    if row.joins:
        text.append(f" ← {formatting.some(_parents(first, by_name))}", "dim")
    return text


def _parents(step: StepView, by_name: Mapping[str, StepView]) -> list[str]:
    """Return the names of a step's parents; many uses of a step become 'part × 300'."""
    uses: dict[str, list[str]] = {}
    for parent in step.parents:
        uses.setdefault(by_name[parent].task, []).append(parent)
    names: list[str] = []
    for task, parents in uses.items():
        if len(parents) >= COLLAPSE_FROM:
            names.append(f"{task} × {len(parents):,}")
        else:
            names.extend(parents)
    return names


def _attempts(group: Sequence[StepView]) -> str:
    most = max(step.attempt for step in group)
    lost = sum(step.lost for step in group)
    return f"{most or ''}{f' ({lost} lost)' if lost else ''}".strip()


def _times(group: Sequence[StepView], now: datetime) -> str:
    times = [_time(step, now) for step in group]
    taken = sorted(time for time in times if time is not None)
    if not taken:
        return ""
    shortest = formatting.duration(taken[0])
    longest = formatting.duration(taken[-1])
    return shortest if shortest == longest else f"{shortest} – {longest}"


def _time(step: StepView, now: datetime) -> timedelta | None:
    """Return how long the last attempt took.

    None before the first attempt, and for a step that is pending or ready.
    """
    if step.started_at is None or step.status in (StepStatus.PENDING, StepStatus.READY):
        return None
    return max((step.finished_at or now) - step.started_at, timedelta())


def _retry_wait(view: RunView, group: Sequence[StepView], now: datetime) -> str:
    """Return the time until the next retry, or '' while the run is paused or over."""
    if view.status is RunStatus.PAUSED or view.status.is_terminal:
        return ""
    left = min((step.due_at for step in group if step.due_at is not None), default=now) - now
    return f"again in {formatting.duration(left)}" if left > timedelta() else "again, is due"


def _workers(group: Sequence[StepView]) -> str:
    workers = {step.worker for step in group if step.worker is not None}
    if not workers:
        return ""
    if len(workers) == 1:
        return workers.pop()
    return formatting.count(len(workers), "worker")


def _most_urgent(rows: Sequence[Row], steps: Sequence[StepView], height: int) -> list[Row]:
    """Return the most urgent rows that fit, and leave a line to count the others."""
    if len(rows) <= height:
        return list(rows)

    def urgency(number: int) -> tuple[bool, int, int]:
        positions = rows[number].positions
        status = steps[positions[0]].status
        # Collapsed lines say most. Among ended steps the latest counts, else the next.
        return len(positions) == 1, _URGENCY.index(status), -number if status.is_terminal else number

    kept = sorted(sorted(range(len(rows)), key=urgency)[: height - 1])
    return [rows[number] for number in kept]


def _table() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")


def _clipped(value: str, style: str = "") -> Text:
    return Text(value, style=style, no_wrap=True, overflow="ellipsis")


def _tags(tags: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in tags.items())


def history_table(view: RunView, events: Sequence[Event]) -> Table:
    """Return a run's history as a table, first event first.

    Data that do not fit are cut; JSON has them whole.
    """
    names = {step.position: step.name for step in view.steps}
    table = _table()
    table.add_column("", no_wrap=True, justify="right")
    table.add_column("at", no_wrap=True)
    table.add_column("event", no_wrap=True)
    table.add_column("step", overflow="ellipsis")
    table.add_column("data", overflow="ellipsis")
    for event in events:
        step = "" if event.position is None else names.get(event.position, str(event.position))
        table.add_row(
            Text(str(event.sequence), "dim"),
            Text(formatting.clock(event.at)),
            Text(event.type.value),
            _clipped(f"{step}{f' (attempt {event.attempt})' if (event.attempt or 1) > 1 else ''}"),
            _clipped(json.dumps(event.data, ensure_ascii=False) if event.data else "", style="dim"),
        )
    return table
