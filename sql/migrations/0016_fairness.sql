-- Fairness between clients, and limits over all workers.
--
-- Start-time fair queueing: each type and priority has a clock, the turn up to which it has been claimed. A job's turn
-- is one behind the later of the clock and the turn of its client's job before. So a client that had nothing
-- waiting comes next, however many jobs of another wait, and clients that all have many take turns.
-- job.seq is the turn (high bits) and the order of arrival (16 low bits).
--
-- A client's newest turn is kept by who submits, in memory: the API processes, and here the session. A row for it
-- would be locked by each submit. What they don't know of each other lets a client have a job in each turn for
-- each of them; a client that submits through all of them has no advantage over another that does.
--
-- A clock is a sequence because each claim moves it: a row would leave a dead version for each claim, and with a
-- snapshot held all of them would be walked over by each submit. Moving it waits for no lock and is seen at once,
-- also by a transaction with an old snapshot.

CREATE TABLE longhaul.queue_clock (
    type_id  integer NOT NULL,
    priority smallint NOT NULL,
    clock    regclass NOT NULL,
    PRIMARY KEY (type_id, priority)
);
COMMENT ON TABLE longhaul.queue_clock IS 'The clock of each type and priority: made by the first claim. The view turns shows how far they are.';
COMMENT ON COLUMN longhaul.queue_clock.type_id IS 'job_type.type_id';
COMMENT ON COLUMN longhaul.queue_clock.priority IS 'job.priority';
COMMENT ON COLUMN longhaul.queue_clock.clock IS 'a sequence whose last value is the newest turn that was claimed';

