-- name: lose_attempts
-- End attempts whose lease expired: each step is ready again. Steps that have lost too
-- many attempts are left to `find_exhausted`. No attempt is lost while Postgres itself
-- is up for less than a lease, because no worker could renew its lease.
-- One row per attempt lost.
WITH expired AS (
    SELECT task.run_id, task.position
    FROM workflow_tasks AS task
    LEFT JOIN workflow_leases AS lease ON lease.name = task.lease
    WHERE task.status = 'running' AND coalesce(lease.expires_at < now(), true)
      AND task.lost + 1 < :max_lost
      AND NOT coalesce(task.attempt - task.uncounted_attempts >= task.max_attempts, false)
      AND pg_postmaster_start_time() < now() - make_interval(secs => :lease_seconds)
    ORDER BY task.run_id, task.position
    LIMIT :batch
    FOR UPDATE OF task SKIP LOCKED
), lost AS (
    UPDATE workflow_tasks AS task
    SET lost = task.lost + 1, status = 'ready', ready_at = now(), dispatched_at = now()
    FROM expired
    WHERE task.run_id = expired.run_id AND task.position = expired.position
    RETURNING task.run_id, task.position, task.name, task.attempt, task.lease, task.phase
), events AS (
    INSERT INTO workflow_events (run_id, type, position, attempt, data)
    SELECT run_id, 'StepLost', position, attempt, json_build_object('worker', lease) FROM lost
)
SELECT lost.run_id, lost.position, lost.name, lost.attempt, lost.lease, run.graph_hash,
       coalesce(run.phase = lost.phase, false) AS accepts_work
FROM lost JOIN workflow_runs AS run ON run.id = lost.run_id

-- name: find_exhausted
-- Return attempts whose lease expired, of steps that have lost too many attempts or
-- have no attempt left.
-- No row: there is none.
SELECT task.run_id, task.position, task.name, task.attempt, task.lease, task.lost, run.graph_hash
FROM workflow_tasks AS task
JOIN workflow_runs AS run ON run.id = task.run_id
LEFT JOIN workflow_leases AS lease ON lease.name = task.lease
WHERE task.status = 'running' AND coalesce(lease.expires_at < now(), true)
  AND (task.lost + 1 >= :max_lost OR coalesce(task.attempt - task.uncounted_attempts >= task.max_attempts, false))
  AND pg_postmaster_start_time() < now() - make_interval(secs => :lease_seconds)
ORDER BY task.run_id, task.position
LIMIT :batch

-- name: fire_retries
-- End the waits that are over, of runs that accept work: the steps are ready for their
-- next attempt. One row per step.
WITH due AS (
    SELECT task.run_id, task.position
    FROM workflow_tasks AS task
    JOIN workflow_runs AS run ON run.id = task.run_id AND run.phase = task.phase
    WHERE task.status = 'retrying' AND task.due_at <= now()
    ORDER BY task.due_at LIMIT :batch
    FOR UPDATE OF task SKIP LOCKED
), fired AS (
    UPDATE workflow_tasks AS task
    SET status = 'ready', due_at = NULL, ready_at = now(), dispatched_at = now()
    FROM due WHERE task.run_id = due.run_id AND task.position = due.position
    RETURNING task.run_id, task.position, task.attempt
), events AS (
    INSERT INTO workflow_events (run_id, type, position, attempt)
    SELECT run_id, 'StepRetryDue', position, attempt FROM fired
)
SELECT fired.run_id, fired.position, run.graph_hash
FROM fired JOIN workflow_runs AS run ON run.id = fired.run_id

-- name: park_ended_retries
-- Park waits that are over, of runs that accept no work and are not paused, so that
-- `fire_retries` does not find them. Steps are locked before the run, whose row is then
-- read as it is, not as it was when the statement began. Returns no row.
WITH due AS (
    SELECT task.run_id, task.position, task.phase
    FROM workflow_tasks AS task
    JOIN workflow_runs AS run
        ON run.id = task.run_id AND run.status <> 'paused' AND run.phase IS DISTINCT FROM task.phase
    WHERE task.status = 'retrying' AND task.due_at <= now()
    LIMIT :batch
    FOR UPDATE OF task SKIP LOCKED
), over AS (
    SELECT due.run_id, due.position
    FROM due JOIN workflow_runs AS run ON run.id = due.run_id
    WHERE run.status <> 'paused' AND run.phase IS DISTINCT FROM due.phase
    FOR SHARE OF run
)
UPDATE workflow_tasks AS task SET due_at = 'infinity'
FROM over WHERE task.run_id = over.run_id AND task.position = over.position

