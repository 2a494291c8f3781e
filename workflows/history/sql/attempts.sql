-- name: claim
-- Take a ready step of a run that may go on: count the attempt, take the lease, record it, and hand out
-- what the step is called with. `inputs` are the positions of the parents whose results it needs.
-- No row: someone else has it, it is done, or the run does not go on.
-- The commit does not wait for the disk: were the claim lost in a crash of Postgres, the step would be ready again, and
-- the attempt superseded. The completion does wait, and takes the claim to the disk with it.
WITH claimed AS (
    UPDATE workflow_tasks AS task
    SET status = 'running', attempt = task.attempt + 1, lease = :lease, started_at = statement_timestamp(),
        finished_at = NULL,
        deadline_at = coalesce(task.deadline_at, statement_timestamp() + make_interval(secs => :total_timeout)),
        timeout_at = LEAST(
            statement_timestamp() + make_interval(secs => LEAST(CAST(:timeout AS double precision), :heartbeat_timeout)),
            coalesce(task.deadline_at, statement_timestamp() + make_interval(secs => :total_timeout))
        ),
        heartbeat_at = NULL
    FROM workflow_runs AS run
    WHERE task.run_id = :run AND task.position = :position AND task.status = 'ready'
      AND run.id = task.run_id AND run.status IN ('pending', 'running')
    RETURNING task.attempt, task.lost, task.attempts_before, CAST(task.heartbeat AS text) AS heartbeat,
              extract(epoch FROM task.deadline_at - statement_timestamp()) AS seconds_left
), run AS (
    UPDATE workflow_runs
    SET status = CASE WHEN status = 'pending' THEN 'running' ELSE status END, started_at = statement_timestamp()
    WHERE id = :run AND started_at IS NULL AND EXISTS (SELECT FROM claimed)
), started AS (
    INSERT INTO workflow_events (run_id, type, position, attempt, data)
    SELECT :run, 'StepStarted', :position, attempt, json_build_object('worker', CAST(:lease AS text)) FROM claimed
)
SELECT attempt, lost, attempts_before, heartbeat, seconds_left,
       (SELECT CAST(data AS text) FROM workflow_events WHERE run_id = :run ORDER BY sequence LIMIT 1) AS input,
       ARRAY(
           SELECT CAST(event.data AS text)
           FROM workflow_tasks AS parent
           JOIN workflow_events AS event ON event.run_id = parent.run_id AND event.sequence = parent.outcome
           WHERE parent.run_id = :run AND parent.position = ANY (CAST(:inputs AS integer[]))
           ORDER BY parent.position
       ) AS results,
       set_config('synchronous_commit', 'off', true)
FROM claimed

-- name: adopt
-- What `claim` would have answered, had its answer not been lost with the connection.
-- No row: the claim had not landed either.
SELECT task.attempt, task.lost, task.attempts_before, CAST(task.heartbeat AS text) AS heartbeat,
       extract(epoch FROM task.deadline_at - statement_timestamp()) AS seconds_left,
       (SELECT CAST(data AS text) FROM workflow_events WHERE run_id = :run ORDER BY sequence LIMIT 1) AS input,
       ARRAY(
           SELECT CAST(event.data AS text)
           FROM workflow_tasks AS parent
           JOIN workflow_events AS event ON event.run_id = parent.run_id AND event.sequence = parent.outcome
           WHERE parent.run_id = :run AND parent.position = ANY (CAST(:inputs AS integer[]))
           ORDER BY parent.position
       ) AS results
FROM workflow_tasks AS task
WHERE task.run_id = :run AND task.position = :position AND task.status = 'running' AND task.lease = :lease

-- name: complete
-- Record an attempt's result, count it at the steps that wait for it, end the run if nothing remains, and
-- claim `next` for the same lease if this freed it. `ready` are the other steps that this freed.
-- No row: the attempt is superseded; nothing was written.
WITH done AS (
    UPDATE workflow_tasks
    SET status = 'completed', outcome = nextval('workflow_event_sequence'), finished_at = statement_timestamp()
    WHERE run_id = :run AND position = :position AND status = 'running' AND attempt = :attempt
    RETURNING outcome
), completed AS (
    INSERT INTO workflow_events (run_id, sequence, type, position, attempt, data)
    SELECT :run, outcome, 'StepCompleted', :position, :attempt, CAST(:result AS json) FROM done
), waiting AS ( -- locked in one order, so that two completions cannot deadlock
    SELECT task.position
    FROM workflow_tasks AS task, done
    WHERE task.run_id = :run AND task.position = ANY (CAST(:dependents AS integer[]))
    ORDER BY task.position FOR UPDATE OF task
), run AS (
    SELECT status IN ('pending', 'running') AS goes_on FROM workflow_runs WHERE id = :run
), freed AS (
    UPDATE workflow_tasks AS task
    SET remaining = task.remaining - 1,
        status = CASE WHEN task.remaining > 1 THEN 'pending'
                      WHEN task.position = :next AND run.goes_on THEN 'running'
                      ELSE 'ready' END,
        attempt = CASE WHEN task.remaining = 1 AND task.position = :next AND run.goes_on
                       THEN task.attempt + 1 ELSE task.attempt END,
        lease = CASE WHEN task.remaining = 1 AND task.position = :next AND run.goes_on
                     THEN :lease ELSE task.lease END,
        ready_at = CASE WHEN task.remaining = 1 THEN statement_timestamp() END,
        dispatched_at = CASE WHEN task.remaining = 1 THEN statement_timestamp() END,
        started_at = CASE WHEN task.remaining = 1 AND task.position = :next AND run.goes_on
                          THEN statement_timestamp() END,
        deadline_at = CASE WHEN task.remaining = 1 AND task.position = :next AND run.goes_on
                           THEN statement_timestamp() + make_interval(secs => :next_total_timeout) END,
        timeout_at = CASE WHEN task.remaining = 1 AND task.position = :next AND run.goes_on
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
        outcome = CASE WHEN run.remaining = 1 AND run.status IN ('running', 'paused')
                       THEN nextval('workflow_event_sequence') ELSE run.outcome END,
        finished_at = CASE WHEN run.remaining = 1 AND run.status IN ('running', 'paused')
                           THEN statement_timestamp() ELSE run.finished_at END
    FROM done
    WHERE run.id = :run AND :is_sink
    RETURNING run.status, run.outcome
), ended AS (
    INSERT INTO workflow_events (run_id, sequence, type)
    SELECT :run, outcome, 'RunCompleted' FROM counted WHERE status = 'completed'
)
SELECT (SELECT goes_on FROM run) AS goes_on,
       EXISTS (SELECT FROM counted WHERE status = 'completed') AS run_ended,
       ARRAY(SELECT position FROM freed WHERE status = 'ready' ORDER BY position) AS ready,
       (SELECT attempt FROM freed WHERE status = 'running') AS next_attempt
