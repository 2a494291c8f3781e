"""The reconciler: lost attempts, stalled runs, and passes beside each other."""

from dataclasses import replace

import pytest

from celeriac.worker.reconciler.reconciler import Reconciled
from celeriac.worker.reconciler.stalled import STALLED_EVERY_SECONDS
from celeriac.worker.reconciler.watermark import WATERMARK_DELAY
from celeriac.workflows.engine.ids import task_id
from celeriac.workflows.errors import DatabaseUnavailable
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.stores import Stores
from tests.support.graphs import IRREGULAR, chain_of, fan_of, graph_of
from tests.support.reconciling import MINUTES, NOTHING
from tests.support.store import DEAD

# --- workers that are lost


def test_a_step_whose_worker_died_is_ready_again_and_sent(fleet):
    run_id = fleet.start(chain_of(2))
    fleet.broker.take()
    fleet.store.take(run_id, "s0", lease=DEAD)
    assert fleet.reconciler.run_once() == Reconciled(lost=1)
    assert fleet.broker.steps() == ["s0"]
    assert fleet.store.take(run_id, "s0").attempt == 2


def test_a_step_that_lost_too_many_attempts_fails_with_its_run(fleet):
    run_id = fleet.start(chain_of(2))
    fleet.broker.flush()
    for done in (Reconciled(lost=1), Reconciled(lost=1, failed=1)):
        fleet.store.take(run_id, "s0", lease=DEAD)
        assert fleet.make_reconciler(max_lost_attempts=2).run_once() == done
    assert fleet.store.reader.run(run_id).error.type == "WorkerLost"
    assert fleet.broker.queues() == {"celery": 1}


def test_a_step_that_was_lost_after_its_run_failed_is_not_sent(fleet):
    run_id = fleet.start(graph_of({"a": [], "b": []}))
    fleet.broker.flush()
    failing = fleet.store.take(run_id, "a")
    fleet.store.take(run_id, "b", lease=DEAD)
    fleet.store.fail(failing)
    assert fleet.reconciler.run_once() == Reconciled(lost=1)
    assert fleet.look_twice(MINUTES) == NOTHING
    assert fleet.broker.queues() == {}


def test_no_step_is_lost_while_its_worker_renews(fleet):
    run_id = fleet.start(chain_of(1))
    fleet.broker.take()
    fleet.store.take(run_id, "s0")
    assert fleet.look_twice(MINUTES) == NOTHING


def test_no_step_is_lost_right_after_postgres_started(fleet):
    """FIELD_FAILURES 23."""
    run_id = fleet.start(chain_of(1))
    fleet.broker.take()
    fleet.store.take(run_id, "s0", lease=DEAD)
    assert fleet.make_reconciler(lease_seconds=1_000_000).run_once() == NOTHING


# --- counts


def test_a_run_that_stalls_on_a_wrong_count_is_counted_again(fleet):
    """FIELD_FAILURES 1: whatever made the count wrong, the chord's body runs."""
    run_id = fleet.start(fan_of(3, join=True))
    fleet.store.execute("UPDATE workflow_tasks SET remaining = remaining + 1 WHERE name = 'join'")
    fleet.store.do(run_id, "first", "s0", "s1", "s2")
    fleet.broker.flush()
    assert fleet.store.statuses(run_id)["join"] == "pending"
    assert fleet.reconciler.run_once() == Reconciled(recounted=1)
    assert fleet.store.statuses(run_id)["join"] == "ready"
    assert fleet.look_twice() == Reconciled(redispatched=1)
    assert fleet.broker.steps() == ["join"]
    fleet.store.do(run_id, "join")
    assert fleet.store.runs.status(run_id) == "completed"


def test_stalled_runs_are_looked_for_now_and_then(fleet, monkeypatch):
    clock = 1_000_000.0
    monkeypatch.setattr("celeriac.worker.reconciler.stalled.time.monotonic", lambda: clock)
    fleet.reconciler.run_once()
    run_id = fleet.start(chain_of(2))
    fleet.store.execute("UPDATE workflow_tasks SET remaining = 2 WHERE name = 's1'")
    fleet.store.do(run_id, "s0")
    fleet.broker.flush()
    assert fleet.reconciler.run_once() == NOTHING
    clock += STALLED_EVERY_SECONDS + 1
    assert fleet.reconciler.run_once() == Reconciled(recounted=1)


# --- more than one reconciler, and a database that is away


def test_two_reconcilers_at_once_send_each_step_once(fleet):
    for _ in range(5):
        fleet.start(fan_of(4, join=True), publish=False)
        fleet.start(graph_of({name: [] for name in "abcd"}), publish=False)
    fleet.store.execute("UPDATE workflow_tasks SET dispatched_at = dispatched_at - interval '1 minute'")
    reconcilers = [fleet.make_reconciler() for _ in range(3)]
    now = fleet.store.reconciling.now()
    for reconciler in reconcilers:
        assert reconciler.run_once(now - WATERMARK_DELAY) == NOTHING
    done = fleet.store.at_once([lambda r=reconciler: r.run_once(now) for reconciler in reconcilers])
    assert sum(found.redispatched for found in done) == 25
    assert len(set(fleet.broker.ids())) == len(fleet.broker.ids()) == 25


def test_two_reconcilers_at_once_lose_each_attempt_once(fleet):
    runs = [fleet.start(chain_of(1)) for _ in range(10)]
    fleet.broker.flush()
    for run_id in runs:
        fleet.store.take(run_id, "s0", lease=DEAD)
    reconcilers = [fleet.make_reconciler() for _ in range(3)]
    done = fleet.store.at_once([reconciler.run_once for reconciler in reconcilers])
    assert sum(found.lost for found in done) == 10
    assert sorted(fleet.broker.ids()) == sorted(task_id(run_id, "s0") for run_id in runs)


def test_reconcilers_beside_workers_that_go_on_do_no_harm(fleet):
    """The audit at the end of the test is what it is about."""
    graph = graph_of(IRREGULAR)
    runs = [fleet.start(graph) for _ in range(6)]

    def work():
        for run_id in runs:
            fleet.store.do(run_id, *IRREGULAR)

    def reconcile():
        reconciler = fleet.make_reconciler()
        now = fleet.store.reconciling.now()
        return [reconciler.run_once(now + i * WATERMARK_DELAY) for i in range(10)]

    fleet.store.at_once([work, reconcile, reconcile])
    assert {fleet.store.runs.status(run_id) for run_id in runs} == {"completed"}


def test_a_pass_without_a_database_is_an_error_and_the_next_begins_anew(fleet):
    nowhere = Stores.of(Database("postgresql://u@127.0.0.1:1/nowhere"))
    gone = fleet.with_stores(nowhere, None, fleet.settings)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            gone.run_once()


def test_what_a_pass_did_is_true_if_it_did_anything():
    assert not Reconciled()
    for field in ("lost", "redispatched", "recounted"):
        assert replace(Reconciled(), **{field: 1})
