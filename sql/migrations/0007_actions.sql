-- Cancel, delete, retry.

-- Cancels a client's job. Returns 0 there is none, 1 canceled (it was waiting), 2 its worker has been
-- told, 3 it was canceled already, 4 it has ended otherwise.
-- Writes: ready, delayed, lease, outcome, cancel_request, waiter. Locks: the job's row in the queue: waits
-- for a claim or a finish that is under way, for half a second at most.
CREATE FUNCTION longhaul.cancel_job(p_id uuid, p_client text) RETURNS smallint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET lock_timeout = '500ms'
SET plan_cache_mode = force_custom_plan SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
    v_job    longhaul.job;
    v_status smallint;
    v_waiter bigint;
    v_boot   uuid;
BEGIN
    SELECT j.id, j.type_id, j.client, j.priority, j.input_size, j.seq, j.created_at, j.run_at
      INTO v_job.id, v_job.type_id, v_job.client, v_job.priority, v_job.input_size, v_job.seq, v_job.created_at, v_job.run_at
      FROM (SELECT * FROM longhaul.job x WHERE x.id = p_id OFFSET 0) j -- never by the client's index
     WHERE j.client = p_client;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    -- The job may be on its way from one table to the next: look again until it is found in one.
    FOR i IN 1 .. 10 LOOP
        SELECT o.status INTO v_status FROM longhaul.outcome o WHERE o.job_id = p_id;
        IF FOUND THEN
            RETURN CASE WHEN v_status = 5 THEN 3 ELSE 4 END;
        END IF;

        -- One place at a time: with both in a list the whole priority is read.
        DELETE FROM longhaul.ready r
         WHERE r.type_id = v_job.type_id AND r.priority = v_job.priority AND r.seq = v_job.seq AND r.job_id = p_id
        RETURNING r.waiter INTO v_waiter;
        IF NOT FOUND THEN
            DELETE FROM longhaul.ready r
             WHERE r.type_id = v_job.type_id AND r.priority = v_job.priority
               AND r.seq = v_job.seq - (1::bigint << 62) AND r.job_id = p_id
            RETURNING r.waiter INTO v_waiter;
        END IF;
        IF NOT FOUND THEN
            DELETE FROM longhaul.delayed d WHERE d.job_id = p_id;
        END IF;
        IF NOT FOUND AND v_job.run_at IS NOT NULL THEN
            -- Its seq was drawn anew when its time came.
            DELETE FROM longhaul.ready r
             WHERE r.type_id = v_job.type_id AND r.priority = v_job.priority AND r.job_id = p_id
            RETURNING r.waiter INTO v_waiter;
        END IF;
        IF FOUND THEN
            PERFORM longhaul.end_jobs(ARRAY[p_id], 5::smallint, ARRAY[NULL::jsonb]);
            PERFORM longhaul.tell_waiters(ARRAY[v_waiter], ARRAY[p_id]);
            RETURN 1;
        END IF;

        -- Locked, so that a put-back under way doesn't miss the request. An import keeps its lease locked
        -- while it merges: then its worker is told all the same, and may stop the merge.
        BEGIN
            SELECT l.boot INTO v_boot FROM longhaul.lease l WHERE l.job_id = p_id FOR UPDATE;
        EXCEPTION WHEN lock_not_available THEN
            SELECT l.boot INTO v_boot FROM longhaul.lease l WHERE l.job_id = p_id;
        END;
        IF FOUND AND v_boot IS NOT NULL THEN
            INSERT INTO longhaul.cancel_request (job_id, boot) VALUES (p_id, v_boot)
            ON CONFLICT (job_id) DO UPDATE SET boot = excluded.boot;
            PERFORM pg_notify('longhaul_worker_' || translate(v_boot::text, '-', ''),
                              'cancel ' || translate(p_id::text, '-', ''));
            RETURN 2;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'job % could not be found in the queue', p_id USING ERRCODE = 'object_in_use';
END
$$;
COMMENT ON FUNCTION longhaul.cancel_job(uuid, text) IS 'Cancels a client''s job';

