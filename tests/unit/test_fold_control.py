"""Folding the events of control and retries: accepted where they may stand, else refused."""

from typing import Any

import pytest

from celeriac.workflows.engine.events import Event, EventType
from celeriac.workflows.engine.fold import IllegalEvent, fold
from celeriac.workflows.engine.states import RunStatus
from tests.support.graphs import chain_of, graph_of
from tests.unit.test_fold import NOON, RUN, Story, statuses

PAIR = graph_of({"a": [], "b": ["a"]})
E = EventType


def state(*told: Any):
    """Fold a story: event types, with position and attempt or with data where they have them."""
    story = Story()
    for item in told:
        kind, *more = item if isinstance(item, tuple) else (item,)
        data = more.pop() if more and isinstance(more[-1], dict) else {}
        story.tell(kind, *more)
        last = story.events[-1]
        story.events[-1] = Event(
            run_id=RUN,
            sequence=last.sequence,
            type=kind,
            at=NOON,
            position=last.position,
            attempt=last.attempt,
            data=data,
        )
    return fold(story.events, PAIR)


STARTED = (E.STEP_STARTED, 0, 1)
FAILED = (E.STEP_FAILED, 0, 1)
WAITS = (E.STEP_FAILED, 0, 1, {"retry_at": "2026-01-02T12:00:02+00:00"})
FIRED = (E.STEP_RETRY_DUE, 0, 1)
COMPLETED = (E.STEP_COMPLETED, 0, 1)
RETURNED = (E.STEP_RELEASED, 0, 1)
AGAIN = (E.RUN_RETRIED, {"steps": [0]})


@pytest.mark.parametrize(
    ("told", "run", "steps"),
    [
        ([STARTED, WAITS], "running", ["retrying", "pending"]),
        ([STARTED, WAITS, FIRED], "running", ["ready", "pending"]),
        ([STARTED, WAITS, FIRED, (E.STEP_STARTED, 0, 2)], "running", ["running", "pending"]),
        ([STARTED, (E.STEP_FAILED, 0, 1, {"retry_at": None})], "running", ["failed", "pending"]),
        ([STARTED, RETURNED], "running", ["ready", "pending"]),
        ([STARTED, RETURNED, (E.STEP_STARTED, 0, 2)], "running", ["running", "pending"]),
        ([E.RUN_PAUSED], "paused", ["ready", "pending"]),
        ([E.RUN_PAUSED, E.RUN_RESUMED], "pending", ["ready", "pending"]),
        ([STARTED, E.RUN_PAUSED, E.RUN_RESUMED], "running", ["running", "pending"]),
        ([STARTED, E.RUN_PAUSED, COMPLETED], "paused", ["completed", "ready"]),
        ([STARTED, E.RUN_PAUSED, FAILED, E.RUN_FAILED], "failed", ["failed", "pending"]),
        ([E.RUN_CANCELLED], "cancelled", ["ready", "pending"]),
        ([E.RUN_PAUSED, E.RUN_TERMINATED], "terminated", ["ready", "pending"]),
        ([STARTED, E.RUN_CANCELLED, COMPLETED], "cancelled", ["completed", "ready"]),
        ([STARTED, WAITS, E.RUN_CANCELLED], "cancelled", ["retrying", "pending"]),
        ([STARTED, FAILED, E.RUN_FAILED, AGAIN], "running", ["ready", "pending"]),
        ([E.RUN_FAILED, (E.RUN_RETRIED, {"steps": []})], "pending", ["ready", "pending"]),
        ([(E.STEP_REUSED, 0, 0)], "pending", ["completed", "ready"]),
    ],
)
def test_each_event_leads_to_its_state(told, run, steps):
    folded = state(*told)
    assert (folded.status, statuses(folded)) == (run, steps)
    assert (folded.ended_by is not None) == RunStatus(run).is_terminal


@pytest.mark.parametrize(
    "told",
    [
        [FIRED],
        [STARTED, FIRED],
        [STARTED, WAITS, FIRED, FIRED],
        [STARTED, WAITS, (E.STEP_RETRY_DUE, 0, 2)],
        [STARTED, WAITS, (E.STEP_STARTED, 0, 2)],
        [STARTED, WAITS, COMPLETED],
        [STARTED, WAITS, FAILED],
        [RETURNED],
        [STARTED, COMPLETED, RETURNED],
        [STARTED, RETURNED, COMPLETED],
        [E.RUN_PAUSED, E.RUN_PAUSED],
        [E.RUN_RESUMED],
        [STARTED, E.RUN_RESUMED],
        [E.RUN_CANCELLED, E.RUN_CANCELLED],
        [E.RUN_CANCELLED, E.RUN_TERMINATED],
        [E.RUN_CANCELLED, E.RUN_PAUSED],
        [E.RUN_CANCELLED, E.RUN_RESUMED],
        [E.RUN_CANCELLED, E.RUN_COMPLETED],
        [E.RUN_FAILED, E.RUN_CANCELLED],
        [AGAIN],
        [E.RUN_CANCELLED, AGAIN],
        [STARTED, E.RUN_FAILED, AGAIN],
        [STARTED, (E.STEP_REUSED, 0, 1)],
    ],
)
def test_an_event_that_cannot_follow_is_refused(told):
    with pytest.raises(IllegalEvent):
        state(*told)


def test_a_retried_run_forgets_the_losses_of_its_failed_steps():
    lost = (E.STEP_LOST, 0, 1)
    folded = state(STARTED, lost, FAILED, E.RUN_FAILED, AGAIN)
    assert (folded.steps[0].lost, folded.steps[0].ended_by, folded.ended_by) == (0, None, None)


def test_a_run_completes_while_it_is_paused():
    story = Story().started(0)
    story.tell(E.RUN_PAUSED)
    story.completed(0).run_completed()
    assert fold(story.events, chain_of(1)).status is RunStatus.COMPLETED
