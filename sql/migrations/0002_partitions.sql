-- Identifiers by time, and the daily partitions.

-- The smallest UUID whose UUIDv7 time (its first 48 bits: Unix milliseconds) is p_at.
CREATE FUNCTION longhaul.uuid_at(p_at timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM p_at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
COMMENT ON FUNCTION longhaul.uuid_at(timestamptz) IS 'Lower bound of the UUIDv7s made at this time: WHERE id >= longhaul.uuid_at(now() - interval ''1 hour'')';

-- The time in a UUIDv7, to the millisecond.
CREATE FUNCTION longhaul.uuid_time(p_id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT to_timestamp(('x' || substr(translate(p_id::text, '-', ''), 1, 12))::bit(48)::bigint / 1000.0)
$$;
COMMENT ON FUNCTION longhaul.uuid_time(uuid) IS 'Time in a UUIDv7';

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
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('longhaul.partitions'));
    FOR v_day IN SELECT d::date FROM generate_series(p_from::timestamp, p_to::timestamp, interval '1 day') d LOOP
        v_low := longhaul.uuid_at(v_day::timestamp AT TIME ZONE 'UTC');
        v_high := longhaul.uuid_at((v_day + 1)::timestamp AT TIME ZONE 'UTC');
        FOREACH v_parent IN ARRAY ARRAY['job', 'outcome', 'input_chunk', 'result_chunk'] LOOP
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
            v_made := v_made + 1;
        END LOOP;
    END LOOP;
    RETURN v_made;
END
$$;
COMMENT ON FUNCTION longhaul.make_partitions(date, date) IS 'Makes missing daily partitions from one UTC day to another';

DO $$ BEGIN PERFORM longhaul.make_partitions((now() AT TIME ZONE 'UTC')::date - 1, (now() AT TIME ZONE 'UTC')::date + 3); END $$;
