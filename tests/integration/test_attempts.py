"""Claiming steps and recording outcomes: once each, fenced by attempt, whatever happens at the same time."""

import json
from dataclasses import replace
from random import Random

import pytest
import sqlalchemy as sa

from celeriac.worker.invocation import describe_error
from celeriac.workflows.engine.graph import Graph, Node
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.engine.templates import ResultPart
from tests.support.graphs import IRREGULAR, chain_of, fan_of, graph_of
from tests.support.store import ALIVE, DEAD

JOIN = {"a": [], "b": [], "join": ["a", "b"]}


# --- claiming


def test_a_claim_counts_the_attempt_takes_the_lease_and_hands_out_the_input(store):
    run_id = store.start(chain_of(2), '{"order": 7}')
    claim = store.claim(run_id, "s0")
    assert (claim.attempt.attempt, claim.attempt.lease, claim.run_input) == (1, ALIVE, '{"order": 7}')
    assert store.history(run_id) == ["RunStarted", "StepStarted s0 1"]
    assert store.runs.status(run_id) is RunStatus.RUNNING
    step = store.reader.run(run_id).steps[0]
    assert (step.status, step.attempt, step.worker) == ("running", 1, "celery@here:1")
    assert step.started_at is not None


def test_a_claim_hands_out_the_results_of_the_parents_that_are_asked_for(store):
    parents = ["c", "a", "b"]
    arguments = {name: ResultPart(node=name) for name in parents}
    nodes = [*(Node(name=name, task="x") for name in "abc"), Node(name="sum", task="x", arguments=arguments)]
    run_id = store.start(Graph(workflow="w", version="1", nodes=tuple(nodes)))
    for name in parents:
        store.complete(store.take(run_id, name), json.dumps({"from": name}))
    assert store.claim(run_id, "sum", inputs=["c", "a"]).results == {0: '{"from": "a"}', 2: '{"from": "c"}'}


def test_a_step_that_waits_for_a_parent_cannot_be_claimed(store):
    run_id = store.start(graph_of(JOIN))
    store.do(run_id, "a")
    assert store.claim(run_id, "join") is None


@pytest.mark.parametrize("ending", ["running", "completed", "failed"])
def test_a_step_that_is_taken_or_done_cannot_be_claimed_again(store, ending):
    run_id = store.start(graph_of({"a": [], "b": []}))
    attempt = store.take(run_id, "a")
    if ending != "running":
        (store.complete if ending == "completed" else store.fail)(attempt)
    before = store.history(run_id)
    assert store.claim(run_id, "a") is None
    assert store.history(run_id) == before


def test_a_step_is_claimed_once_however_many_try_at_once(store):
    for _ in range(5):
        run_id = store.start(chain_of(1))
        claims = store.at_once([lambda run_id=run_id: store.claim(run_id, "s0")] * 8)
        assert len([claim for claim in claims if claim is not None]) == 1
        assert store.history(run_id) == ["RunStarted", "StepStarted s0 1"]


def test_the_first_claims_of_a_run_at_once_all_succeed(store):
    run_id = store.start(graph_of({name: [] for name in "abcdefgh"}))
    claims = store.at_once([lambda name=name: store.claim(run_id, name) for name in "abcdefgh"])
    assert None not in claims
    assert store.runs.status(run_id) is RunStatus.RUNNING


# --- completing


def test_a_completion_frees_what_waited_for_nothing_else(store):
    run_id = store.start(graph_of(IRREGULAR))
    completion = store.complete(store.take(run_id, "prepare"), '"ready"')
    assert store.names(run_id, completion.ready) == ["a", "b", "c"]
    assert (completion.run_status.accepts_work, completion.run_ended, completion.claimed) == (True, False, None)


def test_validate_of_the_irregular_graph_is_free_while_a_and_b_still_run(store):
    run_id = store.start(graph_of(IRREGULAR))
    store.do(run_id, "prepare")
    attempts = {name: store.take(run_id, name) for name in "abc"}
    assert store.names(run_id, store.complete(attempts["c"]).ready) == ["validate"]
    store.do(run_id, "validate")
    assert store.complete(attempts["a"]).ready == ()
    assert store.names(run_id, store.complete(attempts["b"]).ready) == ["aggregate"]
    assert store.names(run_id, store.complete(store.take(run_id, "aggregate")).ready) == ["notify"]
    assert store.complete(store.take(run_id, "notify")).run_ended


def test_the_last_completion_ends_the_run(store):
    run_id = store.start(graph_of({"a": [], "b": []}))
    first, second = store.take(run_id, "a"), store.take(run_id, "b")
    assert not store.complete(first).run_ended
    assert store.complete(second).run_ended
    view = store.reader.run(run_id)
    assert view.status is RunStatus.COMPLETED
    assert view.finished_at is not None
    assert store.history(run_id)[-2:] == ["StepCompleted b 1", "RunCompleted"]


def test_a_step_completes_once(store):
    run_id = store.start(chain_of(2))
    attempt = store.take(run_id, "s0")
    assert store.complete(attempt, "1") is not None
    assert store.complete(attempt, "2") is None
    assert store.claim(run_id, "s1", inputs=["s0"]).results == {0: "1"}


