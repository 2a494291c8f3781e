"""Flower beside a worker: every step is a task of its own name, also when one process continues inline."""

import json
import socket
import sys
import time
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from celeriac.workflows.errors import RunFailed
from tests.support.flows_chaos import line, line_up_to, refusing
from tests.support.outcomes import assert_all_completed_once
from tests.support.waiting import wait_until


@pytest.fixture
def tasks_in_flower(flows, start_process):
    """Start Flower; return what its API says of all tasks, by id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "celery", "-A", "celeriac", "flower", "--address=127.0.0.1", f"--port={port}"]
    environment = {"FLOWER_UNAUTHENTICATED_API": "true"}
    flower = start_process(command, name="flower", settings=flows, env=environment)

    def ask() -> dict[str, dict]:
        assert flower.running, flower.output
        try:
            with urlopen(f"http://127.0.0.1:{port}/api/tasks", timeout=5) as answer:
                return json.load(answer)
        except (URLError, ConnectionError):
            return {}

    def answers() -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{port}/api/tasks", timeout=5) as answer:
                return answer.status == 200
        except (URLError, ConnectionError):
            return False

    wait_until(answers, 30, "Flower answers")
    return ask


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_flower_shows_every_step_by_its_name_with_state_runtime_and_error(
    client, flows, effects, gate, tasks_in_flower, start_worker, pool
):
    start_worker(flows, pool=pool, concurrency=1)
    good = client.start(line_up_to, 1, 0.05, str(gate))
    first, second, held = (f"{good.id}.{name}" for name in ("first", "second", "pass_gate"))
    wait_until(lambda: effects.of("pass_gate"), 20, "the last step runs")
    held_since = time.monotonic()

    def before_the_last() -> float:
        tasks = tasks_in_flower()
        shown = [tasks[id_] for id_ in (first, second) if id_ in tasks and tasks[id_]["state"] == "SUCCESS"]
        return sum(task["runtime"] for task in shown) if len(shown) == 2 else 0.0

    took = wait_until(before_the_last, 20, "Flower has heard of the steps before it", interval=0.2)
    wait_until(lambda: time.monotonic() - held_since > took, 60, "the last step takes longer than those before it")
    gate.touch()
    assert good.result(20) == 4
    assert len({effect.pid for effect in effects.all()}) == 1
    bad = client.start(refusing, 13)
    with pytest.raises(RunFailed):
        bad.result(20)

    names = {f"{good.id}.{name}": name for name in ("first", "second", "pass_gate")}
    names |= {f"{bad.id}.{name}": name for name in ("first", "refuse")}

    def all_ended() -> dict[str, dict]:
        tasks = tasks_in_flower()
        ended = names.keys() <= tasks.keys() and all(tasks[id_]["state"] in ("SUCCESS", "FAILURE") for id_ in names)
        return tasks if ended else {}

    tasks = wait_until(all_ended, 20, "Flower has heard of all steps", interval=0.2)
    assert tasks.keys() == names.keys()
    assert {id_: tasks[id_]["name"] for id_ in names} == names
    for id_ in names:
        run_id, _, name = id_.partition(".")
        assert run_id in tasks[id_]["kwargs"]
        assert tasks[id_]["state"] == ("FAILURE" if name == "refuse" else "SUCCESS")
        assert tasks[id_]["worker"].startswith("worker-")
        assert tasks[id_]["root_id"] == run_id
    for id_ in (first, second, held):
        assert tasks[id_]["started"] <= tasks[id_]["succeeded"]
    assert 0.05 <= tasks[first]["runtime"] < tasks[held]["runtime"], "a step's time is its own"
    assert 0.05 <= tasks[second]["runtime"] < tasks[held]["runtime"]
    failed = tasks[f"{bad.id}.refuse"]
    assert failed["exception"] == "ValueError('no luck with 14')"
    assert "no luck with {number}" in failed["traceback"]
    assert client.audit() == []


def test_a_step_of_every_message_shows_in_flower_when_no_process_carries_on(
    client, flows, effects, tasks_in_flower, start_worker
):
    start_worker(flows.model_copy(update={"inline_seconds": 0.0}), concurrency=2)
    run = client.start(line, 1, 0.0)
    assert run.result(20) == 4
    ids = {f"{run.id}.{name}" for name in ("first", "second", "third")}
    wait_until(
        lambda: {id_ for id_, task in tasks_in_flower().items() if task["state"] == "SUCCESS"} == ids,
        20,
        "Flower has heard of all steps",
        interval=0.2,
    )
    assert_all_completed_once(client)
