from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.workflows.engine.ids import new_run_id, parse_task_id, task_id


def test_a_run_id_is_a_uuid_of_version_7():
    run_id = new_run_id()
    assert run_id.version == 7
    assert run_id.variant == UUID("00000000-0000-7000-8000-000000000000").variant


def test_run_ids_ascend_with_the_time_of_their_start(monkeypatch):
    instants = iter([1_700_000_000_000_000_000, 1_700_000_000_001_000_000, 1_800_000_000_000_000_000])
    monkeypatch.setattr("celeriac.workflows.engine.ids.time.time_ns", lambda: next(instants))
    ids = [new_run_id() for _ in range(3)]
    assert ids == sorted(ids)
    assert [found.int >> 80 for found in ids] == [1_700_000_000_000, 1_700_000_000_001, 1_800_000_000_000]


def test_run_ids_of_one_millisecond_differ(monkeypatch):
    monkeypatch.setattr("celeriac.workflows.engine.ids.time.time_ns", lambda: 1_700_000_000_000_000_000)
    assert len({new_run_id() for _ in range(1_000)}) == 1_000


@given(st.uuids(), st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}", fullmatch=True))
def test_a_task_id_is_read_back_as_its_run_and_its_step(run_id, step):
    assert parse_task_id(task_id(run_id, step)) == (run_id, step)


def test_a_step_may_have_dots_in_its_name():
    run_id = new_run_id()
    assert parse_task_id(f"{run_id}.shop.charge-2") == (run_id, "shop.charge-2")


@pytest.mark.parametrize(
    "foreign", ["", "0197a1b2-1111-7222-8333-444455556666", "a.b", ".charge", "d638c521-554d-33d8-8870-89d2d25f222.x"]
)
def test_the_ids_of_other_tasks_are_not_taken_for_ours(foreign):
    assert parse_task_id(foreign) is None