-- name: next_due
-- Return how many seconds remain of the next wait to end, of runs that accept work.
-- No row: no step waits.
SELECT extract(epoch FROM task.due_at - now()) AS seconds
FROM workflow_tasks AS task
JOIN workflow_runs AS run ON run.id = task.run_id AND run.phase = task.phase
WHERE task.status = 'retrying' AND task.due_at < 'infinity'
ORDER BY task.due_at LIMIT 1

-- name: find_timed_out
-- Return running attempts that should have ended `grace` seconds ago; of some
-- processes, or of all if `leases` is null.
-- No row: there is none.
SELECT task.run_id, task.position, task.name, task.attempt, task.uncounted_attempts, task.lost, task.lease,
       run.graph_hash, coalesce(task.timeout_at >= task.deadline_at, false) AS past_deadline
FROM workflow_tasks AS task JOIN workflow_runs AS run ON run.id = task.run_id
WHERE task.status = 'running' AND task.timeout_at < now() - make_interval(secs => :grace)
  AND (CAST(:leases AS text[]) IS NULL OR task.lease = ANY (CAST(:leases AS text[])))
ORDER BY task.timeout_at LIMIT :batch

-- name: find_terminated
-- Return the leases, among `leases`, whose process runs a step of a terminated run.
-- No row: there is none.
SELECT task.lease
FROM workflow_tasks AS task JOIN workflow_runs AS run ON run.id = task.run_id
WHERE task.status = 'running' AND task.lease = ANY (CAST(:leases AS text[])) AND run.status = 'terminated'

-- name: find_timed_out_runs
-- Return open runs whose time limit is over.
-- No row: there is none.
SELECT id, graph_hash FROM workflow_runs
WHERE status IN ('pending', 'running', 'paused') AND timeout_at < now()
LIMIT :batch

-- name: find_compensable
-- Return sagas to compensate that have no compensation planned and no step running.
-- No row: there is none.
SELECT run.id, run.graph_hash
FROM workflow_runs AS run
WHERE run.status = 'compensating' AND run.compensations = 0
  AND NOT EXISTS (SELECT FROM workflow_tasks WHERE run_id = run.id AND status = 'running')
LIMIT :batch

-- name: ready_groups
-- Return the distinct (task, queue, priority) of ready steps by skipping through the
-- index, so that the cost grows with the groups, not with the backlog.
-- No row: no step is ready.
WITH RECURSIVE groups AS (
    (SELECT task_name, queue, priority FROM workflow_tasks WHERE status = 'ready'
     ORDER BY task_name, queue, priority LIMIT 1)
    UNION ALL
    SELECT next.task_name, next.queue, next.priority
    FROM groups, LATERAL (
        SELECT task.task_name, task.queue, task.priority FROM workflow_tasks AS task
        WHERE task.status = 'ready'
          AND (task.task_name, task.queue, task.priority) > (groups.task_name, groups.queue, groups.priority)
        ORDER BY task.task_name, task.queue, task.priority LIMIT 1
    ) AS next
)
SELECT task_name, queue, priority FROM groups

-- name: find_unclaimed
-- Return ready steps of a group, of runs that accept work, that were dispatched before
-- `before` and that no living process has prefetched. The oldest comes first.
-- No row: there is none, or no living process has the step's code, and a worker would
-- only drop the message.
SELECT task.run_id, task.position, task.name, task.dispatched_at, task.dispatches, run.graph_hash
FROM workflow_tasks AS task
JOIN workflow_runs AS run ON run.id = task.run_id AND run.phase = task.phase
WHERE task.status = 'ready' AND task.task_name = :task_name AND task.queue = :queue AND task.priority = :priority
  AND task.dispatched_at < :before
  AND EXISTS (
      SELECT FROM workflow_leases AS lease
      WHERE lease.expires_at > now() AND task.task_name = ANY (lease.tasks)
  )
  AND NOT EXISTS (
      SELECT FROM workflow_leases AS lease
      WHERE lease.expires_at > now() AND CAST(run.id AS text) || '.' || task.name = ANY (lease.prefetched)
  )
