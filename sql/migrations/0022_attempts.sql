-- Attempts of jobs that have ended before the job did, what attempts have logged, and writes that were refused.
--
-- The attempt with which a job ended is in outcome, the one under way in lease: so a job that is done at once costs
-- no row here. Each attempt has the generation of its claim.

CREATE TABLE longhaul.attempt (
    job_id     uuid NOT NULL,
    gen        integer NOT NULL,
    status     smallint NOT NULL CHECK (status IN (4, 5, 6)),
    boot       uuid,
    started_at timestamptz NOT NULL,
    ended_at   timestamptz NOT NULL,
    error      jsonb,
    PRIMARY KEY (job_id, gen)
) PARTITION BY RANGE (job_id);
COMMENT ON TABLE longhaul.attempt IS 'Attempts that were not their job''s last; see the view attempts';
COMMENT ON COLUMN longhaul.attempt.job_id IS 'job.id';
COMMENT ON COLUMN longhaul.attempt.gen IS 'generation of the claim';
COMMENT ON COLUMN longhaul.attempt.status IS '4 Failed, 5 Canceled, 6 Interrupted: put back, not the job''s fault';
COMMENT ON COLUMN longhaul.attempt.boot IS 'the worker that made it';
COMMENT ON COLUMN longhaul.attempt.started_at IS 'when its handler began';
COMMENT ON COLUMN longhaul.attempt.ended_at IS 'when the job was put back, or ended for the time being';
COMMENT ON COLUMN longhaul.attempt.error IS 'problem details (RFC 9457) that the attempt ended with';

CREATE TABLE longhaul.attempt_log (
    job_id uuid NOT NULL,
    gen    integer NOT NULL,
    log    text COMPRESSION lz4 NOT NULL,
    PRIMARY KEY (job_id, gen)
) PARTITION BY RANGE (job_id);
COMMENT ON TABLE longhaul.attempt_log IS 'What attempts have logged: the last 64 KiB of a command''s stderr, and of what other handlers give to lh_log(); see job_log()';
COMMENT ON COLUMN longhaul.attempt_log.job_id IS 'job.id';
COMMENT ON COLUMN longhaul.attempt_log.gen IS 'generation of the attempt';
COMMENT ON COLUMN longhaul.attempt_log.log IS 'the text; U+FFFD stands for NUL and for what was not UTF-8';

CREATE TABLE longhaul.stale_write (
    host    text NOT NULL,
    kind    text NOT NULL CHECK (kind IN ('outcome', 'result', 'progress')),
    refused bigint NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (host, kind)
) WITH (fillfactor = 50);
COMMENT ON TABLE longhaul.stale_write IS 'How many writes of worker hosts were refused because the job''s lease was lost; see the view stale_writes';
COMMENT ON COLUMN longhaul.stale_write.host IS 'worker.host';
COMMENT ON COLUMN longhaul.stale_write.kind IS 'outcome = the end of an attempt, result = a piece of a large result, progress';
COMMENT ON COLUMN longhaul.stale_write.refused IS 'how many, ever';
COMMENT ON COLUMN longhaul.stale_write.last_at IS 'when the last one was';

DO $$
BEGIN
    PERFORM longhaul.make_partitions(
        (SELECT min(to_date(right(c.relname, 8), 'YYYYMMDD')) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          WHERE i.inhparent = 'longhaul.job'::regclass), (now() AT TIME ZONE 'UTC')::date + 3);
END
$$;

-- Keeps how attempts ended after which their jobs go back to the queue (parallel arrays, as in finish_batch), with
-- their logs, for the holder of the leases only. The caller has locked them. Internal. Writes: attempt, attempt_log.
CREATE FUNCTION longhaul.keep_attempts(
    p_boot uuid, p_job_ids uuid[], p_verdicts smallint[], p_ran_ms integer[], p_errors text[], p_logs text[])
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET jit = off SET enable_seqscan = off AS $$
BEGIN
    WITH u AS MATERIALIZED (
        SELECT x.*, l.gen, l.started_at
          FROM unnest(p_job_ids, p_verdicts, p_ran_ms, p_errors, p_logs) AS x(id, verdict, ran_ms, error, log)
          CROSS JOIN LATERAL (SELECT y.gen, y.started_at FROM longhaul.lease y
                               WHERE y.job_id = x.id AND y.boot = p_boot OFFSET 0) l
    ), a AS (
        INSERT INTO longhaul.attempt (job_id, gen, status, boot, started_at, ended_at, error)
        SELECT u.id, u.gen, CASE u.verdict WHEN 3 THEN 4 ELSE 6 END, p_boot,
               coalesce(u.started_at, clock_timestamp() - u.ran_ms * interval '1 ms'), clock_timestamp(),
               CASE WHEN u.verdict <> 5 THEN u.error::jsonb END
          FROM u
        ON CONFLICT DO NOTHING
    )
    INSERT INTO longhaul.attempt_log (job_id, gen, log)
    SELECT u.id, u.gen, u.log FROM u WHERE u.log IS NOT NULL
    ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION longhaul.keep_attempts(uuid, uuid[], smallint[], integer[], text[], text[])
    IS 'Internal: keeps attempts whose jobs go back to the queue';

