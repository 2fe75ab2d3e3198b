-- What workers do now and then: partitions ahead, retention, expiry.
--
-- Nothing here waits for a row that somebody else has locked: it is left for the next time.

-- Fails jobs that have not ended within their type's lifetime. Looks for them where live jobs are, not in
-- the history. A lease that goes tells its worker, at its next progress or finish, to stop.
-- Returns how many. Internal. Writes: ready, delayed, lease, outcome, cancel_request, waiter.
CREATE FUNCTION longhaul.expire_jobs(p_limit integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_ids uuid[];
BEGIN
    -- By the time in the id first: that needs no look at the job.
    v_ids := ARRAY(
        WITH t AS MATERIALIZED (
            SELECT x.type_id, longhaul.uuid_at(now() - x.lifetime) AS below FROM longhaul.job_type x
        )
        SELECT l.job_id FROM longhaul.lease l JOIN t ON t.type_id = l.type_id AND l.job_id < t.below
        UNION
        SELECT r.job_id FROM longhaul.ready r JOIN t ON t.type_id = r.type_id AND r.job_id < t.below
        UNION
        SELECT d.job_id FROM longhaul.delayed d JOIN t ON t.type_id = d.type_id AND d.job_id < t.below
        ORDER BY 1 LIMIT 10 * p_limit);
    v_ids := ARRAY(
        SELECT j.id FROM longhaul.job j JOIN longhaul.job_type t ON t.type_id = j.type_id
         WHERE j.id = ANY (v_ids) AND j.created_at < now() - t.lifetime
         ORDER BY j.id LIMIT p_limit);
    IF cardinality(v_ids) = 0 THEN
        RETURN 0;
    END IF;
    -- As a claim does: first the place in the queue, then the lease.
    WITH r AS (
        DELETE FROM longhaul.ready x
         WHERE x.ctid = ANY (ARRAY(SELECT q.ctid FROM longhaul.ready q WHERE q.job_id = ANY (v_ids) FOR UPDATE SKIP LOCKED))
        RETURNING x.job_id
    ), d AS (
        DELETE FROM longhaul.delayed x
         WHERE x.ctid = ANY (ARRAY(SELECT q.ctid FROM longhaul.delayed q WHERE q.job_id = ANY (v_ids) FOR UPDATE SKIP LOCKED))
        RETURNING x.job_id
    )
    SELECT array_agg(x.job_id) INTO v_ids
      FROM (SELECT r.job_id FROM r UNION ALL SELECT d.job_id FROM d UNION ALL
            SELECT l.job_id FROM (SELECT q.job_id FROM longhaul.lease q
                                   WHERE q.job_id = ANY (v_ids) AND q.boot IS NOT NULL
                                   ORDER BY q.job_id FOR UPDATE SKIP LOCKED) l) x;
    IF v_ids IS NOT NULL THEN
        PERFORM longhaul.end_jobs(v_ids, 4::smallint,
            array_fill(longhaul.problem('expired', 'The job expired', 500, 'The job had not ended within its lifetime.'),
                       ARRAY[cardinality(v_ids)]));
    END IF;
    RETURN coalesce(cardinality(v_ids), 0);
END
$$;
COMMENT ON FUNCTION longhaul.expire_jobs(integer) IS 'Internal: fails jobs older than their lifetime';

-- Removes up to p_limit ended jobs whose retention has run out, with their inputs and results. Returns how many.
-- Internal. Writes: outcome, job, input_chunk, result_chunk, attempt, attempt_log, webhook tables, in the order in which
-- delete_job does.
CREATE FUNCTION longhaul.purge_jobs(p_limit integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan
-- Only the index on expires_at will do: by any other way all outcomes of all days are read.
SET jit = off SET enable_seqscan = off SET enable_indexscan = off AS $$
DECLARE
    v_ids uuid[] := ARRAY(SELECT o.job_id FROM longhaul.outcome o WHERE o.expires_at < now()
                           LIMIT p_limit FOR UPDATE SKIP LOCKED);
BEGIN
    IF cardinality(v_ids) > 0 THEN
        DELETE FROM longhaul.outcome o WHERE o.job_id = ANY (v_ids);
        DELETE FROM longhaul.job j WHERE j.id = ANY (v_ids);
        DELETE FROM longhaul.input_chunk c WHERE c.job_id = ANY (v_ids);
        DELETE FROM longhaul.result_chunk c WHERE c.job_id = ANY (v_ids);
        DELETE FROM longhaul.attempt a WHERE a.job_id = ANY (v_ids);
        DELETE FROM longhaul.attempt_log g WHERE g.job_id = ANY (v_ids);
        PERFORM longhaul.forget_webhooks(v_ids);
    END IF;
    RETURN cardinality(v_ids);
END
$$;
COMMENT ON FUNCTION longhaul.purge_jobs(integer) IS 'Internal: removes ended jobs past their retention';

-- True if no job of the day (YYYYMMDD) is left, or only such whose retention has run out. Internal.
CREATE FUNCTION longhaul.day_is_over(p_day text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_left boolean;
BEGIN
    -- What is kept is found soon, most days.
    EXECUTE format('SELECT EXISTS (SELECT FROM longhaul.%I WHERE expires_at >= now())', 'outcome_' || p_day) INTO v_left;
    IF NOT v_left THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM longhaul.%I j
                                        WHERE NOT EXISTS (SELECT FROM longhaul.%I o WHERE o.job_id = j.id))',
                       'job_' || p_day, 'outcome_' || p_day) INTO v_left;
    END IF;
    RETURN NOT v_left;
END
$$;
COMMENT ON FUNCTION longhaul.day_is_over(text) IS 'Internal: whether a day''s partitions may go';

-- Drops the partitions of one day that is over, the oldest. Waits for no lock longer than 25 ms, so that
-- the polls and submits behind it are held up for 100 ms at most; what it can't get it leaves for the next time.
-- Returns how many days it dropped: 0 or 1. Internal.
-- Locks: SHARE on the day's tables while it looks whether the day is over; ACCESS EXCLUSIVE on them and on
-- their parents until the end of the transaction, which should come soon.
CREATE FUNCTION longhaul.drop_partitions() RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET lock_timeout = '25ms' AS $$
DECLARE
    c_parents CONSTANT text[] := longhaul.partitioned_tables();
    v_day     text;
    v_parent  text;
BEGIN
    FOR v_day IN
        SELECT right(c.relname, 8) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'longhaul.job'::regclass
           AND right(c.relname, 8) < to_char((now() AT TIME ZONE 'UTC')::date - 2, 'YYYYMMDD')
         ORDER BY 1
    LOOP
        BEGIN
            CONTINUE WHEN NOT longhaul.day_is_over(v_day);
            -- A transaction that has been open for days may just have committed a job: once more, without writers.
            EXECUTE format('LOCK TABLE longhaul.%I, longhaul.%I IN SHARE MODE', 'job_' || v_day, 'outcome_' || v_day);
            CONTINUE WHEN NOT longhaul.day_is_over(v_day);
            -- The day's tables, which few want, then the parents: those first that transactions keep longest.
            FOREACH v_parent IN ARRAY c_parents LOOP
                EXECUTE format('LOCK TABLE ONLY longhaul.%I IN ACCESS EXCLUSIVE MODE', v_parent || '_' || v_day);
            END LOOP;
            FOREACH v_parent IN ARRAY c_parents LOOP
                EXECUTE format('LOCK TABLE ONLY longhaul.%I IN ACCESS EXCLUSIVE MODE', v_parent);
            END LOOP;
            FOREACH v_parent IN ARRAY c_parents LOOP
                EXECUTE format('ALTER TABLE longhaul.%I DETACH PARTITION longhaul.%I', v_parent, v_parent || '_' || v_day);
                EXECUTE format('DROP TABLE longhaul.%I', v_parent || '_' || v_day);
            END LOOP;
            EXECUTE format('DROP FUNCTION IF EXISTS longhaul.%I(integer[], uuid[], text[], boolean)', 'status_on_' || v_day);
            RETURN 1;
        EXCEPTION WHEN lock_not_available THEN
            RETURN 0;
        END;
    END LOOP;
    RETURN 0;
END
$$;
COMMENT ON FUNCTION longhaul.drop_partitions() IS 'Internal: drops the partitions of a day that is over';

-- Upkeep: makes partitions three days ahead, fails jobs past their lifetime, removes what is past its
-- retention, idempotency keys after a day, waiters after two minutes, worker rows after a day, deliveries of
-- webhooks after a week, old rows of the audit, the partitions of days that are over. In bounded steps; call it again
-- and again, from any number of workers: one works, the others return at once. Returns true if it left something to do for the next call.
-- Writes: nearly everything. Locks: an advisory lock.
CREATE FUNCTION longhaul.maintain() RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    c_step  CONSTANT integer := 1000;
    v_today date := (now() AT TIME ZONE 'UTC')::date;
    v_more  boolean := false;
    v_rows  integer;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('longhaul.maintain')) THEN
        RETURN false;
    END IF;
    IF EXISTS (SELECT FROM generate_series(-1, 3) AS d, unnest(longhaul.partitioned_tables()) AS t
                WHERE to_regclass(format('longhaul.%s_%s', t, to_char(v_today + d, 'YYYYMMDD'))) IS NULL) THEN
        PERFORM longhaul.make_partitions(v_today - 1, v_today + 3);
    END IF;
    v_more := longhaul.expire_jobs(c_step) = c_step OR v_more;
    v_more := longhaul.purge_jobs(c_step) = c_step OR v_more;

    DELETE FROM longhaul.idempotency_key k WHERE k.ctid = ANY (ARRAY(
        SELECT q.ctid FROM longhaul.idempotency_key q WHERE q.created_at < now() - interval '24 hours'
         ORDER BY q.created_at LIMIT c_step FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    v_more := v_rows = c_step OR v_more;

    -- Left behind by a cancel that came while its job ended.
    DELETE FROM longhaul.cancel_request c
     WHERE c.requested_at < now() - interval '2 minutes'
       AND NOT EXISTS (SELECT FROM longhaul.lease l WHERE l.job_id = c.job_id);
    DELETE FROM longhaul.worker_type t USING longhaul.worker w
     WHERE w.boot = t.boot AND (w.dead_at IS NOT NULL OR w.stopped_at IS NOT NULL);
    DELETE FROM longhaul.worker w
     WHERE coalesce(w.dead_at, w.stopped_at) < now() - interval '1 day'
       AND NOT EXISTS (SELECT FROM longhaul.lease l WHERE l.boot = w.boot)
       AND NOT EXISTS (SELECT FROM longhaul.webhook_queue q WHERE q.boot = w.boot);
    v_more := longhaul.maintain_webhooks(c_step) OR v_more;
    v_more := longhaul.purge_audit(c_step) = c_step OR v_more;
    -- Finishes delete waiters too, and the next step's locks are heavy: both come last.
    DELETE FROM longhaul.waiter w WHERE w.ctid = ANY (ARRAY(
        SELECT q.ctid FROM longhaul.waiter q WHERE q.created_at < now() - interval '2 minutes' FOR UPDATE SKIP LOCKED));
    v_more := longhaul.drop_partitions() > 0 OR v_more;
    RETURN v_more;
END
$$;
COMMENT ON FUNCTION longhaul.maintain() IS 'Upkeep, a bounded step at a time; workers call it';