FROM done

-- name: fail
-- Record that an attempt failed. With `retry_in`, in seconds, the step waits for so long and is tried again, unless its
-- deadline comes first. Without, the step fails, and its run with it if that goes on; what is ready is parked.
-- No row: the attempt is superseded; nothing was written.
WITH ended AS (
    UPDATE workflow_tasks AS task
    SET status = CASE WHEN retry.at IS NULL THEN 'failed' ELSE 'retrying' END,
        outcome = CASE WHEN retry.at IS NULL THEN nextval('workflow_event_sequence') END,
        due_at = retry.at,
        finished_at = statement_timestamp()
    FROM (
        SELECT CASE WHEN asked.at < coalesce(step.deadline_at, 'infinity') THEN asked.at END AS at
        FROM workflow_tasks AS step, (SELECT statement_timestamp() + make_interval(secs => :retry_in) AS at) AS asked
        WHERE step.run_id = :run AND step.position = :position
    ) AS retry
    WHERE task.run_id = :run AND task.position = :position
      AND task.status = 'running' AND task.attempt = :attempt
    RETURNING task.status, task.outcome, task.due_at
), event AS (
    INSERT INTO workflow_events (run_id, sequence, type, position, attempt, data)
    SELECT :run, coalesce(outcome, nextval('workflow_event_sequence')), 'StepFailed', :position, :attempt,
           CAST(CAST(:error AS jsonb) || jsonb_build_object('retry_at', due_at) AS json)
    FROM ended
), run AS (
    UPDATE workflow_runs AS run
    SET status = 'failed', outcome = nextval('workflow_event_sequence'), finished_at = statement_timestamp()
    FROM ended
    WHERE ended.status = 'failed' AND run.id = :run AND run.status IN ('pending', 'running', 'paused')
    RETURNING run.outcome
), parked AS (
    UPDATE workflow_tasks AS task SET dispatched_at = NULL
    FROM run WHERE task.run_id = :run AND task.status = 'ready'
), run_event AS (
    INSERT INTO workflow_events (run_id, sequence, type, data)
    SELECT :run, outcome, 'RunFailed', json_build_object('step', CAST(:name AS text)) FROM run
)
SELECT EXISTS (SELECT FROM run) AS run_ended, due_at FROM ended

-- name: attempt_outcome
-- What became of an attempt whose commit got no answer. No row: it is superseded, or still running.
SELECT status, due_at FROM workflow_tasks
WHERE run_id = :run AND position = :position AND attempt = :attempt AND status IN ('completed', 'failed', 'retrying')

-- name: heartbeat
-- Note that an attempt lives and what it tells of itself. `goes_on` is false when its run was cancelled
-- or terminated.
-- No row: the attempt is superseded.
UPDATE workflow_tasks AS task
SET heartbeat_at = statement_timestamp(), heartbeat = coalesce(CAST(:details AS json), task.heartbeat),
    timeout_at = LEAST(
        task.started_at + make_interval(secs => :timeout), task.deadline_at,
        statement_timestamp() + make_interval(secs => :heartbeat_timeout)
    )
FROM workflow_runs AS run
WHERE task.run_id = :run AND task.position = :position AND task.status = 'running' AND task.attempt = :attempt
  AND run.id = task.run_id
RETURNING run.status NOT IN ('cancelled', 'terminated') AS goes_on

-- name: hand_back
-- Make a claimed step ready again without an outcome; the attempt uses up none of those that the step may have.
-- No row: the attempt is superseded.
WITH returned AS (
    UPDATE workflow_tasks
    SET status = 'ready', ready_at = statement_timestamp(), dispatched_at = statement_timestamp(), timeout_at = NULL,
        attempts_before = attempts_before + 1
    WHERE run_id = :run AND position = :position AND status = 'running' AND attempt = :attempt
    RETURNING attempt
), event AS (
    INSERT INTO workflow_events (run_id, type, position, attempt)
    SELECT :run, 'StepReturned', :position, attempt FROM returned
)
SELECT attempt FROM returned
