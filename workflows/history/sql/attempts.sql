-- name: claim
-- Claim a ready step whose run accepts work: count the attempt, take the lease, record
-- the start, and return the values for the call. `inputs` are the positions of the
-- parents whose results the step needs.
-- No row: another attempt has the step, the step has ended, or its run accepts no work.
-- The commit does not wait for the disk. If a crash of Postgres loses the claim, the
-- step is ready again, and the attempt is superseded. The completion does wait, and
-- takes the claim to the disk with it.
WITH claimed AS (
    UPDATE workflow_tasks AS task
    SET status = 'running', attempt = task.attempt + 1, lease = :lease, started_at = statement_timestamp(),
        finished_at = NULL,
        deadline_at = coalesce(task.deadline_at, statement_timestamp() + make_interval(secs => :total_timeout)),
        timeout_at = LEAST(
            statement_timestamp()
                + make_interval(secs => LEAST(CAST(:timeout AS double precision), :heartbeat_timeout)),
            coalesce(task.deadline_at, statement_timestamp() + make_interval(secs => :total_timeout))
        ),
        heartbeat_at = NULL
    FROM workflow_runs AS run
    WHERE task.run_id = :run AND task.position = :position AND task.status = 'ready'
      AND run.id = task.run_id AND run.phase = task.phase
    RETURNING task.attempt, task.lost, task.uncounted_attempts,
              CAST(task.heartbeat_details AS text) AS heartbeat_details,
              extract(epoch FROM task.deadline_at - statement_timestamp()) AS seconds_left
), run AS (
    UPDATE workflow_runs
    SET status = CASE WHEN status = 'pending' THEN 'running' ELSE status END, started_at = statement_timestamp()
    WHERE id = :run AND started_at IS NULL AND EXISTS (SELECT FROM claimed)
), started AS (
    INSERT INTO workflow_events (run_id, type, position, attempt, data)
    SELECT :run, 'StepStarted', :position, attempt, json_build_object('worker', CAST(:lease AS text)) FROM claimed
)
SELECT attempt, lost, uncounted_attempts, heartbeat_details, seconds_left,
       (SELECT CAST(data AS text) FROM workflow_events WHERE run_id = :run ORDER BY sequence LIMIT 1) AS input,
       ARRAY(
           SELECT CAST(event.data AS text)
           FROM workflow_tasks AS parent
           JOIN workflow_events AS event ON event.run_id = parent.run_id AND event.sequence = parent.ended_by
           WHERE parent.run_id = :run AND parent.position = ANY (CAST(:inputs AS integer[]))
           ORDER BY parent.position
       ) AS results,
       -- In the SELECT list on purpose: the statement is a transaction of its own, which
       -- no SET LOCAL can precede, and Postgres skips a SELECT in WITH that is not read.
       set_config('synchronous_commit', 'off', true)
FROM claimed

-- name: adopt
-- Return the claim that a lease already has on a step, because the answer of `claim`
-- was lost with its connection, or because `complete` claimed the step.
-- No row: the claim was not committed, or the attempt is superseded.
SELECT task.attempt, task.lost, task.uncounted_attempts, CAST(task.heartbeat_details AS text) AS heartbeat_details,
       extract(epoch FROM task.deadline_at - statement_timestamp()) AS seconds_left,
       (SELECT CAST(data AS text) FROM workflow_events WHERE run_id = :run ORDER BY sequence LIMIT 1) AS input,
       ARRAY(
           SELECT CAST(event.data AS text)
           FROM workflow_tasks AS parent
           JOIN workflow_events AS event ON event.run_id = parent.run_id AND event.sequence = parent.ended_by
           WHERE parent.run_id = :run AND parent.position = ANY (CAST(:inputs AS integer[]))
           ORDER BY parent.position
       ) AS results
FROM workflow_tasks AS task
WHERE task.run_id = :run AND task.position = :position AND task.status = 'running' AND task.lease = :lease