-- Counts writes of a worker that were refused because the lease was lost. Internal. Writes: stale_write.
CREATE FUNCTION longhaul.count_stale(p_boot uuid, p_kind text, p_count integer) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    INSERT INTO longhaul.stale_write AS s (host, kind, refused, last_at)
    -- The rows of workers that are gone are kept for a day only.
    SELECT coalesce((SELECT w.host FROM longhaul.worker w WHERE w.boot = p_boot), ''), p_kind, p_count, clock_timestamp()
    ON CONFLICT (host, kind) DO UPDATE SET refused = s.refused + excluded.refused, last_at = excluded.last_at
$$;
COMMENT ON FUNCTION longhaul.count_stale(uuid, text, integer) IS 'Internal: counts refused writes';

-- The same for progress, as in progress_batch: of p_lost what was really to be written, and not by a claim that
-- has ended its job itself meanwhile. Internal. Writes: stale_write.
CREATE FUNCTION longhaul.count_stale_progress(p_boot uuid, p_job_ids uuid[], p_fences bigint[], p_done bigint[], p_lost uuid[])
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan SET jit = off AS $$
DECLARE
    v_count integer;
BEGIN
    SELECT count(*) INTO v_count
      FROM unnest(p_job_ids, p_fences, p_done) AS u(id, fence, done)
     WHERE u.done IS NOT NULL AND u.id = ANY (p_lost)
       AND NOT EXISTS (SELECT FROM longhaul.outcome o
                        WHERE o.job_id = ANY (p_lost) AND o.job_id = u.id AND o.boot = p_boot AND o.fence = u.fence);
    IF v_count > 0 THEN
        PERFORM longhaul.count_stale(p_boot, 'progress', v_count);
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.count_stale_progress(uuid, uuid[], bigint[], bigint[], uuid[]) IS 'Internal: counts refused progress';

-- ---------------------------------------------------------------------------------------------
-- Reading
-- ---------------------------------------------------------------------------------------------

CREATE VIEW longhaul.attempts AS
SELECT x.job_id AS id, row_number() OVER (PARTITION BY x.job_id ORDER BY x.gen)::integer AS attempt,
       CASE x.status WHEN 6 THEN 'Interrupted' ELSE longhaul.status_word(x.status) END AS status,
       (SELECT w.host FROM longhaul.worker w WHERE w.boot = x.boot) AS host, x.started_at, x.ended_at,
       coalesce(x.ended_at, clock_timestamp()) - x.started_at AS ran_for, x.error,
       (SELECT octet_length(g.log) FROM longhaul.attempt_log g WHERE g.job_id = x.job_id AND g.gen = x.gen) AS log_size,
       x.gen
  FROM (SELECT a.job_id, a.gen, a.status, a.boot, a.started_at, a.ended_at, a.error FROM longhaul.attempt a
        UNION ALL
        SELECT o.job_id, o.gen - 1, o.status, o.boot, o.started_at, o.ended_at, o.error FROM longhaul.outcome o
         WHERE o.started_at IS NOT NULL
        UNION ALL
        SELECT l.job_id, l.gen, 2::smallint, l.boot, l.started_at, NULL::timestamptz AS ended_at, NULL::jsonb AS error FROM longhaul.lease l
         WHERE l.boot IS NOT NULL AND l.started_at IS NOT NULL) x;
COMMENT ON VIEW longhaul.attempts IS 'Each attempt of each job that has begun, numbered; Interrupted = put back, not counted as the job''s. Always give a job: WHERE id = …. Log: job_log(id, attempt)';
COMMENT ON COLUMN longhaul.attempts.id IS 'the job';
COMMENT ON COLUMN longhaul.attempts.attempt IS 'which, in the order in which they began';
COMMENT ON COLUMN longhaul.attempts.status IS 'InProgress, Completed, Failed, Canceled, or Interrupted';
COMMENT ON COLUMN longhaul.attempts.host IS 'the worker''s; NULL = it has not been heard of for a day, or it isn''t known';
COMMENT ON COLUMN longhaul.attempts.started_at IS 'when its handler began';
COMMENT ON COLUMN longhaul.attempts.ended_at IS 'when it ended';
COMMENT ON COLUMN longhaul.attempts.ran_for IS 'how long it took, or has taken so far';
COMMENT ON COLUMN longhaul.attempts.error IS 'problem details (RFC 9457) that it ended with';
COMMENT ON COLUMN longhaul.attempts.log_size IS 'bytes of its log; NULL = there is none';
COMMENT ON COLUMN longhaul.attempts.gen IS 'generation of its claim';

