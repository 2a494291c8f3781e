"""The client: starting runs, finding them, and asking for their results."""

import json
import pickle  # noqa: TID251 - what crosses a process pool is pickled, and these errors do
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from celeriac import Client, step, workflow
from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.errors import (
    CeleriacError,
    ConfigurationError,
    DatabaseUnavailable,
    DefinitionError,
    IdempotencyKeyReused,
    ImportFailed,
    InputInvalid,
    ResultTimeout,
    RunFailed,
    UnknownRun,
    UnknownWorkflow,
)
from celeriac.workflows.settings import Settings
from tests.support.store import Store
from tests.support.waiting import wait_until

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@dataclass
class Order:
    id: int
    amount: Decimal
    at: datetime = NOON


@dataclass
class Receipt:
    order: Order
    paid: bool


@step
def charge(order: Order) -> Receipt:
    return Receipt(order=order, paid=True)


@step
def notify(receipt: Receipt, copies: int) -> None:
    del receipt, copies


@workflow(version="2")
def ordering(order: Order, copies: int = 1) -> Receipt:
    receipt = charge(order)
    notify(receipt, copies)
    return receipt


@workflow
def quiet():
    charge({"id": 1, "amount": "2"})


@workflow
def summary(order: Order) -> dict[str, Decimal]:
    receipt = charge(order)
    return {"amount": receipt.order.amount, "asked": order.amount}


@step
def label(tags: str, idempotency_key: str, workflow: str) -> None:
    del tags, idempotency_key, workflow


@workflow
def labelling(tags: str, idempotency_key: str, workflow: str, self: str):
    label(tags, idempotency_key, workflow)
    label(self, self, self)


ORDER = Order(id=7, amount=Decimal("12.50"))
RECEIPT = Receipt(order=ORDER, paid=True)
RECEIPT_JSON = '{"order": {"id": 7, "amount": "12.50", "at": "2026-01-02T12:00:00Z"}, "paid": true}'


@pytest.fixture
def client(settings: Settings):
    with Client(settings, catalog=Catalog.of(ordering, quiet, summary)) as client:
        yield client


def finish(store: Store, run_id: UUID) -> None:
    """Run a run of ``ordering``, ``summary`` or ``quiet`` as a worker would."""
    store.complete(store.take(run_id, "charge"), RECEIPT_JSON)
    if "notify" in store.statuses(run_id):
        store.do(run_id, "notify")


# --- starting


def test_a_run_is_started_by_workflow_or_by_name_with_values_or_data(client, store, broker):
    runs = [
        client.start(ordering, ORDER),
        client.start(ordering, order=ORDER, copies=1),
        client.start_by_name("ordering", {"order": {"id": 7, "amount": "12.50", "at": "2026-01-02T12:00:00Z"}}),
        client.start(ordering, order={"id": "7", "amount": 12.5, "at": NOON}),
        client.start_by_name("ordering", {"order": {"id": 7, "amount": "12.50"}}),
    ]
    for run in runs:
        assert run.status is RunStatus.PENDING
        data = run.history()[0].data
        assert Decimal(data["order"].pop("amount")) == Decimal("12.5")
        assert data == {"order": {"id": 7, "at": "2026-01-02T12:00:00Z"}, "copies": 1}
    assert broker.ids() == [f"{run.id}.charge" for run in runs]


def test_a_run_knows_its_workflow_and_the_version_it_started_with(client):
    view = client.start(ordering, ORDER).view()
    assert (view.workflow, view.version, view.graph_hash) == ("ordering", "2", ordering.graph.hash)


@pytest.mark.parametrize(
    ("start", "error", "message"),
    [
        (lambda c: c.start_by_name("ordring", {}), UnknownWorkflow, "did you mean 'ordering'"),
        (lambda c: c.start(ordering), InputInvalid, "missing argument 'order'"),
        (lambda c: c.start(ordering, ORDER, 1, 2), InputInvalid, "3 positional arguments, where 2 fit"),
        (lambda c: c.start(ordering, ORDER, copeis=1), InputInvalid, "did you mean 'copies'"),
        (lambda c: c.start(ordering, ORDER, order=ORDER), InputInvalid, "argument 'order' is given twice"),
        (lambda c: c.start(ordering, "not an order"), InputInvalid, "parameter 'order'"),
        (lambda c: c.start(ordering, {"id": "x", "amount": "1"}), InputInvalid, "parameter 'order'"),
        (lambda c: c.start(ordering, {"id": 1}), InputInvalid, "amount"),
        (lambda c: c.start(ordering, ORDER, copies="many"), InputInvalid, "parameter 'copies'"),
        (lambda c: c.start_by_name("ordering", {"ordr": {}}), InputInvalid, "ordr"),
        (lambda c: c.start_by_name("ordering", [1]), InputInvalid, "must be a JSON object by parameter name"),
        (lambda c: c.start_by_name("ordering", None), InputInvalid, "must be a JSON object by parameter name"),
        (lambda c: c.start_by_name("quiet", {"a": 1}), InputInvalid, "'a'"),
    ],
)
def test_bad_input_says_what_is_wrong_and_nothing_is_written(client, broker, start, error, message):
    with pytest.raises(error) as caught:
        start(client)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert client.list() == []
    assert broker.queues() == {}


