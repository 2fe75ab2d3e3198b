-- Jobs that are worth nothing unless they are started by a time.

CREATE TABLE longhaul.job_deadline (
    job_id   uuid PRIMARY KEY,
    start_by timestamptz NOT NULL
);
CREATE INDEX job_deadline_due ON longhaul.job_deadline (start_by);
COMMENT ON TABLE longhaul.job_deadline IS 'Jobs that fail if no worker has them by a time';
COMMENT ON COLUMN longhaul.job_deadline.job_id IS 'job.id';
COMMENT ON COLUMN longhaul.job_deadline.start_by IS 'when the job fails if it still waits then';
GRANT SELECT ON longhaul.job_deadline TO longhaul_dba;

-- Fails jobs that still wait at their time, at most p_limit. Any number of workers may call it at once.
-- What a worker has by then counts as started: the deadline is forgotten once it has begun, and counts again if the
-- job comes back before that. A claim passes over what is too late, so it doesn't matter how soon this comes.
-- Returns how many jobs it failed and the milliseconds until the next is due (NULL = none has a deadline).
-- Writes: job_deadline, ready, delayed, lease, outcome, cancel_request, waiter, and as announce. Locks: the rows, SKIP
-- LOCKED; first the place in the queue, then the lease, as a claim does.
CREATE FUNCTION longhaul.expire_unstarted(p_limit integer, OUT ended integer, OUT next_due_ms bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_due     uuid[];
    v_ids     uuid[] := '{}';
    v_waiters bigint[] := '{}';
    v_errors  jsonb[] := '{}';
    v_done    uuid[] := '{}';
    v_waiter  bigint;
    r         record;
BEGIN
    ended := 0;
    SELECT ceil(extract(epoch FROM min(d.start_by) - clock_timestamp()) * 1000)::bigint INTO next_due_ms
      FROM longhaul.job_deadline d;
    IF next_due_ms IS NULL OR next_due_ms > 0 THEN
        RETURN;
    END IF;
    v_due := ARRAY(SELECT q.job_id FROM longhaul.job_deadline q WHERE q.start_by <= clock_timestamp()
                    ORDER BY q.start_by LIMIT p_limit FOR UPDATE SKIP LOCKED);
    FOR r IN
        SELECT d.job_id, d.start_by, j.type_id, j.priority, j.seq, j.run_at, l.started_at,
               l.boot IS NOT NULL AS held, j.id IS NULL OR o.job_id IS NOT NULL AS over
          FROM longhaul.job_deadline d
          -- The days by the ids at hand, so that no others are opened.
          LEFT JOIN (SELECT * FROM longhaul.job x WHERE x.id = ANY (v_due)) j ON j.id = d.job_id
          LEFT JOIN (SELECT * FROM longhaul.outcome x WHERE x.job_id = ANY (v_due)) o ON o.job_id = d.job_id
          LEFT JOIN longhaul.lease l ON l.job_id = d.job_id
         WHERE d.job_id = ANY (v_due)
    LOOP
        IF r.over OR r.started_at IS NOT NULL THEN
            v_done := v_done || r.job_id;
            CONTINUE;
        END IF;
        CONTINUE WHEN r.held;
        -- One place at a time, as cancel_job does. What is locked is being claimed, or ended by somebody else.
        v_waiter := NULL;
        DELETE FROM longhaul.ready x
         WHERE x.ctid = ANY (ARRAY(SELECT q.ctid FROM longhaul.ready q
                                    WHERE q.type_id = r.type_id AND q.priority = r.priority AND q.seq = r.seq AND q.job_id = r.job_id
                                      FOR UPDATE SKIP LOCKED))
        RETURNING x.waiter INTO v_waiter;
        IF NOT FOUND THEN
            DELETE FROM longhaul.ready x
             WHERE x.ctid = ANY (ARRAY(SELECT q.ctid FROM longhaul.ready q
                                        WHERE q.type_id = r.type_id AND q.priority = r.priority
                                          AND q.seq = r.seq - (1::bigint << 62) AND q.job_id = r.job_id
                                          FOR UPDATE SKIP LOCKED))
            RETURNING x.waiter INTO v_waiter;
        END IF;
        IF NOT FOUND THEN
            DELETE FROM longhaul.delayed x
             WHERE x.ctid = ANY (ARRAY(SELECT q.ctid FROM longhaul.delayed q WHERE q.job_id = r.job_id FOR UPDATE SKIP LOCKED));
        END IF;
        IF NOT FOUND AND r.run_at IS NOT NULL THEN
            -- Its place was drawn anew when its time came.
            DELETE FROM longhaul.ready x
             WHERE x.ctid = ANY (ARRAY(SELECT q.ctid FROM longhaul.ready q
                                        WHERE q.type_id = r.type_id AND q.priority = r.priority AND q.job_id = r.job_id
                                          FOR UPDATE SKIP LOCKED))
            RETURNING x.waiter INTO v_waiter;
        END IF;
        CONTINUE WHEN NOT FOUND;
        v_ids := v_ids || r.job_id;
        v_waiters := v_waiters || v_waiter;
        v_errors := v_errors || longhaul.problem('expired', 'The job was not started in time', 500,
            format('No worker had taken the job by %s, as was asked for.',
                   to_char(r.start_by AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')));
    END LOOP;
    ended := cardinality(v_ids);
    IF ended > 0 THEN
        PERFORM longhaul.end_jobs(v_ids, 4::smallint, v_errors);
        PERFORM longhaul.tell_waiters(v_waiters, v_ids);
    END IF;
    DELETE FROM longhaul.job_deadline d WHERE d.job_id = ANY (v_ids || v_done);
    -- What is held or locked will be found elsewhere in a moment.
    SELECT greatest(CASE WHEN ended = p_limit THEN 0 ELSE 100 END,
                    ceil(extract(epoch FROM d.start_by - clock_timestamp()) * 1000))::bigint INTO next_due_ms
      FROM longhaul.job_deadline d ORDER BY d.start_by LIMIT 1;
END
$$;
COMMENT ON FUNCTION longhaul.expire_unstarted(integer) IS 'Fails jobs that no worker has taken by their time; workers call it';

REVOKE ALL ON FUNCTION longhaul.expire_unstarted(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION longhaul.expire_unstarted(integer) TO longhaul_worker;
