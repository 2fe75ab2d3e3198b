-- Reading: what API processes ask.

-- Schema version: number of the newest migration.
CREATE FUNCTION longhaul.schema_version() RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT max(version) FROM longhaul.migration
$$;
COMMENT ON FUNCTION longhaul.schema_version() IS 'Number of the newest migration applied';

-- All job types, as an API process needs them.
CREATE FUNCTION longhaul.api_types(
    OUT type_id integer, OUT name text, OUT submit_path text, OUT collection text, OUT wait_ms integer,
    OUT media_types text, OUT max_input_bytes bigint, OUT retention_s bigint, OUT poll_min_ms integer,
    OUT poll_max_ms integer, OUT paused boolean, OUT max_queued bigint, OUT default_estimate_ms integer,
    OUT log_for_clients boolean, OUT description text)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT t.type_id, t.name, t.submit_path, t.collection, t.wait_ms, array_to_string(t.media_types, ', '),
           t.max_input_bytes, extract(epoch FROM t.retention)::bigint, t.poll_min_ms, t.poll_max_ms, t.paused,
           t.max_queued, t.default_estimate_ms, t.log_for_clients, t.description
      FROM longhaul.job_type t ORDER BY t.type_id
$$;
COMMENT ON FUNCTION longhaul.api_types() IS 'The job types, for API processes';

-- Tells API processes and workers that a job type changed.
CREATE FUNCTION longhaul.job_type_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    PERFORM pg_notify('longhaul_types', '');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION longhaul.job_type_changed() IS 'Trigger of job_type: NOTIFY longhaul_types';
CREATE TRIGGER job_type_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON longhaul.job_type
    FOR EACH STATEMENT EXECUTE FUNCTION longhaul.job_type_changed();

-- A type whose jobs are still stored stays: they could neither be claimed nor end without it. There is no
-- foreign key because each submit would have to lock the type's row.
CREATE FUNCTION longhaul.job_type_kept() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM longhaul.job j WHERE j.type_id = old.type_id) THEN
        RAISE EXCEPTION 'there are jobs of type "%"', old.name
            USING ERRCODE = 'foreign_key_violation', HINT = 'Set paused in place of deleting it.';
    END IF;
    RETURN old;
END
$$;
COMMENT ON FUNCTION longhaul.job_type_kept() IS 'Trigger of job_type: refuses to delete a type that has jobs';
CREATE TRIGGER job_type_kept BEFORE DELETE ON longhaul.job_type
    FOR EACH ROW EXECUTE FUNCTION longhaul.job_type_kept();

-- The client that an API key belongs to; NULL if the key is unknown or revoked, or its client disabled.
CREATE FUNCTION longhaul.client_of_key(p_sha256 bytea) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT k.client FROM longhaul.api_key k JOIN longhaul.client c ON c.name = k.client
     WHERE k.sha256 = p_sha256 AND k.revoked_at IS NULL AND c.disabled_at IS NULL
$$;
COMMENT ON FUNCTION longhaul.client_of_key(bytea) IS 'Client of an API key, given the SHA-256 of the key';

