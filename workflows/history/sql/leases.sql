-- name: renew_leases
-- Renew the leases of living processes, with their worker's scope and prefetched tasks.
-- Creates leases that are missing. Returns no row.
INSERT INTO workflow_leases AS lease (name, worker, expires_at, queues, tasks, prefetched)
SELECT name, :worker, now() + make_interval(secs => :seconds),
       CAST(:queues AS text[]), CAST(:tasks AS text[]),
       CASE WHEN name = :holder THEN CAST(:prefetched AS text[]) ELSE '{}' END
FROM unnest(CAST(:names AS text[])) AS name
ON CONFLICT (name) DO UPDATE
SET expires_at = excluded.expires_at, queues = excluded.queues, tasks = excluded.tasks, prefetched = excluded.prefetched

-- name: expire_leases
-- Expire the leases of processes that ended, so that their steps are taken over at
-- once. Returns no row.
UPDATE workflow_leases SET expires_at = now(), prefetched = '{}' WHERE name = ANY (CAST(:names AS text[]))

-- name: acquire_leader_lease
-- Acquire or renew a leader lease.
-- No row: another worker holds it.
INSERT INTO workflow_leases AS lease (name, worker, expires_at)
VALUES (:name, :worker, now() + make_interval(secs => :seconds))
ON CONFLICT (name) DO UPDATE SET worker = excluded.worker, expires_at = excluded.expires_at
WHERE lease.worker = excluded.worker OR lease.expires_at < now()
RETURNING lease.name

-- name: drop_old_leases
-- Delete leases that expired more than an hour ago, unless a running step names them.
-- Returns no row.
DELETE FROM workflow_leases AS lease
WHERE lease.expires_at < now() - interval '1 hour'
  AND NOT EXISTS (SELECT FROM workflow_tasks AS task WHERE task.lease = lease.name AND task.status = 'running')

-- name: live_workers
-- Return the workers that have a lease that has not expired, each with the number of
-- its processes.
-- No row: no worker is alive.
SELECT worker, count(*) AS processes, max(expires_at) AS expires_at, max(queues) AS queues, max(tasks) AS tasks
FROM workflow_leases
WHERE expires_at > now() AND name LIKE 'process:%'
GROUP BY worker ORDER BY worker

-- name: oldest_ready
-- Return how many seconds the oldest ready step of a run that accepts work has waited.
-- No row: no step waits.
SELECT extract(epoch FROM now() - min(task.ready_at)) AS seconds
FROM workflow_tasks AS task
JOIN workflow_runs AS run ON run.id = task.run_id AND run.status IN ('pending', 'running')
WHERE task.status = 'ready'
HAVING count(*) > 0
