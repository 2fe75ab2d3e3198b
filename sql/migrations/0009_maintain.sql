-- What workers do now and then: partitions ahead, retention, expiry.

-- Fails jobs that have not ended within their type's lifetime, in partitions old enough to hold any.
-- Returns how many. Internal. Writes: ready, delayed, lease, outcome.
CREATE FUNCTION longhaul.expire_jobs(p_limit integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_ids uuid[];
BEGIN
    v_ids := ARRAY(
        SELECT j.id FROM longhaul.job j JOIN longhaul.job_type t ON t.type_id = j.type_id
         WHERE j.id < longhaul.uuid_at(now() - (SELECT min(x.lifetime) FROM longhaul.job_type x))
           AND j.created_at < now() - t.lifetime
           AND NOT EXISTS (SELECT FROM longhaul.outcome o WHERE o.job_id = j.id)
         ORDER BY j.id LIMIT p_limit);
    IF cardinality(v_ids) = 0 THEN
        RETURN 0;
    END IF;
    -- A lease that goes tells its worker, at its next progress or finish, to stop.
    DELETE FROM longhaul.ready r USING longhaul.job j
     WHERE j.id = ANY (v_ids) AND r.job_id = j.id AND r.type_id = j.type_id AND r.priority = j.priority;
    DELETE FROM longhaul.delayed d WHERE d.job_id = ANY (v_ids);
    PERFORM longhaul.end_jobs(v_ids, 4::smallint,
        array_fill(longhaul.problem('expired', 'The job expired', 500, 'The job had not ended within its lifetime.'),
                   ARRAY[cardinality(v_ids)]));
    RETURN cardinality(v_ids);
END
$$;
COMMENT ON FUNCTION longhaul.expire_jobs(integer) IS 'Internal: fails jobs older than their lifetime';

-- Removes up to p_limit ended jobs whose retention has run out, with their inputs and results. Returns how many.
-- Internal. Writes: job, outcome, input_chunk, result_chunk.
CREATE FUNCTION longhaul.purge_jobs(p_limit integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_ids uuid[] := ARRAY(SELECT o.job_id FROM longhaul.outcome o WHERE o.expires_at < now() LIMIT p_limit);
BEGIN
    IF cardinality(v_ids) > 0 THEN
        DELETE FROM longhaul.input_chunk c WHERE c.job_id = ANY (v_ids);
        DELETE FROM longhaul.result_chunk c WHERE c.job_id = ANY (v_ids);
        DELETE FROM longhaul.job j WHERE j.id = ANY (v_ids);
        DELETE FROM longhaul.outcome o WHERE o.job_id = ANY (v_ids);
    END IF;
    RETURN cardinality(v_ids);
END
$$;
COMMENT ON FUNCTION longhaul.purge_jobs(integer) IS 'Internal: removes ended jobs past their retention';

-- Drops the partitions of days in which no job is left. Never waits longer than 100 ms for a lock,
-- so it never blocks a poll or a submit for longer; what it can't get it leaves for the next time.
-- Returns how many days it dropped. Internal.
CREATE FUNCTION longhaul.drop_partitions() RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    v_day     text;
    v_parent  text;
    v_left    boolean;
    v_dropped integer := 0;
BEGIN
    FOR v_day IN
        SELECT right(c.relname, 8) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'longhaul.job'::regclass
           AND right(c.relname, 8) < to_char((now() AT TIME ZONE 'UTC')::date - 2, 'YYYYMMDD')
         ORDER BY 1
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM longhaul.%I)', 'job_' || v_day) INTO v_left;
        CONTINUE WHEN v_left;
        BEGIN
            FOREACH v_parent IN ARRAY ARRAY['result_chunk', 'input_chunk', 'outcome', 'job'] LOOP
                EXECUTE format('ALTER TABLE longhaul.%I DETACH PARTITION longhaul.%I', v_parent, v_parent || '_' || v_day);
                EXECUTE format('DROP TABLE longhaul.%I', v_parent || '_' || v_day);
            END LOOP;
            EXECUTE format('DROP FUNCTION IF EXISTS longhaul.%I(integer[], uuid[], text[], boolean)', 'status_on_' || v_day);
            v_dropped := v_dropped + 1;
        EXCEPTION WHEN lock_not_available THEN
            EXIT;
        END;
    END LOOP;
    RETURN v_dropped;
END
$$;
COMMENT ON FUNCTION longhaul.drop_partitions() IS 'Internal: drops the partitions of days without jobs';

-- Upkeep: makes partitions three days ahead, fails jobs past their lifetime, removes what is past its
-- retention, idempotency keys after a day, waiters after two minutes, worker rows after a day, empty
-- partitions. In bounded steps; call it again and again, from any number of workers: one works, the
-- others return at once. Returns true if it left something to do for the next call.
-- Writes: nearly everything. Locks: an advisory lock.
CREATE FUNCTION longhaul.maintain() RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    c_step  CONSTANT integer := 1000;
    v_today date := (now() AT TIME ZONE 'UTC')::date;
    v_more  boolean := false;
    v_rows  integer;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('longhaul.maintain')) THEN
        RETURN false;
    END IF;
    IF to_regclass('longhaul.result_chunk_' || to_char(v_today + 3, 'YYYYMMDD')) IS NULL THEN
        PERFORM longhaul.make_partitions(v_today - 1, v_today + 3);
    END IF;
    v_more := longhaul.expire_jobs(c_step) = c_step OR v_more;
    v_more := longhaul.purge_jobs(c_step) = c_step OR v_more;

    DELETE FROM longhaul.idempotency_key k WHERE k.ctid = ANY (ARRAY(
        SELECT q.ctid FROM longhaul.idempotency_key q WHERE q.created_at < now() - interval '24 hours'
         ORDER BY q.created_at LIMIT c_step));
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    v_more := v_rows = c_step OR v_more;

    DELETE FROM longhaul.waiter WHERE created_at < now() - interval '2 minutes';
    DELETE FROM longhaul.worker_type t USING longhaul.worker w
     WHERE w.boot = t.boot AND (w.dead_at IS NOT NULL OR w.stopped_at IS NOT NULL);
    DELETE FROM longhaul.worker w
     WHERE coalesce(w.dead_at, w.stopped_at) < now() - interval '1 day'
       AND NOT EXISTS (SELECT FROM longhaul.lease l WHERE l.boot = w.boot);
    PERFORM longhaul.drop_partitions();
    RETURN v_more;
END
$$;
COMMENT ON FUNCTION longhaul.maintain() IS 'Upkeep, a bounded step at a time; workers call it';
