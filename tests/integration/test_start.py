"""Starting a run: one transaction, all or nothing, at most once for each key."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
import sqlalchemy as sa

from celeriac.workflows.engine.graph import Graph, Node
from celeriac.workflows.engine.ids import new_run_id
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.errors import DatabaseUnavailable, IdempotencyKeyReused, UnknownRun
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.stores import Stores
from tests.support.graphs import IRREGULAR, chain_of, fan_of, graph_of
from tests.support.store import scalar_on


def test_a_start_records_the_run_its_steps_and_the_event(store):
    run_id = store.start(graph_of(IRREGULAR), '{"order": 7}', tags={"tenant": "acme"})
    view = store.reader.run(run_id)
    assert (view.workflow, view.version, view.status, view.tags) == ("tested", "1", "pending", {"tenant": "acme"})
    assert (view.started_at, view.finished_at, view.error) == (None, None, None)
    assert [step.name for step in view.steps] == list(IRREGULAR)
    assert [step.parents for step in view.steps] == [tuple(parents) for parents in IRREGULAR.values()]
    assert [step.status.value for step in view.steps] == ["ready"] + ["pending"] * 6
    [event] = store.reader.events(run_id)
    assert (event.type, event.data) == ("RunStarted", {"order": 7})


def test_only_steps_without_parents_are_ready_to_be_dispatched(store):
    run_id = store.start(graph_of({"a": [], "b": ["a"], "c": []}))
    ready = {name: store.task(run_id, name).dispatched_at is not None for name in "abc"}
    assert ready == {"a": True, "b": False, "c": True}


def test_instants_come_from_the_databases_clock(store):
    before = store.reconciling.now()
    view = store.reader.run(store.start(chain_of(1)))
    assert before <= view.created_at <= store.reconciling.now()
    assert view.created_at.tzinfo is not None
    assert abs(view.created_at - datetime.now(UTC)) < timedelta(seconds=5)


def test_options_of_a_step_are_kept_with_its_row(store):
    graph = Graph(
        workflow="w",
        version="1",
        nodes=(
            Node(name="plain", task="do_plain"),
            Node(name="special", task="do_special", queue="slow", priority=6, max_attempts=2),
        ),
    )
    run_id = store.start(graph)
    special, plain = store.task(run_id, "special"), store.task(run_id, "plain")
    assert (special.task_name, special.queue, special.priority, special.max_attempts) == ("do_special", "slow", 6, 2)
    assert (plain.queue, plain.max_attempts) == ("", None)


def test_a_graph_is_kept_once_however_many_runs_are_pinned_to_it(store):
    other = Stores.of(store.database).runs
    for runs in (store.runs, other):
        runs.start(chain_of(3), "{}", tags={})
        runs.start(chain_of(3), "{}", tags={})
    assert store.row("SELECT count(*) AS n FROM workflow_definitions").n == 1


def test_a_run_keeps_the_graph_that_it_started_with_when_the_workflow_changes(store):
    old = store.start(graph_of({"a": [], "b": ["a"]}))
    new = store.start(graph_of({"a": [], "b": ["a"], "c": ["b"]}))
    assert list(store.statuses(old)) == ["a", "b"]
    assert list(store.statuses(new)) == ["a", "b", "c"]
    store.do(old, "a", "b")
    assert store.runs.status(old) is RunStatus.COMPLETED


def test_a_graph_is_read_from_the_database_by_a_store_that_has_not_seen_it(store):
    graph = graph_of(IRREGULAR)
    store.start(graph)
    assert Stores.of(store.database).runs.graph(graph.hash) == graph
    with pytest.raises(LookupError, match="No definition"):
        store.runs.graph("0" * 32)


def test_a_key_starts_one_run_of_a_workflow(store):
    first = store.runs.start(chain_of(2), '{"n": 1}', tags={}, idempotency_key="order-1")
    again = store.runs.start(chain_of(2), '{"n":1}', tags={}, idempotency_key="order-1")
    assert first[1] is True
    assert again == (first[0], False)
    assert store.row("SELECT count(*) AS n FROM workflow_runs").n == 1
    assert store.row("SELECT count(*) AS n FROM workflow_tasks").n == 2


def test_a_key_that_comes_with_other_input_is_refused(store):
    first, _ = store.runs.start(chain_of(2), '{"n": 1}', tags={}, idempotency_key="order-1")
    with pytest.raises(IdempotencyKeyReused) as caught:
        store.runs.start(chain_of(2), '{"n": 2}', tags={}, idempotency_key="order-1")
    assert caught.value.run_id == first
    assert store.reader.events(first)[0].data == {"n": 1}


def test_a_key_goes_by_the_parameters_that_both_versions_have(store):
    """A deploy between two tries must not turn a repeated start into an error."""
    first, _ = store.runs.start(chain_of(2), '{"n": 1}', tags={}, idempotency_key="k")
    assert store.runs.start(chain_of(3), '{"n": 1, "new": 0}', tags={}, idempotency_key="k") == (first, False)
    with pytest.raises(IdempotencyKeyReused):
        store.runs.start(chain_of(3), '{"n": 2, "new": 0}', tags={}, idempotency_key="k")


def test_a_key_counts_for_one_workflow_only(store):
    first, _ = store.runs.start(chain_of(1), "{}", tags={}, idempotency_key="k")
    other, is_new = store.runs.start(chain_of(1, workflow="other"), "{}", tags={}, idempotency_key="k")
    assert is_new
    assert first != other


def test_runs_without_a_key_are_all_new(store):
    assert store.start(chain_of(1)) != store.start(chain_of(1))


def test_many_starts_with_one_key_at_once_make_one_run(store):
    barrier = Barrier(8)

    def start(_):
        barrier.wait(timeout=10)
        return store.runs.start(chain_of(3), "{}", tags={}, idempotency_key="once")

    for key in range(5):
        with ThreadPoolExecutor(8) as pool:
            started = list(pool.map(start, range(8)))
        assert len({run_id for run_id, _ in started}) == 1
        assert sum(is_new for _, is_new in started) == (1 if key == 0 else 0)


def test_a_start_in_the_callers_transaction_commits_with_it(store):
    with store.database.transaction() as connection:
        run_id, _ = store.runs.start(chain_of(2), "{}", tags={}, transaction=scalar_on(connection))
        with pytest.raises(UnknownRun):
            store.runs.status(run_id)  # from outside
    assert store.runs.status(run_id) is RunStatus.PENDING


def test_a_start_in_the_callers_transaction_is_rolled_back_with_it(store):
    with store.database.engine.connect() as connection:
        run_id, _ = store.runs.start(chain_of(2), "{}", tags={}, transaction=scalar_on(connection))
        connection.rollback()
    with pytest.raises(UnknownRun):
        store.runs.status(run_id)
    assert store.row("SELECT count(*) AS n FROM workflow_events").n == 0
    store.start(chain_of(2))  # the graph is kept all the same, so this needs no more than a run


def test_a_start_with_a_key_waits_for_the_transaction_that_uses_the_key(store):
    with ThreadPoolExecutor(1) as pool:
        with store.database.engine.connect() as connection:
            first, _ = store.runs.start(
                chain_of(1), "{}", tags={}, idempotency_key="k", transaction=scalar_on(connection)
            )
            second = pool.submit(store.runs.start, chain_of(1), "{}", tags={}, idempotency_key="k")
            connection.commit()
        assert second.result(timeout=10) == (first, False)
        with store.database.engine.connect() as connection:
            rolled_back, _ = store.runs.start(
                chain_of(1), "{}", tags={}, idempotency_key="l", transaction=scalar_on(connection)
            )
            other = pool.submit(store.runs.start, chain_of(1), "{}", tags={}, idempotency_key="l")
            connection.rollback()
        run_id, is_new = other.result(timeout=10)
        assert is_new
        assert run_id != rolled_back


def test_a_key_that_the_same_transaction_has_used_returns_its_run(store):
    with store.database.transaction() as connection:
        first, _ = store.runs.start(chain_of(1), "{}", tags={}, idempotency_key="k", transaction=scalar_on(connection))
        again = store.runs.start(chain_of(1), "{}", tags={}, idempotency_key="k", transaction=scalar_on(connection))
    assert again == (first, False)


def test_a_run_of_2000_steps_starts_in_one_statement(store):
    run_id = store.start(fan_of(2_000, join=True))
    join = store.task(run_id, "join")
    assert (join.remaining, join.status) == (2_000, "pending")


@pytest.mark.parametrize("text", ["\x00", "\ud800", "é ☃ 🦊", "%s :run %(run)s", "'; DROP TABLE workflow_runs; --"])
def test_any_text_may_be_in_the_input(store, text):
    run_id = store.start(chain_of(1), json.dumps({"text": text}))
    claim = store.claim(run_id, "s0")
    assert json.loads(claim.run_input) == {"text": text}


def test_the_input_is_stored_as_the_text_that_it_was(store):
    text = '{"amount": 1.50000000000000000001, "a": 1, "a": 2}'
    assert store.claim(store.start(chain_of(1), text), "s0").run_input == text


def test_bad_input_that_reaches_the_database_all_the_same_leaves_nothing_behind(store):
    with pytest.raises(sa.exc.DataError):
        store.start(chain_of(1), "{")
    assert store.row("SELECT count(*) AS n FROM workflow_runs").n == 0
    assert store.row("SELECT count(*) AS n FROM workflow_tasks").n == 0


def test_a_run_that_is_not_there_is_unknown(store):
    missing = new_run_id()
    for ask in (store.runs.status, store.reader.run, store.reader.projections):
        with pytest.raises(UnknownRun, match=str(missing)):
            ask(missing)
    assert store.reader.events(missing) == []


def test_a_database_that_does_not_answer_is_named(store):
    gone = Database("postgresql://u:hunter2@127.0.0.1:1/nowhere")
    with pytest.raises(DatabaseUnavailable, match="127.0.0.1:1/nowhere") as caught:
        Stores.of(gone).runs.start(chain_of(1), "{}", tags={})
    assert "hunter2" not in str(caught.value)
