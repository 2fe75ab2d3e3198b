-- Ends of attempts and of jobs.

-- A problem (RFC 9457) as it is stored in outcome.error. Internal.
CREATE FUNCTION longhaul.problem(p_type text, p_title text, p_status integer, p_detail text) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT jsonb_build_object('type', p_type, 'title', p_title, 'status', p_status, 'detail', p_detail)
$$;
COMMENT ON FUNCTION longhaul.problem(text, text, integer, text) IS 'Internal: a problem details object';

-- Ends jobs that no worker holds any more or that the caller has locked: their lease rows, if any, go.
-- Internal: cancel, expiry, poison. Waiting API processes are notified with the caller's commit.
-- Writes: lease, outcome, cancel_request, waiter.
CREATE FUNCTION longhaul.end_jobs(p_job_ids uuid[], p_status smallint, p_errors jsonb[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp
SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    v_waiters bigint[];
    v_ids     uuid[];
BEGIN
    WITH gone AS (
        DELETE FROM longhaul.lease l WHERE l.job_id = ANY (p_job_ids) RETURNING l.*
    ), o AS (
        INSERT INTO longhaul.outcome (job_id, status, attempt, gen, started_at, ended_at, expires_at, done, total,
                                      message, error)
        SELECT j.id, p_status, coalesce(g.attempt, 0), coalesce(g.gen, 1) + 1, g.started_at, clock_timestamp(),
               clock_timestamp() + t.retention, g.done, g.total, g.message, u.error
          FROM unnest(p_job_ids, p_errors) AS u(id, error)
          JOIN longhaul.job j ON j.id = u.id
          JOIN longhaul.job_type t ON t.type_id = j.type_id
          LEFT JOIN gone g ON g.job_id = u.id
         WHERE j.id = ANY (p_job_ids)
        ON CONFLICT DO NOTHING
    )
    SELECT array_agg(g.waiter), array_agg(g.job_id) INTO v_waiters, v_ids FROM gone g WHERE g.waiter IS NOT NULL;
    DELETE FROM longhaul.cancel_request c WHERE c.job_id = ANY (p_job_ids);
    WITH w AS (
        DELETE FROM longhaul.waiter w WHERE w.job_id = ANY (p_job_ids) RETURNING w.waiter, w.job_id
    )
    SELECT v_waiters || array_agg(w.waiter), v_ids || array_agg(w.job_id) INTO v_waiters, v_ids FROM w;
    IF cardinality(v_ids) > 0 THEN
        PERFORM longhaul.notify_waiters(v_waiters, v_ids);
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.end_jobs(uuid[], smallint, jsonb[]) IS 'Internal: ends jobs that no worker holds';

-- Tells API processes which of the jobs they wait for have ended (parallel arrays), about 200 ids a
-- notification. After a finish, in a transaction of its own, so that the lock that NOTIFY takes is
-- not held while the finish is flushed.
CREATE FUNCTION longhaul.notify_waiters(p_waiters bigint[], p_job_ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    r record;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    FOR r IN
        SELECT n.waiter, string_agg(translate(n.id::text, '-', ''), ',') AS ids
          FROM (SELECT u.waiter, u.id, row_number() OVER (PARTITION BY u.waiter) / 200 AS part
                  FROM unnest(p_waiters, p_job_ids) AS u(waiter, id) WHERE u.waiter IS NOT NULL) n
         GROUP BY n.waiter, n.part
    LOOP
        PERFORM pg_notify('longhaul_api_' || lpad(to_hex(r.waiter), 16, '0'), r.ids);
    END LOOP;
END
$$;
COMMENT ON FUNCTION longhaul.notify_waiters(bigint[], uuid[]) IS 'Notifies API processes of ended jobs';

-- How long to wait after p_failures failed attempts: exponential, with jitter of a quarter. Internal.
CREATE FUNCTION longhaul.backoff_after(p_failures integer, p_first_ms bigint, p_max_ms bigint) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    SELECT greatest(1, (least(p_max_ms::double precision, p_first_ms * power(2.0, least(greatest(p_failures - 1, 0), 40)))
                        * (0.75 + random() * 0.5))::bigint)
$$;
COMMENT ON FUNCTION longhaul.backoff_after(integer, bigint, bigint) IS 'Internal: backoff before the next attempt, in ms';

-- Ends attempts (parallel arrays, one element a job), for the holder of each lease only.
--   p_verdicts     1 completed, 2 failed for good, 3 failed, try again if the type's policy allows,
--                  4 canceled, 5 handed back (no attempt burned), 6 its runner died
--   p_ran_ms       since the handler began; NULL = it never did
--   p_results      small results; NULL = none, or stored by result_chunk_put (p_result_sizes > 0)
--   p_errors       problem as JSON, of verdicts 2, 3, 6
--   p_retry_ms     delay that the handler asked for; NULL = the type's backoff
-- Returns per element (ord from 1) code 1 accepted, 2 already yours (a finish sent again after a
-- broken commit), 0 the lease is lost: nothing was written; and the API processes to notify by
-- notify_waiters: an element that several wait for comes in several rows.
-- Writes: lease, outcome, ready, delayed, cancel_request, waiter. Locks: the lease rows, in order of job.
CREATE FUNCTION longhaul.finish_batch(
    p_boot uuid, p_job_ids uuid[], p_fences bigint[], p_verdicts smallint[], p_ran_ms integer[], p_media_types text[],
    p_results bytea[], p_result_sizes bigint[], p_errors text[], p_retry_ms bigint[], p_done bigint[], p_total bigint[],
    p_messages text[],
    OUT ord integer, OUT code smallint, OUT waiter bigint)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp
-- A row that somebody else keeps locked must not hold up the others: the caller sets it apart.
SET lock_timeout = '500ms'
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_final   boolean[];
    v_back    uuid[] := '{}';
    v_delay   bigint[] := '{}';
    v_status  smallint[];
    v_errors  text[] := p_errors;
    v_ok      integer[];
    v_waiters bigint[];
    v_more    boolean;
    r         record;
BEGIN
    -- Only 1, 2 and 4 end a job for certain; the others are looked at one by one: they are rare.
    v_status := ARRAY(SELECT CASE v WHEN 1 THEN 3 WHEN 2 THEN 4 WHEN 4 THEN 5 ELSE 0 END
                        FROM unnest(p_verdicts) WITH ORDINALITY AS u(v, n) ORDER BY n);
    IF 0 = ANY (v_status) THEN
        FOR r IN
            SELECT u.n, u.verdict, u.retry_ms, u.error, u.ran_ms, l.job_id, l.attempt, l.attempt_base, l.deaths,
                   t.max_attempts, t.backoff_ms, t.backoff_max_ms,
                   EXISTS (SELECT FROM longhaul.cancel_request c WHERE c.job_id = l.job_id) AS cancel
              FROM unnest(p_job_ids, p_fences, p_verdicts, p_retry_ms, p_errors, p_ran_ms)
                   WITH ORDINALITY AS u(id, fence, verdict, retry_ms, error, ran_ms, n)
              JOIN longhaul.lease l ON l.job_id = u.id AND l.boot = p_boot AND l.fence = u.fence
              JOIN longhaul.job_type t ON t.type_id = l.type_id
             WHERE v_status[u.n] = 0
             ORDER BY u.id
               FOR UPDATE OF l
        LOOP
            IF r.cancel THEN
                v_status[r.n] := 5;
            ELSIF r.verdict = 5 THEN
                UPDATE longhaul.lease l SET attempt = l.attempt - 1 WHERE l.job_id = r.job_id;
                v_back := v_back || r.job_id;
                v_delay := v_delay || NULL::bigint;
            ELSIF r.verdict = 6 THEN
                -- A crash is not the job's failure, unless it happens again.
                IF r.deaths >= 1 THEN
                    v_status[r.n] := 4;
                    v_errors[r.n] := longhaul.problem('handler-died', 'The handler died', 500,
                                                      'The process that ran this job died twice in it.')::text;
                ELSE
                    UPDATE longhaul.lease l SET deaths = l.deaths + 1, attempt = l.attempt - 1 WHERE l.job_id = r.job_id;
                    v_back := v_back || r.job_id;
                    v_delay := v_delay || longhaul.backoff_after(1, r.backoff_ms, r.backoff_max_ms);
                END IF;
            ELSIF r.attempt - r.attempt_base >= r.max_attempts THEN
                v_status[r.n] := 4;
            ELSE
                v_back := v_back || r.job_id;
                v_delay := v_delay || coalesce(r.retry_ms, longhaul.backoff_after(r.attempt - r.attempt_base, r.backoff_ms,
                                                                                  r.backoff_max_ms));
            END IF;
            IF v_status[r.n] = 0 THEN
                ord := r.n;
                code := 1;
                waiter := NULL;
                RETURN NEXT;
                v_status[r.n] := -1;
            END IF;
        END LOOP;
        IF cardinality(v_back) > 0 THEN
            PERFORM longhaul.put_back(v_back, v_delay);
        END IF;
    END IF;

    WITH u AS MATERIALIZED (
        SELECT * FROM unnest(p_job_ids, p_fences, v_status, p_ran_ms, p_media_types, p_results, p_result_sizes, v_errors,
                             p_done, p_total, p_messages)
               WITH ORDINALITY AS x(id, fence, status, ran_ms, media_type, result, result_size, error, done, total,
                                    message, n)
         WHERE x.status > 0 ORDER BY x.id
    ), gone AS (
        DELETE FROM longhaul.lease l USING u
         WHERE l.job_id = u.id AND l.boot = p_boot AND l.fence = u.fence
        RETURNING u.n, u.id, u.status, u.ran_ms, u.media_type, u.result, u.result_size, u.error, u.fence,
                  coalesce(u.done, l.done) AS done, coalesce(u.total, l.total) AS total,
                  coalesce(u.message, l.message) AS message, l.type_id, l.attempt, l.gen, l.started_at, l.waiter
    ), o AS (
        INSERT INTO longhaul.outcome (job_id, status, attempt, gen, result_gen, started_at, ended_at, expires_at, boot,
                                      fence, done, total, result_size, message, result_media_type, error, result)
        SELECT g.id, g.status, g.attempt, g.gen + 1, CASE WHEN g.status = 3 THEN g.gen END,
               coalesce(g.started_at, clock_timestamp() - g.ran_ms * interval '1 ms'), clock_timestamp(),
               clock_timestamp() + t.retention, p_boot, g.fence, g.done, g.total,
               CASE WHEN g.status = 3 THEN coalesce(g.result_size, length(g.result), 0) END, g.message,
               CASE WHEN g.status = 3 THEN g.media_type END, CASE WHEN g.status = 4 THEN g.error::jsonb END,
               CASE WHEN g.status = 3 THEN g.result END
          FROM gone g JOIN longhaul.job_type t ON t.type_id = g.type_id
    )
    SELECT array_agg(g.n::integer), array_agg(g.waiter) INTO v_ok, v_waiters FROM gone g;

    RETURN QUERY SELECT x.n, 1::smallint, x.w FROM unnest(v_ok, v_waiters) AS x(n, w);

    IF EXISTS (SELECT FROM longhaul.cancel_request) THEN
        DELETE FROM longhaul.cancel_request c WHERE c.job_id = ANY (p_job_ids);
    END IF;
    RETURN QUERY
    WITH w AS (
        DELETE FROM longhaul.waiter w USING unnest(p_job_ids) WITH ORDINALITY AS u(id, n)
         WHERE w.job_id = u.id AND u.n = ANY (v_ok)
        RETURNING u.n::integer AS n, w.waiter AS w
    )
    SELECT w.n, 1::smallint, w.w FROM w;

    v_more := EXISTS (SELECT FROM unnest(v_status) AS s WHERE s >= 0)
              AND coalesce(cardinality(v_ok), 0) < (SELECT count(*) FROM unnest(v_status) AS s WHERE s >= 0);
    IF v_more THEN
        RETURN QUERY
        SELECT u.n::integer,
               CASE WHEN EXISTS (SELECT FROM longhaul.outcome o
                                  WHERE o.job_id = u.id AND o.boot = p_boot AND o.fence = u.fence)
                    THEN 2 ELSE 0 END::smallint, NULL::bigint
          FROM unnest(p_job_ids, p_fences, v_status) WITH ORDINALITY AS u(id, fence, status, n)
         WHERE u.status >= 0 AND (v_ok IS NULL OR u.n <> ALL (v_ok));
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.finish_batch(uuid, uuid[], bigint[], smallint[], integer[], text[], bytea[], bigint[], text[],
    bigint[], bigint[], bigint[], text[]) IS 'Ends attempts of jobs, for the holders of their leases';

-- Takes the jobs of hosts whose lease has run out. Any worker may call it, any number at once.
-- The clock is the database's. A job that had begun on five lost hosts is failed; one that was only
-- claimed ahead is just put back.
-- Returns how many jobs it took. Writes: worker, lease, ready, outcome. Locks: the dead worker's advisory
-- lock against its own claims, which might otherwise slip in a lease behind this.
CREATE FUNCTION longhaul.rescue() RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_boot   uuid;
    v_back   uuid[];
    v_failed uuid[];
    v_count  integer := 0;
BEGIN
    FOR v_boot IN SELECT w.boot FROM longhaul.worker w
                   WHERE w.dead_at IS NULL AND w.stopped_at IS NULL AND w.lease_until < clock_timestamp()
                   ORDER BY w.boot
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('longhaul.boot'), hashtext(v_boot::text));
        UPDATE longhaul.worker w SET dead_at = clock_timestamp()
         WHERE w.boot = v_boot AND w.dead_at IS NULL AND w.stopped_at IS NULL AND w.lease_until < clock_timestamp();
        CONTINUE WHEN NOT FOUND;
        WITH l AS (
            UPDATE longhaul.lease SET attempt = lease.attempt - 1,
                   host_deaths = lease.host_deaths + CASE WHEN lease.started_at IS NULL THEN 0 ELSE 1 END
             WHERE lease.boot = v_boot
            RETURNING lease.job_id, lease.host_deaths
        )
        SELECT array_agg(l.job_id) FILTER (WHERE l.host_deaths < 5), array_agg(l.job_id) FILTER (WHERE l.host_deaths >= 5)
          INTO v_back, v_failed FROM l;
        IF v_back IS NOT NULL THEN
            PERFORM longhaul.end_jobs(c.ids, 5::smallint, array_fill(NULL::jsonb, ARRAY[cardinality(c.ids)]))
               FROM (SELECT array_agg(c.job_id) AS ids FROM longhaul.cancel_request c WHERE c.job_id = ANY (v_back)) c
              WHERE c.ids IS NOT NULL;
            PERFORM longhaul.put_back(v_back, array_fill(NULL::bigint, ARRAY[cardinality(v_back)]));
        END IF;
        IF v_failed IS NOT NULL THEN
            PERFORM longhaul.end_jobs(v_failed, 4::smallint,
                array_fill(longhaul.problem('host-lost', 'The worker host was lost', 500,
                                            'Five worker hosts were lost while they ran this job.'),
                           ARRAY[cardinality(v_failed)]));
        END IF;
        DELETE FROM longhaul.worker_type WHERE boot = v_boot;
        v_count := v_count + coalesce(cardinality(v_back), 0) + coalesce(cardinality(v_failed), 0);
    END LOOP;
    IF v_count > 0 THEN
        PERFORM pg_notify('longhaul_wake', '');
    END IF;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION longhaul.rescue() IS 'Puts the jobs of dead worker hosts back into the queue';
