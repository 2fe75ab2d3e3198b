-- What a DBA opens.

-- The words for status codes, as they appear on the wire.
CREATE FUNCTION longhaul.status_word(p_status integer) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT (ARRAY['Queued', 'InProgress', 'Completed', 'Failed', 'Canceled'])[p_status]
$$;
COMMENT ON FUNCTION longhaul.status_word(integer) IS 'Status code in words';

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

CREATE VIEW longhaul.running AS
SELECT l.job_id AS id, t.name AS type, w.host, w.pid, l.attempt, l.claimed_at, l.started_at,
       clock_timestamp() - l.started_at AS ran_for, l.done, l.total,
       round(100.0 * l.done / nullif(l.total, 0), 1) AS percent, l.message, l.progress_at,
       c.requested_at AS cancel_requested_at
  FROM longhaul.lease l
  JOIN longhaul.job_type t ON t.type_id = l.type_id
  JOIN longhaul.worker w ON w.boot = l.boot
  LEFT JOIN longhaul.cancel_request c ON c.job_id = l.job_id;
COMMENT ON VIEW longhaul.running IS 'Claimed jobs: where, since when, how far. started_at NULL = claimed ahead, not begun.';

CREATE VIEW longhaul.queue_depth AS
SELECT t.name AS type, q.depth, q.depth >= greatest(10000, least(coalesce(t.max_queued, 0), 1000000)) AS more, q.running, q.slots, q.workers,
       q.head_age_ms * interval '1 ms' AS head_age, q.finish_per_s, q.mean_ms,
       (SELECT count(*) FROM longhaul.delayed d WHERE d.type_id = t.type_id) AS delayed, t.paused,
       t.paused_since, t.paused_reason
  FROM longhaul.queue_state() q JOIN longhaul.job_type t ON t.type_id = q.type_id;
COMMENT ON VIEW longhaul.queue_depth IS 'What waits, per type: counted up to 10,000, or max_queued (more: there are more), age of the head, workers that serve it';

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

CREATE VIEW longhaul.throughput AS
SELECT date_trunc('minute', o.ended_at) AS minute, t.name AS type, count(*) AS ended,
       count(*) FILTER (WHERE o.status = 3) AS completed, count(*) FILTER (WHERE o.status = 4) AS failed,
       count(*) FILTER (WHERE o.status = 5) AS canceled, avg(o.ended_at - o.started_at) AS mean_run
  FROM longhaul.outcome o
  JOIN longhaul.job j ON j.id = o.job_id
  JOIN longhaul.job_type t ON t.type_id = j.type_id
 WHERE o.ended_at > now() - interval '1 hour' AND o.job_id >= longhaul.uuid_at(now() - interval '1 day')
   AND j.id >= longhaul.uuid_at(now() - interval '1 day')
 GROUP BY 1, 2;
COMMENT ON VIEW longhaul.throughput IS 'Jobs ended in the last hour, by minute and type (of those submitted within a day)';

CREATE VIEW longhaul.slowest AS
SELECT t.name AS type, o.job_id AS id, o.ended_at - o.started_at AS ran_for, longhaul.status_word(o.status) AS status,
       o.attempt, w.host, o.ended_at
  FROM longhaul.outcome o
  JOIN longhaul.job j ON j.id = o.job_id
  JOIN longhaul.job_type t ON t.type_id = j.type_id
  LEFT JOIN longhaul.worker w ON w.boot = o.boot
 WHERE o.started_at IS NOT NULL AND o.job_id >= longhaul.uuid_at(now() - interval '1 day')
   AND j.id >= longhaul.uuid_at(now() - interval '1 day')
 ORDER BY o.ended_at - o.started_at DESC
 LIMIT 50;
COMMENT ON VIEW longhaul.slowest IS 'The fifty longest runs among the jobs submitted within a day';

CREATE VIEW longhaul.partitions AS
SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day, count(*) AS tables,
       sum(greatest(c.reltuples, 0)) FILTER (WHERE c.relname LIKE 'job\_%')::bigint AS jobs_estimated,
       pg_size_pretty(sum(pg_total_relation_size(c.oid))) AS size
  FROM pg_inherits i
  JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent IN ('longhaul.job'::regclass, 'longhaul.outcome'::regclass, 'longhaul.input_chunk'::regclass,
                       'longhaul.result_chunk'::regclass)
 GROUP BY 1;
COMMENT ON VIEW longhaul.partitions IS 'The days that are stored: estimated number of jobs and size. A day goes when its last job has expired.';
