-- Ends of attempts and of jobs.

-- A problem (RFC 9457) as it is stored in outcome.error. Internal.
CREATE FUNCTION longhaul.problem(p_type text, p_title text, p_status integer, p_detail text) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT jsonb_build_object('type', p_type, 'title', p_title, 'status', p_status, 'detail', p_detail)
$$;
COMMENT ON FUNCTION longhaul.problem(text, text, integer, text) IS 'Internal: a problem details object';

-- Ends jobs that no worker holds any more or that the caller has locked: their lease rows, if any, go.
-- Internal: cancel, expiry, poison. Waiting API processes are notified with the caller's commit.
-- Writes: lease, outcome, tally_delta, cancel_request, waiter, and as announce. Locks: the lease rows, in order of job.
CREATE FUNCTION longhaul.end_jobs(p_job_ids uuid[], p_status smallint, p_errors jsonb[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp
SET plan_cache_mode = force_custom_plan SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    v_waiters bigint[];
    v_ids     uuid[];
    v_ended   uuid[];
    v_now     timestamptz := clock_timestamp();
BEGIN
    PERFORM FROM longhaul.lease l WHERE l.job_id = ANY (p_job_ids) ORDER BY l.job_id FOR UPDATE;
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
        RETURNING outcome.job_id, outcome.started_at
    ), d AS (
        INSERT INTO longhaul.tally_delta (ended_at, type_id, status, jobs, waited, ran, client)
        SELECT v_now, j.type_id, p_status, count(*),
               sum(greatest(coalesce(o.started_at, v_now) - coalesce(g.due_at, j.run_at, j.created_at), interval '0')),
               sum(greatest(v_now - coalesce(o.started_at, v_now), interval '0')), j.client
          FROM o JOIN longhaul.job j ON j.id = o.job_id LEFT JOIN gone g ON g.job_id = o.job_id
         WHERE j.id = ANY (p_job_ids)
         GROUP BY j.type_id, j.client
    )
    SELECT array_agg(g.waiter), array_agg(g.job_id), (SELECT array_agg(o.job_id) FROM o) INTO v_waiters, v_ids, v_ended
      FROM gone g WHERE g.waiter IS NOT NULL;
    IF v_ended IS NOT NULL THEN
        PERFORM longhaul.announce(v_ended);
    END IF;
    DELETE FROM longhaul.cancel_request c WHERE c.job_id = ANY (p_job_ids);
    WITH w AS (
        DELETE FROM longhaul.waiter w WHERE w.job_id = ANY (p_job_ids) RETURNING w.waiter, w.job_id
    )
    SELECT v_waiters || array_agg(w.waiter), v_ids || array_agg(w.job_id) INTO v_waiters, v_ids FROM w;
    IF cardinality(v_ids) > 0 THEN
        PERFORM longhaul.tell_waiters(v_waiters, v_ids);
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.end_jobs(uuid[], smallint, jsonb[]) IS 'Internal: ends jobs that no worker holds';

-- Takes jobs away from a worker that is gone or doesn't know of them: those that somebody wants canceled
-- are, the others are put back, with no attempt burned. The caller has locked their leases. Internal.
-- Writes: lease, ready, outcome, cancel_request, waiter.
CREATE FUNCTION longhaul.take_back(p_job_ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_canceled uuid[] := ARRAY(SELECT c.job_id FROM longhaul.cancel_request c WHERE c.job_id = ANY (p_job_ids));
BEGIN
    IF cardinality(v_canceled) > 0 THEN
        PERFORM longhaul.end_jobs(v_canceled, 5::smallint, array_fill(NULL::jsonb, ARRAY[cardinality(v_canceled)]));
    END IF;
    IF cardinality(p_job_ids) > cardinality(v_canceled) THEN
        UPDATE longhaul.lease l SET attempt = l.attempt - 1 WHERE l.job_id = ANY (p_job_ids);
        PERFORM longhaul.put_back(p_job_ids, array_fill(NULL::bigint, ARRAY[cardinality(p_job_ids)]));
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.take_back(uuid[]) IS 'Internal: puts back the jobs of a worker that is gone';

-- Tells API processes which of the jobs they wait for have ended (parallel arrays), about 200 ids a
-- notification, at the commit of the caller's transaction. Internal.
CREATE FUNCTION longhaul.tell_waiters(p_waiters bigint[], p_job_ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    r record;
BEGIN
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
COMMENT ON FUNCTION longhaul.tell_waiters(bigint[], uuid[]) IS 'Internal: notifies API processes of ended jobs';

-- The same after a finish, in a transaction of its own, so that the lock that NOTIFY takes is not held
-- while the finish is flushed. Commits without waiting for the disk.
CREATE FUNCTION longhaul.notify_waiters(p_waiters bigint[], p_job_ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM longhaul.tell_waiters(p_waiters, p_job_ids);
END
$$;
COMMENT ON FUNCTION longhaul.notify_waiters(bigint[], uuid[]) IS 'Notifies API processes of ended jobs';

-- How long to wait after p_failures failed attempts: exponential, with jitter of a quarter, never above p_max_ms.
-- Internal.
CREATE FUNCTION longhaul.backoff_after(p_failures integer, p_first_ms bigint, p_max_ms bigint) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    SELECT greatest(1, least(p_max_ms, (least(p_max_ms::double precision,
                                              p_first_ms * power(2.0, least(greatest(p_failures - 1, 0), 40)))
                                        * (0.75 + random() * 0.5))::bigint))
$$;
COMMENT ON FUNCTION longhaul.backoff_after(integer, bigint, bigint) IS 'Internal: backoff before the next attempt, in ms';

-- Ends attempts (parallel arrays, one element a job), for the holder of each lease only.
--   p_verdicts     1 completed, 2 failed for good, 3 failed, try again if the type's policy allows,
--                  4 canceled, 5 handed back (no attempt burned), 6 its runner died (the same if the job
--                  had not begun; else no attempt burned either, but the second time it has failed)
--   p_ran_ms       since the handler began; NULL = it never did
--   p_results      small results; NULL = none, or stored by result_chunk_put (p_result_sizes > 0)
--   p_errors       problem as JSON, of verdicts 2, 3, 6
--   p_retry_ms     delay that the handler asked for, 30 days at most; NULL = the type's backoff
--   p_logs         what the handlers logged, clean; NULL: no attempt of the batch has a log
-- Returns per element (ord from 1) code 1 accepted, 2 already yours (a finish sent again after a
-- broken commit), 0 the lease is lost: nothing was written; and the API processes to notify by
-- notify_waiters: an element that several wait for comes in several rows.
-- Writes: lease, outcome, tally_delta, attempt, attempt_log, ready, delayed, cancel_request, waiter, and as announce;
-- stale_write if refused. Locks: the lease rows, in order of job.
CREATE FUNCTION longhaul.finish_batch(
    p_boot uuid, p_job_ids uuid[], p_fences bigint[], p_verdicts smallint[], p_ran_ms integer[], p_media_types text[],
    p_results bytea[], p_result_sizes bigint[], p_errors text[], p_retry_ms bigint[], p_done bigint[], p_total bigint[],
    p_messages text[], p_logs text[] DEFAULT NULL,
    OUT ord integer, OUT code smallint, OUT waiter bigint)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp
-- A row that somebody else keeps locked must not hold up the others: the caller sets it apart.
SET lock_timeout = '500ms'
SET enable_seqscan = off SET enable_nestloop = off SET enable_mergejoin = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    c_retry_max CONSTANT bigint := 2592000000; -- 30 days
    v_back    uuid[] := '{}';
    v_delay   bigint[] := '{}';
    v_status  smallint[];
    v_errors  text[] := p_errors;
    v_ok      integer[];
    v_ended   uuid[];
    v_gens    integer[];
    v_waiters bigint[];
    v_tried   integer[] := '{}';
    v_stale   integer := 0;
    v_more    boolean;
    v_now     timestamptz := clock_timestamp();
    r         record;
BEGIN
    -- Only 1, 2 and 4 end a job for certain; the others are looked at one by one: they are rare.
    v_status := ARRAY(SELECT CASE v WHEN 1 THEN 3 WHEN 2 THEN 4 WHEN 4 THEN 5 ELSE 0 END
                        FROM unnest(p_verdicts) WITH ORDINALITY AS u(v, n) ORDER BY n);
    IF 0 = ANY (v_status) THEN
        -- All rows of the batch, so that they are locked in one order. And in a statement of its own: the next
        -- one must see every cancel that was accepted before the lock was had.
        PERFORM FROM (SELECT * FROM unnest(p_job_ids, p_fences) AS x(id, fence) ORDER BY x.id) u
                CROSS JOIN LATERAL (SELECT FROM longhaul.lease l
                                     WHERE l.job_id = u.id AND l.boot = p_boot AND l.fence = u.fence FOR UPDATE) l;
        FOR r IN
            SELECT u.n, u.verdict, u.retry_ms, u.error, u.ran_ms IS NOT NULL OR l.started_at IS NOT NULL AS begun,
                   l.job_id, l.attempt, l.attempt_base, l.deaths,
                   t.max_attempts, t.backoff_ms, t.backoff_max_ms,
                   EXISTS (SELECT FROM longhaul.cancel_request c WHERE c.job_id = l.job_id) AS cancel
              FROM unnest(p_job_ids, p_fences, p_verdicts, p_retry_ms, p_errors, p_ran_ms)
                   WITH ORDINALITY AS u(id, fence, verdict, retry_ms, error, ran_ms, n)
              CROSS JOIN LATERAL (SELECT * FROM longhaul.lease y
                                   WHERE y.job_id = u.id AND y.boot = p_boot AND y.fence = u.fence OFFSET 0) l
              JOIN longhaul.job_type t ON t.type_id = l.type_id
             WHERE v_status[u.n] = 0
        LOOP
            IF r.cancel THEN
                v_status[r.n] := 5;
            ELSIF r.verdict = 5 OR r.verdict = 6 AND NOT r.begun THEN
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
                v_delay := v_delay || least(c_retry_max,
                    coalesce(r.retry_ms, longhaul.backoff_after(r.attempt - r.attempt_base, r.backoff_ms, r.backoff_max_ms)));
            END IF;
            IF v_status[r.n] = 0 THEN
                IF r.begun THEN
                    v_tried := v_tried || r.n::integer;
                END IF;
                ord := r.n;
                code := 1;
                waiter := NULL;
                RETURN NEXT;
                v_status[r.n] := -1;
            END IF;
        END LOOP;
        IF cardinality(v_tried) > 0 THEN
            PERFORM longhaul.keep_attempts(p_boot, ARRAY(SELECT p_job_ids[n] FROM unnest(v_tried) AS n),
                                           ARRAY(SELECT p_verdicts[n] FROM unnest(v_tried) AS n),
                                           ARRAY(SELECT p_ran_ms[n] FROM unnest(v_tried) AS n),
                                           ARRAY(SELECT p_errors[n] FROM unnest(v_tried) AS n),
                                           ARRAY(SELECT p_logs[n] FROM unnest(v_tried) AS n));
        END IF;
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
    ), l AS (
        -- One by one through the index (OFFSET 0 keeps it from being a join), then by place: after a vacuum of the
        -- empty table the planner expects a single row, and a join would read the whole index for each of u.
        DELETE FROM longhaul.lease y
         WHERE y.ctid = ANY (ARRAY(
                   SELECT x.place FROM u
                    CROSS JOIN LATERAL (SELECT z.ctid AS place FROM longhaul.lease z
                                         WHERE z.job_id = u.id AND z.boot = p_boot AND z.fence = u.fence OFFSET 0) x))
           -- Looked at again should the row have changed since its place was looked up.
           AND y.boot = p_boot AND y.fence = ANY (p_fences)
        RETURNING y.*
    ), gone AS MATERIALIZED (
        SELECT DISTINCT ON (u.id) -- should one come twice, the first counts
               u.n, u.id, u.status, u.ran_ms, u.media_type, u.result, u.result_size, u.error, u.fence,
               l.client, l.due_at, coalesce(u.done, l.done) AS done, coalesce(u.total, l.total) AS total,
               coalesce(u.message, l.message) AS message, l.type_id, l.attempt, l.gen, l.started_at, l.waiter
          FROM u JOIN l ON l.job_id = u.id AND l.fence = u.fence
         ORDER BY u.id, u.n
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
    ), d AS (
        INSERT INTO longhaul.tally_delta (ended_at, type_id, status, jobs, waited, ran, client)
        SELECT v_now, x.type_id, x.status, count(*), sum(greatest(x.began - coalesce(x.due_at, x.began), interval '0')),
               sum(greatest(v_now - x.began, interval '0')), coalesce(x.client, '')
          FROM (SELECT g.type_id, g.status, g.client, g.due_at,
                       coalesce(g.started_at, v_now - g.ran_ms * interval '1 ms', v_now) AS began FROM gone g) x
         GROUP BY x.type_id, x.status, x.client
    )
    SELECT array_agg(g.n::integer), array_agg(g.id), array_agg(g.waiter), array_agg(g.gen)
      INTO v_ok, v_ended, v_waiters, v_gens FROM gone g;
    IF v_ended IS NOT NULL THEN
        PERFORM longhaul.announce(v_ended);
    END IF;
    IF cardinality(p_logs) > 0 AND v_ended IS NOT NULL THEN
        INSERT INTO longhaul.attempt_log (job_id, gen, log)
        SELECT x.id, x.gen, u.log
          FROM unnest(p_logs) WITH ORDINALITY AS u(log, n) JOIN unnest(v_ok, v_ended, v_gens) AS x(n, id, gen) ON x.n = u.n
         WHERE u.log IS NOT NULL;
    END IF;

    RETURN QUERY SELECT x.n, 1::smallint, x.w FROM unnest(v_ok, v_waiters) AS x(n, w);

    -- Of a lost lease the request stays: it is for whoever has the job now.
    IF EXISTS (SELECT FROM longhaul.cancel_request) THEN
        DELETE FROM longhaul.cancel_request c
         WHERE c.job_id = ANY (v_ended);
    END IF;
    RETURN QUERY
    WITH w AS (
        DELETE FROM longhaul.waiter w WHERE w.job_id = ANY (v_ended)
        RETURNING w.job_id, w.waiter
    )
    SELECT u.n::integer, 1::smallint, w.waiter
      FROM w JOIN unnest(p_job_ids) WITH ORDINALITY AS u(id, n) ON u.id = w.job_id;

    v_more := EXISTS (SELECT FROM unnest(v_status) AS s WHERE s >= 0)
              AND coalesce(cardinality(v_ok), 0) < (SELECT count(*) FROM unnest(v_status) AS s WHERE s >= 0);
    IF v_more THEN
        waiter := NULL;
        FOR r IN
            SELECT u.n::integer, u.id, o.gen, u.log
              FROM unnest(p_job_ids, p_fences, v_status, p_logs) WITH ORDINALITY AS u(id, fence, status, log, n)
              LEFT JOIN LATERAL (SELECT x.gen FROM longhaul.outcome x
                                  WHERE x.job_id = u.id AND x.boot = p_boot AND x.fence = u.fence OFFSET 0) o ON true
             WHERE u.status >= 0 AND (v_ok IS NULL OR u.n <> ALL (v_ok))
        LOOP
            ord := r.n;
            code := CASE WHEN r.gen IS NULL THEN 0 ELSE 2 END;
            RETURN NEXT;
            IF code = 2 AND r.log IS NOT NULL THEN
                -- Its handler's own transaction has ended the job, which knew nothing of the log.
                INSERT INTO longhaul.attempt_log (job_id, gen, log) VALUES (r.id, r.gen - 1, r.log) ON CONFLICT DO NOTHING;
            ELSIF code = 0 AND p_verdicts[r.n] IN (1, 2, 4) THEN
                v_stale := v_stale + 1;
            END IF;
        END LOOP;
        IF v_stale > 0 THEN
            PERFORM longhaul.count_stale(p_boot, 'outcome', v_stale);
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.finish_batch(uuid, uuid[], bigint[], smallint[], integer[], text[], bytea[], bigint[], text[],
    bigint[], bigint[], bigint[], text[], text[]) IS 'Ends attempts of jobs, for the holders of their leases';

-- Takes the jobs of hosts whose lease has run out. Any worker may call it, any number at once.
-- The clock is the database's, and doesn't count while the server is down. A job that had begun on five lost hosts
-- is failed; one that was only claimed ahead is just put back.
-- It waits for nobody: a worker calls it on the connection that renews its own lease. A job whose lease is
-- locked is being finished, perhaps by an import that takes its time; the next call sees what became of it.
-- Its deliveries of webhooks are put back too.
-- Returns how many jobs it took. Writes: worker, worker_type, lease, ready, outcome, webhook_queue, event_delta. Locks: the dead
-- worker's advisory lock against its own claims, which might otherwise slip in a lease behind this; its leases.
CREATE FUNCTION longhaul.rescue() RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_boot   uuid;
    v_ids    uuid[];
    v_failed uuid[];
    v_count  integer := 0;
BEGIN
    FOR v_boot IN SELECT w.boot FROM longhaul.worker w
                   WHERE w.lease_until < clock_timestamp()
                     -- While the server was down nobody could renew a lease: each gets its length once more.
                     AND clock_timestamp() > pg_postmaster_start_time() + (w.lease_until - w.beat_at)
                     AND (coalesce(w.dead_at, w.stopped_at) IS NULL
                          OR w.boot IN (SELECT l.boot FROM longhaul.lease l WHERE l.boot IS NOT NULL)
                          OR w.boot IN (SELECT q.boot FROM longhaul.webhook_queue q WHERE q.boot IS NOT NULL))
                   ORDER BY w.boot
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('longhaul.boot'), hashtext(v_boot::text));
        -- Looks again, with the row locked: a beat may have come in between.
        PERFORM FROM longhaul.worker w
          WHERE w.boot = v_boot AND w.lease_until < clock_timestamp() FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        WITH w AS (
            UPDATE longhaul.worker w SET dead_at = clock_timestamp()
             WHERE w.boot = v_boot AND w.dead_at IS NULL AND w.stopped_at IS NULL
            RETURNING w.host
        )
        INSERT INTO longhaul.event_delta (jobs, what, who) SELECT 1, 'lease_lost', w.host FROM w;
        DELETE FROM longhaul.worker_type t WHERE t.boot = v_boot;

        v_ids := ARRAY(SELECT l.job_id FROM longhaul.lease l WHERE l.boot = v_boot ORDER BY l.job_id FOR UPDATE SKIP LOCKED);
        WITH l AS (
            UPDATE longhaul.lease SET host_deaths = lease.host_deaths + 1
             WHERE lease.job_id = ANY (v_ids) AND lease.started_at IS NOT NULL
            RETURNING lease.job_id, lease.host_deaths
        )
        SELECT array_agg(l.job_id) INTO v_failed FROM l WHERE l.host_deaths >= 5;
        IF v_failed IS NOT NULL THEN
            PERFORM longhaul.end_jobs(v_failed, 4::smallint,
                array_fill(longhaul.problem('host-lost', 'The worker host was lost', 500,
                                            'Five worker hosts were lost while they ran this job.'),
                           ARRAY[cardinality(v_failed)]));
        END IF;
        -- Those that have failed have no lease any more: it passes them over.
        PERFORM longhaul.take_back(v_ids);
        v_count := v_count + cardinality(v_ids);
        IF cardinality(v_ids) > 0 THEN
            INSERT INTO longhaul.event_delta (jobs, what, who)
            SELECT cardinality(v_ids), 'rescued', w.host FROM longhaul.worker w WHERE w.boot = v_boot;
        END IF;
        PERFORM longhaul.webhook_take_back(v_boot);
    END LOOP;
    IF v_count > 0 THEN
        PERFORM pg_notify('longhaul_wake', '');
    END IF;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION longhaul.rescue() IS 'Puts the jobs of dead worker hosts back into the queue';
