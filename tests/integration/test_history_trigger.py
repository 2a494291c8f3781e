"""Events are append-only: the database itself refuses to change them."""

import pytest
import sqlalchemy as sa

from tests.support.graphs import chain_of


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE workflow_events SET type = 'StepCompleted'",
        "UPDATE workflow_events SET data = '{}' WHERE false",
        "DELETE FROM workflow_events",
        "TRUNCATE workflow_events",
        "TRUNCATE workflow_events, workflow_runs CASCADE",
    ],
)
def test_events_cannot_be_changed_or_deleted(store, statement):
    run_id = store.start(chain_of(1))
    with pytest.raises(sa.exc.DBAPIError, match="workflow_events is append-only: .* is not allowed"):
        store.execute(statement)
    assert store.history(run_id) == ["RunStarted"]


def test_a_history_has_one_event_of_each_number(store):
    run_id = store.start(chain_of(1))
    [event] = store.reader.events(run_id)
    with pytest.raises(sa.exc.IntegrityError, match="workflow_events_pkey"):
        store.execute(
            "INSERT INTO workflow_events (run_id, sequence, type) VALUES (:run, :sequence, 'RunCompleted')",
            run=run_id,
            sequence=event.sequence,
        )


def test_the_refusal_says_what_to_do_instead(store):
    store.start(chain_of(1))
    with pytest.raises(sa.exc.DBAPIError) as caught:
        store.execute("DELETE FROM workflow_events")
    assert caught.value.orig.diag.message_hint == "History is the source of truth. To repair a run, append to it."


def test_an_update_that_hides_in_an_insert_is_refused_too(store):
    run_id = store.start(chain_of(1))
    with pytest.raises(sa.exc.DBAPIError, match="append-only: UPDATE is not allowed"):
        store.execute(
            "INSERT INTO workflow_events (run_id, sequence, type)"
            " SELECT run_id, sequence, 'RunFailed' FROM workflow_events"
            " ON CONFLICT (run_id, sequence) DO UPDATE SET type = 'RunFailed'"
        )
    assert store.history(run_id) == ["RunStarted"]
