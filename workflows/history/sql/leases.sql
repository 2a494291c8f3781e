-- name: renew_leases
-- Keep the leases of living processes, and say what each serves and holds. Makes those that are not there.
INSERT INTO workflow_leases AS lease (name, worker, expires_at, queues, tasks, prefetched)
SELECT name, :worker, now() + make_interval(secs => :seconds),
       CAST(:queues AS text[]), CAST(:tasks AS text[]),
       CASE WHEN name = :holder THEN CAST(:prefetched AS text[]) ELSE '{}' END
FROM unnest(CAST(:names AS text[])) AS name
ON CONFLICT (name) DO UPDATE
SET expires_at = excluded.expires_at, queues = excluded.queues, tasks = excluded.tasks, prefetched = excluded.prefetched

-- name: expire_leases
-- Give up the leases of processes that ended, so that nobody waits for them.
UPDATE workflow_leases SET expires_at = now(), prefetched = '{}' WHERE name = ANY (CAST(:names AS text[]))

-- name: acquire_leader_lease
-- Take or keep the lease of a duty. No row: another process has it.
INSERT INTO workflow_leases AS lease (name, worker, expires_at)
VALUES (:name, :worker, now() + make_interval(secs => :seconds))
ON CONFLICT (name) DO UPDATE SET worker = excluded.worker, expires_at = excluded.expires_at
WHERE lease.worker = excluded.worker OR lease.expires_at < now()
RETURNING lease.name

-- name: drop_old_leases
-- Forget leases that expired long ago and that no running step names.
DELETE FROM workflow_leases AS lease
WHERE lease.expires_at < now() - interval '1 hour'
  AND NOT EXISTS (SELECT FROM workflow_tasks AS task WHERE task.lease = lease.name AND task.status = 'running')

-- name: live_workers
-- The workers with a lease that has not expired, and how many processes each has.
SELECT worker, count(*) AS processes, max(expires_at) AS expires_at, max(queues) AS queues, max(tasks) AS tasks
FROM workflow_leases
WHERE expires_at > now() AND name LIKE 'process:%'
GROUP BY worker ORDER BY worker

-- name: oldest_ready
-- How long the oldest ready step of a run that goes on has waited, in seconds. No row: none waits.
SELECT extract(epoch FROM now() - min(task.ready_at)) AS seconds
FROM workflow_tasks AS task
JOIN workflow_runs AS run ON run.id = task.run_id AND run.status IN ('pending', 'running')
WHERE task.status = 'ready'
HAVING count(*) > 0
