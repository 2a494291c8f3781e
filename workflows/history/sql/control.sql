-- name: pause_runs
-- Pause runs that go on: what runs finishes, nothing new starts. One row per run paused; the others were
-- paused already, or have ended.
WITH paused AS (
    UPDATE workflow_runs SET status = 'paused'
    WHERE status IN ('pending', 'running') AND id = ANY (CAST(:runs AS uuid[]))
    RETURNING id
), events AS (
    INSERT INTO workflow_events (run_id, type) SELECT id, 'RunPaused' FROM paused
)
SELECT id FROM paused

-- name: resume_runs
-- Let paused runs go on. One row per run resumed.
WITH resumed AS (
    UPDATE workflow_runs SET status = CASE WHEN started_at IS NULL THEN 'pending' ELSE 'running' END
    WHERE status = 'paused' AND id = ANY (CAST(:runs AS uuid[]))
    RETURNING id
), events AS (
    INSERT INTO workflow_events (run_id, type) SELECT id, 'RunResumed' FROM resumed
)
SELECT id FROM resumed

-- name: cancel_runs
-- End runs by request, as `cancelled` or as `terminated`. What their running steps still complete is recorded, but
-- frees nothing. One row per run ended; the others had ended.
WITH ended AS (
    UPDATE workflow_runs
    SET status = :status, outcome = nextval('workflow_event_sequence'), finished_at = statement_timestamp()
    WHERE status IN ('pending', 'running', 'paused') AND id = ANY (CAST(:runs AS uuid[]))
    RETURNING id, outcome
), events AS (
    INSERT INTO workflow_events (run_id, sequence, type, data)
    SELECT id, outcome, :event, json_build_object('reason', CAST(:reason AS text)) FROM ended
)
SELECT id FROM ended

-- name: dispatch_ready
-- Note that the ready steps of runs that go on are handed to Celery now. One row for each.
UPDATE workflow_tasks AS task SET dispatched_at = statement_timestamp()
FROM workflow_runs AS run
WHERE run.id = ANY (CAST(:runs AS uuid[])) AND run.status IN ('pending', 'running')
  AND task.run_id = run.id AND task.status = 'ready'
RETURNING task.run_id, task.position, run.definition

-- name: retry_run
-- Let a failed run go on: its failed steps are ready again, with all their attempts before them; completed ones stay.
-- No row: the run has not failed.
WITH failed AS ( -- locked before the run, as whatever fails a step does
    SELECT position FROM workflow_tasks WHERE run_id = :run AND status = 'failed' ORDER BY position FOR UPDATE
), run AS (
    UPDATE workflow_runs
    SET status = CASE WHEN started_at IS NULL THEN 'pending' ELSE 'running' END, outcome = NULL, finished_at = NULL,
        timeout_at = statement_timestamp() + make_interval(secs => :timeout)
    WHERE id = :run AND status = 'failed' AND (SELECT count(*) FROM failed) >= 0
    RETURNING id
), again AS (
    UPDATE workflow_tasks AS task
    SET status = 'ready', outcome = NULL, lost = 0, attempts_before = task.attempt, finished_at = NULL,
        deadline_at = NULL, timeout_at = NULL,
        ready_at = statement_timestamp(), dispatched_at = statement_timestamp()
    FROM run, failed WHERE task.run_id = run.id AND task.position = failed.position
    RETURNING task.position
), waiting AS (
    UPDATE workflow_tasks AS task SET due_at = statement_timestamp()
    FROM run WHERE task.run_id = run.id AND task.status = 'retrying'
), event AS (
    INSERT INTO workflow_events (run_id, type, data)
    SELECT id, 'RunRetried', json_build_object('steps', ARRAY(SELECT position FROM again ORDER BY position)) FROM run
)
SELECT id FROM run

-- name: reuse_results
-- In a run that is being forked, complete steps with the results that the original has for them; in the order of the
-- graph.
WITH original AS (
    SELECT reused.position, event.data
    FROM unnest(CAST(:positions AS integer[]), CAST(:names AS text[])) AS reused (position, name)
    JOIN workflow_tasks AS task ON task.run_id = :original AND task.name = reused.name AND task.status = 'completed'
    JOIN workflow_events AS event ON event.run_id = task.run_id AND event.sequence = task.outcome
    ORDER BY reused.position
), events AS (
    INSERT INTO workflow_events (run_id, type, position, attempt, data)
    SELECT :run, 'StepReused', position, 0, data FROM original ORDER BY array_position(CAST(:positions AS integer[]), position)
    RETURNING position, sequence
)
UPDATE workflow_tasks AS task
SET status = 'completed', remaining = 0, outcome = events.sequence, finished_at = statement_timestamp()
FROM events WHERE task.run_id = :run AND task.position = events.position

-- name: settle_fork
-- In a run that is being forked, set what remains for the steps that are not reused, and for the run.
WITH steps AS (
    UPDATE workflow_tasks AS task
    SET remaining = step.remaining,
        status = CASE WHEN step.remaining = 0 THEN 'ready' ELSE 'pending' END,
        ready_at = CASE WHEN step.remaining = 0 THEN statement_timestamp() END,
        dispatched_at = CASE WHEN step.remaining = 0 THEN statement_timestamp() END
    FROM unnest(CAST(:positions AS integer[]), CAST(:remaining AS integer[])) AS step (position, remaining)
    WHERE task.run_id = :run AND task.position = step.position
)
UPDATE workflow_runs SET remaining = :sinks, forked_from = :original WHERE id = :run
