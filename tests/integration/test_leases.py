"""Leases: the processes that live, and the leader."""

from datetime import timedelta

from celeriac.workflows.history.leases import lease_name, process_of
from tests.support.graphs import chain_of, graph_of
from tests.support.store import ALIVE, DEAD, WORKER

MINUTE = timedelta(minutes=1)


def test_a_lease_is_named_for_its_process_and_told_from_an_earlier_one_of_the_same_pid():
    name = lease_name("celery@host:2", 4711, "a1b2")
    assert name == "process:celery@host:2:4711:a1b2"
    assert name != lease_name("celery@host:2", 4711, "c3d4")
    assert process_of(name) == "celery@host:2:4711"


def test_a_worker_lives_while_it_renews(store):
    store.leases.renew(["process:b@x:1:0", "process:b@x:2:0"], worker="b@x", lease=MINUTE)
    assert [(worker.name, worker.processes) for worker in store.leases.live_workers()] == [("b@x", 2), (WORKER, 1)]
    store.leases.renew(["process:b@x:1:0"], worker="b@x", lease=timedelta(0))
    assert [(worker.name, worker.processes) for worker in store.leases.live_workers()] == [("b@x", 1), (WORKER, 1)]
    store.leases.expire(["process:b@x:2:0", ALIVE])
    assert store.leases.live_workers() == []


def test_renewing_makes_a_lease_longer_and_stores_the_prefetched_tasks_of_its_holder(store):
    store.leases.renew([ALIVE, DEAD], worker=WORKER, lease=2 * MINUTE, holder=ALIVE, prefetched=["run.a", "run.b"])
    rows = {
        name: store.row(
            "SELECT prefetched, expires_at - now() AS left_over FROM workflow_leases WHERE name = :name", name=name
        )
        for name in (ALIVE, DEAD)
    }
    assert (rows[ALIVE].prefetched, rows[DEAD].prefetched) == (["run.a", "run.b"], [])
    assert all(MINUTE < row.left_over <= 2 * MINUTE for row in rows.values())
    store.leases.expire([ALIVE])
    assert store.row("SELECT prefetched FROM workflow_leases WHERE name = :name", name=ALIVE).prefetched == []


def test_a_leader_lease_is_held_by_one_worker_until_it_stops_renewing(store):
    assert store.leases.acquire_leader_lease("leader:reconciler", worker="a", lease=MINUTE)
    assert not store.leases.acquire_leader_lease("leader:reconciler", worker="b", lease=MINUTE)
    assert store.leases.acquire_leader_lease("leader:reconciler", worker="a", lease=timedelta(0))
    assert store.leases.acquire_leader_lease("leader:reconciler", worker="b", lease=MINUTE)
    assert not store.leases.acquire_leader_lease("leader:reconciler", worker="a", lease=MINUTE)
    assert store.leases.acquire_leader_lease("leader:other", worker="a", lease=MINUTE)


def test_of_many_workers_that_want_a_leader_lease_at_once_one_gets_it(store):
    for name in "abc":
        calls = [
            lambda i=i, name=name: store.leases.acquire_leader_lease(name, worker=f"w{i}", lease=MINUTE)
            for i in range(8)
        ]
        assert sum(store.at_once(calls)) == 1


def test_a_leader_lease_is_not_a_worker(store):
    store.leases.acquire_leader_lease("leader:reconciler", worker="a", lease=MINUTE)
    assert [worker.name for worker in store.leases.live_workers()] == [WORKER]


def test_old_leases_are_forgotten_unless_a_step_still_names_them(store):
    run_id = store.start(chain_of(1))
    store.take(run_id, "s0", lease="process:gone:1:0")
    for name in ("process:gone:1:0", "process:gone:2:0", "process:late:3:0"):
        store.leases.renew([name], worker="gone", lease=timedelta(0))
    store.execute("UPDATE workflow_leases SET expires_at = now() - interval '2 hours' WHERE worker = 'gone'")
    store.leases.renew(["process:late:3:0"], worker="gone", lease=timedelta(0))
    store.leases.drop_old()
    left = store.row("SELECT array_agg(name ORDER BY name) AS names FROM workflow_leases").names
    assert left == [ALIVE, "process:gone:1:0", "process:late:3:0"]


def test_the_oldest_ready_step_tells_how_long_work_has_waited(store):
    assert store.leases.oldest_ready() is None
    run_id = store.start(graph_of({"a": [], "b": []}))
    store.execute("UPDATE workflow_tasks SET ready_at = now() - interval '1 minute' WHERE name = 'b'")
    assert MINUTE <= store.leases.oldest_ready() < 2 * MINUTE
    store.take(run_id, "b")
    assert store.leases.oldest_ready() < MINUTE
    store.fail(store.take(run_id, "a"))
    assert store.leases.oldest_ready() is None


def test_a_step_that_runs_with_a_living_lease_is_not_lost(store):
    run_id = store.start(chain_of(1))
    store.take(run_id, "s0")
    assert store.lose() == []


def test_a_step_whose_lease_expired_is_ready_again_and_says_so(store):
    run_id = store.start(chain_of(1))
    store.take(run_id, "s0")
    store.leases.expire([ALIVE])
    [lost] = store.lose()
    assert (lost.run_id, lost.name, lost.attempt, lost.lease, lost.accepts_work) == (run_id, "s0", 1, ALIVE, True)
    assert store.history(run_id) == ["RunStarted", "StepStarted s0 1", "StepLost s0 1"]
    assert store.statuses(run_id) == {"s0": "ready"}
    assert store.take(run_id, "s0").attempt == 2


