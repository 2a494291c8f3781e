-- name: insert_definition
-- Store a graph by its content hash, unless it is stored: the same hash is the same
-- graph. Returns no row in either case.
INSERT INTO workflow_definitions (hash, workflow, version, graph)
VALUES (:hash, :workflow, :version, CAST(:graph AS json))
ON CONFLICT (hash) DO NOTHING

-- name: start_run
-- Start a run: its row, a task per node of its graph, and the event. Tasks without
-- parents are ready.
-- No row: the workflow already has a run with this idempotency key.
WITH run AS (
    INSERT INTO workflow_runs (id, workflow, version, graph_hash, status, remaining, tags, idempotency_key,
                               timeout_at)
    VALUES (:run, :workflow, :version, :graph_hash, 'pending', :remaining, CAST(:tags AS jsonb), :idempotency_key,
            statement_timestamp() + make_interval(secs => :timeout))
    ON CONFLICT (workflow, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING id
), event AS (
    INSERT INTO workflow_events (run_id, type, data)
    SELECT id, 'RunStarted', CAST(:input AS json) FROM run
), tasks AS (
    INSERT INTO workflow_tasks
        (run_id, position, name, task_name, queue, priority, max_attempts, phase, remaining, status, ready_at,
         dispatched_at)
    SELECT run.id, node.position - 1, node.name, node.task_name, node.queue, node.priority, node.max_attempts,
           node.phase, node.parents, node.status,
           CASE WHEN node.status = 'ready' THEN statement_timestamp() END,
           CASE WHEN node.status = 'ready' THEN statement_timestamp() END
    FROM run, unnest( -- by way of text, because some drivers bind only lists as arrays
        CAST(CAST(:names AS text) AS text[]), CAST(CAST(:tasks AS text) AS text[]),
        CAST(CAST(:queues AS text) AS text[]), CAST(CAST(:priorities AS text) AS integer[]),
        CAST(CAST(:max_attempts AS text) AS integer[]), CAST(CAST(:phases AS text) AS text[]),
        CAST(CAST(:parents AS text) AS integer[]), CAST(CAST(:statuses AS text) AS text[])
    ) WITH ORDINALITY AS node (name, task_name, queue, priority, max_attempts, phase, parents, status, position)
)
SELECT id FROM run

-- name: run_by_key
-- Return the run that an idempotency key started, with the hash of its graph and with
-- its input, as JSON text.
-- No row: the key started no run, or the transaction that started it has not committed.
SELECT CAST(json_build_object('id', run.id, 'graph_hash', run.graph_hash, 'input', event.data) AS text) AS run
FROM workflow_runs AS run
CROSS JOIN LATERAL (SELECT data FROM workflow_events WHERE run_id = run.id ORDER BY sequence LIMIT 1) AS event
WHERE run.workflow = :workflow AND run.idempotency_key = :idempotency_key

-- name: visible_runs
-- Return the runs, among `runs`, whose start has committed.
-- No row: none has.
SELECT id FROM workflow_runs WHERE id = ANY (CAST(:runs AS uuid[]))

-- name: run_status
-- Return the status of a run.
-- No row: there is no such run.
SELECT status FROM workflow_runs WHERE id = :run

-- name: graph_by_hash
-- Return a graph by its hash.
-- No row: no run was ever started with it.
SELECT graph FROM workflow_definitions WHERE hash = :hash

-- name: find_task
-- Return the status of a step of a run, with the data of the event that ended it.
-- No row: the run has no such step.
SELECT task.status, task.finished_at, event.data
FROM workflow_tasks AS task
LEFT JOIN workflow_events AS event ON event.run_id = task.run_id AND event.sequence = task.ended_by
WHERE task.run_id = :run AND task.name = :name
