-- Identifiers by time, and the daily partitions.

-- The smallest UUID whose UUIDv7 time (its first 48 bits: Unix milliseconds) is p_at; for a time that
-- they can't hold, the nearest that they can.
CREATE FUNCTION longhaul.uuid_at(p_at timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(greatest(0, least(281474976710655, floor(extract(epoch FROM p_at) * 1000)))::bigint), 12, '0')
            || repeat('0', 20))::uuid
$$;
COMMENT ON FUNCTION longhaul.uuid_at(timestamptz) IS 'Lower bound of the UUIDv7s made at this time: WHERE id >= longhaul.uuid_at(now() - interval ''1 hour'')';

-- The time in a UUIDv7, to the millisecond.
CREATE FUNCTION longhaul.uuid_time(p_id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT to_timestamp(('x' || substr(translate(p_id::text, '-', ''), 1, 12))::bit(48)::bigint / 1000.0)
$$;
COMMENT ON FUNCTION longhaul.uuid_time(uuid) IS 'Time in a UUIDv7';

-- Where a job stands, as status_batch and list_jobs tell it.
CREATE TYPE longhaul.job_status AS (
    ord integer, job_id uuid, type_id integer, status smallint, version bigint, created_at timestamptz,
    started_at timestamptz, ended_at timestamptz, expires_at timestamptz, attempt integer, done bigint, total bigint,
    message text, progress_at timestamptz, error text, result_media_type text, result_size bigint, result bytea,
    seq bigint, priority smallint, run_at timestamptz, input_size bigint, cancel_requested boolean, result_gen integer,
    start_by timestamptz);
COMMENT ON TYPE longhaul.job_status IS 'Row of status_batch. status: 1 Queued, 2 InProgress, 3 Completed, 4 Failed, 5 Canceled';

-- Makes the function status_on_YYYYMMDD that reads one day's partitions by name. Planning a join of
-- partitioned tables costs more than running it, and a plan that is kept would lock every
-- partition at each use; this one is kept and touches two. Internal.
CREATE FUNCTION longhaul.make_status_function(p_day text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $make$
BEGIN
    EXECUTE format($sql$
CREATE OR REPLACE FUNCTION longhaul.%1$I(p_ords integer[], p_ids uuid[], p_clients text[], p_with_result boolean)
RETURNS SETOF longhaul.job_status LANGUAGE plpgsql STABLE ROWS 100 AS $$
BEGIN
    RETURN QUERY
    SELECT u.n, j.id, j.type_id,
           coalesce(o.status, CASE WHEN l.started_at IS NOT NULL THEN 2 ELSE 1 END)::smallint,
           -- A job that is claimed ahead but not begun is Queued, with the version of before the claim.
           CASE WHEN o.job_id IS NOT NULL THEN o.gen::bigint << 32
                WHEN l.job_id IS NULL THEN 1::bigint << 32
                WHEN l.boot IS NOT NULL AND l.started_at IS NULL THEN (l.gen - 1)::bigint << 32
                ELSE (l.gen::bigint << 32) | l.change END,
           j.created_at, coalesce(o.started_at, l.started_at), o.ended_at, o.expires_at,
           coalesce(o.attempt, CASE WHEN l.started_at IS NULL AND l.boot IS NOT NULL THEN l.attempt - 1 ELSE l.attempt END,
                    0),
           coalesce(o.done, l.done), coalesce(o.total, l.total), coalesce(o.message, l.message), l.progress_at,
           o.error::text, o.result_media_type, o.result_size, CASE WHEN p_with_result THEN o.result END, j.seq,
           j.priority, coalesce(d.run_at, j.run_at), j.input_size, c.job_id IS NOT NULL, o.result_gen,
           CASE WHEN o.job_id IS NULL THEN b.start_by END
      FROM unnest(p_ords, p_ids, p_clients) AS u(n, id, client)
      -- OFFSET 0: by the key for each job, whatever the statistics say of tables that were empty when vacuumed; and of a
      -- job not by the client, whose index looks as good while there are few.
      CROSS JOIN LATERAL (SELECT * FROM longhaul.%2$I x WHERE x.id = u.id OFFSET 0) j
      LEFT JOIN longhaul.%3$I o ON o.job_id = j.id
      LEFT JOIN LATERAL (SELECT * FROM longhaul.lease x WHERE x.job_id = j.id OFFSET 0) l ON true
      LEFT JOIN LATERAL (SELECT x.run_at FROM longhaul.delayed x WHERE x.job_id = j.id OFFSET 0) d ON true
      LEFT JOIN LATERAL (SELECT x.job_id FROM longhaul.cancel_request x WHERE x.job_id = j.id OFFSET 0) c ON true
      LEFT JOIN LATERAL (SELECT x.start_by FROM longhaul.job_deadline x WHERE x.job_id = j.id OFFSET 0) b ON true
     WHERE j.client = u.client;
END
$$$sql$, 'status_on_' || p_day, 'job_' || p_day, 'outcome_' || p_day);
    EXECUTE format('REVOKE ALL ON FUNCTION longhaul.%I(integer[], uuid[], text[], boolean) FROM PUBLIC', 'status_on_' || p_day);
    EXECUTE format('COMMENT ON FUNCTION longhaul.%I(integer[], uuid[], text[], boolean) IS %L', 'status_on_' || p_day,
                   'Internal: status_batch for the jobs of one day; made with its partitions');
END
$make$;
COMMENT ON FUNCTION longhaul.make_status_function(text) IS 'Internal: makes the status function of one day';

-- The tables that are partitioned by the day, in the order in which drop_partitions locks them. Internal.
CREATE FUNCTION longhaul.partitioned_tables() RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT array_agg(c.relname::text ORDER BY c.relname) FROM pg_class c
     WHERE c.relnamespace = 'longhaul'::regnamespace AND c.relkind = 'p'
$$;
COMMENT ON FUNCTION longhaul.partitioned_tables() IS 'Internal: names of the tables with a partition a day';

-- Makes the partitions of the days from p_from to p_to (UTC) that are missing.
-- Returns how many it made. By CREATE TABLE LIKE and ATTACH: that locks the parent only against other
-- DDL, so submits and polls go on. Two at once: the second waits for the first.
-- Writes: the catalog. Locks: an advisory lock; SHARE UPDATE EXCLUSIVE on the parents.
CREATE FUNCTION longhaul.make_partitions(p_from date, p_to date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_day    date;
    v_parent text;
    v_key    text;
    v_name   text;
    v_low    uuid;
    v_high   uuid;
    v_made   integer := 0;
    v_day_made integer;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('longhaul.partitions'));
    FOR v_day IN SELECT d::date FROM generate_series(p_from::timestamp, p_to::timestamp, interval '1 day') d LOOP
        v_low := longhaul.uuid_at(v_day::timestamp AT TIME ZONE 'UTC');
        v_high := longhaul.uuid_at((v_day + 1)::timestamp AT TIME ZONE 'UTC');
        v_day_made := 0;
        FOREACH v_parent IN ARRAY longhaul.partitioned_tables() LOOP
            v_name := v_parent || '_' || to_char(v_day, 'YYYYMMDD');
            CONTINUE WHEN to_regclass('longhaul.' || v_name) IS NOT NULL;
            v_key := CASE v_parent WHEN 'job' THEN 'id' ELSE 'job_id' END;
            EXECUTE format('CREATE TABLE longhaul.%I (LIKE longhaul.%I INCLUDING ALL)', v_name, v_parent);
            -- The constraint spares ATTACH a look at the rows.
            EXECUTE format('ALTER TABLE longhaul.%I ADD CONSTRAINT bounds CHECK (%I >= %L AND %I < %L)',
                           v_name, v_key, v_low, v_key, v_high);
            EXECUTE format('ALTER TABLE longhaul.%I ATTACH PARTITION longhaul.%I FOR VALUES FROM (%L) TO (%L)',
                           v_parent, v_name, v_low, v_high);
            EXECUTE format('ALTER TABLE longhaul.%I DROP CONSTRAINT bounds', v_name);
            EXECUTE format('GRANT SELECT ON longhaul.%I TO longhaul_dba', v_name);
            EXECUTE format('COMMENT ON TABLE longhaul.%I IS %L', v_name,
                           format('Part of %s: ids of %s (UTC)', v_parent, to_char(v_day, 'YYYY-MM-DD')));
            v_day_made := v_day_made + 1;
        END LOOP;
        CONTINUE WHEN v_day_made = 0;
        v_made := v_made + v_day_made;
        PERFORM longhaul.make_status_function(to_char(v_day, 'YYYYMMDD'));
    END LOOP;
    RETURN v_made;
END
$$;
COMMENT ON FUNCTION longhaul.make_partitions(date, date) IS 'Makes missing daily partitions from one UTC day to another';

DO $$ BEGIN PERFORM longhaul.make_partitions((now() AT TIME ZONE 'UTC')::date - 1, (now() AT TIME ZONE 'UTC')::date + 3); END $$;