ORDER BY task.dispatched_at
LIMIT :batch

-- name: park_ended_runs
-- Park ready steps of a group, of runs that accept no work and are not paused, so that
-- `find_unclaimed` does not find them. Steps are locked before the run, whose row is
-- then read as it is, not as it was when the statement began. Returns no row.
WITH found AS (
    SELECT task.run_id, task.position, task.phase
    FROM workflow_tasks AS task
    JOIN workflow_runs AS run
        ON run.id = task.run_id AND run.status <> 'paused' AND run.phase IS DISTINCT FROM task.phase
    WHERE task.status = 'ready' AND task.task_name = :task_name AND task.queue = :queue AND task.priority = :priority
      AND task.dispatched_at < :before
    LIMIT :batch
    FOR UPDATE OF task SKIP LOCKED
), over AS (
    SELECT found.run_id, found.position
    FROM found JOIN workflow_runs AS run ON run.id = found.run_id
    WHERE run.status <> 'paused' AND run.phase IS DISTINCT FROM found.phase
    FOR SHARE OF run
)
UPDATE workflow_tasks AS task SET dispatched_at = NULL
FROM over WHERE task.run_id = over.run_id AND task.position = over.position

-- name: mark_dispatched
-- Mark steps as dispatched again. One row per step that is as it was found; the others
-- were claimed meanwhile, or another reconciler dispatches them.
WITH unclaimed AS ( -- locked in one order, so that two reconcilers cannot deadlock
    SELECT task.run_id, task.position
    FROM unnest(CAST(:runs AS uuid[]), CAST(:positions AS integer[]), CAST(:seen AS timestamptz[]))
        AS found (run_id, position, dispatched_at)
    JOIN workflow_tasks AS task ON task.run_id = found.run_id AND task.position = found.position
    WHERE task.status = 'ready' AND task.dispatched_at = found.dispatched_at
    ORDER BY task.run_id, task.position
    FOR UPDATE OF task
)
UPDATE workflow_tasks AS task
SET dispatched_at = now(), dispatches = task.dispatches + 1
FROM unclaimed WHERE task.run_id = unclaimed.run_id AND task.position = unclaimed.position
RETURNING task.run_id, task.position

-- name: earliest_ready
-- Return since when the ready steps among `names` of `runs` have been ready: the
-- earliest instant.
-- No row: none of them is ready.
SELECT min(task.ready_at) AS ready_at
FROM unnest(CAST(:runs AS uuid[]), CAST(:names AS text[])) AS message (run_id, name)
JOIN workflow_tasks AS task ON task.run_id = message.run_id AND task.name = message.name
WHERE task.status = 'ready'
HAVING count(*) > 0

-- name: completed_positions
-- Return the completed steps of runs. One row per run that has completed steps.
SELECT run_id, array_agg(position) AS positions
FROM workflow_tasks
WHERE run_id = ANY (CAST(:runs AS uuid[])) AND status = 'completed'
GROUP BY run_id

-- name: find_stalled
-- Return runs that accept work, but have no step ready, running or retrying.
-- No row: no run is stalled, as always unless rows were changed by hand.
SELECT run.id, run.graph_hash
FROM workflow_runs AS run
WHERE run.status IN ('pending', 'running')
  AND NOT EXISTS (SELECT FROM workflow_tasks WHERE run_id = run.id AND status IN ('ready', 'running', 'retrying'))
LIMIT :batch

-- name: recount
-- Count the parents of a pending step that needs all of them anew, from their rows.
-- No row: the count was right, or the step is no longer pending.
WITH counted AS (
    SELECT count(*) FILTER (WHERE status <> 'completed') AS remaining
    FROM workflow_tasks WHERE run_id = :run AND position = ANY (CAST(:parents AS integer[]))
)
UPDATE workflow_tasks AS task
SET remaining = counted.remaining,
    status = CASE WHEN counted.remaining = 0 THEN 'ready' ELSE 'pending' END,
    ready_at = CASE WHEN counted.remaining = 0 THEN now() END,
    dispatched_at = CASE WHEN counted.remaining = 0 THEN now() END
FROM counted
WHERE task.run_id = :run AND task.position = :position AND task.status = 'pending'
  AND task.remaining <> counted.remaining
RETURNING task.status

-- name: database_time
-- Return the time of the database, from which all instants in the history come.
SELECT now() AS now