def test_one_attempt_that_completes_in_many_threads_at_once_counts_once(store):
    run_id = store.start(graph_of(JOIN))
    attempt = store.take(run_id, "a")
    completions = store.at_once([lambda: store.complete(attempt)] * 6)
    assert len([found for found in completions if found is not None]) == 1
    assert store.task(run_id, "join").remaining == 1


def test_stale_attempt_cannot_overwrite_the_result_of_its_successor(store):
    run_id = store.start(chain_of(2))
    zombie = store.take(run_id, "s0", lease=DEAD)
    assert [lost.name for lost in store.lose()] == ["s0"]
    successor = store.take(run_id, "s0")
    assert store.complete(zombie, '"zombie"') is None
    assert store.fail(zombie) is None
    assert store.complete(successor, '"successor"') is not None
    assert store.complete(zombie, '"zombie"') is None
    assert store.claim(run_id, "s1", inputs=["s0"]).results == {0: '"successor"'}
    assert store.history(run_id)[1:5] == [
        "StepStarted s0 1",
        "StepLost s0 1",
        "StepStarted s0 2",
        "StepCompleted s0 2",
    ]


def test_an_attempt_that_was_lost_cannot_commit_even_before_the_next_one_starts(store):
    run_id = store.start(chain_of(1))
    zombie = store.take(run_id, "s0", lease=DEAD)
    store.lose()
    assert store.complete(zombie) is None
    assert store.fail(zombie) is None
    assert store.statuses(run_id) == {"s0": "ready"}


def test_chord_whose_parts_end_at_the_same_time_frees_its_body_once(store):
    """FIELD_FAILURES 1: the header is done, and the body runs exactly once."""
    for _ in range(6):
        run_id = store.start(fan_of(8, join=True))
        store.do(run_id, "first")
        attempts = [store.take(run_id, f"s{i}") for i in range(8)]
        completions = store.at_once([lambda attempt=attempt: store.complete(attempt) for attempt in attempts])
        assert sorted(len(completion.ready) for completion in completions) == [0] * 7 + [1]
        assert store.task(run_id, "join").status == "ready"


def test_chord_part_that_returns_twice_does_not_break_the_count(store):
    """FIELD_FAILURES 1."""
    run_id = store.start(graph_of(JOIN))
    attempt = store.take(run_id, "a")
    store.complete(attempt)
    assert store.complete(attempt) is None
    assert (store.task(run_id, "join").remaining, store.task(run_id, "join").status) == (1, "pending")
    store.do(run_id, "b", "join")


def with_dependents_shuffled(graph: Graph, random: Random) -> Graph:
    """The same graph, except that it names the steps after a step in another order."""
    shuffled = replace(graph)
    dependents = tuple(tuple(random.sample(after, len(after))) for after in graph.dependents)
    vars(shuffled)["dependents"] = dependents  # what the cached property keeps
    assert shuffled.dependents == dependents
    return shuffled


def test_completions_that_wait_for_the_same_steps_in_any_order_do_not_deadlock(store, caplog):
    width = 6
    parents = {f"p{i}": [] for i in range(width)} | {f"c{i}": [f"p{j}" for j in range(width)] for i in range(width)}
    graph = graph_of(parents)
    for round_ in range(5):
        run_id = store.start(graph)
        calls = []
        for i in range(width):
            attempt = store.take(run_id, f"p{i}")
            shuffled = with_dependents_shuffled(graph, Random(round_ * width + i))
            calls.append(lambda attempt=attempt, graph=shuffled: store.attempts.complete(attempt, "null", graph))
        completions = store.at_once(calls)
        assert sorted(len(completion.ready) for completion in completions) == [0] * (width - 1) + [width]
    assert caplog.messages == []  # a deadlock would be waited through, with a warning


def test_the_last_sinks_that_complete_at_once_end_the_run_once(store):
    for _ in range(5):
        run_id = store.start(graph_of({name: [] for name in "abcdef"}))
        attempts = [store.take(run_id, name) for name in "abcdef"]
        completions = store.at_once([lambda attempt=attempt: store.complete(attempt) for attempt in attempts])
        assert sum(completion.run_ended for completion in completions) == 1
        assert store.history(run_id).count("RunCompleted") == 1


@pytest.mark.parametrize(
    "text", ['"\\u0000"', '"\\ud800"', '"é ☃"', "[1.50000000000000000001, 1e400]", '{"a":1,"a":2}']
)
def test_a_result_is_handed_on_as_the_text_that_it_was(store, text):
    run_id = store.start(chain_of(2))
    store.complete(store.take(run_id, "s0"), text)
    assert store.claim(run_id, "s1", inputs=["s0"]).results == {0: text}


# --- failing


def test_a_failure_is_recorded_and_fails_the_run(store):
    run_id = store.start(chain_of(2))
    assert store.fail(store.take(run_id, "s0")) is True
    view = store.reader.run(run_id)
    assert view.status is RunStatus.FAILED
    assert (view.error.type, view.error.message, view.error.step) == ("ValueError", "no stock", "s0")
    assert view.steps[0].error.traceback == "Traceback …"
    assert store.history(run_id)[-2:] == ["StepFailed s0 1", "RunFailed"]


