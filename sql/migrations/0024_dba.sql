-- What DBAs and operators do by hand, and what they look at first. Each act is noted in longhaul.audit, and what makes no sense is an error.

-- The job type of this name; an error if there is none. Internal.
CREATE FUNCTION longhaul.type_named(p_type text) RETURNS integer
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_type integer := (SELECT t.type_id FROM longhaul.job_type t WHERE t.name = p_type);
BEGIN
    IF p_type IS NOT NULL AND v_type IS NULL THEN
        RAISE EXCEPTION 'there is no job type "%"', p_type USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN v_type;
END
$$;
COMMENT ON FUNCTION longhaul.type_named(text) IS 'Internal: the number of a job type; NULL for NULL';

-- A job with its type and, if it has ended, its outcome's status and when it is removed; an error if there is none. Internal.
CREATE FUNCTION longhaul.job_named(p_id uuid, OUT client text, OUT type text, OUT status smallint, OUT expires_at timestamptz,
                                   OUT lifetime_until timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    SELECT j.client, t.name, o.status, o.expires_at, j.created_at + t.lifetime
      INTO client, type, status, expires_at, lifetime_until
      FROM longhaul.job j JOIN longhaul.job_type t ON t.type_id = j.type_id
      LEFT JOIN longhaul.outcome o ON o.job_id = j.id AND o.job_id = p_id
     WHERE j.id = p_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no job %', coalesce(p_id::text, 'NULL') USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.job_named(uuid) IS 'Internal: whose job it is, and how it ended';

-- Cancels any client's job. Returns its status now: Canceled, or InProgress: its worker was told, and stops it.
-- A job that has ended otherwise is an error.
-- Writes: as cancel_job(id, client), audit. Locks: the job's row in the queue, for half a second at most.
CREATE FUNCTION longhaul.cancel_job(p_id uuid) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_job  record;
    v_code smallint;
BEGIN
    SELECT * INTO v_job FROM longhaul.job_named(p_id);
    v_code := longhaul.cancel_job(p_id, v_job.client);
    IF v_code IN (0, 4) THEN
        SELECT * INTO v_job FROM longhaul.job_named(p_id);
        RAISE EXCEPTION 'job % is % already', p_id, longhaul.status_word(v_job.status)
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM longhaul.audit_note('cancel_job', p_id::text, jsonb_build_object('type', v_job.type, 'client', v_job.client,
        'was', CASE v_code WHEN 1 THEN 'Queued' WHEN 2 THEN 'InProgress' ELSE 'Canceled' END));
    RETURN CASE v_code WHEN 2 THEN 'InProgress' ELSE 'Canceled' END;
END
$$;
COMMENT ON FUNCTION longhaul.cancel_job(uuid) IS 'Cancels a job: Canceled, or InProgress if its worker has to stop it first';

-- Cancels jobs that wait, of a type, a client or both, at most p_limit: the newest first of a client, the next in the
-- queue of a type. What runs goes on. p_from, p_to: by when they were submitted. Returns how many; call it again until it returns 0.
-- Writes: as cancel_job. Locks: the jobs' rows in the queue until the caller's transaction ends; what is locked is left out.
CREATE FUNCTION longhaul.cancel_jobs(
    p_type text DEFAULT NULL, p_client text DEFAULT NULL, p_from timestamptz DEFAULT '-infinity',
    p_to timestamptz DEFAULT 'infinity', p_limit integer DEFAULT 1000)
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    v_type  integer := longhaul.type_named(p_type);
    v_ids   uuid[];
    v_id    uuid;
    v_count integer := 0;
BEGIN
    PERFORM longhaul.check_filter(p_from, p_to, p_limit);
    IF p_type IS NULL AND p_client IS NULL THEN
        RAISE EXCEPTION 'name a type or a client: not all jobs are canceled at once' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_client IS NOT NULL THEN
        v_ids := ARRAY(
            SELECT j.id FROM longhaul.job j
             WHERE j.client = p_client AND (v_type IS NULL OR j.type_id = v_type)
               AND j.created_at >= p_from AND j.created_at < p_to
               AND j.id >= longhaul.uuid_at(p_from - interval '2 days') AND j.id < longhaul.uuid_at(p_to + interval '2 days')
               AND NOT EXISTS (SELECT FROM longhaul.outcome o WHERE o.job_id = j.id)
               AND NOT EXISTS (SELECT FROM longhaul.lease l WHERE l.job_id = j.id AND l.boot IS NOT NULL)
             ORDER BY j.id DESC LIMIT p_limit);
    ELSE
        v_ids := ARRAY(
            SELECT w.job_id
              FROM (SELECT r.job_id FROM (SELECT x.job_id FROM longhaul.ready x WHERE x.type_id = v_type
                                           ORDER BY x.priority DESC, x.seq) r
                    UNION ALL
                    SELECT d.job_id FROM longhaul.delayed d WHERE d.type_id = v_type) w
              JOIN longhaul.job j ON j.id = w.job_id
             WHERE j.created_at >= p_from AND j.created_at < p_to
             LIMIT p_limit);
    END IF;
    FOREACH v_id IN ARRAY v_ids LOOP
        BEGIN
            IF longhaul.cancel_job(v_id, (SELECT j.client FROM longhaul.job j WHERE j.id = v_id)) IN (1, 2) THEN
                v_count := v_count + 1;
            END IF;
        EXCEPTION WHEN lock_not_available OR object_in_use THEN
            NULL; -- it is being claimed
        END;
    END LOOP;
    IF v_count > 0 THEN
        PERFORM longhaul.audit_note('cancel_jobs', concat_ws(' ', p_type, p_client), jsonb_strip_nulls(jsonb_build_object(
            'type', p_type, 'client', p_client, 'from', nullif(p_from, '-infinity'), 'to', nullif(p_to, 'infinity'), 'jobs', v_count)));
    END IF;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION longhaul.cancel_jobs(text, text, timestamptz, timestamptz, integer)
    IS 'Cancels jobs that wait, 1000 a call: SELECT longhaul.cancel_jobs(p_client => ''alice'') \watch 1';

-- Refuses a range of times that is none, and a limit out of reach. Internal.
CREATE FUNCTION longhaul.check_filter(p_from timestamptz, p_to timestamptz, p_limit integer) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    IF p_from IS NULL OR p_to IS NULL OR p_from >= p_to THEN
        RAISE EXCEPTION 'nothing lies between % and %', coalesce(p_from::text, 'NULL'), coalesce(p_to::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'the limit must be between 1 and 10000: call it again for more' USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.check_filter(timestamptz, timestamptz, integer) IS 'Internal: refuses senseless arguments';

-- Queues any client's Failed or Canceled job again, before all others of its priority. Returns its status: Queued.
-- A job that is live or Completed is an error, and one that would expire at once.
-- Writes: as requeue, audit.
CREATE FUNCTION longhaul.retry_job(p_id uuid) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_job record;
BEGIN
    SELECT * INTO v_job FROM longhaul.job_named(p_id);
    IF v_job.status IS NULL THEN
        RAISE EXCEPTION 'job % has not ended', p_id USING ERRCODE = 'object_not_in_prerequisite_state';
    ELSIF v_job.status = 3 THEN
        RAISE EXCEPTION 'job % is Completed', p_id USING ERRCODE = 'object_not_in_prerequisite_state';
    ELSIF v_job.expires_at <= now() THEN
        RAISE EXCEPTION 'the retention of job % has run out: it is removed soon', p_id USING ERRCODE = 'object_not_in_prerequisite_state';
    ELSIF v_job.lifetime_until <= now() THEN
        RAISE EXCEPTION 'job % is older than the lifetime of its type: it would expire at once', p_id
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'See job_type.lifetime.';
    END IF;
    IF longhaul.requeue(ARRAY[p_id]) = 0 THEN
        RAISE EXCEPTION 'job % has been retried or removed by somebody else', p_id USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM longhaul.audit_note('retry_job', p_id::text, jsonb_build_object('type', v_job.type, 'client', v_job.client,
                                                                            'was', longhaul.status_word(v_job.status)));
    RETURN 'Queued';
END
$$;
COMMENT ON FUNCTION longhaul.retry_job(uuid) IS 'Queues a Failed or Canceled job again';

-- Queues Failed jobs again (or Canceled ones: p_status), at most p_limit, which ended in [p_from, p_to): of a type, of a
-- client, with an error that matches p_error (a regular expression, looked for in type, title and detail of the problem,
-- without regard to case); NULL = any. Returns how many; call it again until it returns 0.
-- They go before all others of their priority: so many at a time as others may wait for.
-- Reads the outcomes of the time by the index on it. Writes: as requeue, audit. Locks: the outcomes, SKIP LOCKED.
CREATE FUNCTION longhaul.retry_jobs(
    p_type text DEFAULT NULL, p_client text DEFAULT NULL, p_from timestamptz DEFAULT now() - interval '1 day',
    p_to timestamptz DEFAULT 'infinity', p_error text DEFAULT NULL, p_status text DEFAULT 'Failed',
    p_limit integer DEFAULT 1000)
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
-- Only the index on the time will do to find them, and then one look by the key for each job.
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan SET jit = off
SET enable_seqscan = off SET enable_indexscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    v_type   integer := longhaul.type_named(p_type);
    v_status smallint := CASE p_status WHEN 'Failed' THEN 4 WHEN 'Canceled' THEN 5 END;
    v_ids    uuid[];
    v_count  integer;
BEGIN
    PERFORM longhaul.check_filter(p_from, p_to, p_limit);
    IF v_status IS NULL THEN
        RAISE EXCEPTION 'only jobs that are Failed or Canceled can be queued again, not "%"', coalesce(p_status, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM '' ~* p_error; -- an error if it is no regular expression
    v_ids := ARRAY(
        SELECT o.job_id
          FROM longhaul.outcome o
          CROSS JOIN LATERAL (SELECT FROM longhaul.job j JOIN longhaul.job_type t ON t.type_id = j.type_id
                               WHERE j.id = o.job_id AND (v_type IS NULL OR j.type_id = v_type)
                                 AND (p_client IS NULL OR j.client = p_client) AND j.created_at + t.lifetime > now()
                              OFFSET 0) x
         WHERE o.ended_at >= p_from AND o.ended_at < p_to AND o.expires_at > now() AND o.status = v_status
           AND (p_error IS NULL OR concat_ws(' ', o.error ->> 'type', o.error ->> 'title', o.error ->> 'detail') ~* p_error)
         LIMIT p_limit FOR UPDATE OF o SKIP LOCKED);
    v_count := longhaul.requeue(v_ids);
    IF v_count > 0 THEN
        PERFORM longhaul.audit_note('retry_jobs', concat_ws(' ', p_type, p_client), jsonb_strip_nulls(jsonb_build_object(
            'type', p_type, 'client', p_client, 'from', p_from, 'to', nullif(p_to, 'infinity'), 'error', p_error,
            'status', p_status, 'jobs', v_count)));
    END IF;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION longhaul.retry_jobs(text, text, timestamptz, timestamptz, text, text, integer)
    IS 'Queues jobs again that failed in a time, 1000 a call: SELECT longhaul.retry_jobs(''accounts.bulk-import'', p_from => ''2026-11-23 04:00'', p_error => ''timeout'')';

-- Removes any client's ended job with its input and result. A live one is an error: cancel it first.
-- Writes: as delete_job(id, client), audit.
CREATE FUNCTION longhaul.delete_job(p_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_job record;
BEGIN
    SELECT * INTO v_job FROM longhaul.job_named(p_id);
    IF longhaul.delete_job(p_id, v_job.client) <> 1 THEN
        RAISE EXCEPTION 'job % has not ended', p_id
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Cancel it first.';
    END IF;
    PERFORM longhaul.audit_note('delete_job', p_id::text, jsonb_build_object('type', v_job.type, 'client', v_job.client,
                                                                             'was', longhaul.status_word(v_job.status)));
END
$$;
COMMENT ON FUNCTION longhaul.delete_job(uuid) IS 'Removes an ended job with its input and result';

-- Takes its jobs from a host whose daemon hangs, or that is wanted empty: the leases of its daemons end now, what they
-- hold can be claimed by others at once, no attempt burned. A daemon that still runs is told: it kills its handlers,
-- and begins anew without jobs; what it writes of the old ones is refused. To keep it from new ones, stop it there.
-- Returns how many jobs it put back. Jobs that are being ended right now are left to that, and else to rescue().
-- Writes: worker, worker_type, lease, ready, outcome, webhook_queue, audit. Locks: as rescue: the daemon's advisory
-- lock, for which it waits as long as a claim of the daemon takes, 5 s at most; its leases, SKIP LOCKED.
CREATE FUNCTION longhaul.release_host(p_host text) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan SET lock_timeout = '5s' AS $$
DECLARE
    v_boots uuid[] := ARRAY(SELECT w.boot FROM longhaul.worker w
                             WHERE w.host = p_host
                               AND (w.dead_at IS NULL AND w.stopped_at IS NULL
                                    OR EXISTS (SELECT FROM longhaul.lease l WHERE l.boot = w.boot))
                             ORDER BY w.boot);
    v_boot  uuid;
    v_ids   uuid[];
    v_count integer := 0;
BEGIN
    IF cardinality(v_boots) = 0 THEN
        RAISE EXCEPTION 'host "%" holds no jobs: no worker daemon lives there', coalesce(p_host, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'SELECT * FROM longhaul.workers shows all.';
    END IF;
    FOREACH v_boot IN ARRAY v_boots LOOP
        PERFORM pg_advisory_xact_lock(hashtext('longhaul.boot'), hashtext(v_boot::text));
        UPDATE longhaul.worker SET dead_at = clock_timestamp(), lease_until = clock_timestamp()
         WHERE boot = v_boot AND dead_at IS NULL AND stopped_at IS NULL;
        DELETE FROM longhaul.worker_type WHERE boot = v_boot;
        v_ids := ARRAY(SELECT l.job_id FROM longhaul.lease l WHERE l.boot = v_boot ORDER BY l.job_id FOR UPDATE SKIP LOCKED);
        PERFORM longhaul.take_back(v_ids);
        PERFORM longhaul.webhook_take_back(v_boot);
        PERFORM pg_notify('longhaul_worker_' || translate(v_boot::text, '-', ''), 'beat');
        v_count := v_count + cardinality(v_ids);
    END LOOP;
    PERFORM pg_notify('longhaul_wake', '');
    PERFORM longhaul.audit_note('release_host', p_host, jsonb_build_object('daemons', cardinality(v_boots), 'jobs', v_count));
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION longhaul.release_host(text) IS 'Takes its jobs from a host: they are queued again at once, its worker stops what it runs';

REVOKE ALL ON FUNCTION longhaul.type_named(text), longhaul.job_named(uuid), longhaul.cancel_job(uuid),
    longhaul.cancel_jobs(text, text, timestamptz, timestamptz, integer), longhaul.check_filter(timestamptz, timestamptz, integer),
    longhaul.retry_job(uuid), longhaul.retry_jobs(text, text, timestamptz, timestamptz, text, text, integer),
    longhaul.delete_job(uuid), longhaul.release_host(text), longhaul.requeue(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION longhaul.cancel_job(uuid), longhaul.cancel_jobs(text, text, timestamptz, timestamptz, integer),
    longhaul.retry_job(uuid), longhaul.retry_jobs(text, text, timestamptz, timestamptz, text, text, integer),
    longhaul.delete_job(uuid), longhaul.release_host(text)
TO longhaul_dba;

-- ---------------------------------------------------------------------------------------------
-- What they look at, besides
-- ---------------------------------------------------------------------------------------------

-- How each type stands, for the view waiting: a row per type. Internal.
CREATE FUNCTION longhaul.type_standing(
    OUT type_id integer, OUT name text, OUT why text, OUT until timestamptz, OUT slots integer, OUT busy boolean)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 50 SET search_path = pg_catalog, longhaul, pg_temp SET jit = off AS $$
BEGIN
    RETURN QUERY
    SELECT t.type_id, t.name::text,
           CASE WHEN t.paused THEN concat_ws(': ', 'its type is paused', t.paused_reason)
                WHEN w.workers IS NULL THEN 'no worker serves its type'
                WHEN w.workers = w.drained THEN 'the hosts that serve its type are drained'
                WHEN l.running >= t.max_running THEN format('max_running: %s of %s jobs of its type run', l.running, t.max_running)
                WHEN r.next_at > clock_timestamp() THEN format('rate limit: %s in %s are used up', t.rate_limit, t.rate_period) END,
           CASE WHEN NOT t.paused AND w.workers > 0 AND (l.running >= t.max_running) IS NOT TRUE
                     AND r.next_at > clock_timestamp() THEN r.next_at END,
           w.slots, w.running >= w.slots
      FROM longhaul.job_type t
      LEFT JOIN (SELECT x.type_id, count(*) AS workers, count(*) FILTER (WHERE d.host IS NOT NULL) AS drained,
                        sum(x.slots) FILTER (WHERE d.host IS NULL)::integer AS slots,
                        sum(x.running) FILTER (WHERE d.host IS NULL)::integer AS running
                   FROM longhaul.worker_type x JOIN longhaul.worker k ON k.boot = x.boot
                   LEFT JOIN longhaul.drained_host d ON d.host = k.host
                  WHERE k.dead_at IS NULL AND k.stopped_at IS NULL AND k.lease_until > clock_timestamp()
                  GROUP BY x.type_id) w ON w.type_id = t.type_id
      LEFT JOIN LATERAL (SELECT count(*) AS running FROM longhaul.lease y
                          WHERE t.max_running IS NOT NULL AND y.type_id = t.type_id AND y.limited AND y.boot IS NOT NULL) l ON true
      -- As type_room counts: the next may begin when a job's share of the period is free.
      LEFT JOIN LATERAL (SELECT least(q.full_at, clock_timestamp() + t.rate_period) + t.rate_period / t.rate_limit
                                - t.rate_period AS next_at
                           FROM longhaul.type_rate q WHERE q.type_id = t.type_id AND t.rate_limit IS NOT NULL) r ON true;
END
$$;
COMMENT ON FUNCTION longhaul.type_standing() IS 'Internal: what is in the way of each type''s jobs';

-- How many jobs go before a place in the queue, counted up to 1000. Internal.
CREATE FUNCTION longhaul.jobs_ahead(p_type_id integer, p_priority smallint, p_seq bigint) RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
    SELECT count(*)::integer
      FROM (SELECT FROM longhaul.ready a WHERE a.type_id = p_type_id AND a.priority > p_priority
            UNION ALL
            SELECT FROM longhaul.ready a WHERE a.type_id = p_type_id AND a.priority = p_priority AND a.seq < p_seq
             LIMIT 1000) x
$$;
COMMENT ON FUNCTION longhaul.jobs_ahead(integer, smallint, bigint) IS 'Internal: how many jobs go before a place in the queue';

-- Places are counted, and clients of jobs that were put back looked up, for the rows that are shown, and only if asked for.
CREATE VIEW longhaul.waiting AS
SELECT r.job_id AS id, t.name AS type,
       coalesce(r.client, (SELECT l.client FROM longhaul.lease l WHERE l.job_id = r.job_id)) AS client, r.priority,
       longhaul.uuid_time(r.job_id) AS since,
       coalesce(t.why, CASE WHEN t.busy THEN format('all %s slots are busy', t.slots) ELSE 'its turn comes' END) AS why,
       t.until,
       longhaul.jobs_ahead(r.type_id, r.priority, r.seq) AS ahead,
       r.attempt AS attempts
  FROM longhaul.ready r JOIN longhaul.type_standing() t ON t.type_id = r.type_id
UNION ALL
SELECT d.job_id, t.name, coalesce(d.client, (SELECT l.client FROM longhaul.lease l WHERE l.job_id = d.job_id)), d.priority,
       longhaul.uuid_time(d.job_id),
       CASE WHEN d.run_at <= clock_timestamp() THEN 'its time has come: a worker is about to move it on'
            WHEN (SELECT l.deaths FROM longhaul.lease l WHERE l.job_id = d.job_id) > 0 THEN 'backoff: its runner died'
            WHEN d.attempt > coalesce((SELECT l.attempt_base FROM longhaul.lease l WHERE l.job_id = d.job_id), 0)
            THEN format('backoff after attempt %s', d.attempt)
            ELSE 'not before its time' END,
       d.run_at, NULL, d.attempt
  FROM longhaul.delayed d JOIN longhaul.job_type t ON t.type_id = d.type_id
UNION ALL
SELECT l.job_id, t.name, l.client, l.priority, longhaul.uuid_time(l.job_id),
       format('claimed ahead by %s', w.host), NULL, NULL, l.attempt - 1
  FROM longhaul.lease l JOIN longhaul.job_type t ON t.type_id = l.type_id JOIN longhaul.worker w ON w.boot = l.boot
 WHERE l.started_at IS NULL;
COMMENT ON VIEW longhaul.waiting IS 'What waits and why, a row per job: one by WHERE id = …, all in short by SELECT type, why, count(*), min(since) FROM longhaul.waiting GROUP BY 1, 2';
COMMENT ON COLUMN longhaul.waiting.id IS 'the job';
COMMENT ON COLUMN longhaul.waiting.type IS 'job_type.name';
COMMENT ON COLUMN longhaul.waiting.client IS 'who asked';
COMMENT ON COLUMN longhaul.waiting.priority IS '-100 to 100, high first';
COMMENT ON COLUMN longhaul.waiting.since IS 'when it was submitted, as its id says';
COMMENT ON COLUMN longhaul.waiting.why IS 'what it waits for: a time, its type (paused, limits, no worker), a slot, or its turn';
COMMENT ON COLUMN longhaul.waiting.until IS 'until when, where that is known; of a rate limit until when the next one waits';
COMMENT ON COLUMN longhaul.waiting.ahead IS 'jobs of its type that go before it, counted up to 1000; NULL = it isn''t in the queue';
COMMENT ON COLUMN longhaul.waiting.attempts IS 'attempts that were made';

-- Reads all that lives, and nothing of the history. A job that was put back is in ready or delayed without its client,
-- which its lease has.
CREATE VIEW longhaul.client_depth AS
SELECT t.name AS type, x.client, count(*) FILTER (WHERE x.kind = 'ready') AS waiting,
       count(*) FILTER (WHERE x.kind = 'delayed') AS delayed, count(*) FILTER (WHERE x.kind = 'held') AS running,
       longhaul.uuid_time(min(x.job_id::text) FILTER (WHERE x.kind <> 'held')::uuid) AS oldest_at,
       clock_timestamp() - longhaul.uuid_time(min(x.job_id::text) FILTER (WHERE x.kind <> 'held')::uuid) AS age
  FROM (SELECT 'ready' AS kind, r.type_id, r.client, r.job_id FROM longhaul.ready r WHERE r.client IS NOT NULL
        UNION ALL
        SELECT 'delayed' AS kind, d.type_id, d.client, d.job_id FROM longhaul.delayed d WHERE d.client IS NOT NULL
        UNION ALL
        SELECT CASE WHEN l.boot IS NOT NULL THEN 'held' WHEN d.job_id IS NOT NULL THEN 'delayed' ELSE 'ready' END,
               l.type_id, l.client, l.job_id
          FROM longhaul.lease l LEFT JOIN longhaul.delayed d ON d.job_id = l.job_id AND l.boot IS NULL) x
  JOIN longhaul.job_type t ON t.type_id = x.type_id
 GROUP BY t.name, x.client;
COMMENT ON VIEW longhaul.client_depth IS 'What waits and runs, per type and client, and how old the oldest is: ORDER BY waiting DESC';
COMMENT ON COLUMN longhaul.client_depth.type IS 'job_type.name';
COMMENT ON COLUMN longhaul.client_depth.client IS 'who asked';
COMMENT ON COLUMN longhaul.client_depth.waiting IS 'jobs that could run now';
COMMENT ON COLUMN longhaul.client_depth.delayed IS 'jobs that wait for a time: asked for, or between attempts';
COMMENT ON COLUMN longhaul.client_depth.running IS 'jobs that workers hold';
COMMENT ON COLUMN longhaul.client_depth.oldest_at IS 'when the oldest of those that wait was submitted';
COMMENT ON COLUMN longhaul.client_depth.age IS 'since then';

CREATE VIEW longhaul.dead_hosts AS
SELECT w.host, CASE WHEN bool_or(w.dead_at IS NULL AND w.stopped_at IS NULL) THEN 'late'
                    WHEN bool_or(w.dead_at IS NOT NULL) THEN 'dead' ELSE 'stopped' END AS state,
       max(w.beat_at) AS last_beat, clock_timestamp() - max(w.beat_at) AS silent_for, count(*)::integer AS daemons,
       coalesce(sum(h.jobs), 0)::bigint AS jobs_held,
       (array_agg(w.version ORDER BY w.beat_at DESC))[1] AS version
  FROM longhaul.worker w
  LEFT JOIN (SELECT l.boot, count(*) AS jobs FROM longhaul.lease l GROUP BY l.boot) h ON h.boot = w.boot
 GROUP BY w.host
HAVING NOT bool_or(w.dead_at IS NULL AND w.stopped_at IS NULL AND w.lease_until >= clock_timestamp());
COMMENT ON VIEW longhaul.dead_hosts IS 'Hosts without a worker daemon that lives, for a day: since when, and whether they still hold jobs';
COMMENT ON COLUMN longhaul.dead_hosts.host IS 'name of the host';
COMMENT ON COLUMN longhaul.dead_hosts.state IS 'late = its lease has run out, rescue is near; dead = its jobs were taken; stopped = its daemons signed off';
COMMENT ON COLUMN longhaul.dead_hosts.last_beat IS 'when a daemon there last renewed its lease';
COMMENT ON COLUMN longhaul.dead_hosts.silent_for IS 'since then';
COMMENT ON COLUMN longhaul.dead_hosts.daemons IS 'starts of daemons there that are remembered';
COMMENT ON COLUMN longhaul.dead_hosts.jobs_held IS 'jobs that nobody else can have yet';
COMMENT ON COLUMN longhaul.dead_hosts.version IS 'version of the daemon that was seen last';

-- From sizes and statistics only: no table is read, whatever it holds. Of the statuses and types it counts what ANALYZE
-- found most common, day by day.
CREATE VIEW longhaul.estimates AS
WITH part AS MATERIALIZED (
    SELECT c.oid, c.relname, p.relname AS parent, longhaul.rows_estimated(c.oid) AS n
      FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
     WHERE c.relnamespace = 'longhaul'::regnamespace AND c.relkind = 'r'
), common AS MATERIALIZED (
    SELECT s.attname AS what, v.value, sum(part.n * v.freq)::bigint AS n
      FROM part
      JOIN pg_stats s ON s.schemaname = 'longhaul' AND s.tablename = part.relname
                     AND part.parent || ' ' || s.attname = ANY ('{outcome status,job type_id,job client}'::text[])
      CROSS JOIN LATERAL unnest(s.most_common_vals::text::text[], s.most_common_freqs) AS v(value, freq)
     GROUP BY 1, 2
)
SELECT 'table' AS kind, coalesce(part.parent, part.relname)::text AS name, sum(part.n)::bigint AS rows_estimated,
       pg_size_pretty(sum(pg_total_relation_size(part.oid))) AS size, sum(pg_total_relation_size(part.oid))::bigint AS bytes
  FROM part WHERE part.relname NOT LIKE 'account\_staging\_%' GROUP BY 2
UNION ALL
SELECT 'jobs that ended', longhaul.status_word(c.value::integer), c.n, NULL, NULL FROM common c WHERE c.what = 'status'
UNION ALL
SELECT 'jobs of type', t.name, c.n, NULL, NULL FROM common c JOIN longhaul.job_type t ON t.type_id = c.value::integer WHERE c.what = 'type_id'
UNION ALL
SELECT 'jobs of client', c.value, c.n, NULL, NULL FROM common c WHERE c.what = 'client'
 ORDER BY 1 DESC, 5 DESC, 3 DESC;
COMMENT ON VIEW longhaul.estimates IS 'Estimated counts, which cost nothing however much is stored: rows and sizes of tables, ended jobs by status, stored jobs by type and client';
COMMENT ON COLUMN longhaul.estimates.kind IS 'table, jobs that ended (by status), jobs of type, jobs of client (the most frequent of each day)';
COMMENT ON COLUMN longhaul.estimates.name IS 'the table, status, type or client';
COMMENT ON COLUMN longhaul.estimates.rows_estimated IS 'how many, about; those by status, type and client as of each day''s last ANALYZE';
COMMENT ON COLUMN longhaul.estimates.size IS 'of a table with its parts and indexes';
COMMENT ON COLUMN longhaul.estimates.bytes IS 'the same, to sort by';

REVOKE ALL ON FUNCTION longhaul.type_standing(), longhaul.jobs_ahead(integer, smallint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION longhaul.type_standing(), longhaul.jobs_ahead(integer, smallint, bigint) TO longhaul_dba;
GRANT SELECT ON longhaul.waiting, longhaul.client_depth, longhaul.dead_hosts, longhaul.estimates TO longhaul_dba;
