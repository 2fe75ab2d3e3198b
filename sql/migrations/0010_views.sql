-- What a DBA opens.

-- The words for status codes, as they appear on the wire.
CREATE FUNCTION longhaul.status_word(p_status integer) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT (ARRAY['Queued', 'InProgress', 'Completed', 'Failed', 'Canceled'])[p_status]
$$;
COMMENT ON FUNCTION longhaul.status_word(integer) IS 'Status code in words';

-- How many rows a table has, by what vacuum and the statistics know of it; of a part of the history, which only grows,
-- by its size now. Reads no table.
CREATE FUNCTION longhaul.rows_estimated(p_table oid) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT CASE WHEN c.relispartition THEN greatest(x.by_size, x.live)
                ELSE coalesce(nullif(x.live, 0), x.by_size, 0) END::bigint
      FROM pg_class c
      CROSS JOIN LATERAL (SELECT CASE WHEN c.relpages > 0 AND c.reltuples >= 0
                                      THEN c.reltuples / c.relpages * (pg_relation_size(c.oid) / current_setting('block_size')::integer) END AS by_size,
                                 pg_stat_get_live_tuples(c.oid) AS live) x
     WHERE c.oid = p_table
$$;
COMMENT ON FUNCTION longhaul.rows_estimated(oid) IS 'Estimated number of rows of a table: SELECT longhaul.rows_estimated(''longhaul.ready''::regclass)';

CREATE VIEW longhaul.jobs AS
SELECT j.id, t.name AS type, j.client,
       longhaul.status_word(coalesce(o.status, CASE WHEN l.started_at IS NOT NULL THEN 2 ELSE 1 END)) AS status,
       j.priority, j.created_at, coalesce(d.run_at, j.run_at) AS run_at, coalesce(o.started_at, l.started_at) AS started_at,
       o.ended_at, coalesce(o.ended_at, now()) - coalesce(o.started_at, l.started_at) AS ran_for,
       coalesce(o.attempt, l.attempt, 0) AS attempt, w.host,
       coalesce(o.done, l.done) AS done, coalesce(o.total, l.total) AS total, coalesce(o.message, l.message) AS message,
       j.input_size, o.result_size, o.error, o.expires_at, j.request_id
  FROM longhaul.job j
  JOIN longhaul.job_type t ON t.type_id = j.type_id
  LEFT JOIN longhaul.outcome o ON o.job_id = j.id
  LEFT JOIN longhaul.lease l ON l.job_id = j.id
  LEFT JOIN longhaul.delayed d ON d.job_id = j.id
  LEFT JOIN longhaul.worker w ON w.boot = coalesce(o.boot, l.boot);
COMMENT ON VIEW longhaul.jobs IS 'Every job, in words. Newest: ORDER BY id DESC LIMIT 20. Of an hour: WHERE id >= longhaul.uuid_at(now() - interval ''1 hour'')';
COMMENT ON COLUMN longhaul.jobs.id IS 'the job; ids begin with the time';
COMMENT ON COLUMN longhaul.jobs.type IS 'job_type.name';
COMMENT ON COLUMN longhaul.jobs.client IS 'who asked';
COMMENT ON COLUMN longhaul.jobs.status IS 'Queued, InProgress, Completed, Failed or Canceled, as clients see it';
COMMENT ON COLUMN longhaul.jobs.priority IS '-100 to 100, high first';
COMMENT ON COLUMN longhaul.jobs.created_at IS 'when it was accepted';
COMMENT ON COLUMN longhaul.jobs.run_at IS 'not before this time: asked for, or the backoff between attempts; NULL = at once';
COMMENT ON COLUMN longhaul.jobs.started_at IS 'when the last attempt began';
COMMENT ON COLUMN longhaul.jobs.ended_at IS 'when it ended';
COMMENT ON COLUMN longhaul.jobs.ran_for IS 'how long the last attempt took, or runs already';
COMMENT ON COLUMN longhaul.jobs.attempt IS 'attempts made, with the one that runs';
COMMENT ON COLUMN longhaul.jobs.host IS 'where it runs, or ended';
COMMENT ON COLUMN longhaul.jobs.done IS 'progress: how much of total';
COMMENT ON COLUMN longhaul.jobs.total IS 'progress: of how much';
COMMENT ON COLUMN longhaul.jobs.message IS 'progress in words';
COMMENT ON COLUMN longhaul.jobs.input_size IS 'bytes of the input';
COMMENT ON COLUMN longhaul.jobs.result_size IS 'bytes of the result';
COMMENT ON COLUMN longhaul.jobs.error IS 'problem details of a job that failed';
COMMENT ON COLUMN longhaul.jobs.expires_at IS 'when job, input and result are removed';
COMMENT ON COLUMN longhaul.jobs.request_id IS 'request id of the HTTP server, for its log';