-- name: complete
-- Record an attempt's result, count it at the step's dependents, end the run if no step
-- remains, and claim `next` for the same lease if this frees it. `ready` are the other
-- steps that this frees. For steps whose completion can do no more than that (see
-- Graph.is_simple); transitions.sql has the statements for the others.
-- No row: the attempt is superseded; nothing was written.
WITH done AS (
    UPDATE workflow_tasks
    SET status = 'completed', ended_by = nextval('workflow_event_sequence'), finished_at = statement_timestamp()
    WHERE run_id = :run AND position = :position AND status = 'running' AND attempt = :attempt AND lease = :lease
    RETURNING ended_by
), completed AS (
    INSERT INTO workflow_events (run_id, sequence, type, position, attempt, data)
    SELECT :run, ended_by, 'StepCompleted', :position, :attempt, CAST(:result AS json) FROM done
), waiting AS ( -- locked in one order, so that two completions cannot deadlock
    SELECT task.position
    FROM workflow_tasks AS task, done
    WHERE task.run_id = :run AND task.position = ANY (CAST(:dependents AS integer[]))
    ORDER BY task.position FOR UPDATE OF task
), run AS (
    SELECT status, status IN ('pending', 'running') AS accepts_work FROM workflow_runs WHERE id = :run
), freed AS (
    UPDATE workflow_tasks AS task
    SET remaining = task.remaining - 1,
        status = CASE WHEN task.remaining > 1 THEN 'pending'
                      WHEN task.position = :next AND run.accepts_work THEN 'running'
                      ELSE 'ready' END,
        -- Repeated on purpose: flags computed in `waiting` do not agree with the row when
        -- completions are concurrent.
        attempt = CASE WHEN task.remaining = 1 AND task.position = :next AND run.accepts_work
                       THEN task.attempt + 1 ELSE task.attempt END,
        lease = CASE WHEN task.remaining = 1 AND task.position = :next AND run.accepts_work
                     THEN :lease ELSE task.lease END,
        ready_at = CASE WHEN task.remaining = 1 THEN statement_timestamp() END,
        dispatched_at = CASE WHEN task.remaining = 1 THEN statement_timestamp() END,
        started_at = CASE WHEN task.remaining = 1 AND task.position = :next AND run.accepts_work
                          THEN statement_timestamp() END,
        deadline_at = CASE WHEN task.remaining = 1 AND task.position = :next AND run.accepts_work
                           THEN statement_timestamp() + make_interval(secs => :next_total_timeout) END,
        timeout_at = CASE WHEN task.remaining = 1 AND task.position = :next AND run.accepts_work
                          THEN statement_timestamp() + make_interval(
                              secs => LEAST(:next_timeout, :next_total_timeout, :next_heartbeat_timeout)) END
    FROM waiting, run
    WHERE task.run_id = :run AND task.position = waiting.position
    RETURNING task.position, task.status, task.attempt
), started AS (
    INSERT INTO workflow_events (run_id, type, position, attempt, data)
    SELECT :run, 'StepStarted', position, attempt, json_build_object('worker', CAST(:lease AS text))
    FROM freed WHERE status = 'running'
), counted AS (
    UPDATE workflow_runs AS run
    SET remaining = run.remaining - 1,
        status = CASE WHEN run.remaining = 1 AND run.status IN ('running', 'paused')
                      THEN 'completed' ELSE run.status END,
        ended_by = CASE WHEN run.remaining = 1 AND run.status IN ('running', 'paused')
                       THEN nextval('workflow_event_sequence') ELSE run.ended_by END,
        finished_at = CASE WHEN run.remaining = 1 AND run.status IN ('running', 'paused')
                           THEN statement_timestamp() ELSE run.finished_at END
    FROM done
    WHERE run.id = :run AND :is_sink
    RETURNING run.status, run.ended_by
), ended AS (
    INSERT INTO workflow_events (run_id, sequence, type)
    SELECT :run, ended_by, 'RunCompleted' FROM counted WHERE status = 'completed'
)
SELECT (SELECT status FROM run) AS run_status,
       EXISTS (SELECT FROM counted WHERE status = 'completed') AS run_ended,
       ARRAY(SELECT position FROM freed WHERE status = 'ready' ORDER BY position) AS ready,
       (SELECT attempt FROM freed WHERE status = 'running') AS next_attempt
FROM done

