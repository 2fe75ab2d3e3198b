-- How many jobs have ended: by minute, type, client and outcome, and in all.
--
-- Whatever ends jobs (finish_batch, end_jobs) adds a row for each type, client and outcome of its batch to
-- tally_delta, in its own transaction: exact, and nobody waits for anybody, as there is no row that two
-- would change. Workers add them up with tally_fold(), one at a time. What is read is always the sum of both, from one snapshot.

CREATE TABLE longhaul.tally_delta (
    ended_at timestamptz NOT NULL,
    type_id  integer NOT NULL,
    status   smallint NOT NULL,
    jobs     bigint NOT NULL,
    waited   interval NOT NULL,
    ran      interval NOT NULL,
    client   text COLLATE "C" NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0,
        autovacuum_analyze_threshold = 100000, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE longhaul.tally_delta IS 'Ended jobs that tally_fold() has not added up yet: a row for each type, client and outcome of a batch';
COMMENT ON COLUMN longhaul.tally_delta.ended_at IS 'when they ended';
COMMENT ON COLUMN longhaul.tally_delta.type_id IS 'job_type.type_id';
COMMENT ON COLUMN longhaul.tally_delta.status IS '3 Completed, 4 Failed, 5 Canceled';
COMMENT ON COLUMN longhaul.tally_delta.jobs IS 'how many';
COMMENT ON COLUMN longhaul.tally_delta.waited IS 'how long they waited, in all: from when they could have been claimed to the beginning of the last attempt';
COMMENT ON COLUMN longhaul.tally_delta.ran IS 'how long their last attempts took, in all';
COMMENT ON COLUMN longhaul.tally_delta.client IS 'job.client';

CREATE TABLE longhaul.tally_client (
    client  text COLLATE "C" NOT NULL,
    minute  timestamptz NOT NULL,
    type_id integer NOT NULL,
    status  smallint NOT NULL,
    jobs    bigint NOT NULL,
    waited  interval NOT NULL,
    ran     interval NOT NULL,
    PRIMARY KEY (client, minute, type_id, status)
) WITH (fillfactor = 70);
CREATE INDEX tally_client_age ON longhaul.tally_client (minute);
COMMENT ON TABLE longhaul.tally_client IS 'Ended jobs by client, minute, type and outcome; kept for 3 hours';
COMMENT ON COLUMN longhaul.tally_client.client IS 'job.client';
COMMENT ON COLUMN longhaul.tally_client.minute IS 'the minute in which they ended';
COMMENT ON COLUMN longhaul.tally_client.type_id IS 'job_type.type_id';
COMMENT ON COLUMN longhaul.tally_client.status IS '3 Completed, 4 Failed, 5 Canceled';
COMMENT ON COLUMN longhaul.tally_client.jobs IS 'how many';
COMMENT ON COLUMN longhaul.tally_client.waited IS 'how long they waited, in all';
COMMENT ON COLUMN longhaul.tally_client.ran IS 'how long their last attempts took, in all';

CREATE TABLE longhaul.tally_minute (
    minute  timestamptz NOT NULL,
    type_id integer NOT NULL,
    status  smallint NOT NULL,
    jobs    bigint NOT NULL,
    waited  interval NOT NULL,
    ran     interval NOT NULL,
    PRIMARY KEY (minute, type_id, status)
) WITH (fillfactor = 70);
COMMENT ON TABLE longhaul.tally_minute IS 'Ended jobs by minute, type and outcome, of all clients; kept for 14 days';
COMMENT ON COLUMN longhaul.tally_minute.minute IS 'the minute in which they ended';
COMMENT ON COLUMN longhaul.tally_minute.type_id IS 'job_type.type_id';
COMMENT ON COLUMN longhaul.tally_minute.status IS '3 Completed, 4 Failed, 5 Canceled';
COMMENT ON COLUMN longhaul.tally_minute.jobs IS 'how many';
COMMENT ON COLUMN longhaul.tally_minute.waited IS 'how long they waited, in all';
COMMENT ON COLUMN longhaul.tally_minute.ran IS 'how long their last attempts took, in all';

CREATE TABLE longhaul.tally_total (
    type_id integer NOT NULL REFERENCES longhaul.job_type ON DELETE CASCADE,
    status  smallint NOT NULL,
    jobs    bigint NOT NULL,
    waited  interval NOT NULL,
    ran     interval NOT NULL,
    PRIMARY KEY (type_id, status)
) WITH (fillfactor = 10);
COMMENT ON TABLE longhaul.tally_total IS 'Ended jobs by type and outcome since the database was made; never goes back';
COMMENT ON COLUMN longhaul.tally_total.type_id IS 'job_type.type_id';
COMMENT ON COLUMN longhaul.tally_total.status IS '3 Completed, 4 Failed, 5 Canceled';
COMMENT ON COLUMN longhaul.tally_total.jobs IS 'how many';
COMMENT ON COLUMN longhaul.tally_total.waited IS 'how long they waited, in all';
COMMENT ON COLUMN longhaul.tally_total.ran IS 'how long their last attempts took, in all';

-- The same for what else is counted: a row more for each time it happens, added up by tally_fold().
CREATE TABLE longhaul.event_delta (
    jobs bigint NOT NULL,
    what text COLLATE "C" NOT NULL,
    who  text COLLATE "C" NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0,
        autovacuum_analyze_threshold = 100000, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE longhaul.event_delta IS 'What has happened and tally_fold() has not added up yet';
COMMENT ON COLUMN longhaul.event_delta.jobs IS 'how many';
COMMENT ON COLUMN longhaul.event_delta.what IS 'as in event_total';
COMMENT ON COLUMN longhaul.event_delta.who IS 'as in event_total';

CREATE TABLE longhaul.event_total (
    what text COLLATE "C" NOT NULL,
    who  text COLLATE "C" NOT NULL,
    jobs bigint NOT NULL,
    PRIMARY KEY (what, who)
) WITH (fillfactor = 10);
COMMENT ON TABLE longhaul.event_total IS 'How often something happened since the database was made; never goes back';
COMMENT ON COLUMN longhaul.event_total.what IS 'claimed: jobs claimed by a host; lease_lost: leases that a host lost, rescued: jobs taken from it then; webhook_try: tries to deliver';
COMMENT ON COLUMN longhaul.event_total.who IS 'the host; of tries what came of them';
COMMENT ON COLUMN longhaul.event_total.jobs IS 'how many';

-- Adds up to p_limit rows of tally_delta to the tables above, and drops as many minutes that are too old. Any number
-- of workers may call it: one works, the others return at once. Returns true if it left something for the next call.
-- Commits without waiting for the disk: what a crash undoes is added up again.
-- Writes: tally_delta, tally_client, tally_minute, tally_total, event_delta, event_total. Locks: an advisory lock; no finish waits for it.
CREATE FUNCTION longhaul.tally_fold(p_limit integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET jit = off SET enable_mergejoin = off AS $$
DECLARE
    c_client CONSTANT interval := '3 hours';
    c_minute CONSTANT interval := '14 days';
    v_rows   bigint;
    v_old    bigint;
    v_older  bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('longhaul.tally')) THEN
        RETURN false;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    WITH d AS MATERIALIZED (
        DELETE FROM longhaul.tally_delta x
         WHERE x.ctid = ANY (ARRAY(SELECT q.ctid FROM longhaul.tally_delta q LIMIT p_limit))
        RETURNING x.*
    ), c AS (
        INSERT INTO longhaul.tally_client AS t (client, minute, type_id, status, jobs, waited, ran)
        SELECT d.client, date_trunc('minute', d.ended_at), d.type_id, d.status, sum(d.jobs), sum(d.waited), sum(d.ran)
          FROM d WHERE d.ended_at > now() - c_client
         GROUP BY 1, 2, 3, 4
        ON CONFLICT (client, minute, type_id, status) DO UPDATE
           SET jobs = t.jobs + excluded.jobs, waited = t.waited + excluded.waited, ran = t.ran + excluded.ran
    ), m AS (
        INSERT INTO longhaul.tally_minute AS t (minute, type_id, status, jobs, waited, ran)
        SELECT date_trunc('minute', d.ended_at), d.type_id, d.status, sum(d.jobs), sum(d.waited), sum(d.ran)
          FROM d
         GROUP BY 1, 2, 3
        ON CONFLICT (minute, type_id, status) DO UPDATE
           SET jobs = t.jobs + excluded.jobs, waited = t.waited + excluded.waited, ran = t.ran + excluded.ran
    ), a AS (
        INSERT INTO longhaul.tally_total AS t (type_id, status, jobs, waited, ran)
        SELECT d.type_id, d.status, sum(d.jobs), sum(d.waited), sum(d.ran)
          FROM d WHERE EXISTS (SELECT FROM longhaul.job_type k WHERE k.type_id = d.type_id) -- one that is deleted counts no more
         GROUP BY 1, 2
        ON CONFLICT (type_id, status) DO UPDATE
           SET jobs = t.jobs + excluded.jobs, waited = t.waited + excluded.waited, ran = t.ran + excluded.ran
    )
    SELECT count(*) INTO v_rows FROM d;
    WITH d AS MATERIALIZED (
        DELETE FROM longhaul.event_delta x
         WHERE x.ctid = ANY (ARRAY(SELECT q.ctid FROM longhaul.event_delta q LIMIT p_limit))
        RETURNING x.*
    ), a AS (
        INSERT INTO longhaul.event_total AS t (what, who, jobs)
        SELECT d.what, d.who, sum(d.jobs) FROM d GROUP BY 1, 2
        ON CONFLICT (what, who) DO UPDATE SET jobs = t.jobs + excluded.jobs
    )
    SELECT greatest(v_rows, count(*)) INTO v_rows FROM d;

    DELETE FROM longhaul.tally_client t WHERE t.ctid = ANY (ARRAY(
        SELECT q.ctid FROM longhaul.tally_client q WHERE q.minute < now() - c_client ORDER BY q.minute LIMIT p_limit));
    GET DIAGNOSTICS v_old = ROW_COUNT;
    DELETE FROM longhaul.tally_minute t WHERE t.ctid = ANY (ARRAY(
        SELECT q.ctid FROM longhaul.tally_minute q WHERE q.minute < now() - c_minute ORDER BY q.minute LIMIT p_limit));
    GET DIAGNOSTICS v_older = ROW_COUNT;
    RETURN greatest(v_rows, v_old, v_older) >= p_limit;
END
$$;
COMMENT ON FUNCTION longhaul.tally_fold(integer) IS 'Adds up the counts of ended jobs, a bounded step at a time; workers call it';

CREATE VIEW longhaul.ended AS
SELECT x.minute, t.name AS type, longhaul.status_word(x.status) AS status, sum(x.jobs)::bigint AS jobs,
       sum(x.waited) / sum(x.jobs) AS mean_wait, sum(x.ran) / sum(x.jobs) AS mean_run
  FROM (SELECT m.minute, m.type_id, m.status, m.jobs, m.waited, m.ran FROM longhaul.tally_minute m
        UNION ALL
        SELECT date_trunc('minute', d.ended_at), d.type_id, d.status, d.jobs, d.waited, d.ran FROM longhaul.tally_delta d) x
  JOIN longhaul.job_type t ON t.type_id = x.type_id
 GROUP BY 1, 2, 3;
COMMENT ON VIEW longhaul.ended IS 'Jobs ended by minute, type and outcome, for 14 days: WHERE minute > now() - interval ''1 hour''';
COMMENT ON COLUMN longhaul.ended.minute IS 'the minute in which they ended';
COMMENT ON COLUMN longhaul.ended.type IS 'job_type.name';
COMMENT ON COLUMN longhaul.ended.status IS 'Completed, Failed or Canceled';
COMMENT ON COLUMN longhaul.ended.jobs IS 'how many';
COMMENT ON COLUMN longhaul.ended.mean_wait IS 'how long they waited, on average';
COMMENT ON COLUMN longhaul.ended.mean_run IS 'how long their last attempts took, on average';

-- Of these jobs those that wait. Internal. Custom plans, so that only the days of the ids at hand are opened.
CREATE FUNCTION longhaul.queued_of(p_ids uuid[], OUT jobs bigint, OUT first uuid)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp
SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET jit = off AS $$
BEGIN
    SELECT count(*), (array_agg(x.id ORDER BY x.id))[1] INTO jobs, first
      FROM (SELECT u.id FROM unnest(p_ids) AS u(id)
            EXCEPT SELECT o.job_id FROM longhaul.outcome o WHERE o.job_id = ANY (p_ids)
            EXCEPT SELECT l.job_id FROM longhaul.lease l WHERE l.job_id = ANY (p_ids) AND l.started_at IS NOT NULL) x;
END
$$;
COMMENT ON FUNCTION longhaul.queued_of(uuid[]) IS 'Internal: how many of these jobs wait, and the oldest of them';

-- The newest or oldest jobs of a client. Internal, for the same reason.
CREATE FUNCTION longhaul.client_jobs(p_client text, p_low uuid, p_limit integer, p_newest boolean) RETURNS uuid[]
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp
SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
BEGIN
    IF p_newest THEN
        RETURN ARRAY(SELECT j.id FROM longhaul.job j WHERE j.client = p_client AND j.id >= p_low ORDER BY j.id DESC LIMIT p_limit);
    END IF;
    RETURN ARRAY(SELECT j.id FROM longhaul.job j WHERE j.client = p_client AND j.id >= p_low ORDER BY j.id LIMIT p_limit);
END
$$;
COMMENT ON FUNCTION longhaul.client_jobs(text, uuid, integer, boolean) IS 'Internal: ids of a client''s jobs from one end';

-- What a client has living. Queued jobs are in ready or delayed if they were never claimed, else in lease, not begun.
-- If all clients together have so many that counting them would take long, the client's own newest jobs are looked at.
--   p_look  rows of ready, delayed and lease that are looked at, at most
--   p_most  jobs of the client that are looked at, at most
-- Returns how many are queued, at_least: there may be more; when the oldest of them was made (NULL: not known, or
-- there is none); how many run.
CREATE FUNCTION longhaul.client_live(
    p_client text, p_look integer, p_most integer,
    OUT queued bigint, OUT at_least boolean, OUT oldest timestamptz, OUT running bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET jit = off SET enable_indexscan = off AS $$
DECLARE
    v_rows  bigint;
    v_held  bigint;
    v_first uuid;
    v_low   uuid;
    v_ids   uuid[];
BEGIN
    SELECT count(*), count(*) FILTER (WHERE x.mine), (array_agg(x.job_id ORDER BY x.job_id) FILTER (WHERE x.mine))[1]
      INTO v_rows, queued, v_first
      FROM (SELECT r.client = p_client AS mine, r.job_id FROM (SELECT y.client, y.job_id FROM longhaul.ready y LIMIT p_look + 1) r
            UNION ALL
            SELECT d.client = p_client, d.job_id FROM (SELECT y.client, y.job_id FROM longhaul.delayed y LIMIT p_look + 1) d
            UNION ALL
            SELECT l.client = p_client AND l.started_at IS NULL, l.job_id
              FROM (SELECT y.client, y.started_at, y.job_id FROM longhaul.lease y LIMIT p_look + 1) l) x;
    SELECT count(*) INTO running
      FROM (SELECT y.client, y.started_at FROM longhaul.lease y LIMIT p_look + 1) l
     WHERE l.client = p_client AND l.started_at IS NOT NULL;
    at_least := v_rows > p_look;
    IF at_least THEN
        v_low := (SELECT f.low FROM longhaul.feed_open(NULL) f);
        v_ids := longhaul.client_jobs(p_client, v_low, p_most + 1, true);
        SELECT greatest(q.jobs, queued), q.first INTO queued, v_first FROM longhaul.queued_of(v_ids) q;
        at_least := cardinality(v_ids) > p_most;
        IF at_least THEN
            queued := greatest(least(queued, p_most), 0);
            v_first := (SELECT q.first FROM longhaul.queued_of(longhaul.client_jobs(p_client, v_low, p_most, false)) q);
        END IF;
    END IF;
    oldest := longhaul.uuid_time(v_first);
END
$$;
COMMENT ON FUNCTION longhaul.client_live(text, integer, integer) IS 'Internal: how many jobs of a client wait and run';

-- The jobs of one client, for its dashboard: first a row that says what waits and runs (minute NULL), then a row for
-- each of the last p_minutes minutes, those without ended jobs too, oldest first.
-- Bounded work: the client's minutes, what was not added up yet, and see client_live.
CREATE FUNCTION longhaul.client_statistics(
    p_client text, p_minutes integer, p_look integer, p_most integer,
    OUT minute timestamptz, OUT completed bigint, OUT failed bigint, OUT canceled bigint,
    OUT queued bigint, OUT at_least boolean, OUT oldest timestamptz, OUT running bigint)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET jit = off AS $$
DECLARE
    v_last  timestamptz := date_trunc('minute', clock_timestamp());
    v_first timestamptz := v_last - (p_minutes - 1) * interval '1 minute';
BEGIN
    RETURN QUERY SELECT NULL::timestamptz, NULL::bigint, NULL::bigint, NULL::bigint, l.*
                   FROM longhaul.client_live(p_client, p_look, p_most) l;
    RETURN QUERY
    SELECT m.at, coalesce(sum(x.jobs) FILTER (WHERE x.status = 3), 0)::bigint,
           coalesce(sum(x.jobs) FILTER (WHERE x.status = 4), 0)::bigint,
           coalesce(sum(x.jobs) FILTER (WHERE x.status = 5), 0)::bigint,
           NULL::bigint, NULL::boolean, NULL::timestamptz, NULL::bigint
      FROM generate_series(v_first, v_last, interval '1 minute') AS m(at)
      LEFT JOIN (SELECT t.minute AS at, t.status, t.jobs FROM longhaul.tally_client t
                  WHERE t.client = p_client AND t.minute >= v_first
                 UNION ALL
                 SELECT date_trunc('minute', d.ended_at), d.status, d.jobs FROM longhaul.tally_delta d
                  WHERE d.client = p_client AND d.ended_at >= v_first) x ON x.at = m.at
     GROUP BY m.at ORDER BY m.at;
END
$$;
COMMENT ON FUNCTION longhaul.client_statistics(text, integer, integer, integer) IS 'How many jobs of a client ended, minute by minute, and what waits and runs';

REVOKE ALL ON FUNCTION
    longhaul.tally_fold(integer), longhaul.queued_of(uuid[]), longhaul.client_jobs(text, uuid, integer, boolean),
    longhaul.client_live(text, integer, integer), longhaul.client_statistics(text, integer, integer, integer)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION longhaul.tally_fold(integer) TO longhaul_worker, longhaul_dba;
GRANT EXECUTE ON FUNCTION longhaul.client_statistics(text, integer, integer, integer) TO longhaul_api, longhaul_dba;
GRANT SELECT ON longhaul.tally_delta, longhaul.tally_client, longhaul.tally_minute, longhaul.tally_total, longhaul.ended,
    longhaul.event_delta, longhaul.event_total
TO longhaul_dba;
