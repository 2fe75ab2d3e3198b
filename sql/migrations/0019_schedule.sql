-- Recurring jobs: a table of cron expressions, and what makes their jobs.
--
-- There is no leader: any number of workers call schedule_tick() when something is due. Each row is locked by one
-- of them (SKIP LOCKED), which makes the job and moves the row on to its next time in one transaction.

CREATE TABLE longhaul.schedule (
    name         text COLLATE "C" PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    job_type     text COLLATE "C" NOT NULL REFERENCES longhaul.job_type (name) ON UPDATE CASCADE,
    cron         text NOT NULL,
    time_zone    text NOT NULL DEFAULT 'UTC',
    input        bytea COMPRESSION lz4 NOT NULL DEFAULT '{}',
    media_type   text NOT NULL DEFAULT 'application/json',
    client       text COLLATE "C" NOT NULL DEFAULT 'schedule',
    priority     smallint NOT NULL DEFAULT 0,
    start_within interval CHECK (start_within >= '1 second' AND start_within <= '30 days'),
    missed       text NOT NULL DEFAULT 'once' CHECK (missed IN ('skip', 'once', 'all')),
    missed_max   integer NOT NULL DEFAULT 100 CHECK (missed_max BETWEEN 1 AND 1000),
    grace        interval NOT NULL DEFAULT '1 minute' CHECK (grace >= '1 second' AND grace <= '30 days'),
    overlap      text NOT NULL DEFAULT 'allow' CHECK (overlap IN ('allow', 'skip')),
    enabled      boolean NOT NULL DEFAULT true,
    starts_at    timestamptz CHECK (isfinite(starts_at)),
    ends_at      timestamptz CHECK (isfinite(ends_at)),
    next_at      timestamptz CHECK (isfinite(next_at)),
    retry_at     timestamptz,
    due_at       timestamptz GENERATED ALWAYS AS (CASE WHEN enabled AND next_at IS NOT NULL THEN greatest(next_at, retry_at) END) STORED,
    last_at      timestamptz,
    last_made_at timestamptz,
    last_job     uuid,
    last_error   text,
    skipped_at   timestamptz,
    CHECK (ends_at > starts_at)
);
CREATE INDEX schedule_due ON longhaul.schedule (due_at);
COMMENT ON TABLE longhaul.schedule IS 'Recurring jobs. Insert, update and delete rows freely; see the view schedules, and schedule_next(name) for the times to come.';
COMMENT ON COLUMN longhaul.schedule.name IS 'what it is called; request_id of its jobs is schedule/NAME/TIME';
COMMENT ON COLUMN longhaul.schedule.job_type IS 'name of the type of job that is made';
COMMENT ON COLUMN longhaul.schedule.cron IS 'when: minute hour day-of-month month day-of-week, @daily and the like, or @every 90m; see cron_next()';
COMMENT ON COLUMN longhaul.schedule.time_zone IS 'the zone that cron is meant in, as in Europe/Berlin';
COMMENT ON COLUMN longhaul.schedule.input IS 'the input of each job';
COMMENT ON COLUMN longhaul.schedule.media_type IS 'Content-Type of the input';
COMMENT ON COLUMN longhaul.schedule.client IS 'whose jobs they are: who sees them over HTTP';
COMMENT ON COLUMN longhaul.schedule.priority IS 'priority of the jobs, -100 to 100';
COMMENT ON COLUMN longhaul.schedule.start_within IS 'a job fails if no worker has it so long after it was made; NULL = it waits';
COMMENT ON COLUMN longhaul.schedule.missed IS 'what becomes of times at which no worker was there: skip = nothing, once = one job for all of them, all = one job each';
COMMENT ON COLUMN longhaul.schedule.missed_max IS 'missed = all: for so many at most, the latest';
COMMENT ON COLUMN longhaul.schedule.grace IS 'missed = skip: a time that is not longer past than this was not missed';
COMMENT ON COLUMN longhaul.schedule.overlap IS 'what becomes of a time at which the last job has not ended: allow = one more job, skip = none';
COMMENT ON COLUMN longhaul.schedule.enabled IS 'false: nothing is made; what comes due meanwhile is not made up for';
COMMENT ON COLUMN longhaul.schedule.starts_at IS 'nothing before this time';
COMMENT ON COLUMN longhaul.schedule.ends_at IS 'nothing after this time';
COMMENT ON COLUMN longhaul.schedule.next_at IS 'the next time; NULL = none comes. Kept by the database; set it to have another';
COMMENT ON COLUMN longhaul.schedule.retry_at IS 'the job could not be made, see last_error: tried again then';
COMMENT ON COLUMN longhaul.schedule.due_at IS 'when workers look at it: next_at, or retry_at if that is later; NULL = never';
COMMENT ON COLUMN longhaul.schedule.last_at IS 'the last time for which a job was made';
COMMENT ON COLUMN longhaul.schedule.last_made_at IS 'when that was done, or one was made by schedule_run()';
COMMENT ON COLUMN longhaul.schedule.last_job IS 'id of the job that was made last';
COMMENT ON COLUMN longhaul.schedule.skipped_at IS 'the last time for which none was made because the one before had not ended';
COMMENT ON COLUMN longhaul.schedule.last_error IS 'why the job could not be made; NULL = it was';

