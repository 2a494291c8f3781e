-- name: lock_steps
-- Lock steps of a run, ascending, and return them.
-- No row: the run has no such step.
SELECT position, status, attempt, lease, remaining, failed, skipped, next_position, ended_by
FROM workflow_tasks
WHERE run_id = :run AND position = ANY (CAST(:positions AS integer[]))
ORDER BY position FOR UPDATE

-- name: lock_run
-- Lock a run and return it. Lock order: the steps of a run, then the run.
-- No row: there is no such run.
SELECT status, remaining, unhandled_failures, compensations, final_status, ended_by,
       started_at IS NOT NULL AS is_started, coalesce(timeout_at < now(), false) AS is_timed_out
FROM workflow_runs WHERE id = :run FOR UPDATE

-- name: lease_is_over
-- Return whether the lease of a process has expired, or is missing.
SELECT NOT EXISTS (SELECT FROM workflow_leases WHERE name = :lease AND expires_at >= now()) AS is_over

-- name: append_events
-- Append events to a history in order. One row per event, with its sequence.
INSERT INTO workflow_events (run_id, type, position, attempt, data)
SELECT :run, event.type, event.position, event.attempt, CAST(event.data AS json)
FROM unnest(
    CAST(:types AS text[]), CAST(:positions AS integer[]), CAST(:attempts AS integer[]), CAST(:data AS text[])
) WITH ORDINALITY AS event (type, position, attempt, data, number)
ORDER BY event.number
RETURNING sequence

-- name: write_steps
-- Write the state of locked steps. A step with `reset` starts over: no earlier attempt
-- counts. Returns no row.
UPDATE workflow_tasks AS task
SET status = step.status, remaining = step.remaining, failed = step.failed, skipped = step.skipped,
    next_position = step.next_position,
    ended_by = CASE WHEN step.status IN ('completed', 'failed', 'upstream_failed', 'skipped') THEN step.ended_by END,
    ready_at = CASE WHEN step.status = 'ready' THEN statement_timestamp() ELSE task.ready_at END,
    dispatched_at = CASE WHEN step.status = 'ready' THEN statement_timestamp() ELSE task.dispatched_at END,
    finished_at = CASE WHEN step.status NOT IN ('completed', 'failed', 'upstream_failed', 'skipped') THEN NULL
                       WHEN step.ended_by = task.ended_by THEN task.finished_at ELSE statement_timestamp() END,
    lost = CASE WHEN step.reset THEN 0 ELSE task.lost + step.lost END,
    uncounted_attempts = CASE WHEN step.reset THEN task.attempt ELSE task.uncounted_attempts END,
    due_at = CASE WHEN step.status = 'retrying' THEN task.due_at END,
    deadline_at = CASE WHEN NOT step.reset THEN task.deadline_at END,
    timeout_at = CASE WHEN NOT step.reset THEN task.timeout_at END
FROM unnest(
    CAST(:positions AS integer[]), CAST(:statuses AS text[]), CAST(:remaining AS integer[]), CAST(:failed AS integer[]),
    CAST(:skipped AS integer[]), CAST(:next_positions AS integer[]), CAST(:ended_by AS bigint[]),
    CAST(:lost AS integer[]), CAST(:reset AS boolean[])
) AS step (position, status, remaining, failed, skipped, next_position, ended_by, lost, reset)
WHERE task.run_id = :run AND task.position = step.position

-- name: write_run
-- Write the state of a locked run. Returns no row.
UPDATE workflow_runs
SET status = :status, remaining = :remaining, unhandled_failures = :unhandled_failures, compensations = :compensations,
    final_status = :final_status, ended_by = :ended_by,
    finished_at = CASE WHEN CAST(:ended_by AS bigint) IS NULL THEN NULL
                       WHEN ended_by = :ended_by THEN finished_at ELSE statement_timestamp() END
WHERE id = :run

-- name: unpark
-- Let `find_unclaimed` find the parked steps of a run again, because the run accepts
-- work again. The caller has locked the steps. Returns no row.
UPDATE workflow_tasks AS task SET dispatched_at = statement_timestamp()
FROM workflow_runs AS run
WHERE run.id = :run AND task.run_id = run.id AND task.status = 'ready' AND task.phase = run.phase
  AND task.dispatched_at IS NULL

-- name: first_failure
-- Return the failed steps of a run, the earliest failure first.
-- No row: no step has failed.
SELECT position FROM workflow_tasks WHERE run_id = :run AND status = 'failed' ORDER BY ended_by

-- name: final_data
-- Return the data of the event that last made a saga compensate.
-- No row: the run never did.
SELECT data FROM workflow_events
WHERE run_id = :run AND type = 'RunCompensating' ORDER BY sequence DESC LIMIT 1

-- name: extend_run
-- Start the time limit of a retried run anew, and end the waits of its steps. Returns
-- no row.
WITH run AS (
    UPDATE workflow_runs SET timeout_at = statement_timestamp() + make_interval(secs => :timeout) WHERE id = :run
)
UPDATE workflow_tasks SET due_at = statement_timestamp() WHERE run_id = :run AND status = 'retrying'
