-- Changes of jobs, for those who watch them: long polls and event streams.

-- Which of the jobs p_ids of the clients p_clients stand otherwise than at the versions p_versions (parallel
-- arrays): a row of status_batch for each of those, ord being its place in the arrays; and a row with job_id NULL
-- for each that isn't there any more. Made for thousands that nearly all stand as they did: those that a worker
-- has are looked up in lease alone, the others by one probe of their day's tables each.
-- STABLE: all it reads is of one snapshot.
CREATE FUNCTION longhaul.changed_batch(p_ids uuid[], p_clients text[], p_versions bigint[])
RETURNS SETOF longhaul.job_status
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10
SET search_path = pg_catalog, longhaul, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_today   date := (now() AT TIME ZONE 'UTC')::date;
    v_low     uuid := longhaul.uuid_at(v_today::timestamp AT TIME ZONE 'UTC');
    v_high    uuid := longhaul.uuid_at((v_today + 1)::timestamp AT TIME ZONE 'UTC');
    v_day     text := to_char(v_today, 'YYYYMMDD');
    v_changed integer[];
    v_waiting integer[];
    v_ids     uuid[];
    v_clients text[];
    v_more    integer[];
    v_found   boolean[];
    v_row     longhaul.job_status;
    r         record;
BEGIN
    -- As status_batch computes the version. OFFSET 0: by the index for each job, whatever the statistics say.
    SELECT array_agg(u.n::integer) FILTER (WHERE l.job_id IS NOT NULL),
           array_agg(u.n::integer) FILTER (WHERE l.job_id IS NULL)
      INTO v_changed, v_waiting
      FROM unnest(p_ids, p_versions) WITH ORDINALITY AS u(id, version, n)
      LEFT JOIN LATERAL (SELECT x.job_id, CASE WHEN x.boot IS NOT NULL AND x.started_at IS NULL
                                               THEN (x.gen - 1)::bigint << 32
                                               ELSE (x.gen::bigint << 32) | x.change END AS version
                           FROM longhaul.lease x WHERE x.job_id = u.id OFFSET 0) l ON true
     WHERE l.version IS DISTINCT FROM u.version;

    -- Never claimed, ended, or gone.
    FOR r IN
        SELECT CASE WHEN p_ids[w] >= v_low AND p_ids[w] < v_high THEN v_day
                    ELSE to_char(longhaul.uuid_time(p_ids[w]) AT TIME ZONE 'UTC', 'YYYYMMDD') END AS day,
               array_agg(w) AS ords, array_agg(p_ids[w]) AS ids, array_agg(p_versions[w]) AS versions
          FROM unnest(v_waiting) AS w GROUP BY 1
    LOOP
        BEGIN
            -- Planned each time: that is cheap for tables of one day, named here.
            EXECUTE format($sql$
                SELECT array_agg(u.n)
                  FROM unnest($1, $2, $3) AS u(n, id, version)
                  LEFT JOIN LATERAL (SELECT x.gen::bigint << 32 AS version FROM longhaul.%I x
                                      WHERE x.job_id = u.id OFFSET 0) o ON true
                  LEFT JOIN LATERAL (SELECT 1::bigint << 32 AS version FROM longhaul.%I x
                                      WHERE x.id = u.id AND o.version IS NULL OFFSET 0) j ON true
                 WHERE coalesce(o.version, j.version) IS DISTINCT FROM u.version
                $sql$, 'outcome_' || r.day, 'job_' || r.day)
                INTO v_more USING r.ords, r.ids, r.versions;
        EXCEPTION WHEN undefined_table THEN
            v_more := r.ords; -- that day was dropped
        END;
        v_changed := v_changed || v_more;
    END LOOP;

    IF v_changed IS NULL THEN
        RETURN;
    END IF;
    SELECT array_agg(u.n::integer), array_agg(u.id), array_agg(u.client) INTO v_changed, v_ids, v_clients
      FROM unnest(p_ids, p_clients) WITH ORDINALITY AS u(id, client, n) JOIN unnest(v_changed) AS c ON c = u.n;
    v_found := array_fill(false, ARRAY[cardinality(v_changed)]);
    FOR v_row IN
        SELECT s.* FROM longhaul.status_batch(v_ids, v_clients, false) AS s
    LOOP
        v_found[v_row.ord] := true;
        v_row.ord := v_changed[v_row.ord];
        RETURN NEXT v_row;
    END LOOP;
    v_row := NULL;
    FOR i IN 1 .. cardinality(v_changed) LOOP
        IF NOT v_found[i] THEN
            v_row.ord := v_changed[i];
            RETURN NEXT v_row;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION longhaul.changed_batch(uuid[], text[], bigint[]) IS 'Which of these jobs changed since the versions known, and how they stand now';