-- name: await_retry
-- Record that an attempt failed and that the step waits `retry_in` seconds for its next
-- attempt, unless the step's deadline comes first.
-- No row: the attempt is superseded, or the deadline leaves no time for another;
-- nothing was written.
WITH waiting AS (
    UPDATE workflow_tasks
    SET status = 'retrying', due_at = statement_timestamp() + make_interval(secs => :retry_in),
        finished_at = statement_timestamp()
    WHERE run_id = :run AND position = :position AND status = 'running' AND attempt = :attempt AND lease = :lease
      AND statement_timestamp() + make_interval(secs => :retry_in) < coalesce(deadline_at, 'infinity')
    RETURNING due_at
), event AS (
    INSERT INTO workflow_events (run_id, type, position, attempt, data)
    SELECT :run, 'StepFailed', :position, :attempt,
           CAST(CAST(:error AS jsonb) || jsonb_build_object('retry_at', due_at) AS json)
    FROM waiting
)
SELECT due_at, (SELECT status FROM workflow_runs WHERE id = :run) AS run_status FROM waiting

-- name: attempt_outcome
-- Return the end of an attempt whose commit got no answer, and the status of its run. A
-- parked wait, of a run that accepts no work, has no due time.
-- No row: the attempt is superseded, or still running.
SELECT task.status, nullif(task.due_at, 'infinity') AS due_at, run.status AS run_status
FROM workflow_tasks AS task JOIN workflow_runs AS run ON run.id = task.run_id
WHERE task.run_id = :run AND task.position = :position AND task.attempt = :attempt AND task.lease = :lease
  AND task.status IN ('completed', 'failed', 'retrying')

-- name: heartbeat
-- Record that an attempt lives, and the details that it reports. `accepts_work` is
-- false if its run was cancelled or terminated.
-- No row: the attempt is superseded.
UPDATE workflow_tasks AS task
SET heartbeat_at = statement_timestamp(), heartbeat_details = coalesce(CAST(:details AS json), task.heartbeat_details),
    timeout_at = LEAST(
        task.started_at + make_interval(secs => :timeout), task.deadline_at,
        statement_timestamp() + make_interval(secs => :heartbeat_timeout)
    )
FROM workflow_runs AS run
WHERE task.run_id = :run AND task.position = :position
  AND task.status = 'running' AND task.attempt = :attempt AND task.lease = :lease
  AND run.id = task.run_id
RETURNING run.status NOT IN ('cancelled', 'terminated')
          AND NOT (run.status = 'compensating' AND run.final_status = 'cancelled' AND task.phase = 'forward')
          AS accepts_work

-- name: release
-- Make a claimed step ready again without an outcome. The attempt does not count
-- against the step's limit.
-- No row: the attempt is superseded.
WITH released AS (
    UPDATE workflow_tasks
    SET status = 'ready', ready_at = statement_timestamp(), dispatched_at = statement_timestamp(), timeout_at = NULL,
        uncounted_attempts = uncounted_attempts + 1
    WHERE run_id = :run AND position = :position AND status = 'running' AND attempt = :attempt AND lease = :lease
    RETURNING attempt
), event AS (
    INSERT INTO workflow_events (run_id, type, position, attempt)
    SELECT :run, 'StepReleased', :position, attempt FROM released
)
SELECT attempt FROM released

-- name: recorded_steps
-- Return the status of steps of a run, each with the data of the event that ended it.
-- No row: the run has no such step.
SELECT task.position, task.status, CAST(event.data AS text) AS data
FROM workflow_tasks AS task
LEFT JOIN workflow_events AS event ON event.run_id = task.run_id AND event.sequence = task.ended_by
WHERE task.run_id = :run AND task.position = ANY (CAST(:positions AS integer[]))

-- name: run_error
-- Return why a run failed: the data of the event that ended it and, if a step was the
-- cause, the step's name and error.
-- No row: the run has not failed.
SELECT CAST(event.data AS text) AS ending, task.name AS step, CAST(cause.data AS text) AS error
FROM workflow_runs AS run
JOIN workflow_events AS event ON event.run_id = run.id AND event.sequence = run.ended_by
LEFT JOIN workflow_tasks AS task ON task.run_id = run.id AND task.name = event.data ->> 'step'
LEFT JOIN workflow_events AS cause ON cause.run_id = run.id AND cause.sequence = task.ended_by
WHERE run.id = :run AND run.status IN ('failed', 'compensation_failed')
