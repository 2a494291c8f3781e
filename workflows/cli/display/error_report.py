"""The errors of a run, and the reasons why its steps have not run.

Pure: takes views, returns rich renderables.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from celeriac.workflows.cli.display import formatting
from celeriac.workflows.cli.display.layout import COLLAPSE_FROM
from celeriac.workflows.cli.display.render import RUN_STYLES, STEP_STYLES, StatusStyle
from celeriac.workflows.client.explain import Reason
from celeriac.workflows.engine.states import RunStatus, StepStatus
from celeriac.workflows.engine.views import ErrorView, RunView, StepView

_MOST_REASONS = 20  # lines, unless the user asks for all


def run_errors(view: RunView, *, traceback: bool) -> RenderableType:
    """Return each step's last error, and why the run ended; empty if there is no error.

    Many steps with the same error share an entry.
    """
    alike: dict[Hashable, list[StepView]] = {}
    for step in view.steps:
        if step.error is not None:
            key = (step.task, step.status, step.attempt, step.error.type, step.error.message)
            alike.setdefault(key, []).append(step)
    blocks: list[RenderableType] = []
    for group in alike.values():
        together = len(group) >= COLLAPSE_FROM
        for step in group[:1] if together else group:
            name = f"{step.task} × {len(group):,}" if together else step.name
            blocks.extend(_step_error(name, step, view.status, traceback=traceback))
    if view.error is not None and (view.error.step is None or not blocks):
        blocks.extend(_run_error(view, view.error, traceback=traceback))
    return Group(*blocks)


def reasons_page(view: RunView, reasons: Sequence[Reason], *, collapse: bool = True) -> RenderableType:
    """Return why steps have not run, a line each; running steps are left out.

    Args:
        view: The run, with its steps.
        reasons: The reasons of its steps.
        collapse: Whether steps of the same reason share a line, and the lines after the
            first 20 are only counted.
    """
    steps = {step.name: step for step in view.steps}
    waiting = [reason for reason in reasons if steps[reason.step].status is not StepStatus.RUNNING]
    groups: dict[Hashable, list[Reason]] = {}
    for reason in waiting:
        groups.setdefault(reason.why if collapse else reason.step, []).append(reason)
    lines: list[Text] = []
    for group in groups.values():
        names = _names([steps[reason.step] for reason in group])
        lines.append(Text.assemble(("· ", "dim"), (names, "bold"), f": {group[0].why}"))
    if collapse and len(lines) > _MOST_REASONS:
        left = sum(len(group) for group in list(groups.values())[_MOST_REASONS:])
        lines[_MOST_REASONS:] = [Text(f"… and {formatting.count(left, 'step')} more (--all shows them)", "dim")]
    return Group(*lines)


def _names(steps: Sequence[StepView]) -> str:
    if len(steps) >= COLLAPSE_FROM and len({step.task for step in steps}) == 1:
        return f"{steps[0].task} × {len(steps):,}"
    return formatting.some([step.name for step in steps])


def _step_error(name: str, step: StepView, run: RunStatus, *, traceback: bool) -> Iterator[RenderableType]:
    assert step.error is not None
    status_style = STEP_STYLES[StepStatus.FAILED if step.status is StepStatus.FAILED else StepStatus.RETRYING]
    where = {
        StepStatus.FAILED: f"failed on attempt {step.attempt}",
        StepStatus.RETRYING: f"failed on attempt {step.attempt}{_next_attempt(step, run)}",
        StepStatus.RUNNING: f"failed before attempt {step.attempt}, which runs",
    }.get(step.status, "failed" if run.is_terminal else "failed, is to be tried again")
    if step.hook is not None and step.status is StepStatus.FAILED:
        where += ", after the run"
    yield from _error(status_style, f"{name} {where}", step.error, traceback=traceback)


def _run_error(view: RunView, error: ErrorView, *, traceback: bool) -> Iterator[RenderableType]:
    status_style = RUN_STYLES[view.status]
    if view.status in (RunStatus.CANCELLED, RunStatus.TERMINATED):
        yield Text.assemble(
            (f"{status_style.glyph} ", status_style.style), (f"The run was {view.status}", "bold"), f": {error.message}"
        )
    else:
        yield from _error(status_style, f"{error.step or 'The run'} failed", error, traceback=traceback)


def _error(status_style: StatusStyle, where: str, error: ErrorView, *, traceback: bool) -> Iterator[RenderableType]:
    yield Text.assemble(
        (f"{status_style.glyph} ", status_style.style), (where, "bold"), ": ", (f"{error.type}: {error.message}", "red")
    )
    if traceback and error.traceback:
        yield Padding(Text(error.traceback.rstrip(), style="dim"), (0, 0, 0, 4), expand=False)


def _next_attempt(step: StepView, run: RunStatus) -> str:
    if run.is_terminal:
        return ""
    if run is RunStatus.PAUSED or step.due_at is None:
        return ", is tried again once the run goes on"
    return f", is tried again at {formatting.clock(step.due_at)}"