CREATE TABLE longhaul.type_rate (
    type_id integer PRIMARY KEY,
    full_at timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE longhaul.type_rate IS 'How much of job_type.rate_limit is used up, for types that have one';
COMMENT ON COLUMN longhaul.type_rate.type_id IS 'job_type.type_id';
COMMENT ON COLUMN longhaul.type_rate.full_at IS 'if none is claimed until then, rate_limit jobs may be claimed at once';

-- The newest turn that was claimed of a type and priority; 0 = none.
CREATE FUNCTION longhaul.queue_turn(p_type_id integer, p_priority smallint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET enable_seqscan = off AS $$
BEGIN
    RETURN coalesce((SELECT pg_sequence_last_value(c.clock) FROM longhaul.queue_clock c
                      WHERE c.type_id = p_type_id AND c.priority = p_priority), 0);
END
$$;
COMMENT ON FUNCTION longhaul.queue_turn(integer, smallint) IS 'The newest turn that was claimed of a type and priority';

-- Moves a clock on to p_turn; never back: the workers' floors rely on that. Of two claims at once only one moves it:
-- the other leaves it to the next claim. Internal.
-- Writes: queue_clock when there is no clock yet; the clock. Locks: an advisory lock of the clock, if it is free.
CREATE FUNCTION longhaul.advance_clock(p_type_id integer, p_priority smallint, p_turn bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_clock regclass;
    v_name  text;
BEGIN
    SELECT c.clock INTO v_clock FROM longhaul.queue_clock c WHERE c.type_id = p_type_id AND c.priority = p_priority;
    IF v_clock IS NOT NULL AND pg_sequence_last_value(v_clock) >= p_turn
       OR NOT pg_try_advisory_xact_lock(hashtext('longhaul.clock'), p_type_id * 256 + p_priority) THEN
        RETURN;
    END IF;
    IF v_clock IS NULL THEN
        SELECT c.clock INTO v_clock FROM longhaul.queue_clock c WHERE c.type_id = p_type_id AND c.priority = p_priority;
    END IF;
    IF v_clock IS NULL THEN
        v_name := format('longhaul.%I', format('clock_%s_%s', p_type_id, p_priority));
        EXECUTE format('CREATE SEQUENCE %s', v_name);
        EXECUTE format('COMMENT ON SEQUENCE %s IS %L', v_name, 'Clock of a type and a priority: see queue_clock');
        v_clock := v_name;
        INSERT INTO longhaul.queue_clock (type_id, priority, clock) VALUES (p_type_id, p_priority, v_clock);
    END IF;
    IF coalesce(pg_sequence_last_value(v_clock), 0) < p_turn THEN
        PERFORM setval(v_clock, p_turn);
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.advance_clock(integer, smallint, bigint) IS 'Internal: moves the clock of a type and priority on';

-- Takes the next p_n turns for a client, as far as this session knows of them. Returns the turn before the first.
-- The session remembers 64 clients, types and priorities: of two that fall on the same place it forgets the older.
-- Internal. Writes: the session's settings longhaul.turn_0 to longhaul.turn_63.
CREATE FUNCTION longhaul.take_turns(p_type_id integer, p_priority smallint, p_client text, p_n integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_who  text := concat_ws(' ', p_type_id, p_priority, p_client);
    v_name text := 'longhaul.turn_' || (hashtext(v_who) & 63);
    v_was  text := current_setting(v_name, true);
    v_last bigint;
BEGIN
    PERFORM pg_current_xact_id(); -- before reading the clock: see submit_batch
    v_last := longhaul.queue_turn(p_type_id, p_priority);
    IF v_was ~ '^\d{1,15} ' AND substr(v_was, strpos(v_was, ' ') + 1) = v_who THEN
        v_last := greatest(v_last, split_part(v_was, ' ', 1)::bigint);
    END IF;
    PERFORM set_config(v_name, (v_last + p_n) || ' ' || v_who, false);
    RETURN v_last;
END
$$;
COMMENT ON FUNCTION longhaul.take_turns(integer, smallint, text, integer) IS 'Internal: a client''s next turns in this session';

-- How many of p_want jobs of a type with limits may be claimed now (room), and the milliseconds until the rate limit lets
-- one more through (wait_ms; NULL = it isn't what is in the way). The caller holds the type's advisory lock. Internal.
CREATE FUNCTION longhaul.type_room(p_type_id integer, p_want integer, OUT room integer, OUT wait_ms bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    v_type longhaul.job_type;
    v_each interval;
    v_full timestamptz;
    v_free integer;
    v_now  timestamptz := clock_timestamp();
BEGIN
    SELECT * INTO v_type FROM longhaul.job_type t WHERE t.type_id = p_type_id;
    room := p_want;
    IF v_type.max_running IS NOT NULL THEN
        room := greatest(0, least(room, v_type.max_running - (SELECT count(*) FROM longhaul.lease l
                                                               WHERE l.type_id = p_type_id AND l.limited
                                                                 AND l.boot IS NOT NULL)));
    END IF;
    IF v_type.rate_limit IS NOT NULL THEN
        v_each := v_type.rate_period / v_type.rate_limit;
        SELECT greatest(v_now, least(r.full_at, v_now + v_type.rate_period)) INTO v_full
          FROM longhaul.type_rate r WHERE r.type_id = p_type_id;
        v_full := coalesce(v_full, v_now);
        -- A microsecond is what rounding may cost.
        v_free := floor((extract(epoch FROM v_now + v_type.rate_period - v_full) + 0.000001) / extract(epoch FROM v_each));
        IF v_free < room THEN
            room := v_free;
            wait_ms := greatest(1, ceil(extract(epoch FROM v_full + (v_free + 1) * v_each - v_type.rate_period - v_now) * 1000));
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.type_room(integer, integer) IS 'Internal: how many jobs of a type may be claimed now';

-- So many jobs of a type were claimed. The caller holds the type's advisory lock. Internal.
-- Writes: type_rate, if the type has a rate limit.
CREATE FUNCTION longhaul.took_from_rate(p_type_id integer, p_n integer) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_for interval := (SELECT p_n * (t.rate_period / t.rate_limit) FROM longhaul.job_type t WHERE t.type_id = p_type_id);
BEGIN
    IF v_for IS NOT NULL THEN
        INSERT INTO longhaul.type_rate AS r (type_id, full_at) VALUES (p_type_id, v_now + v_for)
        ON CONFLICT (type_id) DO UPDATE SET full_at = greatest(v_now, r.full_at) + v_for;
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.took_from_rate(integer, integer) IS 'Internal: jobs of a type with a rate limit were claimed';

CREATE VIEW longhaul.turns AS
SELECT t.name AS type, c.priority, longhaul.queue_turn(c.type_id, c.priority) AS turn
  FROM longhaul.queue_clock c JOIN longhaul.job_type t ON t.type_id = c.type_id;
COMMENT ON VIEW longhaul.turns IS 'The turn up to which each queue was claimed: a job with a higher one (seq >> 16 in ready) still waits for it';
COMMENT ON COLUMN longhaul.turns.type IS 'job_type.name';
COMMENT ON COLUMN longhaul.turns.priority IS 'job.priority';
COMMENT ON COLUMN longhaul.turns.turn IS 'the newest turn that was claimed';

CREATE VIEW longhaul.limits AS
SELECT t.name AS type, t.max_running,
       (SELECT count(*) FROM longhaul.lease l WHERE l.type_id = t.type_id AND l.limited AND l.boot IS NOT NULL) AS running,
       t.rate_limit, t.rate_period, greatest(interval '0', r.full_at - clock_timestamp()) AS full_in
  FROM longhaul.job_type t
  LEFT JOIN longhaul.type_rate r ON r.type_id = t.type_id
 WHERE t.max_running IS NOT NULL OR t.rate_limit IS NOT NULL;
COMMENT ON VIEW longhaul.limits IS 'Types with limits: what is claimed of max_running; full_in: when a whole rate_limit may begin at once';
COMMENT ON COLUMN longhaul.limits.type IS 'job_type.name';
COMMENT ON COLUMN longhaul.limits.max_running IS 'most jobs that may be claimed at a time';
COMMENT ON COLUMN longhaul.limits.running IS 'how many are';
COMMENT ON COLUMN longhaul.limits.rate_limit IS 'most jobs begun per rate_period';
COMMENT ON COLUMN longhaul.limits.rate_period IS 'what rate_limit is per';
COMMENT ON COLUMN longhaul.limits.full_in IS 'when a whole rate_limit may begin at once; zero = now';

REVOKE ALL ON FUNCTION longhaul.queue_turn(integer, smallint), longhaul.advance_clock(integer, smallint, bigint),
    longhaul.take_turns(integer, smallint, text, integer), longhaul.type_room(integer, integer),
    longhaul.took_from_rate(integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION longhaul.queue_turn(integer, smallint) TO longhaul_dba;
GRANT SELECT ON longhaul.queue_clock, longhaul.type_rate, longhaul.turns, longhaul.limits TO longhaul_dba;