CREATE VIEW longhaul.stale_writes AS
SELECT s.host, sum(s.refused) FILTER (WHERE s.kind = 'outcome') AS outcomes,
       sum(s.refused) FILTER (WHERE s.kind = 'result') AS results,
       sum(s.refused) FILTER (WHERE s.kind = 'progress') AS progress, max(s.last_at) AS last_at
  FROM longhaul.stale_write s
 GROUP BY s.host;
COMMENT ON VIEW longhaul.stale_writes IS 'Per worker host, how many writes were refused because the lease was lost: the host was frozen or cut off, or the job was taken from it. Host empty: one not heard of for a day.';
COMMENT ON COLUMN longhaul.stale_writes.host IS 'name of the host';
COMMENT ON COLUMN longhaul.stale_writes.outcomes IS 'ends of attempts that were refused';
COMMENT ON COLUMN longhaul.stale_writes.results IS 'pieces of large results that were refused';
COMMENT ON COLUMN longhaul.stale_writes.progress IS 'progress that was refused';
COMMENT ON COLUMN longhaul.stale_writes.last_at IS 'when the last one was';

-- What an attempt of a job has logged; p_attempt NULL = the last that has a log. NULL: none has.
CREATE FUNCTION longhaul.job_log(p_job_id uuid, p_attempt integer DEFAULT NULL) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan SET jit = off AS $$
BEGIN
    RETURN (SELECT g.log FROM longhaul.attempts a JOIN longhaul.attempt_log g ON g.job_id = a.id AND g.gen = a.gen
             WHERE a.id = p_job_id AND g.job_id = p_job_id AND (p_attempt IS NULL OR a.attempt = p_attempt)
             ORDER BY a.gen DESC LIMIT 1);
END
$$;
COMMENT ON FUNCTION longhaul.job_log(uuid, integer) IS 'What an attempt of a job has logged: SELECT longhaul.job_log(id), or job_log(id, 2)';

-- A client's job's log, as job_log(), if its type allows that. No row: there is none, or it doesn't.
CREATE FUNCTION longhaul.client_log(p_job_id uuid, p_client text, p_attempt integer, OUT attempt integer, OUT log text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan SET jit = off AS $$
BEGIN
    RETURN QUERY
    SELECT a.attempt, g.log
      FROM longhaul.attempts a JOIN longhaul.attempt_log g ON g.job_id = a.id AND g.gen = a.gen
     WHERE a.id = p_job_id AND g.job_id = p_job_id AND (p_attempt IS NULL OR a.attempt = p_attempt)
       AND EXISTS (SELECT FROM (SELECT * FROM longhaul.job y WHERE y.id = p_job_id OFFSET 0) j -- by id: see status_batch
                     JOIN longhaul.job_type t ON t.type_id = j.type_id
                    WHERE j.client = p_client AND t.log_for_clients)
     ORDER BY a.gen DESC LIMIT 1;
END
$$;
COMMENT ON FUNCTION longhaul.client_log(uuid, text, integer) IS 'What an attempt of a client''s job has logged, if its type lets clients see that';

-- The newest hundred attempts of a client's job, the oldest first; at least one row if there is such a job (attempt NULL:
-- none has begun). log_size only if its type lets clients see logs.
CREATE FUNCTION longhaul.client_attempts(
    p_job_id uuid, p_client text,
    OUT input_size bigint, OUT input_media_type text, OUT attempt integer, OUT status text, OUT started_at timestamptz,
    OUT ended_at timestamptz, OUT error text, OUT log_size integer)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 3
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan SET jit = off AS $$
BEGIN
    RETURN QUERY
    SELECT j.input_size, j.media_type, a.attempt, a.status, a.started_at, a.ended_at, a.error::text,
           CASE WHEN t.log_for_clients THEN a.log_size END
      FROM (SELECT * FROM longhaul.job y WHERE y.id = p_job_id OFFSET 0) j -- by id: see status_batch
      JOIN longhaul.job_type t ON t.type_id = j.type_id
      LEFT JOIN (SELECT * FROM longhaul.attempts x WHERE x.id = p_job_id ORDER BY x.gen DESC LIMIT 100) a ON true
     WHERE j.client = p_client
     ORDER BY a.gen;
END
$$;
COMMENT ON FUNCTION longhaul.client_attempts(uuid, text) IS 'The attempts of a client''s job';

REVOKE ALL ON FUNCTION
    longhaul.partitioned_tables(), longhaul.keep_attempts(uuid, uuid[], smallint[], integer[], text[], text[]),
    longhaul.count_stale(uuid, text, integer), longhaul.count_stale_progress(uuid, uuid[], bigint[], bigint[], uuid[]),
    longhaul.job_log(uuid, integer), longhaul.client_log(uuid, text, integer), longhaul.client_attempts(uuid, text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION longhaul.client_log(uuid, text, integer), longhaul.client_attempts(uuid, text) TO longhaul_api;
GRANT EXECUTE ON FUNCTION longhaul.job_log(uuid, integer) TO longhaul_dba;
GRANT SELECT ON longhaul.attempt, longhaul.attempt_log, longhaul.stale_write, longhaul.attempts, longhaul.stale_writes TO longhaul_dba;