def test_siblings_of_a_failed_step_finish_and_nothing_new_starts(store):
    run_id = store.start(graph_of({"a": [], "b": [], "c": [], "after-b": ["b"]}))
    failing, sibling = store.take(run_id, "a"), store.take(run_id, "b")
    store.fail(failing)
    assert store.claim(run_id, "c") is None
    completion = store.complete(sibling, next_step="after-b")
    assert (completion.run_status.accepts_work, completion.claimed, completion.run_ended) == (False, None, False)
    assert store.claim(run_id, "after-b") is None
    assert store.statuses(run_id) == {"a": "failed", "b": "completed", "c": "ready", "after-b": "ready"}
    assert store.runs.status(run_id) is RunStatus.FAILED


def test_the_first_failure_is_the_runs_and_the_second_only_its_steps(store):
    run_id = store.start(graph_of({"a": [], "b": []}))
    first, second = store.take(run_id, "a"), store.take(run_id, "b")
    assert store.fail(first) is True
    assert store.fail(second) is False
    assert store.reader.run(run_id).error.step == "a"
    assert store.history(run_id).count("RunFailed") == 1


def test_failures_at_once_fail_the_run_once(store):
    """FIELD_FAILURES 4."""
    for _ in range(5):
        run_id = store.start(graph_of({name: [] for name in "abcdef"}))
        attempts = [store.take(run_id, name) for name in "abcdef"]
        ended = store.at_once([lambda attempt=attempt: store.fail(attempt) for attempt in attempts])
        assert sorted(ended) == [False] * 5 + [True]
        assert store.history(run_id).count("RunFailed") == 1


def test_a_failure_beside_the_last_completion_leaves_the_run_in_one_state(store):
    for _ in range(5):
        run_id = store.start(graph_of({"a": [], "b": []}))
        first, second = store.take(run_id, "a"), store.take(run_id, "b")
        store.at_once([lambda first=first: store.fail(first), lambda second=second: store.complete(second)])
        assert store.runs.status(run_id) is RunStatus.FAILED
        assert "RunCompleted" not in store.history(run_id)


def test_late_completion_does_not_change_a_run_that_failed(store):
    """FIELD_FAILURES 22: terminal is final."""
    run_id = store.start(graph_of({"a": [], "b": []}))
    first, second = store.take(run_id, "a"), store.take(run_id, "b")
    store.fail(first)
    finished = store.reader.run(run_id).finished_at
    assert store.complete(second).run_ended is False
    view = store.reader.run(run_id)
    assert (view.status, view.finished_at) == (RunStatus.FAILED, finished)


def test_claims_completions_and_failures_of_one_run_at_once_end_in_a_consistent_history(store):
    """The audit at the end of the test is what it is about."""
    random = Random(4)
    for _ in range(4):
        run_id = store.start(fan_of(8, join=True))
        store.do(run_id, "first")
        taken = [store.take(run_id, f"s{i}") for i in range(4)]
        calls = [lambda attempt=attempt: store.complete(attempt, next_step="join") for attempt in taken[:3]]
        calls += [lambda attempt=taken[3]: store.fail(attempt)]
        calls += [lambda i=i, run_id=run_id: store.claim(run_id, f"s{i}") for i in range(4, 8)]
        random.shuffle(calls)
        store.at_once(calls)
        assert store.audit() == []


@pytest.mark.parametrize("text", ["\x00", "\ud800", "é ☃", "%(x)s"])
def test_any_text_may_be_in_an_error(store, text):
    run_id = store.start(chain_of(1))
    described = describe_error(ValueError(text))
    store.attempts.fail(store.take(run_id, "s0"), described, store.graph(run_id))
    error = store.reader.run(run_id).error
    assert (error.message, error.traceback) == (described["message"], described["traceback"])


# --- in the step's own transaction


def test_what_a_step_did_in_its_transaction_commits_with_its_completion(store):
    store.execute("CREATE TABLE shipments (id integer)")
    run_id = store.start(chain_of(2))
    attempt = store.take(run_id, "s0")
    with store.database.engine.connect() as connection:
        connection.execute(sa.text("INSERT INTO shipments VALUES (1)"))
        completion = store.complete(attempt, transaction=connection)
        assert store.names(run_id, completion.ready) == ["s1"]
        assert store.claim(run_id, "s1") is None, "nothing is free before the commit"
        connection.commit()
    assert store.row("SELECT count(*) AS n FROM shipments").n == 1
    assert store.claim(run_id, "s1") is not None


def test_what_a_superseded_attempt_did_in_its_transaction_is_rolled_back(store):
    store.execute("CREATE TABLE shipments (id integer)")
    run_id = store.start(chain_of(1))
    zombie = store.take(run_id, "s0", lease=DEAD)
    with store.database.engine.connect() as connection:
        connection.execute(sa.text("INSERT INTO shipments VALUES (1)"))
        store.lose()
        assert store.complete(zombie, transaction=connection) is None
    assert store.row("SELECT count(*) AS n FROM shipments").n == 0