def test_an_unknown_workflow_lists_the_known_ones(client):
    with pytest.raises(UnknownWorkflow, match="Known: ordering, quiet, summary"):
        client.start_by_name("nothing-like-it")


def test_a_module_that_cannot_be_imported_is_found_when_a_name_is_asked_for(settings):
    with Client(settings.model_copy(update={"imports": ("no_such_module_here",)})) as client:
        client.start(ordering, ORDER)  # needs no import
        with pytest.raises(ImportFailed, match="no_such_module_here"):
            client.start_by_name("ordering", {})


def test_a_key_starts_one_run_and_sends_one_message(client, broker):
    keyed = ordering.options(idempotency_key="order-7")
    first = client.start(keyed, ORDER)
    again = client.start(keyed, ORDER)
    by_name = client.start_by_name("ordering", first.history()[0].data, idempotency_key="order-7")
    assert {first.id} == {again.id, by_name.id}
    assert broker.ids() == [f"{first.id}.charge"]
    assert first.view().idempotency_key == "order-7"


def test_a_key_that_comes_with_other_input_is_refused_and_starts_nothing(client, broker):
    first = client.start(ordering.options(idempotency_key="order-7"), ORDER)
    with pytest.raises(
        IdempotencyKeyReused, match=f"'order-7' of workflow 'ordering' started run {first.id}"
    ) as caught:
        client.start(ordering.options(idempotency_key="order-7"), ORDER, copies=2)
    assert (caught.value.run_id, caught.value.idempotency_key) == (first.id, "order-7")
    assert [view.id for view in client.list()] == [first.id]
    assert broker.ids() == [f"{first.id}.charge"]


def test_starts_with_one_key_from_many_threads_make_one_run(client, store, broker):
    keyed = ordering.options(idempotency_key="k")
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: client.start(keyed, ORDER).id, range(16)))
    assert len(set(runs)) == 1
    assert len(broker.ids()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"idempotency_key": 7}, "idempotency_key=7 is not a text"),
        ({"idempotency_key": ""}, "idempotency_key='' is not a text"),
        ({"tags": {"tenant": 7}}, "tags={'tenant': 7} are not labels"),
        ({"tags": ["acme"]}, "tags=['acme'] are not labels"),
        ({"tag": {}}, "Unknown option 'tag' for a start of workflow 'ordering'; did you mean 'tags'?"),
    ],
)
def test_a_bad_option_of_a_start_is_refused_with_the_remedy(options, message):
    with pytest.raises(DefinitionError) as caught:
        ordering.options(**options)
    assert message in str(caught.value)


def test_a_workflow_may_have_parameters_that_are_named_like_options(client):
    run = client.start(
        labelling.options(tags={"tenant": "acme"}), tags="a", idempotency_key="b", workflow="c", self="d"
    )
    assert run.history()[0].data == {"tags": "a", "idempotency_key": "b", "workflow": "c", "self": "d"}
    assert run.view().tags == {"tenant": "acme"}
    assert run.view().idempotency_key is None


def test_a_name_is_no_workflow(client):
    with pytest.raises(TypeError, match="By name a run is started with start_by_name"):
        client.start("ordering", ORDER)


def test_a_run_that_is_got_with_its_workflow_has_a_result_of_its_type(client, store):
    run = client.start(ordering, ORDER)
    finish(store, run.id)
    assert client.get(run.id, ordering).result(0) == RECEIPT
    with pytest.raises(UnknownRun):
        client.get(run.id, quiet)


def test_a_start_without_a_broker_commits_all_the_same(database_url, store):
    settings = Settings(database_url=database_url, broker_url="redis://127.0.0.1:1/0")
    with Client(settings, catalog=Catalog.of(ordering)) as client:
        run = client.start(ordering, ORDER)
        assert run.status is RunStatus.PENDING


def test_a_start_without_a_database_says_so(broker_url):
    with (
        Client(Settings(database_url="postgresql://u:hunter2@127.0.0.1:1/x", broker_url=broker_url)) as client,
        pytest.raises(DatabaseUnavailable, match="127.0.0.1:1") as caught,
    ):
        client.start(ordering, ORDER)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"broker_url": "redis://x/0"}, "Set CELERIAC_DATABASE_URL"),
        ({"database_url": "postgresql://x/y"}, "Set CELERIAC_BROKER_URL"),
        ({"database_url": "mysql://x/y", "broker_url": "redis://x/0"}, "names 'mysql'"),
        ({"database_url": "nonsense", "broker_url": "redis://x/0"}, "is not an address"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        Client(Settings(**settings))


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


def test_one_who_waits_is_woken_when_the_run_ends(client, store):
    """FIELD_FAILURES 28: by the broker, not by polling alone."""
    run = client.start(ordering, ORDER)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run.result, 30)
        wait_until(lambda: client.services.dispatch.wakeups._client.pubsub_numsub(f"celeriac.run.{run.id}")[0][1] == 1)
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
