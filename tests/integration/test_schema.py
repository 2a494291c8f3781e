"""The schema: migrating, checking, and what the database itself refuses."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import errors as pg
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from celeriac import Client
from celeriac.workflows.engine.states import RunStatus
from celeriac.workflows.errors import DatabaseUnavailable, SchemaMismatch
from celeriac.workflows.history.database import Database
from celeriac.workflows.history.schema import (
    VERSION_TABLE,
    check,
    current_revision,
    head_revision,
    migrate,
)
from celeriac.workflows.history.tables import EVENTS, RUNS, TASKS
from celeriac.workflows.settings import Settings
from tests.support.graphs import chain_of, graph_of

TABLES = {"workflow_definitions", "workflow_runs", "workflow_events", "workflow_tasks", "workflow_leases"}


def tables_of(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {name for (name,) in rows}


def test_migrating_makes_the_tables_and_returns_the_revision(empty_database_url):
    assert current_revision(empty_database_url) is None
    assert migrate(empty_database_url) == head_revision()
    assert current_revision(empty_database_url) == head_revision()
    assert tables_of(empty_database_url) == {*TABLES, VERSION_TABLE}


def test_migrating_twice_changes_nothing(empty_database_url):
    migrate(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO workflow_definitions (hash, workflow, version, graph) VALUES ('h', 'w', '1', '{}')"
        )
        assert migrate(empty_database_url) == head_revision()
        assert connection.execute("SELECT count(*) FROM workflow_definitions").fetchone() == (1,)


def test_four_that_migrate_at_once_wait_for_each_other(empty_database_url):
    with ThreadPoolExecutor(4) as pool:
        revisions = list(pool.map(migrate, [empty_database_url] * 4))
    assert revisions == [head_revision()] * 4
    assert tables_of(empty_database_url) == {*TABLES, VERSION_TABLE}


def test_the_teams_own_alembic_keeps_its_version(empty_database_url):
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES ('shop_42')")
        migrate(empty_database_url)
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("shop_42",)]
    assert tables_of(empty_database_url) == {*TABLES, VERSION_TABLE, "alembic_version"}


def test_a_migration_that_fails_leaves_nothing_behind(empty_database_url):
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE workflow_leases (of_somebody_else integer)")
    with pytest.raises(sa.exc.ProgrammingError, match="workflow_leases"):
        migrate(empty_database_url)
    assert tables_of(empty_database_url) == {"workflow_leases"}
    assert current_revision(empty_database_url) is None


def test_a_migrated_database_passes_the_check(database_url):
    database = Database(database_url)
    check(database)
    database.close()


def test_a_database_that_is_not_migrated_is_told_from_one_of_another_version(empty_database_url):
    database = Database(empty_database_url)
    with pytest.raises(SchemaMismatch, match="at schema none, this version needs .* Run `celeriac migrate`"):
        check(database)
    migrate(empty_database_url)
    with database.autocommit() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(SchemaMismatch, match="at schema 9999"):
        check(database)
    database.close()


def test_a_client_on_a_database_that_is_not_migrated_says_so(empty_database_url, broker_url):
    with Client(Settings(database_url=empty_database_url, broker_url=broker_url)) as client:
        with pytest.raises(SchemaMismatch, match="Run `celeriac migrate`"):
            client.list()
        with pytest.raises(SchemaMismatch, match="Run `celeriac migrate`"):
            client.services.stores.runs.start(chain_of(1), "{}", tags={})


def test_a_database_that_is_not_there_is_named_without_its_password():
    with pytest.raises(DatabaseUnavailable, match="Cannot reach the database at postgresql://u:") as caught:
        migrate("postgresql://u:hunter2@127.0.0.1:1/nowhere")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("status", RunStatus)
def test_the_generated_column_has_the_phase_that_the_status_says(store, status):
    run_id = store.start(chain_of(1))
    store.is_damaged = True
    store.execute(
        "UPDATE workflow_runs SET status = :status, remaining = 0, final_status = 'failed',"
        " ended_by = CASE WHEN :ended THEN 1 END WHERE id = :run",
        status=status.value,
        ended=status.is_terminal,
        run=run_id,
    )
    assert store.row("SELECT phase FROM workflow_runs WHERE id = :run", run=run_id).phase == status.phase


@pytest.mark.parametrize(
    ("constraint", "change"),
    [
        ("run_status_is_known", "UPDATE workflow_runs SET status = 'sleeping'"),
        ("run_remaining_is_a_count", "UPDATE workflow_runs SET remaining = -1"),
        ("run_remaining_is_a_count", "UPDATE workflow_runs SET unhandled_failures = -1"),
        ("run_remaining_is_a_count", "UPDATE workflow_runs SET compensations = -1"),
        (
            "run_compensating_has_final_status",
            "UPDATE workflow_runs SET status = 'compensating', final_status = 'completed'",
        ),
        ("run_compensating_has_final_status", "UPDATE workflow_runs SET status = 'compensating'"),
        ("run_completed_has_nothing_remaining", "UPDATE workflow_runs SET status = 'completed', ended_by = 1"),
        ("run_ended_has_event", "UPDATE workflow_runs SET status = 'failed'"),
        ("run_ended_has_event", "UPDATE workflow_runs SET ended_by = 1"),
        ("run_ended_has_event", "UPDATE workflow_runs SET status = 'compensation_failed', final_status = 'failed'"),
        ("task_status_is_known", "UPDATE workflow_tasks SET status = 'sleeping' WHERE name = 's0'"),
        ("task_phase_is_known", "UPDATE workflow_tasks SET phase = 'backward' WHERE name = 's0'"),
        ("task_remaining_is_a_count", "UPDATE workflow_tasks SET remaining = -1 WHERE name = 's0'"),
        ("task_remaining_is_a_count", "UPDATE workflow_tasks SET failed = -1 WHERE name = 's1'"),
        ("task_remaining_is_a_count", "UPDATE workflow_tasks SET skipped = -1 WHERE name = 's1'"),
        ("task_pending_has_parents_remaining", "UPDATE workflow_tasks SET remaining = 0 WHERE name = 's1'"),
        ("task_pending_has_parents_remaining", "UPDATE workflow_tasks SET status = 'ready' WHERE name = 's1'"),
        ("task_running_holds_lease", "UPDATE workflow_tasks SET status = 'running' WHERE name = 's0'"),
        ("task_ended_has_event", "UPDATE workflow_tasks SET status = 'completed' WHERE name = 's0'"),
        ("task_ended_has_event", "UPDATE workflow_tasks SET status = 'upstream_failed' WHERE name = 's0'"),
        ("task_ended_has_event", "UPDATE workflow_tasks SET status = 'skipped' WHERE name = 's0'"),
        ("task_retrying_is_due", "UPDATE workflow_tasks SET status = 'retrying' WHERE name = 's0'"),
        ("task_retrying_is_due", "UPDATE workflow_tasks SET due_at = now() WHERE name = 's0'"),
        ("task_ended_has_event", "UPDATE workflow_tasks SET ended_by = 1 WHERE name = 's0'"),
    ],
)
def test_the_database_refuses_rows_that_contradict_themselves(store, constraint, change):
    store.start(chain_of(2))
    with pytest.raises(sa.exc.IntegrityError, match=constraint) as caught:
        store.execute(change)
    assert isinstance(caught.value.orig, pg.CheckViolation)


def test_every_constraint_is_one_that_a_test_breaks(database_url):
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid::regclass::text LIKE 'workflow%'"
        )
        names = {name for (name,) in rows}
    [marker] = [
        mark
        for mark in test_the_database_refuses_rows_that_contradict_themselves.pytestmark
        if mark.name == "parametrize"
    ]
    assert names == {constraint for constraint, _ in marker.args[1]}


def test_every_table_says_what_it_is_for(database_url):
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT relname, obj_description(oid) FROM pg_class WHERE relkind = 'r' AND relname = ANY (%s)",
            [list(TABLES)],
        )
        comments = dict(rows.fetchall())
    assert comments.keys() == TABLES
    assert all(comments.values())


def test_the_tables_hold_no_enums_and_no_instants_without_a_zone(database_url):
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT DISTINCT udt_name FROM information_schema.columns WHERE table_name = ANY (%s)", [list(TABLES)]
        )
        types = {name for (name,) in rows}
    assert types <= {"uuid", "text", "int4", "int8", "timestamptz", "json", "jsonb", "_text"}


def in_sql(column_type: TypeEngine) -> str:
    return column_type.compile(dialect=postgresql.dialect())


@pytest.mark.parametrize("described", [RUNS, TASKS, EVENTS], ids=lambda table: table.name)
def test_a_table_is_described_in_python_as_the_migrations_make_it(database_url, described):
    database = Database(database_url)
    migrated = sa.inspect(database.engine).get_columns(described.name)
    database.close()
    assert [(column.name, in_sql(column.type)) for column in described.c] == [
        (column["name"], in_sql(column["type"])) for column in migrated
    ]


def test_no_foreign_key_makes_a_hot_row(database_url):
    with psycopg.connect(database_url) as connection:
        [count] = connection.execute("SELECT count(*) FROM pg_constraint WHERE contype = 'f'").fetchone()
    assert count == 0


def test_what_fold_calls_a_step_is_what_the_table_calls_it(store):
    """A graph with every state of a step in it passes the audit at the end of this test."""
    run_id = store.start(graph_of({"a": [], "b": [], "c": [], "d": [], "join": ["a", "d"]}))
    store.do(run_id, "a")
    store.take(run_id, "b")
    store.fail(store.take(run_id, "c"))
    assert store.statuses(run_id) == {
        "a": "completed",
        "b": "running",
        "c": "failed",
        "d": "ready",
        "join": "pending",
    }
