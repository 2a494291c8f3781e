"""The client: starting runs."""

import pickle  # noqa: TID251 - what crosses a process pool is pickled, and these errors do
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from celeriac import Client
from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    DefinitionError,
    IdempotencyKeyReused,
    ImportFailed,
    InputInvalid,
    UnknownRun,
    UnknownWorkflow,
)
from celeriac.workflows.settings import Settings
from tests.support.flows_orders import NOON, ORDER, RECEIPT, finish, labelling, ordering, quiet, summary


@pytest.fixture
def client(settings: Settings):
    with Client(settings, catalog=Catalog.of(ordering, quiet, summary)) as client:
        yield client


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
