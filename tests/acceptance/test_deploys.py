"""Deploys while runs are under way: another version of the code comes, and the runs keep their graph."""

import os
from pathlib import Path

import pytest

from celeriac import Client
from celeriac.workflows.authoring.catalog import Catalog
from tests.support.waiting import wait_until

BEFORE = """
from celeriac import step, workflow

@step
def pack(order: str) -> str:
    return f"{order} packed"

@step
def send(packed: str) -> str:
    return f"{packed}, sent"

@workflow
def parcel(order: str) -> str:
    return send(pack(order))
"""
# Another text of a step, another step in the graph, and one that is no longer there.
AFTER = """
from celeriac import step, workflow

@step
def pack(order: str) -> str:
    return f"{order} packed well"

@step
def weigh(packed: str) -> str:
    return f"{packed}, weighed"

@step
def send(packed: str) -> str:
    return f"{packed}, sent by train"

@workflow(version="2")
def parcel(order: str) -> str:
    return send(weigh(pack(order)))
"""
WITHOUT_SEND = AFTER.replace("def send(", "def dispatch(").replace("send(weigh", "dispatch(weigh")


@pytest.fixture
def deploy(tmp_path: Path, settings, start_worker, monkeypatch: pytest.MonkeyPatch):
    """``deploy(name, code)``: a worker of that code; and a client that knows its workflow as `parcel`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])

    def deploy(name: str, code: str):
        (tmp_path / f"{name}.py").write_text(code)
        chosen = settings.model_copy(update={"imports": (name,)})
        return start_worker(chosen, concurrency=1, env={"PYTHONPATH": path}), Catalog.load([name]).workflow("parcel")

    return deploy


def test_a_deploy_strands_no_run_that_is_parked_although_its_code_has_changed(settings, deploy, make_client):
    """FIELD_FAILURES 24: parked runs are stranded because the hash of the code has changed."""
    client: Client = make_client(settings)
    worker, parcel = deploy("shop_before", BEFORE)
    run = client.start(parcel, "shoes")
    assert run.result(20) == "shoes packed, sent"
    worker.kill()
    parked = client.start(parcel, "hats")
    parked.pause()

    _, changed = deploy("shop_after", AFTER)
    assert client.start(changed, "gloves").result(20) == "gloves packed well, weighed, sent by train"
    parked.resume()
    assert parked.result(20) == "hats packed well, sent by train", "the old graph, the new code of its steps"
    assert [step.name for step in parked.steps()] == ["pack", "send"]
    assert parked.view().version == "1"
    assert client.audit() == []


def test_a_run_whose_step_nobody_has_any_more_is_named_and_goes_on_with_a_worker_that_has_it(
    settings, deploy, make_client
):
    """FIELD_FAILURES 24: runs without a compatible worker are reported."""
    client: Client = make_client(settings)
    worker, parcel = deploy("shop_before", BEFORE)
    worker.kill()
    parked = client.start(parcel, "hats")
    without, _ = deploy("shop_without_send", WITHOUT_SEND)
    wait_until(lambda: parked.steps()[0].status == "completed", 20, "the step that is still there runs")
    expected = "waits for a worker that has step 'send' (none on queue 'celery' has its code)"
    wait_until(lambda: [reason.why for reason in parked.explain()] == [expected], 20, "the reason is known")
    deploy("shop_again", BEFORE)
    without.kill()
    assert parked.result(30) == "hats packed well, sent"
    assert client.audit() == []
