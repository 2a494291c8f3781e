"""Log lines about a run or an attempt: their fields, for programs that read logs."""

import logging
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from uuid import uuid4

import pytest
from celery import Celery
from celery.exceptions import Ignore

from celeriac import Retry, Settings, step
from celeriac.worker.attempt_timeouts import AttemptTimeouts
from celeriac.worker.installation import create_app
from celeriac.worker.reconciler.dispatching import StepDispatcher
from celeriac.worker.reconciler.lost_attempts import ExhaustedSteps, LostAttempts
from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.dispatch.dispatch import Dispatch
from celeriac.workflows.dispatch.publisher import Publisher, publishing_app
from celeriac.workflows.engine.graph import Graph, Node
from celeriac.workflows.history.records import Limits
from tests.support.graphs import chain_of
from tests.support.store import ALIVE, DEAD

ONE_STEP = Graph(workflow="one_step", version="1", nodes=(Node(name="first", task="answer"),))


@step
def answer() -> int:
    return 42


@pytest.fixture
def dispatch(store, settings) -> Iterator[Dispatch]:
    with closing(publishing_app(settings)) as app:
        yield Dispatch.of(app, store.stores)


@pytest.fixture
def app(settings) -> Iterator[Celery]:
    with closing(create_app(settings, Catalog.of(answer))) as app:
        yield app
        app.tasks["answer"].runtime.process.stores.attempts.close()
        app.tasks["answer"].runtime.process.stores.database.close()


def fields_of(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str | None, int | None, str]]:
    """The fields of each warning."""
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    return [(record.run_id, record.step, record.attempt, record.action) for record in warnings]


def without_a_lease(settings: Settings) -> Settings:
    """Settings under which Postgres has been up for a whole lease, even if it was just started."""
    return settings.model_copy(update={"lease_seconds": 0.0})


def test_a_lost_attempt_is_logged_with_its_fields(store, dispatch, settings, caplog):
    run_id = store.start(chain_of(2))
    store.take(run_id, "s0", lease=DEAD)
    dispatcher = StepDispatcher(store.stores, dispatch.publisher)
    lost_attempts = LostAttempts(store.stores, dispatcher, without_a_lease(settings), 10)
    assert lost_attempts.run_once(store.reconciling.now()) == 1
    assert fields_of(caplog) == [(str(run_id), "s0", 1, "lost")]


def test_a_step_that_lost_its_last_attempt_is_logged_with_its_fields(store, dispatch, settings, caplog):
    run_id = store.start(chain_of(2, max_attempts=1))
    store.take(run_id, "s0", lease=DEAD)
    exhausted = ExhaustedSteps(store.stores, dispatch.follow_up, without_a_lease(settings), 10)
    assert exhausted.run_once(store.reconciling.now()) == 1
    assert fields_of(caplog) == [(str(run_id), "s0", 1, "failed")]


def test_an_attempt_that_timed_out_is_logged_with_its_fields(store, dispatch, caplog):
    run_id = store.start(chain_of(2))
    assert store.attempts.claim(store.key(run_id, "s0"), lease=ALIVE, limits=Limits(timeout=0)) is not None
    timeouts = AttemptTimeouts(store.stores, dispatch.follow_up, Retry())
    assert len(timeouts.fail(store.reconciling.timed_out(grace=timedelta(0), batch=10))) == 1
    assert fields_of(caplog) == [(str(run_id), "s0", 1, "timed_out")]


def test_a_superseded_attempt_is_logged_with_its_fields(store, app, caplog):
    run_id = store.start(ONE_STEP)
    task = app.tasks["answer"]
    executor = task.runtime.process.executor
    claim = executor.claim(ONE_STEP, run_id, "first")
    store.lose()
    with pytest.raises(Ignore):
        executor.run(task, ONE_STEP, claim, lambda: None)
    assert fields_of(caplog) == [(str(run_id), "first", 1, "superseded")]


def test_a_message_of_a_run_in_another_database_is_logged_with_its_fields(app, caplog):
    run_id = str(uuid4())
    with pytest.raises(Ignore):
        app.tasks["answer"].run(run=run_id, step="first", graph_hash="unknown")
    assert fields_of(caplog) == [(run_id, "first", None, "dropped")]


def test_a_run_that_the_broker_did_not_take_is_logged_with_its_fields(caplog):
    run_id = uuid4()
    with closing(publishing_app(Settings(broker_url="redis://127.0.0.1:1/0"))) as app:
        Publisher(app).dispatch(ONE_STEP, run_id, frozenset())
    assert fields_of(caplog) == [(str(run_id), None, None, "not_dispatched")]
