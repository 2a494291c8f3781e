"""The tables of the history, for the queries that are built in Python.

Migrations make the tables. A test compares this description with a migrated database.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

_INSTANT = sa.DateTime(timezone=True)

RUNS = sa.table(
    "workflow_runs",
    sa.column("id", sa.Uuid),
    sa.column("workflow", sa.Text),
    sa.column("version", sa.Text),
    sa.column("graph_hash", sa.Text),
    sa.column("status", sa.Text),
    sa.column("phase", sa.Text),
    sa.column("remaining", sa.Integer),
    sa.column("unhandled_failures", sa.Integer),
    sa.column("compensations", sa.Integer),
    sa.column("final_status", sa.Text),
    sa.column("tags", JSONB),
    sa.column("idempotency_key", sa.Text),
    sa.column("forked_from", sa.Uuid),
    sa.column("ended_by", sa.BigInteger),
    sa.column("created_at", _INSTANT),
    sa.column("started_at", _INSTANT),
    sa.column("finished_at", _INSTANT),
    sa.column("timeout_at", _INSTANT),
)

TASKS = sa.table(
    "workflow_tasks",
    sa.column("run_id", sa.Uuid),
    sa.column("position", sa.Integer),
    sa.column("name", sa.Text),
    sa.column("task_name", sa.Text),
    sa.column("queue", sa.Text),
    sa.column("priority", sa.Integer),
    sa.column("max_attempts", sa.Integer),
    sa.column("phase", sa.Text),
    sa.column("status", sa.Text),
    sa.column("remaining", sa.Integer),
    sa.column("failed", sa.Integer),
    sa.column("skipped", sa.Integer),
    sa.column("next_position", sa.Integer),
    sa.column("attempt", sa.Integer),
    sa.column("lost", sa.Integer),
    sa.column("uncounted_attempts", sa.Integer),
    sa.column("lease", sa.Text),
    sa.column("ended_by", sa.BigInteger),
    sa.column("ready_at", _INSTANT),
    sa.column("dispatched_at", _INSTANT),
    sa.column("dispatches", sa.Integer),
    sa.column("started_at", _INSTANT),
    sa.column("finished_at", _INSTANT),
    sa.column("due_at", _INSTANT),
    sa.column("timeout_at", _INSTANT),
    sa.column("deadline_at", _INSTANT),
    sa.column("heartbeat_at", _INSTANT),
    sa.column("heartbeat_details", sa.JSON),
)

EVENTS = sa.table(
    "workflow_events",
    sa.column("run_id", sa.Uuid),
    sa.column("sequence", sa.BigInteger),
    sa.column("type", sa.Text),
    sa.column("position", sa.Integer),
    sa.column("attempt", sa.Integer),
    sa.column("at", _INSTANT),
    sa.column("data", sa.JSON),
)
