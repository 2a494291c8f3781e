"""The audit finds whatever does not follow from the history."""

import pytest

from celeriac.workflows.client.audit import Audit
from celeriac.workflows.engine.ids import new_run_id
from celeriac.workflows.errors import UnknownRun
from tests.support.graphs import graph_of
from tests.support.store import DEAD

SHAPE = {"a": [], "b": ["a"], "c": ["a"], "join": ["b", "c"]}


def under_way(store):
    """A run with a step in each state but failed."""
    run_id = store.start(graph_of(SHAPE))
    store.do(run_id, "a")
    store.take(run_id, "b")
    return run_id


def found(store, run_id) -> list[str]:
    [(audited, wrong)] = Audit(store.reader, store.runs).audit([run_id])
    assert audited == run_id
    assert all(discrepancy.run_id == run_id for discrepancy in wrong)
    return [discrepancy.what for discrepancy in wrong]


def test_a_run_in_any_state_is_clean_when_nobody_meddled(store):
    run_id = under_way(store)
    assert found(store, run_id) == []
    lost = store.start(graph_of(SHAPE, max_attempts=1))
    store.take(lost, "a", lease=DEAD)
    store.lose()
    assert found(store, lost) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("remaining = 2", "the run's remaining is 2; by its events it is 1"),
        (
            "status = 'pending'",
            "the run's status is 'pending'; by its events it is <RunStatus.RUNNING: 'running'>",
        ),
        ("status = 'failed', ended_by = 1", "the run's ended_by is 1; by its events it is None"),
        ("status = 'completed', remaining = 0, ended_by = 1", "the run's remaining is 0; by its events it is 1"),
    ],
)
def test_damage_to_the_row_of_a_run_is_found(store, change, expected):
    run_id = under_way(store)
    store.damage(f"UPDATE workflow_runs SET {change} WHERE id = :run", run=run_id)
    assert expected in found(store, run_id)


@pytest.mark.parametrize(
    ("step", "change", "expected"),
    [
        ("join", "remaining = 1", "step 'join': remaining is 1; by its events it is 2"),
        ("join", "remaining = 0, status = 'ready'", "step 'join': remaining is 0; by its events it is 2"),
        ("b", "attempt = 7", "step 'b': attempt is 7; by its events it is 1"),
        ("b", "lost = 1", "step 'b': lost is 1; by its events it is 0"),
        ("a", "ended_by = 1", "step 'a': ended_by is 1; by its events it is "),
        ("b", "status = 'ready'", "step 'b': status is 'ready'; by its events it is "),
        ("c", "status = 'running', lease = 'x'", "step 'c': status is 'running'; by its events it is "),
        ("b", "status = 'completed', ended_by = 1", "step 'b': status is 'completed'; by its events it is "),
        ("a", "status = 'failed'", "step 'a': status is 'failed'; by its events it is "),
    ],
)
def test_damage_to_the_row_of_a_step_is_found(store, step, change, expected):
    run_id = under_way(store)
    store.damage(f"UPDATE workflow_tasks SET {change} WHERE run_id = :run AND name = :step", run=run_id, step=step)
    assert any(what.startswith(expected) for what in found(store, run_id))


def test_a_step_whose_row_is_gone_is_found(store):
    run_id = under_way(store)
    store.damage("DELETE FROM workflow_tasks WHERE run_id = :run AND name = 'c'", run=run_id)
    assert found(store, run_id) == ["the run has 3 steps; its graph has 4"]


def test_a_graph_that_is_gone_is_found(store):
    run_id = under_way(store)
    store.damage("DELETE FROM workflow_definitions")
    store.runs._graphs.clear()
    assert found(store, run_id) == [f"No definition '{graph_of(SHAPE).hash}' in this database"]


def test_a_run_pinned_to_another_graph_is_found(store):
    run_id = under_way(store)
    other = store.start(graph_of({"a": [], "b": []}))
    store.damage(
        "UPDATE workflow_runs SET graph_hash = :other WHERE id = :run",
        run=run_id,
        other=store.reader.run(other).graph_hash,
    )
    assert any("the run has 4 steps; its graph has 2" in what for what in found(store, run_id))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("'StepCompleted', 0, 1", "on step 'a', which is completed"),
        ("'StepStarted', 3, 1", "on step 'join', which is pending"),
        ("'StepCompleted', 1, 9", "on attempt 9 of 'b', superseded by 1"),
        ("'RunCompleted', NULL, NULL", "on a running run"),
        ("'RunStarted', NULL, NULL", "RunStarted as event number 5 of the run"),
    ],
)
def test_an_event_that_cannot_be_is_found(store, event, expected):
    run_id = under_way(store)
    store.damage(f"INSERT INTO workflow_events (run_id, type, position, attempt) VALUES (:run, {event})", run=run_id)
    [what] = found(store, run_id)
    assert expected in what


def test_an_event_that_the_projections_do_not_know_is_found(store):
    run_id = under_way(store)
    store.damage(
        "INSERT INTO workflow_events (run_id, type, position, attempt) VALUES (:run, 'StepCompleted', 1, 1)",
        run=run_id,
    )
    wrong = found(store, run_id)
    assert any(what.startswith("step 'b': status is 'running'") for what in wrong)
    assert any(what.startswith("step 'join': remaining is 2; by its events it is 1") for what in wrong)


def test_a_run_whose_events_are_all_gone_is_found(store):
    run_id = new_run_id()
    graph = graph_of({"a": []})
    store.start(graph)
    store.damage(
        "INSERT INTO workflow_runs (id, workflow, version, graph_hash, status, remaining)"
        " VALUES (:run, 'tested', '1', :hash, 'pending', 1)",
        run=run_id,
        hash=graph.hash,
    )
    assert found(store, run_id) != []


def test_only_the_run_that_is_damaged_is_named(store):
    runs = [under_way(store) for _ in range(3)]
    store.damage("UPDATE workflow_runs SET remaining = 2 WHERE id = :run", run=runs[1])
    assert [discrepancy.run_id for discrepancy in store.audit()] == [runs[1]]


def test_a_run_that_is_not_there_cannot_be_audited(store):
    with pytest.raises(UnknownRun):
        list(Audit(store.reader, store.runs).audit([new_run_id()]))


def test_an_audit_beside_workers_that_go_on_is_clean(store):
    runs = [store.start(graph_of(SHAPE)) for _ in range(10)]

    def work():
        for run_id in runs:
            store.do(run_id, *SHAPE)

    def audit():
        return [wrong for _ in range(8) for wrong in store.audit()]

    assert store.at_once([work, audit, audit])[1:] == [[], []]


def test_each_run_is_audited_however_many_there_are(store, monkeypatch):
    monkeypatch.setattr("celeriac.workflows.history.reader._CHUNK", 2)
    runs = [store.start(graph_of(SHAPE)) for _ in range(5)]
    assert [run_id for run_id, _ in Audit(store.reader, store.runs).audit(store.reader.ids())] == sorted(runs)
