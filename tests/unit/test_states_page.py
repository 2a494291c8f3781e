"""docs/states.md says what the code does: its tables and diagrams against the states and the fold."""

import itertools
import re
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

import pytest

from tests.support.graphs import graph_of
from tests.support.processes import ROOT
from workflows import fold
from workflows.events import Event, EventType
from workflows.fold import IllegalEvent, RunState, StepState
from workflows.states import RunStatus, StepStatus
from workflows.steering import Action

PAGE = (ROOT / "docs" / "states.md").read_text()
CHAIN = graph_of({"a": [], "b": ["a"]})
LATER = [kind for kind in EventType if kind is not EventType.RUN_STARTED]  # which comes first, and only once
Arrow = tuple[str, str, str]  # from, event, to


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def table(title: str) -> dict[str, list[str]]:
    """The cells of each row, without the first, by the first."""
    rows = [line.strip("|").split("|") for line in section(title).splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows}


def quoted(cell: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", cell))


def drawn(title: str) -> set[Arrow]:
    arrows = re.findall(r"^    (\S+) --> ([^\s:]+)(?:: (.+))?$", section(title), re.MULTILINE)
    return {(start, event, end) for start, end, events in arrows for event in events.split(", ")}


def apply(run: RunState, kind: EventType, attempt: int, **data: object) -> bool:
    """Whether the event can happen to the first step, or to the run."""
    event = Event(
        run_id=UUID(int=1),
        sequence=7,
        type=kind,
        at=datetime(2026, 1, 2, tzinfo=UTC),
        position=0,
        attempt=attempt,
        data={"steps": [0], **data},
    )
    try:
        fold._apply(run, event, CHAIN)
    except IllegalEvent:
        return False
    return True


def possible() -> tuple[set[Arrow], set[Arrow]]:
    """All changes of the states of runs and of steps that the fold allows, tried one by one."""
    of_runs, of_steps = set[Arrow](), set[Arrow]()
    situations = itertools.product(
        RunStatus, StepStatus, LATER, (0, 1), (0, 1), (0, 1), (0, 1), ({}, {"retry_at": "noon"})
    )
    for status, step_status, kind, made, attempt, lost, remaining, data in situations:
        step = StepState(remaining=0, status=step_status, attempt=made, lost=lost)
        child = StepState(remaining=1)
        run = RunState(remaining=remaining, status=status, steps=[step, child])
        if not apply(run, kind, made + attempt, **data):
            continue
        of_runs |= {(status, kind, run.status)} if run.status is not status else set()
        of_steps |= {(step_status, kind, step.status)} if step.status is not step_status else set()
        of_steps |= {("pending", kind, child.status)} if child.status is not StepStatus.PENDING else set()
    return of_runs, of_steps


@pytest.mark.parametrize(("title", "states"), [("Runs", RunStatus), ("Steps", StepStatus)])
def test_every_state_is_in_the_table_with_what_the_diagram_shows(title: str, states: type[StrEnum]):
    rows, arrows = table(title), drawn(title)
    assert list(rows) == [state.value for state in states]
    for state, (_, leads_there, may_follow) in rows.items():
        assert quoted(leads_there) == {event for _, event, end in arrows if end == state}, state
        assert quoted(may_follow) == {end for start, _, end in arrows if start == state and end != "[*]"}, state


@pytest.mark.parametrize(("title", "number"), [("Runs", 0), ("Steps", 1)])
def test_the_diagram_has_exactly_the_changes_that_the_fold_allows(title: str, number: int):
    inner = {(start, event, end) for start, event, end in drawn(title) if "[*]" not in (start, end)}
    assert inner == possible()[number]


@pytest.mark.parametrize(("title", "states"), [("Runs", RunStatus), ("Steps", StepStatus)])
def test_the_diagram_begins_and_ends_where_runs_and_steps_do(title: str, states: type[RunStatus] | type[StepStatus]):
    arrows = drawn(title)
    assert {start for start, _, end in arrows if end == "[*]"} == {state.value for state in states if state.is_terminal}
    started = fold.fold(
        [Event(run_id=UUID(int=1), sequence=1, type=EventType.RUN_STARTED, at=datetime.now(UTC))], CHAIN
    )
    expected = {started.status} if states is RunStatus else {step.status for step in started.steps}
    assert {(event, end) for start, event, end in arrows if start == "[*]"} == {("RunStarted", end) for end in expected}


def test_the_requests_change_the_runs_that_the_page_says():
    said = {row: quoted(cells[0]) for row, cells in table("What asks for a change").items()}
    names = {"pause": Action.PAUSE, "resume": Action.RESUME, "cancel": Action.CANCEL, "terminate": Action.TERMINATE}
    for name, action in names.items():
        assert said[f"celeriac {name}"] == {status for status in RunStatus if action.applies_to(status)}