def test_a_step_whose_process_has_no_lease_at_all_is_lost(store):
    run_id = store.start(chain_of(1))
    store.take(run_id, "s0", lease=DEAD)
    assert len(store.lose()) == 1


def test_a_step_that_kills_its_worker_every_time_fails_with_that_reason(store):
    """FIELD_FAILURES 8: it does not loop forever."""
    run_id = store.start(chain_of(2))
    for attempt in (1, 2, 3):
        assert store.take(run_id, "s0", lease=DEAD).attempt == attempt
        lost = store.lose(max_lost=3)
        assert [found.attempt for found in lost] == ([attempt] if attempt < 3 else [])
        assert store.statuses(run_id)["s0"] == ("ready" if attempt < 3 else "failed")
    view = store.reader.run(run_id)
    assert (view.status, view.error.type, view.error.step) == ("failed", "WorkerLost", "s0")
    assert view.error.message == "The worker that ran attempt 3 of step 's0' was lost (3 of 3 allowed)."
    assert store.history(run_id)[-3:] == ["StepLost s0 3", "StepFailed s0 3", "RunFailed"]


def test_a_step_that_may_be_tried_once_fails_when_its_first_attempt_is_lost(store):
    run_id = store.start(chain_of(1, max_attempts=1))
    store.take(run_id, "s0", lease=DEAD)
    assert store.lose(max_lost=3) == []
    assert store.statuses(run_id) == {"s0": "failed"}


def test_steps_of_one_run_that_give_up_together_fail_it_once(store):
    run_id = store.start(graph_of({name: [] for name in "abc"}, max_attempts=1))
    for name in "abc":
        store.take(run_id, name, lease=DEAD)
    store.at_once([store.lose] * 4)
    assert store.statuses(run_id) == {"a": "failed", "b": "failed", "c": "failed"}
    assert sorted(event for event in store.history(run_id) if event.startswith(("StepLost", "StepFailed"))) == [
        *("StepFailed a 1", "StepFailed b 1", "StepFailed c 1"),
        *("StepLost a 1", "StepLost b 1", "StepLost c 1"),
    ]
    assert store.history(run_id).count("RunFailed") == 1
    assert store.reader.run(run_id).error.type == "WorkerLost"


def test_a_step_that_is_lost_after_its_run_failed_does_not_go_on(store):
    run_id = store.start(graph_of({"a": [], "b": []}))
    failing, sibling = store.take(run_id, "a"), store.take(run_id, "b", lease=DEAD)
    store.fail(failing)
    [lost] = store.lose()
    assert not lost.accepts_work
    assert store.statuses(run_id)["b"] == "ready"
    assert store.claim(run_id, "b") is None
    assert store.complete(sibling) is None


def test_nothing_is_lost_while_postgres_has_been_up_for_less_than_a_lease(store):
    """FIELD_FAILURES 23: nobody could renew a lease while it was down."""
    run_id = store.start(chain_of(1))
    store.take(run_id, "s0", lease=DEAD)
    assert store.lose(lease_seconds=1_000_000) == []
    assert len(store.lose(lease_seconds=0)) == 1


def test_reconcilers_at_once_lose_each_attempt_once(store):
    runs = [store.start(graph_of({name: [] for name in "abcdef"})) for _ in range(5)]
    for run_id in runs:
        for name in "abcdef":
            store.take(run_id, name, lease=DEAD)
    found = store.at_once([lambda: store.lose(batch=10)] * 4)
    assert sum(map(len, found)) + len(store.lose()) == 30
    for run_id in runs:
        assert sorted(store.history(run_id)[7:]) == [f"StepLost {name} 1" for name in "abcdef"]


def test_an_attempt_that_completes_while_it_is_lost_is_one_or_the_other(store):
    for _ in range(10):
        run_id = store.start(chain_of(1))
        attempt = store.take(run_id, "s0", lease=DEAD)
        completion, lost = store.at_once([lambda a=attempt: store.complete(a), store.lose])
        assert (completion is None) == (len(lost) == 1)


def test_a_last_attempt_that_completes_while_it_is_lost_is_one_or_the_other(store):
    for _ in range(10):
        run_id = store.start(chain_of(1, max_attempts=1))
        attempt = store.take(run_id, "s0", lease=DEAD)
        completion, _ = store.at_once([lambda a=attempt: store.complete(a), store.lose])
        assert store.statuses(run_id) == {"s0": "failed" if completion is None else "completed"}
        assert store.runs.status(run_id) == store.statuses(run_id)["s0"]


def test_a_last_attempt_whose_worker_turns_out_to_live_is_not_lost(store):
    run_id = store.start(chain_of(1, max_attempts=1))
    attempt, error = store.take(run_id, "s0", lease=DEAD), {"type": "WorkerLost", "message": "It was lost."}
    [exhausted] = store.reconciling.exhausted(lease=timedelta(0), max_lost=3, batch=10)
    assert (exhausted.attempt, exhausted.lost) == (attempt, 1)
    store.leases.renew([DEAD], worker=WORKER, lease=MINUTE)
    assert store.attempts.lose(attempt, error, store.graph(run_id)) is None
    assert store.statuses(run_id) == {"s0": "running"}


def test_no_more_than_a_batch_is_lost_at_once(store):
    run_id = store.start(graph_of({name: [] for name in "abcde"}))
    for name in "abcde":
        store.take(run_id, name, lease=DEAD)
    assert [len(store.lose(batch=2)) for _ in range(4)] == [2, 2, 1, 0]