-- Makes an API key for a client (made too, if new) and returns it: the only time it is seen.
CREATE FUNCTION longhaul.create_api_key(p_client text, p_label text DEFAULT '') RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    -- Two version 4 UUIDs: 244 bits from the server's strong random source.
    v_key text := 'lh_' || translate(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
BEGIN
    INSERT INTO longhaul.client (name) VALUES (p_client) ON CONFLICT DO NOTHING;
    INSERT INTO longhaul.api_key (sha256, client, label) VALUES (sha256(convert_to(v_key, 'UTF8')), p_client, p_label);
    RETURN v_key;
END
$$;
COMMENT ON FUNCTION longhaul.create_api_key(text, text) IS 'Makes an API key for a client and returns it, once';

-- Where the jobs p_ids stand, for their owners p_clients (parallel arrays); a row per job that exists
-- and belongs to that client. p_with_result: also the result of those whose result is stored in the row.
-- STABLE: all it reads is of one snapshot; a job that is being claimed is never missed.
CREATE FUNCTION longhaul.status_batch(p_ids uuid[], p_clients text[], p_with_result boolean)
RETURNS SETOF longhaul.job_status
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100
SET search_path = pg_catalog, longhaul, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    v_today date := (now() AT TIME ZONE 'UTC')::date;
    v_low   uuid := longhaul.uuid_at(v_today::timestamp AT TIME ZONE 'UTC');
    v_high  uuid := longhaul.uuid_at((v_today + 1)::timestamp AT TIME ZONE 'UTC');
    v_name  text := 'longhaul.status_on_' || to_char(v_today, 'YYYYMMDD');
    r       record;
BEGIN
    IF (SELECT bool_and(i >= v_low AND i < v_high) FROM unnest(p_ids) AS i)
       AND to_regprocedure(v_name || '(integer[], uuid[], text[], boolean)') IS NOT NULL THEN
        RETURN QUERY EXECUTE 'SELECT * FROM ' || v_name || '($1, $2, $3, $4)'
            USING ARRAY(SELECT generate_series(1, cardinality(p_ids))), p_ids, p_clients, p_with_result;
        RETURN;
    END IF;
    FOR r IN
        SELECT to_char(longhaul.uuid_time(u.id) AT TIME ZONE 'UTC', 'YYYYMMDD') AS day, array_agg(u.n::integer) AS ords,
               array_agg(u.id) AS ids, array_agg(u.client) AS clients
          FROM unnest(p_ids, p_clients) WITH ORDINALITY AS u(id, client, n)
         GROUP BY 1
    LOOP
        v_name := 'longhaul.status_on_' || r.day;
        CONTINUE WHEN to_regprocedure(v_name || '(integer[], uuid[], text[], boolean)') IS NULL;
        BEGIN
            RETURN QUERY EXECUTE 'SELECT * FROM ' || v_name || '($1, $2, $3, $4)'
                USING r.ords, r.ids, r.clients, p_with_result;
        EXCEPTION WHEN undefined_function OR undefined_table THEN
            NULL; -- that day is being dropped: no job of it is left
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION longhaul.status_batch(uuid[], text[], boolean) IS 'Where these jobs of these clients stand';

-- One piece (262144 bytes, the last may be shorter) of a job's result, wherever it is stored; NULL past the end.
CREATE FUNCTION longhaul.result_chunk_get(p_job_id uuid, p_gen integer, p_seq integer) RETURNS bytea
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_data bytea;
BEGIN
    IF p_seq = 0 THEN
        SELECT o.result INTO v_data FROM longhaul.outcome o WHERE o.job_id = p_job_id AND o.result_gen = p_gen;
        IF v_data IS NOT NULL THEN
            RETURN v_data;
        END IF;
    END IF;
    SELECT r.data INTO v_data FROM longhaul.result_chunk r
     WHERE r.job_id = p_job_id AND r.gen = p_gen AND r.seq = p_seq;
    RETURN v_data;
END
$$;
COMMENT ON FUNCTION longhaul.result_chunk_get(uuid, integer, integer) IS 'One piece of a result';

-- A page of a client's jobs, newest first: keyset by id, never OFFSET.
--   p_type_id, p_status, p_created_after: filters, NULL = all
--   p_before: the page starts below this id (the previous page's scanned_to), NULL = the newest
-- Looks at a bounded number of rows, so a page with filters may be short: scanned_to, the same in
-- every row, is where the next page starts; NULL = that was all. If nothing matched but there is
-- more, one row with job_id NULL tells where to go on.
CREATE FUNCTION longhaul.list_jobs(
    p_client text, p_type_id integer, p_status smallint, p_created_after timestamptz, p_before uuid, p_limit integer,
    OUT ord integer, OUT job_id uuid, OUT type_id integer, OUT status smallint, OUT version bigint,
    OUT created_at timestamptz, OUT started_at timestamptz, OUT ended_at timestamptz, OUT expires_at timestamptz,
    OUT attempt integer, OUT done bigint, OUT total bigint, OUT message text, OUT progress_at timestamptz,
    OUT error text, OUT result_media_type text, OUT result_size bigint, OUT result bytea, OUT seq bigint,
    OUT priority smallint, OUT run_at timestamptz, OUT input_size bigint, OUT cancel_requested boolean,
    OUT result_gen integer, OUT start_by timestamptz, OUT scanned_to uuid)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp
SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_look  integer := CASE WHEN p_status IS NULL AND p_type_id IS NULL THEN p_limit ELSE greatest(1000, p_limit) END;
    v_low   uuid := CASE WHEN p_created_after IS NULL THEN '00000000-0000-0000-0000-000000000000'
                         ELSE longhaul.uuid_at(p_created_after - interval '2 days') END; -- as far as an id may be behind
    v_high  uuid := coalesce(p_before, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
    v_all   uuid[];
    v_ids   uuid[];
    v_next  uuid;
    v_rows  integer;
BEGIN
    v_all := ARRAY(SELECT j.id FROM longhaul.job j
                    WHERE j.client = p_client AND j.id < v_high AND j.id >= v_low
                    ORDER BY j.id DESC LIMIT v_look);
    v_ids := v_all;
    IF p_type_id IS NOT NULL THEN
        v_ids := ARRAY(SELECT j.id FROM longhaul.job j WHERE j.id = ANY (v_all) AND j.type_id = p_type_id
                        ORDER BY j.id DESC);
    END IF;
    IF cardinality(v_all) = v_look THEN
        v_next := v_all[v_look];
    END IF;
    v_rows := 0;
    FOR ord, job_id, type_id, status, version, created_at, started_at, ended_at, expires_at, attempt, done, total,
        message, progress_at, error, result_media_type, result_size, result, seq, priority, run_at, input_size,
        cancel_requested, result_gen, start_by, scanned_to IN
        WITH s AS (
            SELECT row_number() OVER (ORDER BY b.job_id DESC)::integer AS place, b.*
              FROM longhaul.status_batch(v_ids, array_fill(p_client, ARRAY[cardinality(v_ids)]), false) b
             WHERE (p_status IS NULL OR b.status = p_status)
               AND (p_created_after IS NULL OR b.created_at > p_created_after)
               AND (b.expires_at IS NULL OR b.expires_at > now())
        ), page AS (
            SELECT s.*, max(s.place) OVER () AS matched FROM s
        )
        SELECT p.place, p.job_id, p.type_id, p.status, p.version, p.created_at, p.started_at, p.ended_at, p.expires_at,
               p.attempt, p.done, p.total, p.message, p.progress_at, p.error, p.result_media_type, p.result_size,
               p.result, p.seq, p.priority, p.run_at, p.input_size, p.cancel_requested, p.result_gen, p.start_by,
               -- A full page ends at its last row, which may be above where the look ended.
               CASE WHEN p.matched > p_limit
                    THEN (SELECT q.job_id FROM page q WHERE q.place = p_limit)
                    ELSE v_next END
          FROM page p WHERE p.place <= p_limit ORDER BY p.place
    LOOP
        v_rows := v_rows + 1;
        RETURN NEXT;
    END LOOP;
    IF v_rows = 0 AND v_next IS NOT NULL THEN
        ord := 0;
        scanned_to := v_next; -- the loop has set everything to NULL
        RETURN NEXT;
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.list_jobs(text, integer, smallint, timestamptz, uuid, integer) IS 'A page of a client''s jobs, newest first';

-- Registers an API process as waiting for these jobs, for two minutes from now; finish then tells it. The
-- caller reads the status again afterwards: what ended before this committed is not told.
-- Writes: waiter. Locks: waits for a finish of one of the jobs, which never waits for this in turn.
CREATE FUNCTION longhaul.watch(p_ids uuid[], p_waiter bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO longhaul.waiter (job_id, waiter)
    SELECT DISTINCT i, p_waiter FROM unnest(p_ids) AS i ORDER BY i
    ON CONFLICT DO NOTHING;
    -- What was registered before is renewed. A row that is locked is being removed by the finish that tells us.
    UPDATE longhaul.waiter w SET created_at = now()
     WHERE w.ctid = ANY (ARRAY(
               SELECT q.ctid FROM longhaul.waiter q
                WHERE q.job_id = ANY (p_ids) AND q.waiter = p_waiter AND q.created_at < now() - interval '15 seconds'
                  FOR UPDATE SKIP LOCKED));
END
$$;
COMMENT ON FUNCTION longhaul.watch(uuid[], bigint) IS 'Asks to be notified when these jobs end';

-- How each type stands: what waits (counted up to 10,000, or max_queued), what runs, how old the head is, how fast
-- it goes; the first and the last place counted of priority 0 (head_seq, last_seq), between which a job's own place tells
-- how much is before it. Counting starts where the workers say that nothing waits any more: dead rows below
-- cost nothing.
CREATE FUNCTION longhaul.queue_state(
    OUT type_id integer, OUT depth integer, OUT running integer, OUT head_age_ms bigint, OUT mean_ms double precision,
    OUT finish_per_s double precision, OUT workers integer, OUT slots integer, OUT head_seq bigint, OUT last_seq bigint)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
    SELECT t.type_id, d.depth, coalesce(w.running, 0),
           CASE WHEN d.head IS NOT NULL THEN
               greatest(0, extract(epoch FROM clock_timestamp() - longhaul.uuid_time(d.head)) * 1000)::bigint END,
           w.mean_ms, coalesce(w.finish_per_s, 0), coalesce(w.workers, 0), coalesce(least(w.slots, t.max_running), 0),
           d.head_seq, d.last_seq
      FROM longhaul.job_type t
      LEFT JOIN LATERAL (
          SELECT sum(x.running)::integer AS running, sum(x.finish_per_s) AS finish_per_s, count(*)::integer AS workers,
                 sum(x.slots)::integer AS slots, min(x.floor_seq) AS floor_seq,
                 sum(x.mean_ms * greatest(x.finish_per_s, 0.001)) FILTER (WHERE x.mean_ms IS NOT NULL) /
                     nullif(sum(greatest(x.finish_per_s, 0.001)) FILTER (WHERE x.mean_ms IS NOT NULL), 0) AS mean_ms
            FROM longhaul.worker_type x JOIN longhaul.worker k ON k.boot = x.boot
           WHERE x.type_id = t.type_id AND k.dead_at IS NULL AND k.stopped_at IS NULL AND k.lease_until > now()
      ) w ON true
      CROSS JOIN LATERAL (
          SELECT count(*)::integer AS depth, (array_agg(q.job_id))[1] AS head,
                 min(q.seq) FILTER (WHERE q.seq > 0) AS head_seq, max(q.seq) FILTER (WHERE q.seq > 0) AS last_seq
            FROM (SELECT r.job_id, NULL::bigint AS seq FROM longhaul.ready r WHERE r.type_id = t.type_id AND r.priority > 0
                  UNION ALL
                  SELECT r.job_id, NULL FROM longhaul.ready r WHERE r.type_id = t.type_id AND r.priority = 0 AND r.seq < 0
                  UNION ALL
                  SELECT r.job_id, r.seq FROM longhaul.ready r WHERE r.type_id = t.type_id AND r.priority = 0
                                                   AND r.seq > greatest(coalesce(w.floor_seq, 0), 0)
                  UNION ALL
                  SELECT r.job_id, NULL FROM longhaul.ready r WHERE r.type_id = t.type_id AND r.priority < 0
                  -- Enough to tell whether max_queued is reached.
                  LIMIT greatest(10000, least(coalesce(t.max_queued, 0), 1000000))) q
      ) d
$$;
COMMENT ON FUNCTION longhaul.queue_state() IS 'Depth, running, age and speed of each job type';