CREATE VIEW longhaul.running AS
SELECT l.job_id AS id, t.name AS type, l.client, l.priority, w.host, w.pid, l.attempt, l.claimed_at, l.started_at,
       clock_timestamp() - l.started_at AS ran_for, l.done, l.total,
       round(100.0 * l.done / nullif(l.total, 0), 1) AS percent, l.message, l.progress_at,
       c.requested_at AS cancel_requested_at
  FROM longhaul.lease l
  JOIN longhaul.job_type t ON t.type_id = l.type_id
  JOIN longhaul.worker w ON w.boot = l.boot
  LEFT JOIN longhaul.cancel_request c ON c.job_id = l.job_id;
COMMENT ON VIEW longhaul.running IS 'What runs where, since when, how far: the claimed jobs. started_at NULL = claimed ahead, not begun.';
COMMENT ON COLUMN longhaul.running.id IS 'the job';
COMMENT ON COLUMN longhaul.running.type IS 'job_type.name';
COMMENT ON COLUMN longhaul.running.client IS 'who asked';
COMMENT ON COLUMN longhaul.running.priority IS '-100 to 100, high first';
COMMENT ON COLUMN longhaul.running.host IS 'where it runs';
COMMENT ON COLUMN longhaul.running.pid IS 'process id of the worker daemon there';
COMMENT ON COLUMN longhaul.running.attempt IS 'this attempt, counted from 1';
COMMENT ON COLUMN longhaul.running.claimed_at IS 'when the worker took it';
COMMENT ON COLUMN longhaul.running.started_at IS 'when its handler began; NULL = not yet';
COMMENT ON COLUMN longhaul.running.ran_for IS 'since then';
COMMENT ON COLUMN longhaul.running.done IS 'progress: how much of total';
COMMENT ON COLUMN longhaul.running.total IS 'progress: of how much';
COMMENT ON COLUMN longhaul.running.percent IS 'the same in percent';
COMMENT ON COLUMN longhaul.running.message IS 'progress in words';
COMMENT ON COLUMN longhaul.running.progress_at IS 'when progress was last told';
COMMENT ON COLUMN longhaul.running.cancel_requested_at IS 'when somebody wanted it canceled';

CREATE VIEW longhaul.queue_depth AS
SELECT t.name AS type, q.depth, q.depth >= greatest(10000, least(coalesce(t.max_queued, 0), 1000000)) AS more, q.running, q.slots, q.workers,
       q.head_age_ms * interval '1 ms' AS head_age, q.finish_per_s, q.mean_ms,
       coalesce(d.delayed, 0) AS delayed, t.paused, t.paused_since, t.paused_reason
  FROM longhaul.queue_state() q
  JOIN longhaul.job_type t ON t.type_id = q.type_id
  LEFT JOIN (SELECT x.type_id, count(*) AS delayed FROM longhaul.delayed x GROUP BY x.type_id) d ON d.type_id = t.type_id;
COMMENT ON VIEW longhaul.queue_depth IS 'What waits, per type: counted up to 10,000, or max_queued (more: there are more), age of the head, workers that serve it';
COMMENT ON COLUMN longhaul.queue_depth.type IS 'job_type.name';
COMMENT ON COLUMN longhaul.queue_depth.depth IS 'jobs that could run now';
COMMENT ON COLUMN longhaul.queue_depth.more IS 'true: counting ended at depth, there are more';
COMMENT ON COLUMN longhaul.queue_depth.running IS 'jobs that the workers run, as of their last beat';
COMMENT ON COLUMN longhaul.queue_depth.slots IS 'how many they run at once, within max_running';
COMMENT ON COLUMN longhaul.queue_depth.workers IS 'worker daemons that serve the type';
COMMENT ON COLUMN longhaul.queue_depth.head_age IS 'since the job that comes next was submitted';
COMMENT ON COLUMN longhaul.queue_depth.finish_per_s IS 'jobs that ended per second, lately';
COMMENT ON COLUMN longhaul.queue_depth.mean_ms IS 'how long they took';
COMMENT ON COLUMN longhaul.queue_depth.delayed IS 'jobs that wait for a time: asked for, or between attempts';
COMMENT ON COLUMN longhaul.queue_depth.paused IS 'true: none is claimed';
COMMENT ON COLUMN longhaul.queue_depth.paused_since IS 'since when';
COMMENT ON COLUMN longhaul.queue_depth.paused_reason IS 'why';

