"""A team's own Celery app after ``celeriac.install(app)``: all that it had works on, and workflows run beside it."""

from collections import Counter

import pytest
from celery import chain, chord, group

from celeriac import Client
from celeriac.workflows.errors import RunFailed
from tests.support.fleet import FLOWS
from tests.support.flows_chaos import fork, hold, holding, line, refusing
from tests.support.flows_team import make_app
from tests.support.outcomes import assert_all_completed_once, events_of, let_reconcile, redispatches, wait_for_all
from tests.support.servers import redis_client
from tests.support.waiting import wait_until


@pytest.fixture
def team(flows):
    """The app as the team's web app has it: it publishes and asks for results."""
    app = make_app(flows)
    yield app
    app.close()


@pytest.fixture
def team_client(flows, team, client):
    with Client(flows, celery=team) as routed:
        yield routed


@pytest.fixture
def start_team_worker(flows, start_worker):
    def start(**options):
        return start_worker(
            flows.model_copy(update={"imports": FLOWS}),
            app="tests.support.flows_team",
            **{"queues": ["team", "team-second"], **options},
        )

    return start


def test_the_teams_tasks_chains_groups_and_chords_return_what_they_did(team, team_client, start_team_worker):
    start_team_worker(concurrency=2)
    plus, total = (team.tasks[name] for name in ("team.plus", "team.total"))
    runs = [team_client.start(fork, number, 0.01) for number in range(10)]

    assert plus.delay(2, 3).get(timeout=20) == 5
    assert chain(plus.s(1, 1), plus.s(10), plus.s(100)).apply_async().get(timeout=20) == 112
    assert group(plus.s(i, i) for i in range(5)).apply_async().get(timeout=20) == [0, 2, 4, 6, 8]
    assert chord([plus.s(i, 1) for i in range(10)], total.s()).apply_async().get(timeout=20) == 55
    nested = chain(group(plus.s(i, 0) for i in range(3)), total.s(), plus.s(1))
    assert nested.apply_async().get(timeout=20) == 4
    with pytest.raises(ValueError, match="as the team wrote it"):
        team.tasks["team.broken"].delay().get(timeout=20)

    assert [run.result(20) for run in runs] == [3 * (number + 2) for number in range(10)]
    assert_all_completed_once(team_client)


def test_workflows_leave_nothing_in_the_teams_result_backend(flows, team_client, start_team_worker):
    start_team_worker()
    runs = [team_client.start(fork, number, 0.0) for number in range(10)]
    assert [run.result(20) for run in runs] == [3 * (number + 2) for number in range(10)]
    with redis_client(flows.require_broker_url()) as broker:
        assert not [key for key in broker.keys("*") if any(str(run.id).encode() in key for run in runs)]
    assert redispatches(team_client) == 0  # each chord's body was sent by whoever completed its last part
    assert_all_completed_once(team_client)


def test_the_teams_routes_send_a_step_to_another_queue(team_client, effects, start_team_worker):
    first = start_team_worker(queues=["team"], concurrency=1)
    run = team_client.start(line, 1, 0.0)
    wait_until(lambda: events_of(team_client, "StepCompleted") == 1, message="the first step is done")
    second = start_team_worker(queues=["team-second"], concurrency=1)
    assert run.result(20) == 4
    workers = {step.name: step.worker for step in run.steps()}
    assert workers["first"].startswith(first.name)
    assert workers["second"].startswith(second.name)
    assert workers["third"].startswith(first.name)
    assert_all_completed_once(team_client)


@pytest.mark.usefixtures("once")
@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_signals_fire_for_each_step_though_one_process_carries_on(team_client, effects, start_team_worker, pool):
    start_team_worker(pool=pool, concurrency=1)
    assert team_client.start(fork, 1, 0.0).result(20) == 9
    with pytest.raises(RunFailed):
        team_client.start(refusing, 1).result(20)

    per_task = Counter({"first": 2, "second": 3, "add": 1, "tell": 1})
    expected = {
        "signal.task_prerun": per_task + Counter(refuse=1),
        "signal.task_postrun": per_task + Counter(refuse=1),
        "signal.task_success": per_task,
        "signal.task_failure": Counter(refuse=1),
    }

    def fired() -> dict[str, Counter[str]]:
        return {key: Counter(e.note for e in effects.all() if e.key == key) for key in expected}

    wait_until(lambda: fired() == expected, 5, "all signals have fired")
    assert len({effect.pid for effect in effects.all() if effect.pid}) == 1
    assert team_client.audit() == []


def test_a_step_longer_than_the_visibility_timeout_runs_once(team_client, effects, gate, start_team_worker):
    """FIELD_FAILURES 6: a task that takes longer than the visibility timeout runs again and again.

    The team's app has one of two seconds. What waits in a worker, taken and not acknowledged, is given out again.
    """
    start_team_worker(concurrency=1)
    start_team_worker(concurrency=1)
    held = [team_client.start(holding, str(gate)) for _ in range(2)]
    waiting = [team_client.start(line, number, 0.0) for number in range(4)]
    wait_until(lambda: len(effects.of(hold.name)) == 2, message="both workers are busy")
    started = events_of(team_client, "StepStarted")
    let_reconcile(team_client, 5)
    assert events_of(team_client, "StepStarted") == started
    gate.touch()
    wait_for_all(team_client, 20)
    assert [run.result(1) for run in (*held, *waiting)] == [1, 1, 3, 4, 5, 6]
    assert set(effects.per_step().values()) == {1}
    assert_all_completed_once(team_client)


def test_a_step_with_the_name_of_a_task_of_the_team_is_refused(flows, start_worker, tmp_path):
    (tmp_path / "clashing.py").write_text(
        "from celeriac import step, workflow\n"
        "@step(name='team.plus')\ndef plus(x: int) -> int:\n    return x\n"
        "@workflow\ndef adding(x: int):\n    return plus(x)\n"
    )
    worker = start_worker(
        flows.model_copy(update={"imports": ("clashing",)}),
        app="tests.support.flows_team",
        cwd=tmp_path,
        wait=False,
    )
    assert worker.wait(20) != 0
    assert "Step 'team.plus' has the name of a task that the app 'team' has already" in worker.output
