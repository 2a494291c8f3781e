"""Executing a step under Celery's tracer: what the history records, what Celery is told, and what follows."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from uuid import UUID

import pytest
import sqlalchemy as sa
from celery import states
from celery.exceptions import Ignore, Reject
from celery.exceptions import Retry as CeleryRetry

from celeriac import Retry, StepContext, StepError, step, workflow
from celeriac.workflows.dispatch.wakeups import Wakeups
from tests.support.broker import Broker
from tests.support.store import Store
from tests.support.tracing import TracingProcess

TERMINATED = -256 + 15  # what billiard makes of a SIGTERM to a child
CALLS: Counter[UUID] = Counter()  # by run


@step(retry=Retry(max_attempts=1))
def work(context: StepContext, todo: str) -> int:
    CALLS[context.run_id] += 1
    TODO[todo](context)
    return CALLS[context.run_id]


@step
def tell(number: int) -> int:
    return number


@workflow
def working(todo: str):
    return tell(work(todo))


@workflow
def working_alone(todo: str):
    return work(todo)


@workflow
def working_twice(todo: str):
    return work.options(retry=Retry(max_attempts=2, delay=0))(todo)


def raises(error: BaseException) -> Callable[[StepContext], None]:
    def act(_context: StepContext) -> None:
        raise error

    return act


def lose_connection_at_first(context: StepContext) -> None:
    context.transaction.execute(sa.text("INSERT INTO effects VALUES (1)"))
    if CALLS[context.run_id] == 1:
        context.transaction.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))


ORDERS = {
    "Ignore": Ignore(),
    "Reject": Reject("no"),
    "Retry": CeleryRetry("later"),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "SystemExit": SystemExit(3),
}
TODO: dict[str, Callable[[StepContext], None]] = {
    "nothing": lambda _context: None,
    "fail": raises(ValueError("no stock")),
    "end": raises(SystemExit(TERMINATED)),
    "lose": lose_connection_at_first,
    **{name: raises(error) for name, error in ORDERS.items()},
}


@pytest.fixture
def process(store: Store, broker: Broker, settings):
    with closing(TracingProcess(store, broker, settings, working, working_alone, working_twice)) as process:
        yield process


def start(process: TracingProcess, workflow, todo: str) -> UUID:
    return process.start(workflow, f'{{"todo": "{todo}"}}')


def break_down(*_args, **_kwargs):
    raise RuntimeError("something else is broken")


@pytest.mark.parametrize("name", ORDERS)
def test_an_error_that_celery_takes_for_an_order_is_a_failure_to_celery_as_to_the_history(process, store, name):
    run_id = start(process, working, name)
    _, info, *_ = process.trace_next()
    assert info.state == states.FAILURE
    assert isinstance(info.retval, StepError)
    assert str(info.retval) == f"Step 'work' raised {name}."
    assert store.statuses(run_id) == {"work": "failed", "tell": "pending"}
    assert store.reader.run(run_id).error.type == name


def test_a_step_whose_process_is_told_to_end_is_released_and_dispatched(process, store, broker):
    run_id = start(process, working, "end")
    with pytest.raises(SystemExit):
        process.trace_next()
    assert store.history(run_id) == ["RunStarted", "StepStarted work 1", "StepReleased work 1"]
    assert broker.ids() == [f"{run_id}.work"]


def test_a_step_whose_connection_is_lost_runs_again_in_the_same_attempt(process, store):
    store.execute("CREATE TABLE effects (number integer)")
    run_id = start(process, working, "lose")
    process.trace_next()
    assert store.history(run_id)[1:3] == ["StepStarted work 1", "StepCompleted work 1"]
    assert CALLS[run_id] == 2
    assert store.row("SELECT count(*) AS n FROM effects").n == 1


def test_a_retried_run_gives_its_step_all_its_attempts_again(process, store, broker):
    run_id = start(process, working_twice, "fail")
    expected = []
    for attempts in ((1, 2), (3, 4)):
        for attempt, status in zip(attempts, ("retrying", "failed"), strict=True):
            process.trace_next()
            expected.append(f"StepFailed work {attempt}")
            assert store.statuses(run_id) == {"work": status}
            if status == "retrying":
                assert len(store.reconciling.fire_retries(10)) == 1
                assert process.publisher.dispatch(working_twice.graph, run_id, frozenset())
        if attempts == (1, 2):
            assert store.transitions.retry(run_id, working_twice.graph, 60) is not None
            assert process.publisher.dispatch(working_twice.graph, run_id, frozenset())
    assert [event for event in store.history(run_id) if event.startswith("StepFailed")] == expected


def test_an_error_around_the_step_fails_the_attempt(process, store, monkeypatch):
    """The process lives and renews its lease: an attempt that stayed open would stay so for good."""
    monkeypatch.setattr(type(process.process.continuation), "choose", break_down)
    run_id = start(process, working, "nothing")
    process.trace_next()
    assert store.statuses(run_id)["work"] == "failed"
    assert store.reader.run(run_id).error.message == "something else is broken"


def test_an_error_after_the_completion_releases_the_step_that_it_claimed(process, store, broker, monkeypatch):
    run_id = start(process, working, "nothing")
    with monkeypatch.context() as broken:
        broken.setattr(type(process.process.dispatch.follow_up), "after", break_down)
        process.trace_next()
    assert store.statuses(run_id) == {"work": "completed", "tell": "ready"}
    assert store.history(run_id)[-1] == "StepReleased tell 1"
    assert broker.ids() == [f"{run_id}.tell"]


@pytest.mark.parametrize("todo", ["nothing", "fail"])
def test_those_who_wait_for_a_run_are_woken_when_its_last_step_ends(process, broker_url, only_woken, todo):
    run_id = start(process, working_alone, todo)
    with Wakeups(broker_url).listening(run_id) as waiter, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(waiter.wait, 60)
        process.trace_next()
        waiting.result(timeout=10)