CREATE VIEW longhaul.workers AS
SELECT w.host, w.pid, w.version,
       CASE WHEN w.stopped_at IS NOT NULL THEN 'stopped' WHEN w.dead_at IS NOT NULL THEN 'dead'
            WHEN w.lease_until < now() THEN 'late' ELSE 'alive' END AS state,
       w.started_at, w.beat_at, w.lease_until,
       (SELECT string_agg(format('%s %s/%s', t.name, x.running, x.slots), ', ' ORDER BY t.name)
          FROM longhaul.worker_type x JOIN longhaul.job_type t ON t.type_id = x.type_id WHERE x.boot = w.boot) AS serves,
       w.boot
  FROM longhaul.worker w;
COMMENT ON VIEW longhaul.workers IS 'Worker daemons and what they serve (type running/slots)';
COMMENT ON COLUMN longhaul.workers.host IS 'name of the host';
COMMENT ON COLUMN longhaul.workers.pid IS 'process id of the daemon';
COMMENT ON COLUMN longhaul.workers.version IS 'its version';
COMMENT ON COLUMN longhaul.workers.state IS 'alive; late = its lease has run out, rescue is near; dead = its jobs were taken; stopped = it signed off';
COMMENT ON COLUMN longhaul.workers.started_at IS 'when it registered';
COMMENT ON COLUMN longhaul.workers.beat_at IS 'when it last renewed its lease';
COMMENT ON COLUMN longhaul.workers.lease_until IS 'its jobs are its own until then';
COMMENT ON COLUMN longhaul.workers.serves IS 'types, with jobs running/slots';
COMMENT ON COLUMN longhaul.workers.boot IS 'identity of this start of the daemon: lease.boot';

CREATE VIEW longhaul.stuck AS
SELECT 'no worker serves this type' AS why, t.name AS type, NULL::uuid AS id, r.since, NULL::text AS host
  FROM longhaul.job_type t
  CROSS JOIN LATERAL (SELECT longhaul.uuid_time(q.job_id) AS since FROM longhaul.ready q WHERE q.type_id = t.type_id
                       ORDER BY q.priority DESC, q.seq LIMIT 1) r
 WHERE NOT EXISTS (SELECT FROM longhaul.worker_type x JOIN longhaul.worker w ON w.boot = x.boot
                    WHERE x.type_id = t.type_id AND w.dead_at IS NULL AND w.stopped_at IS NULL AND w.lease_until > now())
UNION ALL
SELECT concat_ws(': ', 'the type is paused', t.paused_reason), t.name, NULL, r.since, NULL
  FROM longhaul.job_type t
  CROSS JOIN LATERAL (SELECT longhaul.uuid_time(q.job_id) AS since FROM longhaul.ready q WHERE q.type_id = t.type_id
                       ORDER BY q.priority DESC, q.seq LIMIT 1) r
 WHERE t.paused
UNION ALL
SELECT 'no progress for ten minutes', t.name, l.job_id, coalesce(l.progress_at, l.started_at), w.host
  FROM longhaul.lease l JOIN longhaul.job_type t ON t.type_id = l.type_id JOIN longhaul.worker w ON w.boot = l.boot
 WHERE coalesce(l.progress_at, l.started_at) < now() - interval '10 minutes'
UNION ALL
SELECT 'its worker''s lease has run out', t.name, l.job_id, w.lease_until, w.host
  FROM longhaul.lease l JOIN longhaul.job_type t ON t.type_id = l.type_id JOIN longhaul.worker w ON w.boot = l.boot
 WHERE w.lease_until < now();
COMMENT ON VIEW longhaul.stuck IS 'What does not move, and why';
COMMENT ON COLUMN longhaul.stuck.why IS 'what is the matter';
COMMENT ON COLUMN longhaul.stuck.type IS 'job_type.name';
COMMENT ON COLUMN longhaul.stuck.id IS 'the job; NULL = all that wait of the type';
COMMENT ON COLUMN longhaul.stuck.since IS 'since when; of a type: when the job that comes next was submitted';
COMMENT ON COLUMN longhaul.stuck.host IS 'the worker that holds it';