-- Refuses what is no name of a time zone: also abbreviations, because PostgreSQL takes CET for one hour ahead of UTC
-- all the year round. Internal.
CREATE FUNCTION longhaul.zone_check(p_zone text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_like text;
BEGIN
    IF p_zone = 'UTC' OR p_zone ~ '/' AND EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = p_zone) THEN
        RETURN;
    END IF;
    SELECT z.name INTO v_like FROM pg_timezone_names z
     WHERE (lower(z.name) = lower(p_zone) OR lower(split_part(z.name, '/', -1)) = lower(p_zone))
       AND z.name !~ '^(posix|right|Etc)/'
     ORDER BY z.name NOT LIKE '%/%', length(z.name), z.name LIMIT 1;
    RAISE EXCEPTION 'time zone "%" is neither UTC nor a name like Europe/Berlin', p_zone
        USING ERRCODE = 'invalid_parameter_value',
              HINT = CASE WHEN v_like ~ '/' OR v_like = 'UTC' THEN 'Did you mean ' || v_like || '?'
                          ELSE 'SELECT name FROM pg_timezone_names lists them.' END;
END
$$;
COMMENT ON FUNCTION longhaul.zone_check(text) IS 'Internal: refuses what is no name of a time zone';

-- The first time of a schedule after p_after, if it has one by then. Internal.
CREATE FUNCTION longhaul.schedule_after(p longhaul.schedule, p_after timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_at timestamptz := longhaul.cron_next(p.cron, p.time_zone, greatest(p_after, p.starts_at - interval '1 microsecond'));
BEGIN
    RETURN CASE WHEN v_at > p.ends_at THEN NULL ELSE v_at END;
END
$$;
COMMENT ON FUNCTION longhaul.schedule_after(longhaul.schedule, timestamptz) IS 'Internal: the next time of a schedule';

-- Checks a row and finds out its next time, when what it says has changed.
CREATE FUNCTION longhaul.schedule_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_new  boolean := TG_OP = 'INSERT';
    v_time boolean := v_new OR (new.cron, new.time_zone, new.starts_at, new.ends_at, new.enabled)
                                IS DISTINCT FROM (old.cron, old.time_zone, old.starts_at, old.ends_at, old.enabled);
BEGIN
    IF v_time OR (new.job_type, new.input, new.media_type, new.client, new.priority)
                  IS DISTINCT FROM (old.job_type, old.input, old.media_type, old.client, old.priority) THEN
        PERFORM longhaul.submit_check(new.job_type, new.input, new.media_type, new.client, new.priority);
        IF v_new OR new.time_zone <> old.time_zone THEN
            PERFORM longhaul.zone_check(new.time_zone);
        END IF;
        IF longhaul.cron_next(new.cron, new.time_zone) IS NULL THEN
            RAISE EXCEPTION 'cron expression "%" is never due', new.cron
                USING ERRCODE = 'invalid_parameter_value', HINT = 'No such month has such a day.';
        END IF;
        new.retry_at := NULL;
        new.last_error := NULL;
    END IF;
    IF v_time AND (v_new AND new.next_at IS NULL OR NOT v_new AND new.next_at IS NOT DISTINCT FROM old.next_at) THEN
        new.next_at := longhaul.schedule_after(new, clock_timestamp());
    ELSIF NOT v_new AND new.next_at IS DISTINCT FROM old.next_at AND new.retry_at IS NOT DISTINCT FROM old.retry_at THEN
        new.retry_at := NULL;
    END IF;
    RETURN new;
END
$$;
COMMENT ON FUNCTION longhaul.schedule_changed() IS 'Trigger of schedule: checks the row, keeps next_at';
CREATE TRIGGER schedule_changed BEFORE INSERT OR UPDATE ON longhaul.schedule
    FOR EACH ROW EXECUTE FUNCTION longhaul.schedule_changed();

-- Whether the job that a schedule made last still waits or runs. Internal.
CREATE FUNCTION longhaul.schedule_is_busy(p longhaul.schedule) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    RETURN EXISTS (SELECT FROM longhaul.job j WHERE j.id = p.last_job)
           AND NOT EXISTS (SELECT FROM longhaul.outcome o WHERE o.job_id = p.last_job);
END
$$;
COMMENT ON FUNCTION longhaul.schedule_is_busy(longhaul.schedule) IS 'Internal: whether a schedule''s last job has not ended';

-- The times, in order, for which a schedule that is due gets a job now, by its policy; the first that came due
-- stands in next_at. Internal.
CREATE FUNCTION longhaul.schedule_times(p longhaul.schedule, p_now timestamptz) RETURNS timestamptz[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_upto  timestamptz := least(p_now, p.ends_at);
    v_at    timestamptz := coalesce(longhaul.cron_last(p.cron, p.time_zone, p.next_at, v_upto), p.next_at);
    v_times timestamptz[] := ARRAY[v_at];
BEGIN
    IF p.missed = 'skip' AND v_at < p_now - p.grace THEN
        RETURN '{}';
    END IF;
    IF p.missed = 'all' AND p.overlap = 'allow' THEN
        -- From the last one back.
        WHILE v_at > p.next_at AND cardinality(v_times) < p.missed_max LOOP
            v_at := coalesce(longhaul.cron_last(p.cron, p.time_zone, p.next_at, v_at - interval '1 microsecond'), p.next_at);
            v_times := v_at || v_times;
        END LOOP;
    END IF;
    RETURN v_times;
END
$$;
COMMENT ON FUNCTION longhaul.schedule_times(longhaul.schedule, timestamptz) IS 'Internal: for which times a schedule gets jobs';

-- Makes the job of a schedule for a time; the same time again is the same job. p_at NULL: out of turn.
-- Returns the job's id. Internal. Writes: as submit_one.
CREATE FUNCTION longhaul.schedule_make(p longhaul.schedule, p_at timestamptz) RETURNS uuid
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_type longhaul.job_type := longhaul.submit_check(p.job_type, p.input, p.media_type, p.client, p.priority);
    v_key  text := format('schedule/%s/%s', p.name, to_char(coalesce(p_at, clock_timestamp()) AT TIME ZONE 'UTC',
                                                            'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'));
BEGIN
    RETURN (SELECT s.job_id
              FROM longhaul.submit_one(v_type.type_id, p.input, p.media_type, p.client, p.priority, NULL,
                                       clock_timestamp() + p.start_within, CASE WHEN p_at IS NOT NULL THEN v_key END,
                                       sha256(convert_to(v_key, 'UTF8')), v_key) s);
END
$$;
COMMENT ON FUNCTION longhaul.schedule_make(longhaul.schedule, timestamptz) IS 'Internal: makes a job of a schedule';

-- Makes the jobs of the schedules that are due, at most p_limit schedules. Any number of workers may call it at once.
-- A schedule whose job can't be made keeps the error in its row and is tried again after a minute.
-- Returns how many jobs it made and the milliseconds until the next schedule is due (NULL = none is).
-- Writes: schedule, and as submit_one. Locks: the schedules that are due, SKIP LOCKED.
CREATE FUNCTION longhaul.schedule_tick(p_limit integer, OUT made integer, OUT next_due_ms bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    r       longhaul.schedule;
    v_now   timestamptz;
    v_times timestamptz[];
    v_at    timestamptz;
    v_job   uuid;
    v_busy  boolean;
    v_types integer[] := '{}';
BEGIN
    made := 0;
    SELECT ceil(extract(epoch FROM min(s.due_at) - clock_timestamp()) * 1000)::bigint INTO next_due_ms
      FROM longhaul.schedule s;
    IF next_due_ms IS NULL OR next_due_ms > 0 THEN
        RETURN;
    END IF;
    FOR r IN
        SELECT * FROM longhaul.schedule s WHERE s.due_at <= clock_timestamp() ORDER BY s.due_at LIMIT p_limit
           FOR UPDATE SKIP LOCKED
    LOOP
        BEGIN
            v_now := clock_timestamp();
            v_times := longhaul.schedule_times(r, v_now);
            v_busy := r.overlap = 'skip' AND cardinality(v_times) > 0 AND longhaul.schedule_is_busy(r);
            IF v_busy THEN
                v_at := v_times[1];
                v_times := '{}';
            END IF;
            v_job := r.last_job;
            FOREACH v_at IN ARRAY v_times LOOP
                v_job := longhaul.schedule_make(r, v_at);
            END LOOP;
            UPDATE longhaul.schedule s
               SET next_at = longhaul.schedule_after(r, v_now), retry_at = NULL, last_error = NULL,
                   last_at = CASE WHEN cardinality(v_times) > 0 THEN v_at ELSE s.last_at END,
                   skipped_at = CASE WHEN v_busy THEN v_at ELSE s.skipped_at END,
                   last_made_at = CASE WHEN cardinality(v_times) > 0 THEN v_now ELSE s.last_made_at END, last_job = v_job
             WHERE s.name = r.name;
            made := made + cardinality(v_times);
            v_types := v_types || (SELECT t.type_id FROM longhaul.job_type t WHERE t.name = r.job_type);
        EXCEPTION WHEN OTHERS THEN
            UPDATE longhaul.schedule s SET retry_at = clock_timestamp() + interval '1 minute', last_error = SQLERRM
             WHERE s.name = r.name;
        END;
    END LOOP;
    IF made > 0 THEN
        PERFORM pg_notify('longhaul_wake', array_to_string(v_types, ','));
    END IF;
    -- What another worker has locked is due and none of our business: not again at once.
    SELECT greatest(CASE WHEN made > 0 THEN 0 ELSE 50 END,
                    ceil(extract(epoch FROM s.due_at - clock_timestamp()) * 1000))::bigint INTO next_due_ms
      FROM longhaul.schedule s WHERE s.due_at IS NOT NULL ORDER BY s.due_at LIMIT 1;
END
$$;
COMMENT ON FUNCTION longhaul.schedule_tick(integer) IS 'Makes the jobs of schedules that are due; workers call it';

-- The next p_count times of a schedule, also of one that is not enabled.
CREATE FUNCTION longhaul.schedule_next(p_name text, p_count integer DEFAULT 10, OUT at timestamptz, OUT local_time timestamp)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v longhaul.schedule;
BEGIN
    SELECT * INTO v FROM longhaul.schedule s WHERE s.name = p_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no schedule "%"', p_name USING ERRCODE = 'invalid_parameter_value';
    END IF;
    at := CASE WHEN v.enabled THEN v.next_at ELSE longhaul.schedule_after(v, clock_timestamp()) END;
    FOR i IN 1 .. p_count LOOP
        EXIT WHEN at IS NULL;
        local_time := at AT TIME ZONE v.time_zone;
        RETURN NEXT;
        at := longhaul.schedule_after(v, at);
    END LOOP;
END
$$;
COMMENT ON FUNCTION longhaul.schedule_next(text, integer) IS 'The next times of a schedule: SELECT * FROM longhaul.schedule_next(''nightly'')';

-- Makes a job of a schedule now, out of turn, also of one that is not enabled. Returns the job's id.
-- Writes: schedule, audit, and as submit_one. Locks: the schedule, which makes no other job until this commits.
CREATE FUNCTION longhaul.schedule_run(p_name text) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v     longhaul.schedule;
    v_job uuid;
BEGIN
    SELECT * INTO v FROM longhaul.schedule s WHERE s.name = p_name FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no schedule "%"', p_name USING ERRCODE = 'invalid_parameter_value';
    END IF;
    v_job := longhaul.schedule_make(v, NULL);
    UPDATE longhaul.schedule s SET last_job = v_job, last_made_at = clock_timestamp() WHERE s.name = p_name;
    PERFORM pg_notify('longhaul_wake', (SELECT t.type_id::text FROM longhaul.job_type t WHERE t.name = v.job_type));
    PERFORM longhaul.audit_note('schedule_run', p_name, jsonb_build_object('job', v_job));
    RETURN v_job;
END
$$;
COMMENT ON FUNCTION longhaul.schedule_run(text) IS 'Makes a job of a schedule now, out of turn';

CREATE VIEW longhaul.schedules AS
SELECT s.name, s.job_type, s.cron, s.time_zone, s.enabled, s.due_at AS next_run, s.due_at AT TIME ZONE s.time_zone AS next_local,
       s.last_at, s.last_made_at AS last_run, s.last_job, j.status AS last_status, j.ran_for AS last_ran_for, s.client, s.missed,
       s.last_error, s.ends_at, s.overlap, s.skipped_at
  FROM longhaul.schedule s
  LEFT JOIN LATERAL (SELECT x.status, x.ran_for FROM longhaul.jobs x WHERE x.id = s.last_job) j ON true;
COMMENT ON VIEW longhaul.schedules IS 'Recurring jobs: when next, when last, what became of that one';
COMMENT ON COLUMN longhaul.schedules.name IS 'schedule.name';
COMMENT ON COLUMN longhaul.schedules.job_type IS 'what kind of job it makes';
COMMENT ON COLUMN longhaul.schedules.cron IS 'when';
COMMENT ON COLUMN longhaul.schedules.time_zone IS 'in which zone';
COMMENT ON COLUMN longhaul.schedules.enabled IS 'false: it makes none';
COMMENT ON COLUMN longhaul.schedules.next_run IS 'when next; NULL = never';
COMMENT ON COLUMN longhaul.schedules.next_local IS 'the same on the clocks of its zone';
COMMENT ON COLUMN longhaul.schedules.last_at IS 'the last time for which a job was made';
COMMENT ON COLUMN longhaul.schedules.last_run IS 'when that was done';
COMMENT ON COLUMN longhaul.schedules.last_job IS 'that job';
COMMENT ON COLUMN longhaul.schedules.last_status IS 'what became of it';
COMMENT ON COLUMN longhaul.schedules.last_ran_for IS 'how long it ran';
COMMENT ON COLUMN longhaul.schedules.client IS 'whose jobs they are';
COMMENT ON COLUMN longhaul.schedules.missed IS 'what becomes of missed times';
COMMENT ON COLUMN longhaul.schedules.last_error IS 'why no job could be made; NULL = it was';
COMMENT ON COLUMN longhaul.schedules.ends_at IS 'nothing after this time';
COMMENT ON COLUMN longhaul.schedules.overlap IS 'whether a job may be made while the last one has not ended';
COMMENT ON COLUMN longhaul.schedules.skipped_at IS 'the last time that was left out for that reason';

REVOKE ALL ON FUNCTION longhaul.zone_check(text), longhaul.schedule_after(longhaul.schedule, timestamptz), longhaul.schedule_changed(),
    longhaul.schedule_is_busy(longhaul.schedule), longhaul.schedule_times(longhaul.schedule, timestamptz), longhaul.schedule_make(longhaul.schedule, timestamptz),
    longhaul.schedule_tick(integer), longhaul.schedule_next(text, integer), longhaul.schedule_run(text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION longhaul.schedule_tick(integer) TO longhaul_worker;
GRANT EXECUTE ON FUNCTION longhaul.schedule_next(text, integer), longhaul.schedule_run(text) TO longhaul_dba;
GRANT SELECT, INSERT, UPDATE, DELETE ON longhaul.schedule TO longhaul_dba;
GRANT SELECT ON longhaul.schedules TO longhaul_dba;
