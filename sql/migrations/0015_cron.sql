-- Cron expressions: when is the next time?
--
-- The five fields of crontab(5), times of a named time zone, and @every for what no calendar knows.
-- Everything here is a function of its arguments: what is to be made when is decided elsewhere.

CREATE TYPE longhaul.cron_fields AS (
    minutes integer[], hours integer[], days integer[], months integer[], weekdays integer[],
    any_day boolean, any_weekday boolean, by_clock boolean, every interval);
COMMENT ON TYPE longhaul.cron_fields IS 'Internal: a cron expression taken apart. by_clock: minute or hour begins with *; every: the rest is NULL';

-- The number that a field of a cron expression names: digits, or a name (three letters) of p_names, the
-- first of which stands for p_low. Internal.
CREATE FUNCTION longhaul.cron_number(p_text text, p_what text, p_low integer, p_high integer, p_names text[])
RETURNS integer
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_number integer := array_position(p_names, lower(p_text)) - 1 + p_low;
BEGIN
    IF v_number IS NULL AND p_text ~ '^[0-9]{1,4}$' THEN
        v_number := p_text::integer;
    END IF;
    IF v_number IS NULL THEN
        RAISE EXCEPTION '%: "%" is not a number%', p_what, p_text, CASE WHEN p_names IS NOT NULL THEN ' or name' ELSE '' END
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF v_number NOT BETWEEN p_low AND p_high THEN
        RAISE EXCEPTION '%: % is not between % and %', p_what, v_number, p_low, p_high
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN v_number;
END
$$;
COMMENT ON FUNCTION longhaul.cron_number(text, text, integer, integer, text[]) IS 'Internal: a number or name in a cron expression';

