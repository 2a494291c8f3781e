import click
import pytest

from celeriac.workflows.cli.selection import choice_of
from celeriac.workflows.engine.states import RunStatus


@pytest.mark.parametrize(("run_ids", "status"), [([], None), (["an id"], "running")])
def test_runs_are_named_or_filtered_and_never_all_by_accident(run_ids, status):
    with pytest.raises(click.UsageError, match="Name the runs, or choose some with"):
        choice_of(run_ids, None, status, [])


def test_a_run_that_is_named_twice_is_changed_once():
    assert choice_of(["a", "b", "a"], None, None, []).run_ids == ("a", "b")
    chosen = choice_of([], "orders", "paused", ["tenant=acme"])
    assert chosen.filters == {"workflow": "orders", "status": RunStatus.PAUSED, "tags": {"tenant": "acme"}}