-- Removes a client's ended job with its input and result. Returns 0 there is none, 1 removed, 2 it has not ended.
-- Writes: job, outcome, input_chunk, result_chunk, attempt, attempt_log, and as forget_webhooks.
CREATE FUNCTION longhaul.delete_job(p_id uuid, p_client text) RETURNS smallint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM (SELECT x.client FROM longhaul.job x WHERE x.id = p_id OFFSET 0) j WHERE j.client = p_client) THEN
        RETURN 0;
    END IF;
    DELETE FROM longhaul.outcome o WHERE o.job_id = p_id;
    IF NOT FOUND THEN
        -- It lives; or somebody else was faster.
        RETURN CASE WHEN EXISTS (SELECT FROM longhaul.job j WHERE j.id = p_id) THEN 2 ELSE 0 END;
    END IF;
    DELETE FROM longhaul.job j WHERE j.id = p_id;
    DELETE FROM longhaul.input_chunk c WHERE c.job_id = p_id;
    DELETE FROM longhaul.result_chunk c WHERE c.job_id = p_id;
    DELETE FROM longhaul.attempt a WHERE a.job_id = p_id;
    DELETE FROM longhaul.attempt_log g WHERE g.job_id = p_id;
    PERFORM longhaul.forget_webhooks(ARRAY[p_id]);
    RETURN 1;
END
$$;
COMMENT ON FUNCTION longhaul.delete_job(uuid, text) IS 'Removes a client''s ended job';

-- Queues Failed and Canceled jobs again, those of p_ids that are not past their retention, before all others of their
-- priority. One whose time has not come yet goes on waiting for it; by when it was to be started doesn't count any more.
-- Returns how many. Internal. Writes: outcome, attempt, lease, ready or delayed, job_deadline. Locks: the outcomes.
CREATE FUNCTION longhaul.requeue(p_ids uuid[]) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan SET jit = off SET enable_seqscan = off AS $$
DECLARE
    v_types integer[];
    v_count integer;
BEGIN
    WITH o AS (
        DELETE FROM longhaul.outcome x
         WHERE x.job_id = ANY (p_ids) AND x.status IN (4, 5) AND x.expires_at > now()
        RETURNING x.job_id, x.gen + 1 AS gen, x.attempt, x.status, x.boot, x.started_at, x.ended_at, x.error
    ), a AS (
        INSERT INTO longhaul.attempt (job_id, gen, status, boot, started_at, ended_at, error)
        SELECT o.job_id, o.gen - 2, o.status, o.boot, o.started_at, o.ended_at, o.error FROM o WHERE o.started_at IS NOT NULL
    ), j AS MATERIALIZED (
        SELECT o.job_id, o.gen, o.attempt, x.type_id, x.client, x.priority, x.seq, coalesce(x.run_at > now(), false) AS later, x.run_at
          FROM o JOIN (SELECT * FROM longhaul.job y WHERE y.id = ANY (p_ids)) x ON x.id = o.job_id
         ORDER BY x.seq
    ), l AS (
        INSERT INTO longhaul.lease (job_id, type_id, priority, gen, attempt, attempt_base, seq, changed_at, due_at, client)
        SELECT j.job_id, j.type_id, j.priority, j.gen, j.attempt, j.attempt, j.seq, clock_timestamp(),
               greatest(j.run_at, clock_timestamp()), j.client
          FROM j
    ), d AS (
        INSERT INTO longhaul.delayed (job_id, run_at, type_id, priority, gen, attempt, seq)
        SELECT j.job_id, j.run_at, j.type_id, j.priority, j.gen, j.attempt, j.seq FROM j WHERE j.later
    ), r AS (
        INSERT INTO longhaul.ready (type_id, priority, gen, attempt, seq, job_id)
        SELECT j.type_id, j.priority, j.gen, j.attempt, j.seq - (1::bigint << 62), j.job_id FROM j WHERE NOT j.later
    )
    SELECT count(*), array_agg(DISTINCT j.type_id) FILTER (WHERE NOT j.later) INTO v_count, v_types FROM j;
    DELETE FROM longhaul.job_deadline d WHERE d.job_id = ANY (p_ids);
    IF v_types IS NOT NULL THEN
        PERFORM pg_notify('longhaul_wake', array_to_string(v_types, ','));
    END IF;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION longhaul.requeue(uuid[]) IS 'Internal: queues ended jobs again';

-- Queues a client's Failed or Canceled job again. Returns 0 there is none, 1 queued, 2 it is live or Completed.
-- Writes: as requeue.
CREATE FUNCTION longhaul.retry_job(p_id uuid, p_client text) RETURNS smallint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM (SELECT x.client FROM longhaul.job x WHERE x.id = p_id OFFSET 0) j WHERE j.client = p_client) THEN
        RETURN 0;
    END IF;
    IF longhaul.requeue(ARRAY[p_id]) = 1 THEN
        RETURN 1;
    END IF;
    RETURN CASE WHEN EXISTS (SELECT FROM longhaul.job j WHERE j.id = p_id) THEN 2 ELSE 0 END;
END
$$;
COMMENT ON FUNCTION longhaul.retry_job(uuid, text) IS 'Queues a client''s Failed or Canceled job again';