-- What ended lately is found by the index on ended_at; the jobs of the fifty by their key.
CREATE VIEW longhaul.slowest AS
SELECT t.name AS type, o.job_id AS id, o.ran_for, longhaul.status_word(o.status) AS status, o.attempt, w.host, o.ended_at
  FROM (SELECT x.job_id, x.ended_at - x.started_at AS ran_for, x.status, x.attempt, x.boot, x.ended_at
          FROM longhaul.outcome x
         WHERE x.ended_at > now() - interval '1 hour' AND x.started_at IS NOT NULL
         ORDER BY x.ended_at - x.started_at DESC LIMIT 50) o
  CROSS JOIN LATERAL (SELECT y.type_id FROM longhaul.job y WHERE y.id = o.job_id OFFSET 0) j
  JOIN longhaul.job_type t ON t.type_id = j.type_id
  LEFT JOIN longhaul.worker w ON w.boot = o.boot
 ORDER BY o.ran_for DESC;
COMMENT ON VIEW longhaul.slowest IS 'The fifty longest runs among the jobs that ended within the hour; of types see types_lately';
COMMENT ON COLUMN longhaul.slowest.type IS 'job_type.name';
COMMENT ON COLUMN longhaul.slowest.id IS 'the job';
COMMENT ON COLUMN longhaul.slowest.ran_for IS 'how long its last attempt took';
COMMENT ON COLUMN longhaul.slowest.status IS 'how it ended';
COMMENT ON COLUMN longhaul.slowest.attempt IS 'attempts made';
COMMENT ON COLUMN longhaul.slowest.host IS 'where it ended';
COMMENT ON COLUMN longhaul.slowest.ended_at IS 'when it ended';

-- When the last outcome of a day expires is what ANALYZE has seen of it; of a day that has not been analysed, what the
-- longest retention says. No table is read.
CREATE VIEW longhaul.partitions AS
SELECT p.day, p.tables, p.jobs_estimated, p.ended_estimated, pg_size_pretty(p.bytes) AS size, p.bytes,
       greatest(p.day_end + interval '2 days', coalesce(p.last_expires_at, p.day_end + k.retention)) AS drop_from,
       greatest(p.day_end + interval '2 days', p.day_end + k.longest) AS drop_by
  FROM (SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day, count(*) AS tables,
               (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' AS day_end,
               (sum(longhaul.rows_estimated(c.oid)) FILTER (WHERE c.relname LIKE 'job\_%'))::bigint AS jobs_estimated,
               (sum(longhaul.rows_estimated(c.oid)) FILTER (WHERE c.relname LIKE 'outcome\_%'))::bigint AS ended_estimated,
               sum(pg_total_relation_size(c.oid))::bigint AS bytes,
               max((SELECT max(b) FROM pg_stats s, unnest(s.histogram_bounds::text::timestamptz[]) AS b
                     WHERE s.schemaname = 'longhaul' AND s.tablename = c.relname AND s.attname = 'expires_at')) AS last_expires_at
          FROM pg_inherits i
          JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent IN (SELECT t.oid FROM pg_class t WHERE t.relnamespace = 'longhaul'::regnamespace AND t.relkind = 'p')
         GROUP BY 1) p
  CROSS JOIN (SELECT coalesce(max(t.retention), '0') AS retention, coalesce(max(t.retention + t.lifetime), '0') AS longest
                FROM longhaul.job_type t) k
 ORDER BY p.day;
COMMENT ON VIEW longhaul.partitions IS 'The days that are stored: estimated number of jobs, size, when they go. A day goes when its last job has expired.';
COMMENT ON COLUMN longhaul.partitions.day IS 'the day (UTC) in the ids of its jobs';
COMMENT ON COLUMN longhaul.partitions.tables IS 'its tables: job, outcome, inputs, results, attempts, logs';
COMMENT ON COLUMN longhaul.partitions.jobs_estimated IS 'jobs stored, estimated';
COMMENT ON COLUMN longhaul.partitions.ended_estimated IS 'of these, ended';
COMMENT ON COLUMN longhaul.partitions.size IS 'of all its tables with their indexes';
COMMENT ON COLUMN longhaul.partitions.bytes IS 'the same, to sort by';
COMMENT ON COLUMN longhaul.partitions.drop_from IS 'when it goes if its jobs have ended: its last outcome expires about then. In the past: a job of that day has not ended, or a reader keeps it';
COMMENT ON COLUMN longhaul.partitions.drop_by IS 'when it goes at the latest, whatever becomes of its jobs, unless one is retried: longest lifetime and retention of any type';