-- The values, in order, that one field allows: a list of *, numbers and ranges, these and * with a step. Internal.
CREATE FUNCTION longhaul.cron_field(p_text text, p_what text, p_low integer, p_high integer, p_names text[] DEFAULT NULL)
RETURNS integer[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_item   text;
    v_part   text[];
    v_from   integer;
    v_to     integer;
    v_step   integer;
    v_values integer[] := '{}';
BEGIN
    FOREACH v_item IN ARRAY string_to_array(p_text, ',') LOOP
        v_part := regexp_match(v_item, '^(?:(\*)|([0-9a-z]+)(?:-([0-9a-z]+))?)(?:/([0-9]{1,4}))?$', 'i');
        IF v_part IS NULL THEN
            RAISE EXCEPTION '%: "%" is not *, a number, a range or a range with a step', p_what, v_item
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        IF v_part[1] IS NOT NULL THEN
            v_from := p_low;
            v_to := p_high;
        ELSE
            v_from := longhaul.cron_number(v_part[2], p_what, p_low, p_high, p_names);
            v_to := v_from;
            IF v_part[3] IS NOT NULL THEN
                v_to := longhaul.cron_number(v_part[3], p_what, p_low, p_high, p_names);
                IF v_to = 0 AND v_from > 0 AND p_names[1] = 'sun' THEN
                    v_to := 7; -- a week may end on Sunday
                END IF;
            ELSIF v_part[4] IS NOT NULL THEN
                RAISE EXCEPTION '%: the step of "%" needs a range, as in %-%/%', p_what, v_item, v_from, p_high, v_part[4]
                    USING ERRCODE = 'invalid_parameter_value';
            END IF;
        END IF;
        IF v_from > v_to THEN
            RAISE EXCEPTION '%: the range "%" ends before it begins', p_what, v_item
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        v_step := coalesce(v_part[4]::integer, 1);
        IF v_step = 0 OR v_step > greatest(v_to - v_from, 1) THEN
            RAISE EXCEPTION '%: the step of "%" is not between 1 and %', p_what, v_item, greatest(v_to - v_from, 1)
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'A step starts anew at each end of its range. For a period of its own use @every, as in @every 90m.';
        END IF;
        v_values := v_values || ARRAY(SELECT generate_series(v_from, v_to, v_step));
    END LOOP;
    IF cardinality(v_values) = 0 THEN
        RAISE EXCEPTION '%: is empty', p_what USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN ARRAY(SELECT DISTINCT v FROM unnest(v_values) AS v ORDER BY v);
END
$$;
COMMENT ON FUNCTION longhaul.cron_field(text, text, integer, integer, text[]) IS 'Internal: the values that one field of a cron expression allows';

-- Takes a cron expression apart. Raises invalid_parameter_value if it is none, saying which field is wrong and why.
-- Internal.
CREATE FUNCTION longhaul.cron_parse(p_cron text) RETURNS longhaul.cron_fields
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_text  text := regexp_replace(p_cron, '^[ \t]+|[ \t]+$', '', 'g');
    v_field text[];
    v_part  text[];
    v       longhaul.cron_fields;
BEGIN
    IF p_cron IS NULL OR length(p_cron) > 200 THEN
        RAISE EXCEPTION 'cron expression: is %', CASE WHEN p_cron IS NULL THEN 'missing' ELSE 'longer than 200 characters' END
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF v_text LIKE '@%' THEN
        v_part := regexp_match(v_text, '^@every[ \t]+([0-9]{1,7})(s|m|h|d)$', 'i');
        IF v_part IS NOT NULL THEN
            v.every := v_part[1]::integer *
                       (CASE lower(v_part[2]) WHEN 's' THEN 1 WHEN 'm' THEN 60 WHEN 'h' THEN 3600 ELSE 86400 END * interval '1 second');
            IF v.every < '1 second' OR v.every > '8784 hours' THEN
                RAISE EXCEPTION 'cron expression: @every takes from 1s to 366d' USING ERRCODE = 'invalid_parameter_value';
            END IF;
            RETURN v;
        END IF;
        v_text := CASE lower(v_text)
            WHEN '@yearly' THEN '0 0 1 1 *' WHEN '@annually' THEN '0 0 1 1 *' WHEN '@monthly' THEN '0 0 1 * *'
            WHEN '@weekly' THEN '0 0 * * 0' WHEN '@daily' THEN '0 0 * * *' WHEN '@midnight' THEN '0 0 * * *'
            WHEN '@hourly' THEN '0 * * * *' END;
        IF v_text IS NULL THEN
            RAISE EXCEPTION 'cron expression: the word is none of @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly and @every N (s, m, h or d)'
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
    END IF;
    v_field := regexp_split_to_array(v_text, '[ \t]+');
    IF cardinality(v_field) <> 5 THEN
        RAISE EXCEPTION 'cron expression: has not five fields (minute, hour, day of month, month, day of week)'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    v.minutes := longhaul.cron_field(v_field[1], 'cron expression: minute', 0, 59);
    v.hours := longhaul.cron_field(v_field[2], 'cron expression: hour', 0, 23);
    v.days := longhaul.cron_field(v_field[3], 'cron expression: day of month', 1, 31);
    v.months := longhaul.cron_field(v_field[4], 'cron expression: month', 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}');
    v.weekdays := longhaul.cron_field(v_field[5], 'cron expression: day of week', 0, 7, '{sun,mon,tue,wed,thu,fri,sat}');
    IF 7 = ANY (v.weekdays) THEN
        v.weekdays := 0 || v.weekdays;
    END IF;
    -- As Vixie cron has it: also with a step, a field that begins with * counts as unrestricted.
    v.any_day := v_field[3] LIKE '*%';
    v.any_weekday := v_field[5] LIKE '*%';
    v.by_clock := v_field[1] LIKE '*%' OR v_field[2] LIKE '*%';
    RETURN v;
END
$$;
COMMENT ON FUNCTION longhaul.cron_parse(text) IS 'Internal: takes a cron expression apart';

-- The first local time from p_from on that the fields allow; NULL if there is none within nine years (the
-- 29th of February is at most eight apart). Internal.
CREATE FUNCTION longhaul.cron_local(p longhaul.cron_fields, p_from timestamp) RETURNS timestamp
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_day    date := p_from::date;
    v_end    date := p_from::date + 3300;
    v_hour   integer := extract(hour FROM p_from);
    v_minute integer := extract(minute FROM p_from);
    v_found  integer;
    v_on     boolean;
BEGIN
    IF p_from > date_trunc('minute', p_from) THEN
        RETURN longhaul.cron_local(p, date_trunc('minute', p_from) + interval '1 minute');
    END IF;
    WHILE v_day < v_end LOOP
        IF NOT extract(month FROM v_day)::integer = ANY (p.months) THEN
            v_day := (date_trunc('month', v_day::timestamp) + interval '1 month')::date;
            v_hour := 0;
            v_minute := 0;
            CONTINUE;
        END IF;
        IF p.any_day OR p.any_weekday THEN
            v_on := extract(day FROM v_day)::integer = ANY (p.days) AND extract(dow FROM v_day)::integer = ANY (p.weekdays);
        ELSE
            v_on := extract(day FROM v_day)::integer = ANY (p.days) OR extract(dow FROM v_day)::integer = ANY (p.weekdays);
        END IF;
        IF v_on THEN
            SELECT min(h) INTO v_found FROM unnest(p.hours) AS h
             WHERE h > v_hour OR h = v_hour AND v_minute <= p.minutes[cardinality(p.minutes)];
            IF v_found IS NOT NULL THEN
                RETURN v_day + make_interval(hours => v_found, mins => CASE WHEN v_found > v_hour THEN p.minutes[1]
                    ELSE (SELECT min(m) FROM unnest(p.minutes) AS m WHERE m >= v_minute) END);
            END IF;
        END IF;
        v_day := v_day + 1;
        v_hour := 0;
        v_minute := 0;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION longhaul.cron_local(longhaul.cron_fields, timestamp) IS 'Internal: the next local time of a cron expression';

-- How far the clocks of a zone are ahead of UTC at a time. Internal.
CREATE FUNCTION longhaul.zone_offset(p_at timestamptz, p_zone text) RETURNS interval
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT (p_at AT TIME ZONE p_zone) - (p_at AT TIME ZONE 'UTC')
$$;
COMMENT ON FUNCTION longhaul.zone_offset(timestamptz, text) IS 'Internal: local time less UTC';

-- The second at which a zone's clocks are changed, between two times with different offsets. Internal.
CREATE FUNCTION longhaul.zone_change(p_from timestamptz, p_to timestamptz, p_zone text) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_low    bigint := floor(extract(epoch FROM p_from));
    v_high   bigint := ceil(extract(epoch FROM p_to));
    v_mid    bigint;
    v_before interval := longhaul.zone_offset(p_from, p_zone);
BEGIN
    WHILE v_high - v_low > 1 LOOP
        v_mid := (v_low + v_high) / 2;
        IF longhaul.zone_offset(to_timestamp(v_mid), p_zone) = v_before THEN
            v_low := v_mid;
        ELSE
            v_high := v_mid;
        END IF;
    END LOOP;
    RETURN to_timestamp(v_high);
END
$$;
COMMENT ON FUNCTION longhaul.zone_change(timestamptz, timestamptz, text) IS 'Internal: when the clocks of a zone are changed';

-- When it is this local time in a zone, for the first time; of a time that clocks put forward leave out, when
-- they are (p_is false then). Internal.
CREATE FUNCTION longhaul.zone_instant(p_local timestamp, p_zone text, OUT p_at timestamptz, OUT p_is boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_utc    timestamptz := p_local AT TIME ZONE 'UTC';
    -- No offset is larger than a day, and no zone changes its clocks twice within two.
    v_before interval := longhaul.zone_offset(v_utc - interval '1 day', p_zone);
    v_after  interval := longhaul.zone_offset(v_utc + interval '1 day', p_zone);
BEGIN
    p_is := true;
    p_at := v_utc - v_before; -- of two, the earlier one
    IF v_before = v_after OR p_at AT TIME ZONE p_zone = p_local THEN
        RETURN;
    END IF;
    p_at := v_utc - v_after;
    IF p_at AT TIME ZONE p_zone <> p_local THEN
        p_is := false;
        p_at := longhaul.zone_change(v_utc - v_after, v_utc - v_before, p_zone);
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.zone_instant(timestamp, text) IS 'Internal: when it is a local time in a zone';

-- The first time after p_after of an expression whose minute or hour begins with *: it goes by what the clock
-- shows, so what is left out doesn't happen and what comes twice happens twice. Internal.
CREATE FUNCTION longhaul.cron_next_by_clock(p longhaul.cron_fields, p_zone text, p_after timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    c_look  CONSTANT interval := '25 hours';
    v_start timestamptz := p_after + interval '1 microsecond';
    v_off   interval;
    v_until timestamptz;
    v_local timestamp;
    v_at    timestamptz;
    v_is    boolean;
BEGIN
    -- Each round goes past one change of the clocks: twenty are ten years.
    FOR i IN 1 .. 20 LOOP
        v_off := longhaul.zone_offset(v_start, p_zone);
        v_until := v_start + c_look;
        IF longhaul.zone_offset(v_until, p_zone) <> v_off THEN
            v_until := longhaul.zone_change(v_start, v_until, p_zone);
        END IF;
        v_local := longhaul.cron_local(p, v_start AT TIME ZONE p_zone);
        IF v_local IS NULL THEN
            RETURN NULL;
        END IF;
        v_at := (v_local AT TIME ZONE 'UTC') - v_off;
        IF v_at < v_until THEN
            RETURN v_at;
        END IF;
        IF v_until = v_start + c_look THEN
            -- Far enough that no time on the way there is shown twice and was passed over.
            SELECT z.p_at, z.p_is INTO v_at, v_is FROM longhaul.zone_instant(v_local, p_zone) z;
            IF v_is THEN
                RETURN v_at;
            END IF;
            v_until := v_at;
        END IF;
        v_start := v_until;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION longhaul.cron_next_by_clock(longhaul.cron_fields, text, timestamptz) IS 'Internal: the next time of an expression with * as minute or hour';

-- The first time after p_after of an expression whose minute and hour are fixed: once for each time of day that
-- it names. What is left out happens when the clocks are put forward, what comes twice the first time. Internal.
CREATE FUNCTION longhaul.cron_next_fixed(p longhaul.cron_fields, p_zone text, p_after timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_local timestamp := date_trunc('minute', p_after AT TIME ZONE p_zone);
    v_at    timestamptz;
BEGIN
    LOOP
        v_local := longhaul.cron_local(p, v_local + interval '1 minute');
        IF v_local IS NULL THEN
            RETURN NULL;
        END IF;
        v_at := (longhaul.zone_instant(v_local, p_zone)).p_at;
        -- While clocks show an hour for the second time, its times are over.
        IF v_at > p_after THEN
            RETURN v_at;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION longhaul.cron_next_fixed(longhaul.cron_fields, text, timestamptz) IS 'Internal: the next time of an expression with fixed minutes and hours';

-- The first time after p_after at which a cron expression is due; NULL if there is none, as for the 30th of
-- February. Raises invalid_parameter_value if the expression is wrong.
--   p_cron  minute hour day-of-month month day-of-week, or @yearly, @monthly, @weekly, @daily, @hourly, or
--           @every N and s, m, h or d: every so often, counted from 1970 (so 7d is a Thursday, UTC)
--   p_zone  time zone by name, as in Europe/Berlin; @every needs none
CREATE FUNCTION longhaul.cron_next(p_cron text, p_zone text DEFAULT 'UTC', p_after timestamptz DEFAULT now())
RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v longhaul.cron_fields := longhaul.cron_parse(p_cron);
    v_period bigint;
BEGIN
    IF v.every IS NOT NULL THEN
        v_period := extract(epoch FROM v.every);
        RETURN to_timestamp((floor(extract(epoch FROM p_after) / v_period) + 1) * v_period);
    ELSIF v.by_clock THEN
        RETURN longhaul.cron_next_by_clock(v, p_zone, p_after);
    END IF;
    RETURN longhaul.cron_next_fixed(v, p_zone, p_after);
END
$$;
COMMENT ON FUNCTION longhaul.cron_next(text, text, timestamptz) IS 'The next time of a cron expression: SELECT longhaul.cron_next(''30 2 * * mon-fri'', ''Europe/Berlin'')';

-- The last time up to p_upto and after p_after at which a cron expression is due; NULL if there is none. Halves the
-- time in which it must lie, so that it is found soon however many there are. Internal.
CREATE FUNCTION longhaul.cron_last(p_cron text, p_zone text, p_after timestamptz, p_upto timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_found timestamptz;
    v_low   timestamptz := p_after;
    v_high  timestamptz := p_upto; -- nothing lies beyond it and up to p_upto
    v_mid   timestamptz;
    v_at    timestamptz;
    v_width interval := '1 minute';
BEGIN
    -- First a little before the end, then twice as far, until something is found.
    LOOP
        v_mid := greatest(p_after, p_upto - v_width);
        v_at := longhaul.cron_next(p_cron, p_zone, v_mid);
        EXIT WHEN v_at <= v_high OR v_mid = p_after;
        v_high := v_mid;
        v_width := v_width * 2;
    END LOOP;
    WHILE v_at <= v_high LOOP
        v_found := v_at;
        v_at := longhaul.cron_next(p_cron, p_zone, v_found);
        EXIT WHEN v_at IS NULL OR v_at > v_high;
        -- There are several: is one in the later half?
        v_low := v_found;
        LOOP
            v_mid := v_low + (v_high - v_low) / 2;
            v_at := longhaul.cron_next(p_cron, p_zone, v_mid);
            EXIT WHEN v_at <= v_high OR v_high - v_low < interval '1 second';
            v_high := v_mid;
        END LOOP;
    END LOOP;
    RETURN v_found;
END
$$;
COMMENT ON FUNCTION longhaul.cron_last(text, text, timestamptz, timestamptz) IS 'Internal: the last time of a cron expression up to a time';

REVOKE ALL ON FUNCTION longhaul.cron_number(text, text, integer, integer, text[]),
    longhaul.cron_field(text, text, integer, integer, text[]), longhaul.cron_parse(text),
    longhaul.cron_local(longhaul.cron_fields, timestamp), longhaul.zone_offset(timestamptz, text),
    longhaul.zone_change(timestamptz, timestamptz, text), longhaul.zone_instant(timestamp, text),
    longhaul.cron_next_by_clock(longhaul.cron_fields, text, timestamptz),
    longhaul.cron_next_fixed(longhaul.cron_fields, text, timestamptz), longhaul.cron_next(text, text, timestamptz),
    longhaul.cron_last(text, text, timestamptz, timestamptz)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION longhaul.cron_next(text, text, timestamptz) TO longhaul_dba;
