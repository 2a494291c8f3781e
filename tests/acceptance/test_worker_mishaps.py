"""Whatever a step does, its attempt comes to an end: none is left running under the lease of a living process."""

import pytest

from celeriac.workflows.engine.states import StepStatus
from celeriac.workflows.errors import RunFailed

MODULE = "tests.support.flows_mishaps"


@pytest.fixture
def mishaps(settings, make_client, start_worker, once):
    """A client of the workflows that misbehave, with a worker that runs them."""
    flows = settings.model_copy(update={"imports": (MODULE,)})
    start_worker(flows, pool="prefork", concurrency=2)
    return make_client(flows)


def failure_of(run) -> str:
    with pytest.raises(RunFailed) as failed:
        run.result(20)
    assert StepStatus.RUNNING not in {step.status for step in run.steps()}
    return str(failed.value)


@pytest.mark.parametrize(("number", "name"), [(0, "Ignore"), (1, "Reject"), (2, "Retry")])
def test_a_step_that_raises_what_celery_takes_for_an_order_fails(mishaps, number, name):
    assert name in failure_of(mishaps.start_by_name("celery_control", number))
    assert mishaps.audit() == []


@pytest.mark.parametrize("how", ["commit", "rollback", "close"])
def test_a_step_that_ends_its_transaction_fails_and_is_told_so(mishaps, how):
    assert "committed, rolled back or closed context.transaction" in failure_of(
        mishaps.start_by_name("transaction_ended", how)
    )
    assert mishaps.audit() == []


def test_a_step_that_exits_fails_and_the_worker_goes_on(mishaps):
    assert "SystemExit" in failure_of(mishaps.start_by_name("exiting", 3))
    assert "SystemExit" in failure_of(mishaps.start_by_name("exiting", 0))
    assert mishaps.audit() == []


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_step_that_raises_keyboard_interrupt_fails_and_the_worker_goes_on(
    settings, make_client, start_worker, once, pool
):
    flows = settings.model_copy(update={"imports": (MODULE,)})
    start_worker(flows, pool=pool)
    client = make_client(flows)
    assert "KeyboardInterrupt" in failure_of(client.start_by_name("interrupting"))
    assert "KeyboardInterrupt" in failure_of(client.start_by_name("interrupting"))
    assert client.audit() == []


def test_celery_time_limit_is_not_shared_by_the_steps_of_a_chain(settings, make_client, start_worker, once):
    flows = settings.model_copy(update={"imports": (MODULE,)})
    start_worker(flows, pool="prefork", concurrency=1, arguments=["--soft-time-limit", "2"])
    assert make_client(flows).start_by_name("naps", 0.7).result(30) == "0.7"
