"""The client: finding runs, and asking for their results."""

import json
import pickle  # noqa: TID251 - what crosses a process pool is pickled, and these errors do
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from uuid import uuid4

import pytest

from celeriac import Client
from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.dispatch.wakeups import channel_of
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.errors import CeleriacError, ResultTimeout, RunFailed, UnknownRun
from celeriac.workflows.settings import Settings
from tests.support.flows_orders import NOON, ORDER, RECEIPT, RECEIPT_JSON, finish, ordering, quiet, summary
from tests.support.waiting import wait_until


@pytest.fixture
def client(settings: Settings):
    with Client(settings, catalog=Catalog.of(ordering, quiet, summary)) as client:
        yield client


# --- finding


def test_a_run_is_found_by_its_id(client, store):
    run = client.start(ordering, ORDER)
    finish(store, run.id)
    for given in (run.id, str(run.id), str(run.id).upper()):
        assert client.get(given).result(0) == RECEIPT


@pytest.mark.parametrize("unknown", [uuid4(), str(uuid4()), "not-an-id", "", "'; DROP TABLE workflow_runs; --"])
def test_an_id_that_no_run_has_is_unknown(client, unknown):
    with pytest.raises(UnknownRun, match="No run '"):
        client.get(unknown)
    with pytest.raises(UnknownRun):
        client.audit(unknown)


def test_runs_are_listed_the_latest_first_without_their_steps(client):
    runs = [client.start(ordering, ORDER).id for _ in range(3)]
    listed = client.list()
    assert [view.id for view in listed] == sorted(runs, reverse=True)
    assert all(view.steps == () for view in listed)
    assert [view.id for view in client.list(limit=2)] == sorted(runs, reverse=True)[:2]


def test_pages_of_runs_follow_each_other(client):
    runs = sorted((client.start(ordering, ORDER).id for _ in range(5)), reverse=True)
    found, last = [], None
    while page := client.list(limit=2, after=last):
        found += [view.id for view in page]
        last = found[-1]
    assert found == runs


def test_runs_are_listed_by_workflow_state_and_tags(client, store):
    acme = client.start(ordering.options(tags={"tenant": "acme", "kind": "web"}), ORDER)
    other = client.start(ordering.options(tags={"tenant": "other"}), ORDER)
    third = client.start(quiet)
    finish(store, acme.id)
    store.fail(store.take(other.id, "charge"))

    def ids(**filters):
        return {view.id for view in client.list(**filters)}

    assert ids(workflow="ordering") == {acme.id, other.id}
    assert ids(workflow="nothing") == set()
    assert ids(status="completed") == ids(status=RunStatus.COMPLETED) == {acme.id}
    assert ids(status="failed") == {other.id}
    assert ids(tags={"tenant": "acme"}) == {acme.id}
    assert ids(tags={"tenant": "acme", "kind": "web"}) == {acme.id}
    assert ids(tags={"tenant": "acme", "kind": "app"}) == set()
    assert ids(workflow="ordering", status="failed", tags={"tenant": "other"}) == {other.id}
    assert ids(limit=None) == {acme.id, other.id, third.id}
    assert ids(limit=0) == set()


@pytest.mark.parametrize("tags", [{"": ""}, {"é": "☃"}, {"a.b": "c'd"}, {"$": '"%"'}])
def test_any_text_may_be_a_tag(client, tags):
    run = client.start(quiet.options(tags=tags))
    assert run.view().tags == tags
    assert [view.id for view in client.list(tags=tags)] == [run.id]


def test_a_failed_run_is_listed_with_its_error(client, store):
    run = client.start(ordering, ORDER)
    store.fail(store.take(run.id, "charge"))
    [view] = client.list(status="failed")
    assert (view.error.step, view.error.type, view.error.message) == ("charge", "ValueError", "no stock")


# --- results


def test_a_result_comes_back_as_the_type_it_is_annotated_with(client, store):
    run = client.start(ordering, ORDER)
    finish(store, run.id)
    assert run.result(timeout=0) == RECEIPT
    assert isinstance(run.result().order.amount, Decimal)
    assert run.result().order.at == NOON


def test_a_result_as_json_is_plain_data(client, store):
    run = client.start(ordering, ORDER)
    finish(store, run.id)
    assert run.result_json(timeout=0) == json.loads(RECEIPT_JSON)


def test_a_result_may_be_made_of_parts_of_results_and_of_the_input(client, store):
    run = client.start(summary, {"id": 7, "amount": "9.99"})
    finish(store, run.id)
    assert run.result(timeout=0) == {"amount": Decimal("12.50"), "asked": Decimal("9.99")}


