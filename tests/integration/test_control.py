"""Pausing, resuming, cancelling and terminating runs, one or many, beside workers that go on meanwhile."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from random import Random
from uuid import UUID, uuid4

import pytest

from celeriac import (
    Client,
    InvalidRunState,
    UnknownRun,
    step,
    workflow,
)
from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.client.control import Action
from celeriac.workflows.dispatch.wakeups import Wakeups
from celeriac.workflows.engine.events import EventType
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.history.control import ControlStore
from celeriac.workflows.history.records import Limits
from celeriac.workflows.settings import Settings
from tests.support.broker import Broker
from tests.support.graphs import IRREGULAR, chain_of, fan_of, graph_of
from tests.support.store import Store

ACTIONS = {Action.PAUSE: "paused", Action.CANCEL: "cancelled", Action.TERMINATE: "terminated"}
EVENTS = {Action.PAUSE: "RunPaused", Action.CANCEL: "RunCancelled", Action.TERMINATE: "RunTerminated"}


@step
def pay(amount: int) -> int:
    return amount


@step
def ship(amount: int) -> int:
    return amount


@workflow
def ordering(amount: int):
    return ship(pay(amount))


@workflow
def paying(amount: int):
    return pay(amount)


@pytest.fixture
def control(store: Store) -> ControlStore:
    return store.control


@pytest.fixture
def client(store: Store, settings: Settings) -> Iterator[Client]:
    with closing(Client(settings, catalog=Catalog.of(ordering, paying))) as client:
        yield client


def apply(control: ControlStore, action: Action, *runs: UUID) -> set[UUID]:
    if action is Action.PAUSE:
        return control.pause(runs)
    if action is Action.RESUME:
        return control.resume(runs)
    if action is Action.CANCEL:
        return control.cancel(runs, "by hand")
    return control.terminate(runs, "by hand")


def ended_run(store: Store, how: str) -> UUID:
    run_id = store.start(chain_of(1))
    if how == "completed":
        store.do(run_id, "s0")
    elif how == "failed":
        store.fail(store.take(run_id, "s0"))
    else:
        apply(store.control, Action(how), run_id)
    return run_id


# --- one statement


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_changes_a_run_once_and_is_recorded_once(store, control, action):
    for begun in (False, True):
        run_id = store.start(chain_of(2))
        if begun:
            store.take(run_id, "s0")
        assert apply(control, action, run_id) == {run_id}
        assert apply(control, action, run_id) == set()
        assert store.runs.status(run_id) == ACTIONS[action]
        assert store.history(run_id).count(EVENTS[action]) == 1


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("how", ["completed", "failed", "cancelled", "terminated"])
def test_a_run_that_has_ended_is_not_changed(store, control, action, how):
    run_id = ended_run(store, how)
    before = store.history(run_id)
    assert apply(control, action, run_id) == set()
    assert store.history(run_id) == before
    assert store.runs.status(run_id) == how


@pytest.mark.parametrize("action", list(Action))
def test_an_action_at_once_from_many_sides_happens_once(store, control, action):
    for _ in range(3):
        run_id = store.start(chain_of(2))
        if action is Action.RESUME:
            control.pause([run_id])
        changed = store.at_once([lambda run_id=run_id: apply(control, action, run_id)] * 6)
        assert sorted(map(len, changed)) == [0, 0, 0, 0, 0, 1]


def test_a_run_may_be_cancelled_or_terminated_while_it_is_paused(store, control):
    for action in (Action.CANCEL, Action.TERMINATE):
        run_id = store.start(chain_of(1))
        control.pause([run_id])
        assert apply(control, action, run_id) == {run_id}
        assert control.resume([run_id]) == set()


def test_only_one_of_two_endings_at_once_counts(store, control):
    for _ in range(5):
        run_id = store.start(chain_of(1))
        attempt = store.take(run_id, "s0")
        store.at_once(
            [
                lambda run_id=run_id: apply(control, Action.CANCEL, run_id),
                lambda run_id=run_id: apply(control, Action.TERMINATE, run_id),
                lambda attempt=attempt: store.complete(attempt),
            ]
        )
        endings = {"RunCompleted", "RunCancelled", "RunTerminated"}
        assert len([event for event in store.history(run_id) if event in endings]) == 1


# --- pause and resume


def test_what_runs_finishes_and_nothing_new_starts_while_a_run_is_paused(store, control):
    run_id = store.start(graph_of(IRREGULAR))
    store.do(run_id, "prepare")
    a = store.take(run_id, "a")
    control.pause([run_id])
    completion = store.complete(a, next_step="aggregate")
    assert (completion.run_status.accepts_work, completion.claimed) == (False, None)
    assert store.claim(run_id, "b") is None
    c = store.statuses(run_id)
    assert (c["a"], c["b"], c["c"]) == ("completed", "ready", "ready")


def test_resuming_makes_ready_what_became_ready_meanwhile(store, control):
    run_id = store.start(graph_of({"a": [], "b": ["a"], "c": []}))
    a = store.take(run_id, "a")
    control.pause([run_id])
    assert store.complete(a).ready == (), "nothing is to be dispatched while the run is paused"
    assert control.ready([run_id]) == {}
    assert control.resume([run_id]) == {run_id}
    [((found, _), positions)] = control.ready([run_id]).items()
    assert (found, store.names(run_id, sorted(positions))) == (run_id, ["b", "c"])
    store.do(run_id, "b", "c")
    assert store.runs.status(run_id) == "completed"


@pytest.mark.parametrize(("begun", "status"), [(False, "pending"), (True, "running")])
def test_a_run_goes_on_in_the_state_that_it_was_paused_in(store, control, begun, status):
    run_id = store.start(chain_of(2))
    if begun:
        store.do(run_id, "s0")
    control.pause([run_id])
    control.resume([run_id])
    assert store.runs.status(run_id) == status


def test_the_last_step_completes_a_paused_run(store, control):
    run_id = store.start(chain_of(1))
    attempt = store.take(run_id, "s0")
    control.pause([run_id])
    assert store.complete(attempt).run_ended
    assert store.runs.status(run_id) == "completed"


def test_a_failure_ends_a_paused_run(store, control):
    run_id = store.start(chain_of(2))
    attempt = store.take(run_id, "s0")
    control.pause([run_id])
    assert store.fail(attempt) is True
    assert store.runs.status(run_id) == "failed"


def test_claims_and_pauses_at_once_lose_and_double_nothing(store, control):
    random = Random(7)
    for _ in range(8):
        run_id = store.start(graph_of({name: [] for name in "abcdef"}))
        calls = [lambda name=name, run_id=run_id: store.claim(run_id, name) for name in "abcdef"]
        calls += [lambda run_id=run_id: control.pause([run_id]), lambda run_id=run_id: control.resume([run_id])]
        random.shuffle(calls)
        store.at_once(calls)
        control.pause([run_id])
        taken = {name for name, status in store.statuses(run_id).items() if status == "running"}
        assert all(store.claim(run_id, name) is None for name in "abcdef")
        control.resume([run_id])
        ready = control.ready([run_id])
        found = {name for positions in ready.values() for name in store.names(run_id, sorted(positions))}
        assert (taken & found, taken | found) == (set(), set("abcdef"))
        starts = [event for event in store.history(run_id) if event.startswith("StepStarted")]
        assert len(starts) == len(taken)


def test_completions_and_pauses_at_once_leave_a_history_that_adds_up(store, control):
    for _ in range(8):
        run_id = store.start(fan_of(4, join=True))
        store.do(run_id, "first")
        parts = [store.take(run_id, f"s{i}") for i in range(4)]
        calls = [lambda part=part: store.complete(part, next_step="join") for part in parts]
        calls += [lambda run_id=run_id: control.pause([run_id]), lambda run_id=run_id: control.resume([run_id])]
        store.at_once(calls)
        assert store.statuses(run_id)["join"] in {"ready", "running"}
        assert store.audit() == []


# --- cancel and terminate


@pytest.mark.parametrize("action", [Action.CANCEL, Action.TERMINATE])
def test_what_still_completes_after_the_end_is_recorded_and_frees_nothing(store, control, action):
    run_id = store.start(chain_of(2))
    attempt = store.take(run_id, "s0")
    apply(control, action, run_id)
    completion = store.complete(attempt, next_step="s1")
    assert (completion.run_status.accepts_work, completion.run_ended, completion.claimed) == (False, False, None)
    assert store.claim(run_id, "s1") is None
    assert control.ready([run_id]) == {}
    assert store.statuses(run_id)["s0"] == "completed"
    assert store.runs.status(run_id) == action.value


@pytest.mark.parametrize("action", [Action.CANCEL, Action.TERMINATE])
def test_a_step_of_a_run_that_was_ended_is_told_so_at_its_next_heartbeat(store, control, action):
    run_id = store.start(chain_of(1))
    attempt = store.take(run_id, "s0")
    assert store.attempts.heartbeat(attempt, None, Limits()) is True
    apply(control, action, run_id)
    assert store.attempts.heartbeat(attempt, None, Limits()) is False


def test_the_last_step_of_a_cancelled_run_does_not_complete_it(store, control):
    run_id = store.start(chain_of(1))
    attempt = store.take(run_id, "s0")
    control.cancel([run_id], "changed my mind")
    assert store.complete(attempt) is not None
    assert store.runs.status(run_id) == "cancelled"
    view = store.reader.run(run_id)
    assert (view.error.type, view.error.message) == ("RunCancelled", "changed my mind")


def test_the_attempts_of_terminated_runs_are_found_by_their_leases(store, control):
    run_id, other = store.start(chain_of(1)), store.start(chain_of(1))
    attempt = store.take(run_id, "s0")
    store.take(other, "s0", lease="process:celery@here:9:0")
    control.terminate([run_id], None)
    assert store.reconciling.terminated([attempt.lease, "process:celery@here:9:0"]) == {attempt.lease}
    store.complete(attempt)
    assert store.reconciling.terminated([attempt.lease]) == set()


# --- through the client


@pytest.mark.parametrize("how", ["completed", "failed", "cancelled", "terminated"])
def test_a_run_that_has_ended_answers_with_the_state_it_is_in(store, client, how):
    run = client.get(ended_run(store, how))
    for action, act in {"paused": run.pause, "resumed": run.resume, "cancelled": run.cancel}.items():
        if action == how:
            act()
            continue
        with pytest.raises(InvalidRunState, match=f"Run {run.id} is {how}; it cannot be {action}.") as caught:
            act()
        assert (caught.value.status, caught.value.action) == (how, action)
    assert run.status == how


def test_actions_may_be_asked_for_again_and_again(client, broker):
    run = client.start(ordering, 1)
    for _ in range(3):
        run.pause()
        assert run.status is RunStatus.PAUSED
    for _ in range(3):
        run.resume()
        assert run.status is RunStatus.PENDING
    for _ in range(3):
        run.cancel("no longer wanted")
        assert run.status is RunStatus.CANCELLED
    assert [event.type for event in run.history()] == [
        EventType.RUN_STARTED,
        EventType.RUN_PAUSED,
        EventType.RUN_RESUMED,
        EventType.RUN_CANCELLED,
    ]


def test_a_run_that_is_not_there_cannot_be_steered(client):
    for action in Action:
        with pytest.raises(UnknownRun):
            client.services.control.control(action, uuid4())


def test_resuming_dispatches_what_is_ready_at_once(store, client, broker: Broker):
    run = client.start(ordering, 1)
    broker.flush()
    run.pause()
    assert broker.steps() == []
    run.resume()
    assert broker.steps() == ["pay"]
    store.do(run.id, "pay")
    run.pause()
    broker.flush()
    run.resume()
    assert broker.steps() == ["ship"]
    run.resume()
    assert broker.steps() == ["ship"], "a run that goes on is not dispatched again"


def test_a_filter_chooses_and_a_dry_run_changes_nothing(client):
    ours = [client.start(ordering.options(tags={"tenant": "acme"}), i).id for i in range(3)]
    others = [client.start(ordering.options(tags={"tenant": "other"}), 1).id, client.start(paying, 1).id]
    newest_first = list(reversed(ours))
    assert client.pause(tags={"tenant": "acme"}, dry_run=True) == newest_first
    assert {view.status for view in client.list()} == {RunStatus.PENDING}
    assert client.pause(tags={"tenant": "acme"}) == newest_first
    assert client.pause(tags={"tenant": "acme"}) == []
    assert {view.id for view in client.list(status="paused")} == set(ours)
    assert client.cancel(workflow="paying", reason="closed") == [others[1]]
    assert client.get(others[1]).view().error.message == "closed"
    assert client.resume(workflow="paying") == []
    assert client.terminate(status="pending") == [others[0]]
    assert client.resume(status="paused") == newest_first
    assert {view.id for view in client.list(status="pending")} == set(ours)


def test_1000_runs_are_steered_by_filter_as_one_statement_each(store, client, broker):
    graph = ordering.graph
    runs = [store.start(graph, '{"amount": 1}', tags={"batch": "x"}) for _ in range(1_000)]
    done = store.start(graph, '{"amount": 1}', tags={"batch": "x"})
    store.do(done, "pay", "ship")
    assert len(client.pause(tags={"batch": "x"}, dry_run=True)) == 1_000
    assert set(client.pause(tags={"batch": "x"})) == set(runs)
    instants = "SELECT count(DISTINCT at) AS n FROM workflow_events WHERE type = 'RunPaused'"
    assert store.row(instants).n == 1
    assert broker.queues() == {}
    assert set(client.resume(tags={"batch": "x"})) == set(runs)
    assert broker.queues() == {"celery": 1_000}
    assert len(set(broker.ids())) == 1_000
    assert set(client.cancel(tags={"batch": "x"})) == set(runs)
    assert client.terminate(tags={"batch": "x"}) == []
    events = "SELECT type, count(*) AS n FROM workflow_events WHERE type LIKE 'Run%d' GROUP BY type"
    with store.database.autocommit() as connection:
        counted = dict(connection.exec_driver_sql(events.replace("%", "%%")).all())
    assert counted["RunPaused"] == counted["RunResumed"] == counted["RunCancelled"] == 1_000


@pytest.mark.parametrize("act", ["cancel", "terminate"])
def test_those_who_wait_for_a_run_are_woken_when_it_is_ended_by_request(client, broker_url, only_woken, act):
    run = client.start(paying, 1)
    with Wakeups(broker_url).listening(run.id) as waiter, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(waiter.wait, 60)
        getattr(run, act)()
        waiting.result(timeout=10)
