"""Follow a run to its end: a live page on a terminal, a line per change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from celeriac.workflows.cli.display import formatting
from celeriac.workflows.cli.display.layout import COLLAPSE_FROM
from celeriac.workflows.cli.display.render import RUN_STYLES, STEP_STYLES, run_page
from celeriac.workflows.cli.local.stopping import StopRequest
from celeriac.workflows.engine.states import RunStatus, StepStatus
from celeriac.workflows.engine.views import RunView, StepView

_SHORTEST_PAUSE = 0.1  # seconds between two reads; grows while nothing changes
_LONGEST_PAUSE = 0.4
_LINES_BESIDE_STEPS = 5  # head, headings, and a margin against scrolling


class Followable(Protocol):
    """A run that ``follow`` can show."""

    def view(self, *, steps: bool) -> RunView:
        """Return the current view of the run."""


def follow(
    run: Followable,
    *,
    console: Console,
    stop: StopRequest,
    timeout: float | None = None,
    between_reads: Callable[[], None] = lambda: None,
) -> RunView:
    """Show a run until its end, a stop request or the timeout; return the last view.

    Args:
        run: The run.
        console: The output.
        stop: The request to return early.
        timeout: Seconds to wait for the end; None: without limit.
        between_reads: Called before each further read; its exceptions pass through.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = _SHORTEST_PAUSE
    view = run.view(steps=True)
    with _screen(console) as show:
        show(view)
        while not view.status.is_terminal:
            between_reads()
            left = pause if deadline is None else min(deadline - time.monotonic(), pause)
            if left <= 0 or stop.wait(left):
                break
            latest = run.view(steps=True)
            pause = _SHORTEST_PAUSE if latest != view else min(pause * 1.5, _LONGEST_PAUSE)
            view = latest
            show(view)
    return view


def changes(before: RunView | None, after: RunView, *, now: datetime) -> list[Text]:
    """Return a line per change of the run, a step or many alike steps, in time order.

    A waiting step has no line, unless it lost a worker or waits for its next attempt.
    """
    known = {} if before is None else {step.position: _state(step) for step in before.steps}
    groups: dict[Hashable, list[StepView]] = {}
    for step in sorted(after.steps, key=lambda step: _when(step, now)):
        told = step.status not in (StepStatus.PENDING, StepStatus.READY) or step.lost
        if told and known.get(step.position) != _state(step):
            groups.setdefault((step.task, step.status, step.lost, step.error), []).append(step)
    timed: list[tuple[datetime, Text]] = []
    for group in groups.values():
        shown = group[-1:] if len(group) >= COLLAPSE_FROM else group
        timed.extend((_when(step, now), _step_line(step, now, len(group))) for step in shown)
    lines = [line for _, line in sorted(timed, key=lambda pair: pair[0])]
    if before is None or before.status is not after.status:
        line = _run_line(after, before, now)
        return [*lines, line] if after.status.is_terminal else [line, *lines]
    return lines


@contextmanager
def _screen(console: Console) -> Iterator[Callable[[RunView], None]]:
    """Yield a function that shows a view. On a terminal, the last page stays, uncut."""
    last: RunView | None = None

    if not console.is_terminal:

        def print_changes(view: RunView) -> None:
            nonlocal last
            for line in changes(last, view, now=datetime.now(UTC)):
                console.print(line, soft_wrap=True)
            last = view

        yield print_changes
        return

    with Live(console=console, auto_refresh=False, transient=True) as live:

        def redraw(view: RunView) -> None:
            nonlocal last
            height = max(console.height - _LINES_BESIDE_STEPS, 3)
            page = run_page(view, now=datetime.now(UTC), width=console.width, height=height)
            live.update(page, refresh=True)
            last = view

        yield redraw
    if last is not None:
        console.print(run_page(last, now=datetime.now(UTC), width=console.width))


def _state(step: StepView) -> tuple[StepStatus, int, int]:
    return step.status, step.attempt, step.lost


def _when(step: StepView, now: datetime) -> datetime:
    at = {
        StepStatus.READY: step.ready_at,
        StepStatus.RUNNING: step.started_at,
        StepStatus.RETRYING: step.finished_at,
        StepStatus.COMPLETED: step.finished_at,
        StepStatus.FAILED: step.finished_at,
        StepStatus.UPSTREAM_FAILED: step.finished_at,
        StepStatus.SKIPPED: step.finished_at,
    }.get(step.status)
    return at or now


def _step_line(step: StepView, now: datetime, alike: int) -> Text:
    """Return the line of a step; of ``alike`` steps, if the step stands for several."""
    status_style = STEP_STYLES[step.status]
    line = Text.assemble(
        (f"{formatting.clock(_when(step, now))}  ", "dim"), (f"{status_style.glyph} ", status_style.style)
    )
    if alike >= COLLAPSE_FROM:
        line.append(f"{step.task} × {alike:,} {step.status}")
    else:
        role = formatting.role(step)
        line.append(f"{step.name} {step.status}{f' ({role})' if role else ''}{_details(step)}")
    if step.error is not None and step.status in (StepStatus.RETRYING, StepStatus.FAILED):
        line.append(f": {step.error.type}: {formatting.one_line(step.error.message)}", "red")
    return line


def _details(step: StepView) -> str:
    details = ""
    if step.status is StepStatus.RETRYING and step.due_at is not None:
        details += f" at {formatting.clock(step.due_at)}"
    if step.started_at and step.finished_at and step.status.is_terminal:
        details += f" in {formatting.duration(step.finished_at - step.started_at)}"
    if step.attempt > 1 or step.status is StepStatus.RETRYING:
        details += f", attempt {step.attempt}"
    if step.lost:
        details += f", {step.lost} lost"
    if step.worker and step.status is StepStatus.RUNNING:
        details += f" on {step.worker}"
    return details


def _run_line(view: RunView, before: RunView | None, now: datetime) -> Text:
    status_style = RUN_STYLES[view.status]
    paused_or_resumed = RunStatus.PAUSED in (view.status, None if before is None else before.status)
    at = view.finished_at or (now if paused_or_resumed else view.started_at or view.created_at)
    line = Text.assemble(
        (f"{formatting.clock(at)}  ", "dim"),
        (f"{status_style.glyph} ", status_style.style),
        f"{view.workflow} {view.status}",
    )
    if view.status.is_terminal:
        line.append(f" in {formatting.duration(at - view.created_at)}")
    if view.status in (RunStatus.CANCELLED, RunStatus.TERMINATED) and view.error is not None:
        line.append(f": {formatting.one_line(view.error.message)}")
    return line
