-- name: pause_runs
-- Pause runs that accept work: running steps finish, no step starts. One row per run
-- paused; the others were paused already, are compensating, or have ended.
WITH paused AS (
    UPDATE workflow_runs SET status = 'paused'
    WHERE status IN ('pending', 'running') AND id = ANY (CAST(:runs AS uuid[]))
    RETURNING id
), events AS (
    INSERT INTO workflow_events (run_id, type) SELECT id, 'RunPaused' FROM paused
)
SELECT id FROM paused

-- name: resume_runs
-- Let paused runs accept work again. One row per run resumed; the others were not
-- paused.
WITH resumed AS (
    UPDATE workflow_runs SET status = CASE WHEN started_at IS NULL THEN 'pending' ELSE 'running' END
    WHERE status = 'paused' AND id = ANY (CAST(:runs AS uuid[]))
    RETURNING id
), events AS (
    INSERT INTO workflow_events (run_id, type) SELECT id, 'RunResumed' FROM resumed
)
SELECT id FROM resumed

-- name: cancel_runs
-- Cancel runs on request; a saga is compensated first. If a running step still
-- completes, that is recorded, but frees no step. One row per run changed; the others
-- had ended, or are compensating.
WITH wanted AS (
    SELECT run.id, coalesce(CAST(definition.graph ->> 'saga' AS boolean), false) AS saga
    FROM workflow_runs AS run JOIN workflow_definitions AS definition ON definition.hash = run.graph_hash
    WHERE run.status IN ('pending', 'running', 'paused') AND run.id = ANY (CAST(:runs AS uuid[]))
), ended AS (
    UPDATE workflow_runs AS run
    SET status = CASE WHEN wanted.saga THEN 'compensating' ELSE 'cancelled' END,
        final_status = CASE WHEN wanted.saga THEN 'cancelled' END,
        ended_by = CASE WHEN wanted.saga THEN NULL ELSE nextval('workflow_event_sequence') END,
        finished_at = CASE WHEN wanted.saga THEN NULL ELSE statement_timestamp() END
    FROM wanted WHERE run.id = wanted.id AND run.status IN ('pending', 'running', 'paused')
    RETURNING run.id, run.ended_by, wanted.saga
), events AS (
    INSERT INTO workflow_events (run_id, sequence, type, data)
    SELECT id, coalesce(ended_by, nextval('workflow_event_sequence')),
           CASE WHEN saga THEN 'RunCompensating' ELSE 'RunCancelled' END,
           CASE WHEN saga THEN json_build_object('final_status', 'cancelled', 'reason', CAST(:reason AS text))
                ELSE json_build_object('reason', CAST(:reason AS text)) END
    FROM ended
)
SELECT id FROM ended

-- name: terminate_runs
-- Terminate runs at once on request, even if they are compensating. One row per run
-- ended; the others had ended.
WITH ended AS (
    UPDATE workflow_runs
    SET status = 'terminated', ended_by = nextval('workflow_event_sequence'), finished_at = statement_timestamp()
    WHERE status IN ('pending', 'running', 'paused', 'compensating') AND id = ANY (CAST(:runs AS uuid[]))
    RETURNING id, ended_by
), events AS (
    INSERT INTO workflow_events (run_id, sequence, type, data)
    SELECT id, ended_by, 'RunTerminated', json_build_object('reason', CAST(:reason AS text)) FROM ended
)
SELECT id FROM ended

-- name: compensating_runs
-- Return the runs, among `runs`, that are compensating.
-- No row: none is.
SELECT id, graph_hash FROM workflow_runs WHERE id = ANY (CAST(:runs AS uuid[])) AND status = 'compensating'

-- name: dispatch_ready
-- Mark the ready steps of runs that accept work as dispatched now. One row per step.
UPDATE workflow_tasks AS task SET dispatched_at = statement_timestamp()
FROM workflow_runs AS run
WHERE run.id = ANY (CAST(:runs AS uuid[])) AND task.run_id = run.id AND task.phase = run.phase AND task.status = 'ready'
RETURNING task.run_id, task.position, run.graph_hash

-- name: reusable_results
-- Return the results of a run's completed steps, by name.
-- No row: no step with such a name has completed.
SELECT task.name, CAST(event.data AS text) AS result
FROM workflow_tasks AS task
JOIN workflow_events AS event ON event.run_id = task.run_id AND event.sequence = task.ended_by
WHERE task.run_id = :run AND task.name = ANY (CAST(:names AS text[])) AND task.status = 'completed'

-- name: mark_fork
-- Record the run that a run was forked from. Returns no row.
UPDATE workflow_runs SET forked_from = :original WHERE id = :run