def test_a_workflow_that_returns_nothing_has_the_result_none(client, store):
    run = client.start(quiet)
    finish(store, run.id)
    assert run.result(timeout=0) is None


def test_a_run_of_a_workflow_that_this_process_does_not_know_has_a_plain_result(client, store, settings):
    run = client.start(ordering, ORDER)
    finish(store, run.id)
    with Client(settings, catalog=Catalog.of(quiet)) as other:
        assert other.get(run.id).result(timeout=0) == json.loads(RECEIPT_JSON)


def test_a_result_that_does_not_fit_the_annotation_any_more_is_said_so(client, store):
    run = client.start(ordering, ORDER)
    store.complete(store.take(run.id, "charge"), '{"unexpected": true}')
    store.do(run.id, "notify")
    with pytest.raises(CeleriacError, match="does not fit what workflow 'ordering' now says that it returns"):
        run.result(timeout=0)
    assert run.result_json(timeout=0) == {"unexpected": True}


def test_a_failed_run_raises_what_its_step_raised(client, store):
    run = client.start(ordering, ORDER)
    store.fail(store.take(run.id, "charge"))
    with pytest.raises(RunFailed) as caught:
        run.result(timeout=0)
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.run_id, error.workflow, error.status) == (run.id, "ordering", RunStatus.FAILED)
    assert (error.step, error.type) == ("charge", "ValueError")
    assert str(error) == f"Run {run.id} of 'ordering' failed: step 'charge' raised ValueError: no stock"
    assert run.wait(timeout=0) is RunStatus.FAILED


def test_a_result_that_takes_too_long_is_a_timeout_and_the_run_goes_on(client, store):
    run = client.start(ordering, ORDER)
    with pytest.raises(ResultTimeout, match=f"Run {run.id} is still pending after 0.1 s. It goes on") as caught:
        run.result(timeout=0.1)
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), TimeoutError)
    finish(store, run.id)
    assert run.result(timeout=0) == RECEIPT


def test_one_who_waits_is_woken_when_the_run_ends(client, store, broker, only_woken):
    """FIELD_FAILURES 28: by the broker, not by polling alone."""
    run = client.start(ordering, ORDER)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run.result, 30)
        wait_until(lambda: broker.redis.pubsub_numsub(channel_of(run.id))[0][1] == 1, message="a waiter listens")
        finish(store, run.id)
        client.services.dispatch.wakeups.wake(run.id)
        assert waiting.result(timeout=5) == RECEIPT


def test_one_who_waits_without_a_broker_finds_out_by_asking(database_url, store):
    settings = Settings(database_url=database_url, broker_url="redis://127.0.0.1:1/0")
    with Client(settings, catalog=Catalog.of(ordering)) as client, ThreadPoolExecutor(1) as pool:
        run = client.start(ordering, ORDER)
        waiting = pool.submit(run.result, 30)
        finish(store, run.id)
        assert waiting.result(timeout=10) == RECEIPT


# --- looking at a run


def test_steps_and_history_tell_what_happened(client, store):
    run = client.start(ordering, ORDER)
    finish(store, run.id)
    charged, notified = run.steps()
    assert (charged.name, charged.status, charged.attempt, charged.parents) == ("charge", "completed", 1, ())
    assert notified.parents == ("charge",)
    assert charged.ready_at <= charged.started_at <= charged.finished_at <= notified.finished_at
    assert [event.type.value for event in run.history()] == [
        "RunStarted",
        "StepStarted",
        "StepCompleted",
        "StepStarted",
        "StepCompleted",
        "RunCompleted",
    ]
    sequences = [event.sequence for event in run.history()]
    assert sequences == sorted(sequences)
    assert json.dumps([event.to_json() for event in run.history()])


def test_an_audit_of_all_runs_tells_how_far_it_is(client, store):
    runs = [client.start(ordering, ORDER).id for _ in range(3)]
    finish(store, runs[0])
    seen = []
    assert client.audit(on_progress=seen.append) == []
    assert seen == [1, 2, 3]
    store.damage("UPDATE workflow_runs SET remaining = 7 WHERE id = :run", run=runs[1])
    assert [found.run_id for found in client.audit()] == [found.run_id for found in client.audit(runs[1])] == [runs[1]]
    assert client.audit(runs[0]) == []


def test_a_handle_shows_its_id(client):
    run = client.start(quiet)
    assert repr(run) == f"<Run {run.id}>"


def test_a_status_that_there_is_not_is_refused_with_those_that_there_are(settings):
    with Client(settings) as client, pytest.raises(CeleriacError, match="Unknown status 'bogus'. There are: pending,"):
        client.list(status="bogus")
