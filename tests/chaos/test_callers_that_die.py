"""Callers that die right after their COMMIT, before the run that they started there is dispatched."""

import sys

import pytest

from tests.support.outcomes import assert_all_completed_once, scalar, wait_for_all
from tests.support.transactions import KINDS

CALLER = """
import os, signal, sys, threading
from celeriac import Client
from celeriac.workflows.history.runs import RunStore
from tests.support.flows_chaos import line
from tests.support.transactions import CREATE, KINDS
import sqlalchemy as sa

visible = RunStore.visible

def die_once_the_commit_is_visible(self, run_ids):
    if visible(self, run_ids):
        os.kill(os.getpid(), signal.SIGKILL)
    return set()

RunStore.visible = die_once_the_commit_is_visible
client = Client.from_env()
with client.services.stores.database.engine.begin() as connection:
    connection.execute(sa.text(CREATE))
with KINDS[sys.argv[1]](client.settings.require_database_url()) as caller:
    caller.start(client, line, 1, 0.0)
    threading.Event().wait(30)
"""


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_run_started_in_the_callers_transaction_is_run_though_the_caller_dies_before_its_dispatch(
    client, flows, start_process, start_worker, kind
):
    """FIELD_FAILURES 29: ``delay_on_commit`` loses the task when the process dies after COMMIT."""
    caller = start_process([sys.executable, "-c", CALLER, kind], name="caller", settings=flows)
    assert caller.wait(30) == -9
    assert scalar(client, "SELECT count(*) FROM workflow_runs") == 1
    assert scalar(client, "SELECT count(*) FROM orders") == 1
    start_worker(flows)
    wait_for_all(client, 30)
    assert_all_completed_once(client)