REVOKE ALL ON FUNCTION longhaul.changed_batch(uuid[], text[], bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION longhaul.changed_batch(uuid[], text[], bigint[]) TO longhaul_api;

-- What has changed of the jobs of each of these clients, for the streams of all their changes.
--   p_since  lease and outcome rows changed after this are reported
--   p_seq    jobs that arrived later are reported (job.arrival); NULL: those submitted after p_since
--   p_limit  at most so many of one client
-- Returns first a row with ord 0, then a row of status_batch for each such job, ord being the client's place in
-- p_clients; and a row with job_id NULL for each client of which there were more than p_limit: none of them is
-- reported then. Columns behind those of a job, in the first row: at and last_seq, to be given as p_since and p_seq when
-- a later call's xmin is above this call's xid, for then nothing that this call could not see yet is older.
-- VOLATILE: it draws a transaction id, before it looks. Commits without waiting for the disk.
CREATE FUNCTION longhaul.feed_changes(
    p_clients text[], p_since timestamptz, p_seq bigint, p_limit integer,
    OUT ord integer, OUT job_id uuid, OUT type_id integer, OUT status smallint, OUT version bigint,
    OUT created_at timestamptz, OUT started_at timestamptz, OUT ended_at timestamptz, OUT expires_at timestamptz,
    OUT attempt integer, OUT done bigint, OUT total bigint, OUT message text, OUT progress_at timestamptz,
    OUT error text, OUT result_media_type text, OUT result_size bigint, OUT result bytea, OUT seq bigint,
    OUT priority smallint, OUT run_at timestamptz, OUT input_size bigint, OUT cancel_requested boolean,
    OUT result_gen integer, OUT start_by timestamptz, OUT at timestamptz, OUT last_seq bigint, OUT xid bigint, OUT xmin bigint)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp
SET plan_cache_mode = force_custom_plan SET jit = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    v_low     uuid := longhaul.uuid_at(date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '1 day');
    v_since   timestamptz := p_since - interval '1 second'; -- a time is read a little before or after the id is drawn
    v_touched uuid[];
    v_ids     uuid[];
    v_clients text[];
    v_mine    integer[];
    v_over    integer[];
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    ord := 0;
    at := clock_timestamp();
    SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END INTO last_seq FROM longhaul.ready_seq s;
    xid := pg_current_xact_id()::text::bigint;
    xmin := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    RETURN NEXT;

    -- Of all clients: neither table knows whose a job is.
    v_touched := longhaul.feed_touched(v_since);
    -- A job's id is of yesterday at the earliest when it is submitted.
    SELECT array_agg(DISTINCT x.id) INTO v_ids
      FROM (SELECT j.id FROM unnest(p_clients) AS c
             CROSS JOIN LATERAL (SELECT y.id FROM longhaul.job y
                                  WHERE p_seq IS NOT NULL AND y.client = c AND y.arrival > p_seq AND y.id >= v_low
                                  ORDER BY y.arrival LIMIT p_limit + 1) j
            UNION ALL
            SELECT j.id FROM unnest(p_clients) AS c
             CROSS JOIN LATERAL (SELECT y.id FROM longhaul.job y
                                  WHERE p_seq IS NULL AND y.client = c AND y.id >= longhaul.uuid_at(v_since)
                                  ORDER BY y.id LIMIT p_limit + 1) j
            UNION ALL
            SELECT t FROM unnest(v_touched) AS t) x;
    IF v_ids IS NULL THEN
        RETURN;
    END IF;
    SELECT array_agg(x.id), array_agg(x.client), array_agg(x.n) INTO v_ids, v_clients, v_mine
      FROM (SELECT j.id, j.client, array_position(p_clients, j.client) AS n
              FROM (SELECT y.id, y.client FROM longhaul.job y WHERE y.id = ANY (v_ids) OFFSET 0) j -- not by the client's index
             WHERE j.client = ANY (p_clients)) x;
    IF v_ids IS NULL THEN
        RETURN;
    END IF;
    v_over := ARRAY(SELECT m FROM unnest(v_mine) AS m GROUP BY m HAVING count(*) > p_limit);
    at := NULL;
    last_seq := NULL;
    xid := NULL;
    xmin := NULL;
    FOREACH ord IN ARRAY v_over LOOP
        RETURN NEXT;
    END LOOP;
    IF cardinality(v_over) > 0 THEN
        SELECT array_agg(u.id), array_agg(u.client), array_agg(u.m) INTO v_ids, v_clients, v_mine
          FROM unnest(v_ids, v_clients, v_mine) AS u(id, client, m) WHERE u.m <> ALL (v_over);
        IF v_ids IS NULL THEN
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    SELECT v_mine[s.ord], s.job_id, s.type_id, s.status, s.version, s.created_at, s.started_at, s.ended_at, s.expires_at,
           s.attempt, s.done, s.total, s.message, s.progress_at, s.error, s.result_media_type, s.result_size, s.result,
           s.seq, s.priority, s.run_at, s.input_size, s.cancel_requested, s.result_gen, s.start_by, NULL::timestamptz, NULL::bigint,
           NULL::bigint, NULL::bigint
      FROM longhaul.status_batch(v_ids, v_clients, false) s;
END
$$;
COMMENT ON FUNCTION longhaul.feed_changes(text[], timestamptz, bigint, integer) IS 'What changed lately of the jobs of these clients';

-- Jobs whose lease or outcome was written after p_since. Internal: a function of its own because the outcomes are
-- to be found by the BRIN index on ended_at alone: by any other way all of all days are read.
CREATE FUNCTION longhaul.feed_touched(p_since timestamptz) RETURNS uuid[]
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp
SET plan_cache_mode = force_custom_plan SET jit = off SET enable_seqscan = off SET enable_indexscan = off
SET enable_indexonlyscan = off
AS $$
    SELECT array_agg(x.job_id)
      FROM (SELECT l.job_id FROM longhaul.lease l WHERE l.changed_at > p_since
            UNION ALL
            SELECT o.job_id FROM longhaul.outcome o WHERE o.ended_at > p_since) x
$$;
COMMENT ON FUNCTION longhaul.feed_touched(timestamptz) IS 'Internal: jobs that moved after a time';

-- Begins to look through the jobs of a client, for a stream of all its changes.
--   p_since  jobs that ended after this are wanted too; NULL = only live ones
-- Returns the time, and an id below which none that is wanted lies: feed_page stops there.
CREATE FUNCTION longhaul.feed_open(p_since timestamptz, OUT at timestamptz, OUT low uuid)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan SET jit = off
AS $$
DECLARE
    v_ended uuid[];
BEGIN
    at := clock_timestamp();
    SELECT x.job_id INTO low
      FROM (SELECT l.job_id FROM (SELECT y.job_id FROM longhaul.lease y ORDER BY y.job_id LIMIT 1) l
            UNION ALL
            SELECT d.job_id FROM (SELECT y.job_id FROM longhaul.delayed y ORDER BY y.job_id LIMIT 1) d
            UNION ALL
            SELECT r.job_id FROM (SELECT y.job_id FROM longhaul.ready y ORDER BY y.job_id LIMIT 1) r) x
     ORDER BY x.job_id LIMIT 1;
    IF p_since < at - interval '1 hour' THEN
        -- Too many may have ended since: from the oldest that can have lived then.
        low := least(low, longhaul.uuid_at(p_since - interval '2 days' - (SELECT max(t.lifetime) FROM longhaul.job_type t)));
    ELSIF p_since IS NOT NULL THEN
        v_ended := longhaul.feed_touched(p_since);
        low := least(low, (SELECT e FROM unnest(v_ended) AS e ORDER BY e LIMIT 1));
    END IF;
    low := coalesce(low, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid);
END
$$;
COMMENT ON FUNCTION longhaul.feed_open(timestamptz) IS 'Time, and the oldest job that a stream of all changes begins with';

-- A page of the client's jobs that are live or ended after p_since (NULL: only live ones), newest first, looking at no
-- more than p_limit from p_before (NULL: the newest) down to p_low. scanned_to, the same in every row, is where the
-- next page starts, NULL = that was all; if there is more but nothing on this page, one row with job_id NULL says so.
CREATE FUNCTION longhaul.feed_page(
    p_client text, p_before uuid, p_low uuid, p_since timestamptz, p_limit integer,
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
    v_ids  uuid[] := ARRAY(SELECT j.id FROM longhaul.job j
                            WHERE j.client = p_client AND j.id >= p_low
                              AND j.id < coalesce(p_before, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
                            ORDER BY j.id DESC LIMIT p_limit);
    v_next uuid := CASE WHEN cardinality(v_ids) = p_limit THEN v_ids[p_limit] END;
BEGIN
    RETURN QUERY
    SELECT s.ord, s.job_id, s.type_id, s.status, s.version, s.created_at, s.started_at, s.ended_at, s.expires_at,
           s.attempt, s.done, s.total, s.message, s.progress_at, s.error, s.result_media_type, s.result_size, s.result,
           s.seq, s.priority, s.run_at, s.input_size, s.cancel_requested, s.result_gen, s.start_by, v_next
      FROM longhaul.status_batch(v_ids, array_fill(p_client, ARRAY[cardinality(v_ids)]), false) s
     WHERE s.status < 3 OR s.ended_at > p_since;
    IF NOT FOUND AND v_next IS NOT NULL THEN
        scanned_to := v_next;
        RETURN NEXT;
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.feed_page(text, uuid, uuid, timestamptz, integer) IS 'A page of a client''s live and lately ended jobs';

REVOKE ALL ON FUNCTION
    longhaul.feed_changes(text[], timestamptz, bigint, integer), longhaul.feed_touched(timestamptz),
    longhaul.feed_open(timestamptz), longhaul.feed_page(text, uuid, uuid, timestamptz, integer)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    longhaul.feed_changes(text[], timestamptz, bigint, integer), longhaul.feed_open(timestamptz),
    longhaul.feed_page(text, uuid, uuid, timestamptz, integer)
TO longhaul_api;
