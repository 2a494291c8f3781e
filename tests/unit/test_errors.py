import copy
import inspect
import json
import pickle  # noqa: TID251 - Celery and multiprocessing pickle exceptions; ours must survive it

import pytest

from celeriac.workflows import errors
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.errors import CeleriacError

EXAMPLES = [
    errors.DefinitionError(detail="Workflow 'invoice' has a cycle: render → sign → render."),
    errors.ConfigurationError(detail="No database."),
    errors.ImportFailed(module="shop.flows", reason="there is no module 'shop'"),
    errors.SchemaMismatch(found="none", needed="0001"),
    errors.InputInvalid(workflow="invoice", reason="missing argument 'order'."),
    errors.UnknownWorkflow(workflow="invoce", hint="; did you mean 'invoice'?"),
    errors.UnknownRun(run_id="4711"),
    errors.UnknownStatus(status="faild", known="failed, running"),
    errors.IdempotencyKeyReused(workflow="invoice", idempotency_key="order-7", run_id="4711"),
    errors.DatabaseUnavailable(address="postgresql://shop:***@db/shop", reason="connection refused"),
    errors.BrokerUnavailable(address="redis://cache:6379/0", reason="connection refused"),
    errors.RunFailed(
        run_id="4711",
        workflow="invoice",
        status=RunStatus.FAILED,
        step="sign",
        type="ValueError",
        reason="no {key}",
        public_message="Step 'sign' failed.",
    ),
    errors.InvalidRunState(run_id="4711", status=RunStatus.COMPLETED, action="paused"),
    errors.ResultTimeout(run_id="4711", status=RunStatus.RUNNING, seconds=1.5),
    errors.ArgumentInvalid(step="sign", parameter="page", reason="the input has no 'page'"),
    errors.ResultInvalid(step="sign", reason="NaN has no JSON"),
    errors.StepTimedOut(attempt=2, step="sign"),
    errors.WorkerLost(attempt=3, step="sign", lost=3, limit=3),
]
ids = [type(error).__name__ for error in EXAMPLES]


def all_errors() -> set[type[CeleriacError]]:
    return {kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.CeleriacError)}


def test_there_is_an_example_of_every_error():
    assert {type(error) for error in EXAMPLES} == all_errors() - {errors.CeleriacError, errors.StepError}


def test_the_tree_at_the_top_of_the_module_shows_every_error_under_its_parent():
    shown: list[tuple[int, str]] = []
    parents = {}
    for line in (errors.__doc__ or "").splitlines():
        name = next((word for word in line.split() if word[0].isalpha()), "")
        if name.isidentifier() and hasattr(errors, name):
            depth = line.index(name)
            shown = [entry for entry in shown if entry[0] < depth]
            parents[name] = shown[-1][1] if shown else "Exception"
            shown.append((depth, name))
    assert parents == {kind.__name__: kind.__bases__[0].__name__ for kind in all_errors()}


@pytest.mark.parametrize("error", EXAMPLES, ids=ids)
@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_an_error_survives_pickling_and_copying_with_its_data(error, again):
    other = again(error)
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert other.data == error.data


@pytest.mark.parametrize("error", EXAMPLES, ids=ids)
def test_an_error_becomes_json_of_type_and_message(error):
    assert json.loads(json.dumps(error.to_json())) == {"type": type(error).__name__, "message": str(error)}


@pytest.mark.parametrize("error", EXAMPLES, ids=ids)
def test_a_message_is_one_line_and_leaves_no_placeholder(error):
    assert "\n" not in str(error)
    for name in error.data:
        assert f"{{{name}" not in str(error)


def test_data_are_attributes_and_what_is_not_there_is_an_attribute_error():
    error = errors.SchemaMismatch(found="none", needed="0001")
    assert (error.found, error.needed) == ("none", "0001")
    with pytest.raises(AttributeError, match="missing"):
        error.missing  # noqa: B018 - the access is the test


@pytest.mark.parametrize("error", EXAMPLES, ids=ids)
def test_every_error_has_its_message_as_detail(error):
    assert error.detail == str(error)


@pytest.mark.parametrize("data", [{}, {"found": "none"}, {"found": "none", "needed": "0001", "neded": "0001"}])
def test_missing_and_undeclared_data_are_refused_at_construction(data):
    with pytest.raises(TypeError, match=r"SchemaMismatch takes \['found', 'needed'\], not"):
        errors.SchemaMismatch(**data)


def test_an_error_without_a_message_of_its_own_takes_the_data_of_its_parent():
    class Unmigrated(errors.SchemaMismatch):
        pass

    assert Unmigrated(found="none", needed="0001").found == "none"
    with pytest.raises(TypeError):
        Unmigrated(detail="not migrated")


def test_braces_in_the_data_are_not_taken_for_placeholders():
    assert "{not: a placeholder}" in str(errors.InputInvalid(workflow="w", reason="{not: a placeholder}"))


def test_a_result_timeout_is_a_timeout_error_and_says_that_the_run_goes_on():
    error = errors.ResultTimeout(run_id="4711", status=RunStatus.RUNNING, seconds=0.25)
    assert isinstance(error, TimeoutError)
    assert str(error) == "Run 4711 is still running after 0.25 s. It goes on; ask again later."


def test_errors_that_the_user_can_mend_say_how():
    assert "celeriac migrate" in str(errors.SchemaMismatch(found="none", needed="0001"))
    assert "CELERIAC_DATABASE_URL" in str(errors.DatabaseUnavailable(address="a", reason="r"))
    assert "CELERIAC_BROKER_URL" in str(errors.BrokerUnavailable(address="a", reason="r"))
    assert "celeriac list" in str(errors.UnknownRun(run_id="4711"))
    assert "CELERIAC_IMPORTS" in str(errors.ImportFailed(module="m", reason="r"))
