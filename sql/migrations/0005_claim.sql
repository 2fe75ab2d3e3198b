-- Workers: lease of the host, claim, progress, rescue.
--
-- The fence: the pair (boot, number) that a worker gives a claim from its own memory. Every later
-- write names it; a write whose lease row is gone or names another pair changes nothing. A
-- sequence would not do: after a crash of the server that lost an unflushed claim, it could hand out
-- the same number again.

-- Registers a daemon; its lease runs from now.
CREATE FUNCTION longhaul.worker_start(p_boot uuid, p_host text, p_pid integer, p_version text, p_lease_ms integer)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    INSERT INTO longhaul.worker (boot, host, pid, version, lease_until)
    VALUES (p_boot, p_host, p_pid, p_version, clock_timestamp() + p_lease_ms * interval '1 ms')
    ON CONFLICT (boot) DO NOTHING
$$;
COMMENT ON FUNCTION longhaul.worker_start(uuid, text, integer, text, integer) IS 'Registers a worker daemon';

-- Puts claimed jobs back: their lease rows must exist and are kept without an owner. p_delay_ms NULL
-- or <= 0: claimable at once, before all others of their priority. Internal.
-- An attempt that had begun is kept as interrupted, unless the caller has said how it ended.
-- Writes: attempt, lease, ready, delayed, cancel_request, job_deadline.
CREATE FUNCTION longhaul.put_back(p_job_ids uuid[], p_delay_ms bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET jit = off SET enable_seqscan = off SET enable_nestloop = off SET enable_mergejoin = off
AS $$
BEGIN
    IF EXISTS (SELECT FROM longhaul.job_deadline) THEN
        -- What has begun once has begun in time.
        DELETE FROM longhaul.job_deadline d
         WHERE d.job_id = ANY (ARRAY(
                   SELECT z.job_id FROM longhaul.lease z
                    WHERE z.job_id = ANY (p_job_ids)
                      AND (z.started_at IS NOT NULL OR z.attempt > z.attempt_base OR z.deaths > 0 OR z.host_deaths > 0)));
    END IF;
    WITH u AS MATERIALIZED (
        -- One by one through the index, whatever the statistics say: see finish_batch.
        SELECT x.*, l.place, l.gen, l.boot, l.started_at
          FROM (SELECT * FROM unnest(p_job_ids, p_delay_ms) AS x(id, delay_ms) ORDER BY x.id) x
         CROSS JOIN LATERAL (SELECT z.ctid AS place, z.gen, z.boot, z.started_at FROM longhaul.lease z
                              WHERE z.job_id = x.id OFFSET 0) l
    ), a AS (
        INSERT INTO longhaul.attempt (job_id, gen, status, boot, started_at, ended_at)
        SELECT u.id, u.gen, 6, u.boot, u.started_at, clock_timestamp()
          FROM u WHERE u.started_at IS NOT NULL AND u.boot IS NOT NULL
        ON CONFLICT DO NOTHING
    ), y AS (
        UPDATE longhaul.lease SET boot = NULL, fence = NULL, gen = lease.gen + 1, change = 0, claimed_at = NULL,
               started_at = NULL, progress_at = NULL, changed_at = clock_timestamp(), done = NULL, total = NULL,
               message = NULL
         WHERE lease.ctid = ANY (ARRAY(SELECT u.place FROM u))
        RETURNING lease.*
    ), l AS MATERIALIZED (
        SELECT y.job_id, y.type_id, y.priority, y.gen, y.attempt, y.seq, y.waiter, u.delay_ms
          FROM y JOIN u ON u.id = y.job_id
    ), r AS (
        INSERT INTO longhaul.ready (type_id, priority, gen, attempt, seq, waiter, job_id)
        SELECT l.type_id, l.priority, l.gen, l.attempt, l.seq - (1::bigint << 62), l.waiter, l.job_id
          FROM l WHERE coalesce(l.delay_ms, 0) <= 0
    )
    INSERT INTO longhaul.delayed (job_id, run_at, type_id, priority, gen, attempt, seq)
    SELECT l.job_id, clock_timestamp() + l.delay_ms * interval '1 ms', l.type_id, l.priority, l.gen, l.attempt, l.seq
      FROM l WHERE l.delay_ms > 0;
    DELETE FROM longhaul.cancel_request c WHERE c.job_id = ANY (p_job_ids);
END
$$;
COMMENT ON FUNCTION longhaul.put_back(uuid[], bigint[]) IS 'Internal: returns claimed jobs to the queue';

-- Renews the lease of the daemon p_boot and stores what it serves (parallel arrays, one element a type;
-- a type that isn't named any more is served no more).
-- Returns a row per running job of its that somebody wants canceled, at least one row; alive false:
-- the lease was taken away, everything it holds is lost.
-- Writes: worker, worker_type.
CREATE FUNCTION longhaul.worker_beat(
    p_boot uuid, p_lease_ms integer, p_type_ids integer[], p_slots integer[], p_running integer[],
    p_finish_per_s double precision[], p_mean_ms double precision[], p_floor bigint[],
    OUT alive boolean, OUT job_id uuid)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE longhaul.worker w SET beat_at = clock_timestamp(),
           lease_until = clock_timestamp() + p_lease_ms * interval '1 ms'
     WHERE w.boot = p_boot AND w.dead_at IS NULL AND w.stopped_at IS NULL;
    alive := FOUND;
    IF NOT alive THEN
        RETURN NEXT;
        RETURN;
    END IF;
    INSERT INTO longhaul.worker_type AS t (boot, type_id, slots, running, finish_per_s, mean_ms, floor_seq)
    SELECT p_boot, u.* FROM unnest(p_type_ids, p_slots, p_running, p_finish_per_s, p_mean_ms, p_floor) AS u
    ON CONFLICT (boot, type_id) DO UPDATE
       SET slots = excluded.slots, running = excluded.running, finish_per_s = excluded.finish_per_s,
           mean_ms = excluded.mean_ms, floor_seq = excluded.floor_seq, updated_at = now();
    DELETE FROM longhaul.worker_type t WHERE t.boot = p_boot AND t.type_id <> ALL (p_type_ids);
    FOR job_id IN SELECT c.job_id FROM longhaul.cancel_request c WHERE c.boot = p_boot LOOP
        RETURN NEXT;
    END LOOP;
    IF job_id IS NULL THEN
        RETURN NEXT;
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.worker_beat(uuid, integer, integer[], integer[], integer[], double precision[], double precision[], bigint[])
    IS 'Renews a worker''s lease; returns what it should cancel';

-- Says that a daemon is gone for good. What it still holds is put back at once; a job that is being
-- finished right now is left to that, and else to rescue.
-- Writes: worker, worker_type, webhook_queue, and as take_back. Locks: the daemon's advisory lock, after its last claim.
CREATE FUNCTION longhaul.worker_stop(p_boot uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('longhaul.boot'), hashtext(p_boot::text));
    UPDATE longhaul.worker SET stopped_at = clock_timestamp(), lease_until = clock_timestamp()
     WHERE boot = p_boot AND dead_at IS NULL AND stopped_at IS NULL;
    IF FOUND THEN
        PERFORM longhaul.take_back(ARRAY(
            SELECT l.job_id FROM longhaul.lease l WHERE l.boot = p_boot ORDER BY l.job_id FOR UPDATE SKIP LOCKED));
        PERFORM longhaul.webhook_take_back(p_boot);
    END IF;
    DELETE FROM longhaul.worker_type WHERE boot = p_boot;
END
$$;
COMMENT ON FUNCTION longhaul.worker_stop(uuid) IS 'Ends a worker daemon''s registration';

-- The job types with these names, as a worker needs them. limited: no more may be claimed ahead than there are slots;
-- aged: claims don't go strictly by priority.
CREATE FUNCTION longhaul.worker_types(
    p_names text[],
    OUT type_id integer, OUT name text, OUT max_attempts integer, OUT timeout_ms integer, OUT paused boolean,
    OUT limited boolean, OUT aged boolean)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT t.type_id, t.name, t.max_attempts, t.timeout_ms, t.paused,
           t.max_running IS NOT NULL OR t.rate_limit IS NOT NULL, t.ageing IS NOT NULL
      FROM longhaul.job_type t WHERE t.name = ANY (p_names)
$$;
COMMENT ON FUNCTION longhaul.worker_types(text[]) IS 'The job types that a worker serves';

-- Where the trailing cursors may go, a row per type and priority that has a clock: a transaction that reads the clock
-- has its id first (see submit_batch), and clocks never go back. So once every transaction older than xmax has ended
-- (a later xmin >= xmax), no place up to seq can still appear.
-- xmax is an id drawn here. That of a snapshot would not do: it is one above the newest transaction
-- that has ended, so older ones that still run may have higher ids.
CREATE FUNCTION longhaul.queue_horizon(
    p_type_ids integer[],
    OUT type_id integer, OUT priority smallint, OUT seq bigint, OUT xmax bigint, OUT xmin bigint)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    v_types integer[];
    v_prios smallint[];
    v_seqs  bigint[];
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    -- The clocks first: who reads them after this line reads no less.
    SELECT array_agg(c.type_id), array_agg(c.priority),
           array_agg(((coalesce(pg_sequence_last_value(c.clock), 0) + 1) << 16) - 1)
      INTO v_types, v_prios, v_seqs
      FROM longhaul.queue_clock c WHERE c.type_id = ANY (p_type_ids);
    xmax := pg_current_xact_id()::text::bigint;
    xmin := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    RETURN QUERY SELECT u.t, u.p, u.s, xmax, xmin FROM unnest(v_types, v_prios, v_seqs) AS u(t, p, s);
END
$$;
COMMENT ON FUNCTION longhaul.queue_horizon(integer[]) IS 'How far each queue is and the transactions that may still add below that';

-- Claimed jobs with their inputs and particulars. Internal: a function of its own because its plan must be
-- made for the ids at hand, so that it opens only the days they are of; those of claim must not.
CREATE FUNCTION longhaul.claimed_rows(
    p_taken longhaul.lease[],
    OUT job_id uuid, OUT type_id integer, OUT priority smallint, OUT seq bigint, OUT fence bigint, OUT attempt integer,
    OUT gen integer, OUT client text, OUT media_type text, OUT input_size bigint, OUT input bytea, OUT traceparent text,
    OUT request_id text, OUT expires_at timestamptz)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 500
SET search_path = pg_catalog, longhaul, pg_temp
SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = on
SET enable_nestloop = off SET enable_mergejoin = off
SET jit = off
AS $$
DECLARE
    v_ids uuid[] := ARRAY(SELECT x.job_id FROM unnest(p_taken) AS x);
BEGIN
    RETURN QUERY
    -- seq as it stood in ready: the caller's cursor must not be moved by a job that was put back.
    SELECT l.job_id, l.type_id, l.priority, CASE WHEN l.gen > 2 THEN l.seq - (1::bigint << 62) ELSE l.seq END,
           l.fence, l.attempt, l.gen, j.client, j.media_type, j.input_size, j.input, j.traceparent, j.request_id,
           j.created_at + t.lifetime
      FROM unnest(p_taken) AS l
      JOIN longhaul.job j ON j.id = l.job_id
      JOIN longhaul.job_type t ON t.type_id = l.type_id
     WHERE j.id = ANY (v_ids);
END
$$;
COMMENT ON FUNCTION longhaul.claimed_rows(longhaul.lease[]) IS 'Internal: inputs and particulars of claimed jobs';

-- Claims jobs for the daemon p_boot.
--   p_fence      row i of the answer has fence p_fence + i; the caller never uses a number twice
--   p_type_ids, p_priorities, p_after, p_limits: parallel; one element per priority that the worker
--                knows of a type, higher priorities first: take what lies above seq p_after.
--                p_limits is the type's, the same in each of its elements
--   p_look_back  also take jobs that were put back (negative seq) and look for other priorities
-- Of a type with ageing, the priority whose head counts most comes first: its priority and what it has waited /
-- ageing. It gives an eighth of what is asked for, then the heads are compared again.
-- A row without job_id says that a type (type_id) was cut short by its limit; seq: the milliseconds until its
-- rate limit lets the next job through, NULL = not before one of its jobs ends.
-- Commits without waiting for the disk: a claim that a crash loses is a job that still waits, and
-- the fence keeps the ghost out. Raises LH001 if the daemon's lease has been taken away.
-- Writes: ready, lease, the clocks, type_rate, event_delta. Locks: the rows; an advisory lock shared with other claims of this
-- daemon, against rescue; of types with limits one each, so that two claims together don't pass the limit.
CREATE FUNCTION longhaul.claim(
    p_boot uuid, p_fence bigint, p_type_ids integer[], p_priorities smallint[], p_after bigint[], p_limits integer[],
    p_look_back boolean,
    OUT job_id uuid, OUT type_id integer, OUT priority smallint, OUT seq bigint, OUT fence bigint, OUT attempt integer,
    OUT gen integer, OUT client text, OUT media_type text, OUT input_size bigint, OUT input bytea, OUT traceparent text,
    OUT request_id text, OUT expires_at timestamptz)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_nestloop = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    -- ranges of the queue to look through, in order
    v_types   integer[] := '{}';
    v_prios   smallint[] := '{}';
    v_after   bigint[] := '{}';
    v_upto    bigint[] := '{}';
    v_limits  integer[] := '{}';
    -- types with limits or ageing
    s_types   integer[] := '{}';
    s_ageing  interval[] := '{}';
    s_limited boolean[] := '{}';
    s_room    integer[] := '{}';
    s_wait    bigint[] := '{}';
    s_taken   integer[] := '{}';
    v_taken   longhaul.lease[] := '{}';
    v_some    longhaul.lease[];
    v_last    integer := -1;
    v_left    integer := 0;
    v_portion integer;
    v_rows    integer;
    v_seq     bigint;
    v_above   smallint;
    v_below   smallint;
    v_found   smallint;
    v_fence   bigint := p_fence;
    v_now     timestamptz := clock_timestamp();
    v_late    boolean := EXISTS (SELECT FROM longhaul.job_deadline d WHERE d.start_by <= clock_timestamp());
    c_top     CONSTANT bigint := 9223372036854775807;
    i         integer;
    k         integer;
    s         integer;
    v_type    integer;
    v_ageing  interval;
    v_limited boolean;
    v_host    text;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock_shared(hashtext('longhaul.boot'), hashtext(p_boot::text));
    SELECT w.host INTO v_host FROM longhaul.worker w
     WHERE w.boot = p_boot AND w.dead_at IS NULL AND w.stopped_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lease of worker % is lost', p_boot USING ERRCODE = 'LH001';
    END IF;
    -- To a host that is drained, as if each type were at its limit: its cursors stay where they are.
    IF EXISTS (SELECT FROM longhaul.drained_host d JOIN longhaul.worker w ON w.host = d.host WHERE w.boot = p_boot) THEN
        FOR type_id IN SELECT DISTINCT x FROM unnest(p_type_ids) x LOOP
            RETURN NEXT;
        END LOOP;
        RETURN;
    END IF;

    -- In one order, so that claims don't wait for each other in a ring.
    FOR v_type, v_ageing, v_limited IN
        SELECT t.type_id, t.ageing, t.max_running IS NOT NULL OR t.rate_limit IS NOT NULL
          FROM longhaul.job_type t
         WHERE t.type_id = ANY (p_type_ids)
           AND (t.max_running IS NOT NULL OR t.rate_limit IS NOT NULL OR t.ageing IS NOT NULL)
         ORDER BY t.type_id
    LOOP
        s := cardinality(s_types) + 1;
        s_types[s] := v_type;
        s_ageing[s] := v_ageing;
        s_limited[s] := v_limited;
        s_taken[s] := 0;
        IF v_limited THEN
            PERFORM pg_advisory_xact_lock(hashtext('longhaul.type'), v_type);
            SELECT x.room, x.wait_ms INTO v_rows, v_seq
              FROM longhaul.type_room(v_type, p_limits[array_position(p_type_ids, v_type)]) x;
            s_room[s] := v_rows;
            s_wait[s] := v_seq;
        END IF;
    END LOOP;

    -- The ranges to look through, in order.
    FOR i IN 1 .. cardinality(p_type_ids) LOOP
        IF p_look_back THEN
            -- Priorities that the caller doesn't know lie between those it does.
            v_above := CASE WHEN i > 1 AND p_type_ids[i - 1] = p_type_ids[i] THEN p_priorities[i - 1] ELSE 32767 END;
            LOOP
                SELECT r.priority INTO v_found FROM longhaul.ready r
                 WHERE r.type_id = p_type_ids[i] AND r.priority < v_above AND r.priority > p_priorities[i]
                 ORDER BY r.priority DESC LIMIT 1;
                EXIT WHEN NOT FOUND;
                v_types := v_types || p_type_ids[i];
                v_prios := v_prios || v_found;
                v_after := v_after || -c_top;
                v_upto := v_upto || c_top;
                v_limits := v_limits || p_limits[i];
                v_above := v_found;
            END LOOP;
            v_types := v_types || p_type_ids[i];
            v_prios := v_prios || p_priorities[i];
            v_after := v_after || -c_top;
            v_upto := v_upto || 0::bigint;
            v_limits := v_limits || p_limits[i];
        END IF;
        v_types := v_types || p_type_ids[i];
        v_prios := v_prios || p_priorities[i];
        v_after := v_after || p_after[i];
        v_upto := v_upto || c_top;
        v_limits := v_limits || p_limits[i];
        IF p_look_back AND (i = cardinality(p_type_ids) OR p_type_ids[i + 1] <> p_type_ids[i]) THEN
            v_below := p_priorities[i];
            LOOP
                SELECT r.priority INTO v_found FROM longhaul.ready r
                 WHERE r.type_id = p_type_ids[i] AND r.priority < v_below
                 ORDER BY r.priority DESC LIMIT 1;
                EXIT WHEN NOT FOUND;
                v_types := v_types || p_type_ids[i];
                v_prios := v_prios || v_found;
                v_after := v_after || -c_top;
                v_upto := v_upto || c_top;
                v_limits := v_limits || p_limits[i];
                v_below := v_found;
            END LOOP;
        END IF;
    END LOOP;

    i := 1;
    WHILE i <= cardinality(v_types) LOOP
        IF v_types[i] <> v_last THEN
            v_last := v_types[i];
            s := array_position(s_types, v_last);
            v_left := CASE WHEN s_limited[s] THEN s_room[s] ELSE v_limits[i] END;
        END IF;
        IF v_left <= 0 THEN
            i := i + 1;
            CONTINUE;
        END IF;
        k := i;
        v_portion := v_left;
        IF s_ageing[s] IS NOT NULL THEN
            -- Of each range the head; put-back jobs go on coming first in their priority.
            SELECT x.n INTO k
              FROM (SELECT g.n, max(v_prios[g.n] + extract(epoch FROM clock_timestamp() - longhaul.uuid_time(h.job_id))
                                                   / extract(epoch FROM s_ageing[s]))
                                OVER (PARTITION BY v_prios[g.n]) AS counts
                      FROM generate_series(i, cardinality(v_types)) AS g(n)
                      CROSS JOIN LATERAL (SELECT q.job_id FROM longhaul.ready q
                                           WHERE q.type_id = v_last AND q.priority = v_prios[g.n]
                                             AND q.seq > v_after[g.n] AND q.seq < v_upto[g.n]
                                           ORDER BY q.seq LIMIT 1) h
                     WHERE v_types[g.n] = v_last) x
             ORDER BY x.counts DESC, x.n LIMIT 1;
            IF NOT FOUND THEN
                v_left := 0;
                CONTINUE;
            END IF;
            v_portion := least(v_left, greatest(1, v_limits[i] / 8));
        END IF;
        -- Delete by the ctids of the locking subquery: a join on the key is planned ten times slower.
        WITH c AS (
            DELETE FROM longhaul.ready r
             WHERE r.ctid = ANY (ARRAY(
                       SELECT q.ctid FROM longhaul.ready q
                        WHERE q.type_id = v_types[k] AND q.priority = v_prios[k]
                          AND q.seq > v_after[k] AND q.seq < v_upto[k]
                          -- Not what should have been started by now: expire_unstarted fails it.
                          AND (NOT v_late OR NOT EXISTS (SELECT FROM longhaul.job_deadline d
                                                          WHERE d.job_id = q.job_id AND d.start_by <= v_now))
                        ORDER BY q.seq LIMIT v_portion FOR UPDATE SKIP LOCKED))
            RETURNING r.*
        ), n AS MATERIALIZED (
            SELECT c.*, v_fence + row_number() OVER (ORDER BY c.seq) - 1 AS new_fence FROM c
        ), first AS (
            INSERT INTO longhaul.lease AS l (job_id, boot, fence, type_id, priority, gen, attempt, seq, claimed_at, waiter,
                                             limited, due_at, client)
            SELECT n.job_id, p_boot, n.new_fence, n.type_id, n.priority, n.gen + 1, n.attempt + 1, n.seq,
                   clock_timestamp(), n.waiter, coalesce(s_limited[s], false), n.due_at, n.client
              FROM n WHERE n.gen = 1
            RETURNING l.*
        ), again AS (
            UPDATE longhaul.lease l
               SET (boot, fence, gen, attempt, change, claimed_at) =
                   (SELECT p_boot, n.new_fence, n.gen + 1, n.attempt + 1, 0, clock_timestamp() FROM n WHERE n.job_id = l.job_id)
                   -- One by one through the index, whatever the statistics say: see finish_batch. A join with n would
                   -- let the planner read all leases instead.
             WHERE l.ctid = ANY (ARRAY(
                       SELECT x.place FROM n AS m
                        CROSS JOIN LATERAL (SELECT z.ctid AS place FROM longhaul.lease z WHERE z.job_id = m.job_id OFFSET 0) x
                        WHERE m.gen > 1))
            RETURNING l.*
        )
        SELECT array_agg(ROW(x.*)::longhaul.lease), (SELECT count(*) FROM n), (SELECT max(n.seq) FROM n)
          INTO v_some, v_rows, v_seq
          FROM (SELECT * FROM first UNION ALL SELECT * FROM again) x;
        v_left := v_left - v_rows;
        v_fence := v_fence + v_rows;
        IF v_some IS NOT NULL THEN
            v_taken := v_taken || v_some;
        END IF;
        IF v_seq > 0 THEN
            PERFORM longhaul.advance_clock(v_last, v_prios[k], v_seq >> 16);
        END IF;
        IF s IS NOT NULL THEN
            s_taken[s] := s_taken[s] + v_rows;
        END IF;
        IF s_ageing[s] IS NULL THEN
            i := i + 1;
        ELSE -- the rest of the range counts when its head is the oldest again
            v_after[k] := CASE WHEN v_rows < v_portion THEN v_upto[k] ELSE v_seq END;
        END IF;
    END LOOP;

    IF cardinality(v_taken) > 0 THEN
        INSERT INTO longhaul.event_delta (jobs, what, who) VALUES (cardinality(v_taken), 'claimed', v_host);
        RETURN QUERY SELECT * FROM longhaul.claimed_rows(v_taken);
    END IF;
    FOR s IN 1 .. cardinality(s_types) LOOP
        CONTINUE WHEN NOT s_limited[s];
        IF s_taken[s] > 0 THEN
            PERFORM longhaul.took_from_rate(s_types[s], s_taken[s]);
        END IF;
        IF s_taken[s] = s_room[s] AND s_room[s] < p_limits[array_position(p_type_ids, s_types[s])] THEN
            type_id := s_types[s];
            seq := s_wait[s];
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION longhaul.claim(uuid, bigint, integer[], smallint[], bigint[], integer[], boolean)
    IS 'Claims waiting jobs for a worker, SKIP LOCKED, in order of priority and seq';

-- Puts back what a worker has claimed with fences below p_below, but for p_held, which it knows that it holds. Others
-- come about when the answer of a claim is lost on the way, and when a fail-over or a restore has undone a
-- finish: nobody else may take these jobs while the worker's lease holds. Burns no attempt. Returns how many.
-- Writes: as take_back. Locks: the daemon's advisory lock, after a claim that still goes on behind a
-- connection that broke.
CREATE FUNCTION longhaul.release_unheld(p_boot uuid, p_below bigint, p_held bigint[]) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_ids uuid[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('longhaul.boot'), hashtext(p_boot::text));
    v_ids := ARRAY(SELECT l.job_id FROM longhaul.lease l
                    WHERE l.boot = p_boot AND l.fence < p_below AND l.fence <> ALL (p_held) ORDER BY l.job_id FOR UPDATE);
    PERFORM longhaul.take_back(v_ids);
    RETURN cardinality(v_ids);
END
$$;
COMMENT ON FUNCTION longhaul.release_unheld(uuid, bigint, bigint[]) IS 'Puts back the claimed jobs that a worker doesn''t know of';

-- Progress of running jobs (parallel arrays). p_age_ms: since the handler began; NULL = not begun, the row
-- only asks whether the lease holds. done, total, message NULL = unchanged.
-- Returns the jobs whose lease is lost: stop their handlers, write nothing more.
-- Commits without waiting for the disk. Writes: lease; stale_write if refused. Locks: the rows, SKIP LOCKED:
-- what is locked is left as it is.
CREATE FUNCTION longhaul.progress_batch(
    p_boot uuid, p_job_ids uuid[], p_fences bigint[], p_age_ms integer[], p_done bigint[], p_total bigint[],
    p_messages text[])
RETURNS SETOF uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp
SET jit = off SET enable_seqscan = off SET enable_nestloop = off SET enable_mergejoin = off
AS $$
DECLARE
    v_lost uuid[];
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    WITH u AS MATERIALIZED (
        SELECT * FROM unnest(p_job_ids, p_fences, p_age_ms, p_done, p_total, p_messages)
                      AS x(id, fence, age_ms, done, total, message) ORDER BY x.id
    ), free AS MATERIALIZED (
        -- A row that is locked is being ended by its own holder, or taken from it: a merge may hold it for
        -- minutes, and the other jobs' progress must not wait for that.
        SELECT l.job_id, l.place, u.fence, u.age_ms, u.done, u.total, u.message
          FROM u
          CROSS JOIN LATERAL (SELECT z.job_id, z.ctid AS place FROM longhaul.lease z
                               WHERE z.job_id = u.id AND z.boot = p_boot AND z.fence = u.fence
                                 FOR NO KEY UPDATE SKIP LOCKED) l
    ), held AS (
        UPDATE longhaul.lease l
           SET started_at = coalesce(l.started_at, clock_timestamp() - f.age_ms * interval '1 ms'),
               change = CASE WHEN l.started_at IS NULL AND f.age_ms IS NULL THEN l.change ELSE l.change + 1 END,
               changed_at = CASE WHEN l.started_at IS NULL AND f.age_ms IS NULL THEN l.changed_at ELSE clock_timestamp() END,
               progress_at = CASE WHEN f.done IS NULL THEN l.progress_at ELSE clock_timestamp() END,
               done = coalesce(f.done, l.done),
               total = coalesce(f.total, l.total),
               message = coalesce(f.message, l.message)
          FROM free f
         WHERE l.ctid = ANY (ARRAY(SELECT x.place FROM free x))
           AND l.job_id = f.job_id AND l.boot = p_boot AND l.fence = f.fence
    )
    SELECT array_agg(u.id) INTO v_lost FROM u
     WHERE (SELECT true FROM longhaul.lease l
             WHERE l.job_id = u.id AND l.boot = p_boot AND l.fence = u.fence LIMIT 1) IS NULL;
    IF v_lost IS NOT NULL THEN
        PERFORM longhaul.count_stale_progress(p_boot, p_job_ids, p_fences, p_done, v_lost);
        RETURN QUERY SELECT unnest(v_lost);
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.progress_batch(uuid, uuid[], bigint[], integer[], bigint[], bigint[], text[])
    IS 'Stores progress; returns the jobs whose lease is lost';

-- One piece of a job's large input; NULL past its end.
CREATE FUNCTION longhaul.input_chunk_get(p_job_id uuid, p_seq integer) RETURNS bytea
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    RETURN (SELECT c.data FROM longhaul.input_chunk c WHERE c.job_id = p_job_id AND c.seq = p_seq);
END
$$;
COMMENT ON FUNCTION longhaul.input_chunk_get(uuid, integer) IS 'One piece of a large input';

-- Stores one piece of a large result, for the holder of the lease only: false = the lease is lost.
-- Commits without waiting for the disk: the finish that makes it visible waits, and is behind it in the log.
-- Pieces belong to a generation of the job: one that is written while the lease is taken away is never read.
-- Writes: result_chunk; stale_write if refused. Locks: the lease row, against the end of the job.
CREATE FUNCTION longhaul.result_chunk_put(p_boot uuid, p_job_id uuid, p_fence bigint, p_seq integer, p_data bytea)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_gen integer;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT l.gen INTO v_gen FROM longhaul.lease l
     WHERE l.job_id = p_job_id AND l.boot = p_boot AND l.fence = p_fence FOR KEY SHARE;
    IF NOT FOUND THEN
        PERFORM longhaul.count_stale(p_boot, 'result', 1);
        RETURN false;
    END IF;
    INSERT INTO longhaul.result_chunk (job_id, gen, seq, data) VALUES (p_job_id, v_gen, p_seq, p_data)
    ON CONFLICT ON CONSTRAINT result_chunk_pkey DO NOTHING;
    RETURN true;
END
$$;
COMMENT ON FUNCTION longhaul.result_chunk_put(uuid, uuid, bigint, integer, bytea) IS 'Stores one 262144-byte piece of a result';

-- Moves jobs whose time has come from delayed to ready, at most p_limit. Several workers may call it at once.
-- Returns how many it moved and the milliseconds until the next is due (NULL = none waits).
-- A first attempt gets its place now, by its client's turns; others go before all that were never claimed.
-- Writes: delayed, ready.
CREATE FUNCTION longhaul.promote_due(p_limit integer, OUT moved integer, OUT next_due_ms bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
BEGIN
    moved := 0;
    SELECT ceil(extract(epoch FROM min(d.run_at) - clock_timestamp()) * 1000)::bigint INTO next_due_ms
      FROM longhaul.delayed d;
    IF next_due_ms IS NULL OR next_due_ms > 0 THEN
        RETURN;
    END IF;
    PERFORM pg_current_xact_id(); -- before reading the clocks: see submit_batch
    WITH d AS (
        DELETE FROM longhaul.delayed x
         WHERE x.ctid = ANY (ARRAY(SELECT q.ctid FROM longhaul.delayed q WHERE q.run_at <= clock_timestamp()
                                   ORDER BY q.run_at LIMIT p_limit FOR UPDATE SKIP LOCKED))
        RETURNING x.*
    ), n AS MATERIALIZED (
        SELECT d.*, row_number() OVER (PARTITION BY d.type_id, d.priority, d.client ORDER BY d.run_at, d.seq) AS turn FROM d
    ), c AS MATERIALIZED (
        SELECT n.type_id, n.priority, n.client,
               longhaul.take_turns(n.type_id, n.priority, n.client, count(*)::integer) AS last
          FROM n WHERE n.gen = 1 GROUP BY n.type_id, n.priority, n.client
    ), i AS (
        INSERT INTO longhaul.ready (type_id, priority, gen, attempt, seq, job_id, due_at, client)
        SELECT n.type_id, n.priority, n.gen, n.attempt,
               CASE WHEN n.gen = 1 THEN ((c.last + n.turn) << 16) | (nextval('longhaul.ready_seq') & 65535)
                    ELSE n.seq - (1::bigint << 62) END, n.job_id, CASE WHEN n.gen = 1 THEN n.run_at END, n.client
          FROM n LEFT JOIN c ON n.gen = 1 AND c.type_id = n.type_id AND c.priority = n.priority
                            AND c.client IS NOT DISTINCT FROM n.client
         ORDER BY n.run_at, n.seq
        RETURNING 1
    )
    SELECT count(*) INTO moved FROM i;
    SELECT greatest(0, ceil(extract(epoch FROM d.run_at - clock_timestamp()) * 1000))::bigint INTO next_due_ms
      FROM longhaul.delayed d ORDER BY d.run_at LIMIT 1;
END
$$;
COMMENT ON FUNCTION longhaul.promote_due(integer) IS 'Makes delayed jobs claimable when their time has come';
