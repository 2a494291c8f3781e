"""The fold: what a history amounts to, and which histories there cannot be."""

from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.workflows.engine.events import Event, EventType
from celeriac.workflows.engine.fold import IllegalEvent, RunState, fold
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.states import RunStatus, StepStatus
from tests.support.graphs import chain_of, graph_of, graphs

RUN = UUID("0197a1b2-1111-7222-8333-444455556666")
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
JOIN = graph_of({"a": [], "b": [], "join": ["a", "b"]})


class Story:
    """Events, told one after another."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.tell(EventType.RUN_STARTED)

    def tell(self, kind: EventType, position: int | None = None, attempt: int | None = None) -> int:
        sequence = len(self.events) + 1
        self.events.append(Event(run_id=RUN, sequence=sequence, type=kind, at=NOON, position=position, attempt=attempt))
        return sequence

    def started(self, position: int, attempt: int = 1) -> "Story":
        self.tell(EventType.STEP_STARTED, position, attempt)
        return self

    def completed(self, position: int, attempt: int = 1) -> "Story":
        self.tell(EventType.STEP_COMPLETED, position, attempt)
        return self

    def failed(self, position: int, attempt: int = 1) -> "Story":
        self.tell(EventType.STEP_FAILED, position, attempt)
        return self

    def lost(self, position: int, attempt: int = 1) -> "Story":
        self.tell(EventType.STEP_LOST, position, attempt)
        return self

    def run_completed(self) -> "Story":
        self.tell(EventType.RUN_COMPLETED)
        return self

    def run_failed(self) -> "Story":
        self.tell(EventType.RUN_FAILED)
        return self


def statuses(state: RunState) -> list[str]:
    return [step.status.value for step in state.steps]


def test_a_run_that_was_started_is_pending_and_its_first_steps_are_ready():
    state = fold(Story().events, JOIN)
    assert (state.status, state.remaining, state.ended_by) == (RunStatus.PENDING, 1, None)
    assert statuses(state) == ["ready", "ready", "pending"]
    assert [step.remaining for step in state.steps] == [0, 0, 2]


def test_the_first_claim_makes_the_run_running():
    state = fold(Story().started(1).events, JOIN)
    assert state.status is RunStatus.RUNNING
    assert (state.steps[1].status, state.steps[1].attempt) == (StepStatus.RUNNING, 1)


def test_a_join_is_ready_when_its_last_parent_completed():
    story = Story().started(0).started(1).completed(0)
    assert statuses(fold(story.events, JOIN)) == ["completed", "running", "pending"]
    story.completed(1)
    assert statuses(fold(story.events, JOIN)) == ["completed", "completed", "ready"]


def test_a_run_is_completed_by_its_own_event():
    story = Story().started(0).completed(0).started(1).completed(1)
    assert fold(story.events, chain_of(2)).status is RunStatus.RUNNING
    state = fold(story.run_completed().events, chain_of(2))
    assert (state.status, state.remaining, state.ended_by) == (RunStatus.COMPLETED, 0, 6)
    assert [step.ended_by for step in state.steps] == [3, 5]


def test_siblings_of_a_failed_step_may_finish():
    story = Story().started(0).started(1).failed(0).run_failed().completed(1)
    state = fold(story.events, JOIN)
    assert (state.status, state.ended_by) == (RunStatus.FAILED, 5)
    assert statuses(state) == ["failed", "completed", "pending"]


def test_a_lost_step_is_ready_again_and_its_next_attempt_counts_on():
    state = fold(Story().started(0).lost(0).started(0, 2).events, chain_of(1))
    assert (state.steps[0].status, state.steps[0].attempt, state.steps[0].lost) == (StepStatus.RUNNING, 2, 1)


def test_a_step_that_lost_too_many_attempts_fails_after_the_loss():
    state = fold(Story().started(0).lost(0).failed(0).run_failed().events, chain_of(1))
    assert (state.steps[0].status, state.steps[0].lost, state.steps[0].ended_by) == (StepStatus.FAILED, 1, 4)


ILLEGAL = {
    "nothing comes before the start": (lambda s: s.events.pop() and s.started(0), "StepStarted as event number 1"),
    "a run starts once": (lambda s: s.tell(EventType.RUN_STARTED), "RunStarted as event number 2"),
    "a step waits for its parents": (lambda s: s.started(2), "'join', which is pending"),
    "a running step is not started again": (lambda s: s.started(0).started(0, 2), "'a', which is running"),
    "a completed step is not started again": (
        lambda s: s.started(0).completed(0).started(0, 2),
        "'a', which is completed",
    ),
    "attempts are counted one by one": (lambda s: s.started(0, 2), "attempt 2 after 0 of 'a'"),
    "a step completes once": (lambda s: s.started(0).completed(0).completed(0), "'a', which is completed"),
    "a step that has not started does not complete": (lambda s: s.completed(0, 0), "'a', which is ready"),
    "a failed step does not complete": (lambda s: s.started(0).failed(0).completed(0), "'a', which is failed"),
    "a superseded attempt does not complete": (
        lambda s: s.started(0).lost(0).started(0, 2).completed(0, 1),
        "attempt 1 of 'a', superseded by 2",
    ),
    "a superseded attempt does not fail": (
        lambda s: s.started(0).lost(0).started(0, 2).failed(0, 1),
        "attempt 1 of 'a', superseded by 2",
    ),
    "a lost attempt does not complete": (lambda s: s.started(0).lost(0).completed(0), "'a', which is ready"),
    "an attempt is lost once": (lambda s: s.started(0).lost(0).lost(0), "'a', which is ready"),
    "a step that lost no attempt does not fail before it starts": (lambda s: s.failed(0, 0), "'a', which is ready"),
    "a run does not complete while something remains": (lambda s: s.started(0).run_completed(), "a running run"),
    "a failed run does not complete": (lambda s: s.started(0).failed(0).run_failed().run_completed(), "a failed run"),
    "a run fails once": (lambda s: s.started(0).failed(0).run_failed().run_failed(), "a failed run"),
    "a step is one of the graph": (lambda s: s.started(3), "not in the graph"),
    "an event of a step names it": (lambda s: s.tell(EventType.STEP_STARTED), "not in the graph"),
}


@pytest.mark.parametrize("rule", ILLEGAL)
def test_a_history_that_cannot_be_is_refused(rule):
    tell, message = ILLEGAL[rule]
    story = Story()
    tell(story)
    with pytest.raises(IllegalEvent, match=message):
        fold(story.events, JOIN)


def a_history(graph: Graph, random: Random) -> tuple[list[Event], RunState]:
    """Return a random legal history, some of it perhaps failed, and the state that it should lead to."""
    story = Story()
    run = fold(story.events, graph)
    while not run.status.is_terminal or random.random() < 0.5:
        able = [i for i, s in enumerate(run.steps) if s.status is StepStatus.RUNNING]
        if not run.status.is_terminal:
            able += [i for i, s in enumerate(run.steps) if s.status is StepStatus.READY]
        if not able:
            break
        position = random.choice(able)
        step = run.steps[position]
        if step.status is StepStatus.READY:
            step.attempt += 1
            story.started(position, step.attempt)
            step.status = StepStatus.RUNNING
            if run.status is RunStatus.PENDING:
                run.status = RunStatus.RUNNING
        elif (chance := random.random()) > 0.9:
            story.lost(position, step.attempt)
            step.status, step.lost = StepStatus.READY, step.lost + 1
        elif chance > 0.85:
            step.ended_by = story.tell(EventType.STEP_FAILED, position, step.attempt)
            step.status = StepStatus.FAILED
            run.remaining -= position in graph.sinks
            run.unhandled_failures += position in graph.sinks
            if not run.status.is_terminal:
                run.status, run.ended_by = RunStatus.FAILED, story.tell(EventType.RUN_FAILED)
        else:
            step.ended_by = story.tell(EventType.STEP_COMPLETED, position, step.attempt)
            step.status = StepStatus.COMPLETED
            for child in graph.dependents[position]:
                run.steps[child].remaining -= 1
                if not run.steps[child].remaining:
                    run.steps[child].status = StepStatus.READY
            run.remaining -= position in graph.sinks
            if not run.remaining and not run.status.is_terminal:
                run.status, run.ended_by = RunStatus.COMPLETED, story.tell(EventType.RUN_COMPLETED)
    return story.events, run


@given(graphs(12), st.randoms(use_true_random=False))
def test_a_legal_history_leads_to_the_state_that_it_was_made_from(graph, random):
    events, state = a_history(graph, random)
    assert fold(events, graph) == state


@given(graphs(12), st.randoms(use_true_random=False))
def test_every_beginning_of_a_legal_history_is_legal(graph, random):
    events, _ = a_history(graph, random)
    for length in range(1, len(events)):
        fold(events[:length], graph)


@given(graphs(12), st.randoms(use_true_random=False))
def test_no_event_of_a_legal_history_can_happen_twice(graph, random):
    events, _ = a_history(graph, random)
    number = random.randrange(len(events))
    with pytest.raises(IllegalEvent):
        fold([*events[: number + 1], replace(events[number]), *events[number + 1 :]], graph)


@given(graphs(12), st.randoms(use_true_random=False))
def test_independent_events_may_stand_in_either_order(graph, random):
    events, state = a_history(graph, random)
    for number in range(1, len(events) - 1):
        first, second = events[number : number + 2]
        if first.position is None or second.position is None or first.position == second.position:
            continue
        if first.position in graph.parents[second.position]:
            continue
        assert fold([*events[:number], second, first, *events[number + 2 :]], graph) == state


@given(graphs(12), st.randoms(use_true_random=False))
def test_nothing_leads_out_of_a_terminal_state(graph, random):
    events, _ = a_history(graph, random)
    ended: dict[int | None, object] = {}
    for length in range(1, len(events) + 1):
        state = fold(events[:length], graph)
        found = {None: state.status, **{i: step.status for i, step in enumerate(state.steps)}}
        for what, status in ended.items():
            assert found[what] is status
        ended = {what: status for what, status in found.items() if status.is_terminal}
