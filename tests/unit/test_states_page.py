"""docs/states.md says what the code does: its tables and diagrams against the states and the fold."""

import itertools
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest

from celeriac.workflows.client.control import Action
from celeriac.workflows.engine import fold
from celeriac.workflows.engine.events import Event, EventType
from celeriac.workflows.engine.fold import IllegalEvent, RunState, StepState
from celeriac.workflows.engine.graph import (
    FailurePolicy,
    Graph,
    Needs,
    Node,
)
from celeriac.workflows.engine.progress import initial_steps
from celeriac.workflows.engine.states import RunStatus, StepStatus
from tests.support.graphs import graph_of
from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "states.md").read_text()
CHAIN = graph_of({"a": [], "b": ["a"]})
SAGA = Graph(
    workflow="tested",
    version="1",
    nodes=(
        Node(name="a", task="a"),
        Node(name="b", task="b", after=("a",)),
        Node(name="a.compensate", task="undo", compensates="a"),
        Node(name="b.compensate", task="undo", compensates="b"),
        Node(name="on_complete", task="praise", hook="on_complete"),
        Node(name="on_failure", task="alert", hook="on_failure"),
    ),
    saga=True,
)
HOOKED = Graph(
    workflow="tested",
    version="1",
    nodes=(
        Node(name="a", task="a"),
        Node(name="b", task="b", after=("a",)),
        Node(name="b.on_error", task="mend", handles="b"),
        Node(name="on_complete", task="praise", hook="on_complete"),
        Node(name="on_failure", task="alert", hook="on_failure"),
    ),
)
RULES = Graph(
    workflow="tested",
    version="1",
    nodes=(
        Node(name="a", task="a"),
        Node(name="b", task="b", after=("a",)),
        Node(name="c", task="c", after=("b",), needs=Needs.ALL_DONE),
    ),
    failure_policy=FailurePolicy.CONTINUE,
)
LATER = [kind for kind in EventType if kind is not EventType.RUN_STARTED]  # which comes first, and only once
OF_STEPS = [kind for kind in LATER if kind.startswith("Step")]
OF_RUNS = [kind for kind in LATER if kind not in OF_STEPS]
UPSTREAM_FAILED, SKIPPED = StepStatus.UPSTREAM_FAILED, StepStatus.SKIPPED
CALLED = [status for status in StepStatus if status is not StepStatus.DORMANT]
UNDOING = [status for status in StepStatus if status not in (UPSTREAM_FAILED, SKIPPED)]
HOOKS = [status for status in UNDOING if status is not StepStatus.PENDING]
FIRST = [status for status in HOOKS if status is not StepStatus.DORMANT]
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


def event(kind: EventType, position: int, attempt: int, data: dict[str, object]) -> Event:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    return Event(run_id=UUID(int=1), sequence=7, type=kind, at=at, position=position, attempt=attempt, data=data)


def run_of(graph: Graph, position: int, status: RunStatus, step: StepState, **fields: Any) -> RunState:
    """A run in which one step is in some state, and the others are in one that goes with it."""
    steps = [StepState(remaining=other.remaining, status=other.status) for other in initial_steps(graph)]
    steps[position] = step
    done = StepStatus.COMPLETED
    if graph is CHAIN or (graph is SAGA and position == 0):
        steps[1].status = StepStatus.READY if step.status is done else StepStatus.PENDING
    elif graph is SAGA:
        steps[0].status = steps[1].status = done
        if position == 3 and step.status is not StepStatus.DORMANT:
            steps[2] = StepState(remaining=1)
    elif graph is RULES:
        steps[0].status = {StepStatus.PENDING: StepStatus.RUNNING, UPSTREAM_FAILED: StepStatus.FAILED}.get(
            step.status, done
        )
        steps[2].status = StepStatus.READY if step.status.is_terminal else StepStatus.PENDING
    elif position == 2:  # the error handler
        steps[0].status = StepStatus.FAILED if step.status is SKIPPED else done
        handled = {StepStatus.PENDING: StepStatus.RUNNING, SKIPPED: UPSTREAM_FAILED}
        steps[1].status = handled.get(step.status, StepStatus.FAILED)
    else:
        steps[0].status, steps[1].status, steps[2].status = done, StepStatus.FAILED, StepStatus.FAILED
    return RunState(status=status, steps=steps, **{"remaining": 0, **fields})


CASES = [
    (CHAIN, 0, FIRST),
    (SAGA, 0, FIRST),
    (SAGA, 3, UNDOING),
    (HOOKED, 2, [status for status in CALLED if status is not UPSTREAM_FAILED]),
    (HOOKED, 4, HOOKS),
    (RULES, 1, [status for status in CALLED if status is not SKIPPED]),
]


def situations() -> Iterator[tuple[Graph, RunState, Event]]:
    """States of a run and of one of its steps, each with an event that may or may not be able to happen then."""
    for graph, position, step_statuses in CASES:
        for status, step_status, kind, left, made, named in itertools.product(
            RunStatus, step_statuses, OF_RUNS, (0, 1), (0, 1), ([], [0], [1], [3], [3, 2])
        ):
            step = StepState(remaining=int(step_status is StepStatus.PENDING), status=step_status, attempt=made)
            run = run_of(graph, position, status, step, remaining=left, compensations=left)
            yield graph, run, event(kind, position, made, {"steps": named})
        for status, step_status, kind, made, attempt, lost, data, verdict in itertools.product(
            RunStatus,
            step_statuses,
            OF_STEPS,
            (0, 1),
            (0, 1),
            (0, 1),
            ({}, {"retry_at": "noon"}),
            (UPSTREAM_FAILED, SKIPPED),
        ):
            step = StepState(remaining=0, status=step_status, attempt=made, lost=lost)
            decided = {position: verdict} if step_status is StepStatus.PENDING and graph.parents[position] else {}
            run = run_of(graph, position, status, step, remaining=2, compensations=2, plan=[3, 2], decided=decided)
            yield graph, run, event(kind, position, made + attempt, data)


def possible() -> tuple[set[Arrow], set[Arrow]]:
    """All changes of the states of runs and of steps that the fold allows, tried one by one."""
    of_runs, of_steps = set[Arrow](), set[Arrow]()
    for graph, run, happening in situations():
        was, steps_were = run.status, [step.status for step in run.steps]
        try:
            fold.apply(run, happening, graph)
        except IllegalEvent:
            continue
        of_runs.add((was, happening.type, run.status))
        for step_was, step in zip(steps_were, run.steps, strict=True):
            of_steps.add((step_was, happening.type, step.status))
    return {arrow for arrow in of_runs if arrow[0] != arrow[2]}, {arrow for arrow in of_steps if arrow[0] != arrow[2]}


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
    started = fold.fold([event(EventType.RUN_STARTED, 0, 0, {})], SAGA)
    expected = {started.status} if states is RunStatus else {step.status for step in started.steps}
    assert {(event, end) for start, event, end in arrows if start == "[*]"} == {("RunStarted", end) for end in expected}


def test_the_requests_change_the_runs_that_the_page_says():
    said = {row: quoted(cells[0]) for row, cells in table("Requests").items()}
    names = {"pause": Action.PAUSE, "resume": Action.RESUME, "cancel": Action.CANCEL, "terminate": Action.TERMINATE}
    for name, action in names.items():
        assert said[f"celeriac {name}"] == {status for status in RunStatus if action.applies_to(status)}
