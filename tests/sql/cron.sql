-- Cron expressions: what is refused, a table of cases, and a comparison with what counting every minute finds.
BEGIN;
SELECT no_plan();
SET LOCAL timezone = 'UTC';

-- ---- what is refused, and how it is said ------------------------------------------------------------
SELECT throws_like(format('SELECT longhaul.cron_next(%L)', c), m, 'refused: ' || coalesce(c, 'NULL')) FROM (VALUES
    (NULL, '%missing'), ('', '%has not five fields%'), ('* * * *', '%has not five fields%'), ('* * * * * *', '%has not five fields%'),
    (repeat('*', 201), '%longer than 200%'), ('60 * * * *', '%minute: 60 is not between 0 and 59'), ('* 24 * * *', '%hour: 24 is not between 0 and 23'),
    ('* * 0 * *', '%day of month: 0 is not between 1 and 31'), ('* * 32 * *', '%day of month: 32 %'), ('* * * 0 *', '%month: 0 is not between 1 and 12'),
    ('* * * 13 *', '%month: 13 %'), ('* * * * 8', '%day of week: 8 is not between 0 and 7'), ('x * * * *', '%minute: "x" is not a number'),
    ('* * * foo *', '%month: "foo" is not a number or name'), ('* * * * monday', '%day of week: "monday" is not a number or name'),
    ('-1 * * * *', '%minute: "-1" is not *, a number, a range%'), ('1,,2 * * * *', '%minute: "" is not %'), (', * * * *', '%minute: "" is not %'),
    ('1- * * * *', '%"1-" is not %'), ('1-2-3 * * * *', '%"1-2-3" is not %'), ('5-1 * * * *', '%the range "5-1" ends before it begins'),
    ('* * * dec-jan *', '%range "dec-jan" ends before%'), ('*/0 * * * *', '%step of "*/0" is not between 1 and 59'), ('*/90 * * * *', '%step of "*/90" %'),
    ('5/15 * * * *', '%the step of "5/15" needs a range, as in 5-59/15'), ('1-5/5 * * * *', '%step of "1-5/5" is not between 1 and 4'),
    ('*/ * * * *', '%"*/" is not %'), ('1.5 * * * *', '%"1.5" is not %'), ('99999 * * * *', '%"99999" is not a number'), ('? * * * *', '%"?" is not %'),
    ('* * L * *', '%day of month: "L" is not a number'), ('@reboot', '%the word is none of %'), ('@every', '%the word is none of %'), ('@every 0s', '%@every takes from 1s%'),
    ('@every 5', '%the word is none of %'), ('@every 367d', '%@every takes from%'), ('@every -5m', '%the word is none of %'), ('0 0 * * *; x', '%has not five%')) v(c, m);
SELECT throws_ok('SELECT longhaul.cron_next(''61 * * * *'')', '22023', NULL, 'by the code of a wrong parameter');

-- ---- cases -------------------------------------------------------------------------------------
SELECT is(longhaul.cron_next(c, coalesce(z, 'UTC'), a::timestamptz), n::timestamptz, format('%s in %s after %s', c, coalesce(z, 'UTC'), a)) FROM (VALUES
    ('* * * * *', NULL, '2027-01-01 00:00', '2027-01-01 00:01'),
    ('* * * * *', NULL, '2027-01-01 00:00:00.000001', '2027-01-01 00:01'),
    ('* * * * *', NULL, '2026-12-31 23:59:59.999999', '2027-01-01 00:00'),
    ('0 0 1 1 *', NULL, '2027-01-01 00:00', '2028-01-01 00:00'),
    (' 5	4  *  * * ', NULL, '2027-01-01 04:05', '2027-01-02 04:05'),
    ('5,35 */6 * * *', NULL, '2027-01-01 06:05', '2027-01-01 06:35'),
    ('5,35 */6 * * *', NULL, '2027-01-01 18:35', '2027-01-02 00:05'),
    ('10-50/20 8-10 * * *', NULL, '2027-01-01 08:50', '2027-01-01 09:10'),
    ('0 9 * * mon-FRI', NULL, '2027-01-01 09:00', '2027-01-04 09:00'),
    ('0 9 * * 0', NULL, '2027-01-01 09:00', '2027-01-03 09:00'),
    ('0 9 * * 7', NULL, '2027-01-01 09:00', '2027-01-03 09:00'),
    ('0 9 * * sun', NULL, '2027-01-01 09:00', '2027-01-03 09:00'),
    ('0 9 * * 6-7', NULL, '2027-01-02 09:00', '2027-01-03 09:00'),
    ('0 9 * * sat-sun', NULL, '2027-01-03 09:00', '2027-01-09 09:00'),
    ('0 0 * Feb,AUG *', NULL, '2027-02-28 00:00', '2027-08-01 00:00'),
    -- leap years, ends of months, years
    ('0 0 29 2 *', NULL, '2027-01-01', '2028-02-29'),
    ('0 0 29 2 *', NULL, '2096-02-29', '2104-02-29'),
    ('0 0 29 2 *', NULL, '1896-02-29', '1904-02-29'),
    ('0 0 29 2 0', NULL, '2027-02-02', '2027-02-07'),
    ('0 0 30 2 *', NULL, '2027-01-01', NULL), ('0 0 31 2,4,6,9,11 *', NULL, '2027-01-01', NULL),
    ('0 0 31 * *', NULL, '2027-01-31', '2027-03-31'), ('59 23 31 12 *', NULL, '2027-06-01', '2027-12-31 23:59'),
    ('0 0 30 * *', NULL, '2028-01-30', '2028-03-30'),
    -- day of month or day of week; either alone; with * and a step both count
    ('0 0 13 * fri', NULL, '2027-01-01 00:00', '2027-01-08 00:00'), ('0 0 13 * fri', NULL, '2027-01-08 00:00', '2027-01-13 00:00'),
    ('0 0 13 * *', NULL, '2027-01-01', '2027-01-13'), ('0 0 * * fri', NULL, '2027-01-01', '2027-01-08'),
    ('0 0 */2 * mon', NULL, '2027-01-01', '2027-01-11'), ('0 0 1 * */2', NULL, '2027-01-02', '2027-04-01'),
    -- words
    ('@yearly', NULL, '2027-06-01', '2028-01-01'), ('@annually', NULL, '2027-06-01', '2028-01-01'), ('@monthly', NULL, '2027-06-01', '2027-07-01'),
    ('@weekly', NULL, '2027-06-01', '2027-06-06'), ('@daily', NULL, '2027-06-01', '2027-06-02'), ('@midnight', NULL, '2027-06-01', '2027-06-02'),
    ('@HOURLY', NULL, '2027-06-01 00:30', '2027-06-01 01:00'), ('@every 90m', NULL, '2027-06-01 00:00', '2027-06-01 01:30'),
    ('@every 10s', NULL, '2027-06-01 00:00:05.5', '2027-06-01 00:00:10'), ('@every 7d', NULL, '2027-06-01', '2027-06-03'),
    -- zones without summer time, and with quarters of an hour
    ('0 0 * * *', 'Asia/Tokyo', '2027-06-01 00:00', '2027-06-01 15:00'), ('0 12 * * *', 'Asia/Kathmandu', '2027-06-01 00:00', '2027-06-01 06:15'),
    ('@daily', 'Pacific/Kiritimati', '2027-06-01 00:00', '2027-06-01 10:00'), ('@daily', 'Pacific/Pago_Pago', '2027-06-01 00:00', '2027-06-01 11:00'),
    -- Berlin: 2027-03-28 02:00 becomes 03:00, 2027-10-31 03:00 becomes 02:00
    ('30 2 * * *', 'Europe/Berlin', '2027-03-27 00:00', '2027-03-27 01:30'), ('30 2 * * *', 'Europe/Berlin', '2027-03-27 01:30', '2027-03-28 01:00'),
    ('30 2 * * *', 'Europe/Berlin', '2027-03-28 01:00', '2027-03-29 00:30'), ('0,30 2 * * *', 'Europe/Berlin', '2027-03-28 01:00', '2027-03-29 00:00'),
    ('0 2,3 * * *', 'Europe/Berlin', '2027-03-28 00:00', '2027-03-28 01:00'), ('0 2,3 * * *', 'Europe/Berlin', '2027-03-28 01:00', '2027-03-29 00:00'),
    ('0 3 * * *', 'Europe/Berlin', '2027-03-28 00:00', '2027-03-28 01:00'), ('59 1 * * *', 'Europe/Berlin', '2027-03-28 00:00', '2027-03-28 00:59'),
    ('30 * * * *', 'Europe/Berlin', '2027-03-28 00:30', '2027-03-28 01:30'), ('*/20 2 * * *', 'Europe/Berlin', '2027-03-27 02:00', '2027-03-29 00:00'),
    ('30 2 28 3 *', 'Europe/Berlin', '2027-01-01', '2027-03-28 01:00'), ('*/30 2 28 3 *', 'Europe/Berlin', '2027-01-01', '2028-03-28 00:00'),
    ('30 2 * * *', 'Europe/Berlin', '2027-10-30 01:00', '2027-10-31 00:30'), ('30 2 * * *', 'Europe/Berlin', '2027-10-31 00:30', '2027-11-01 01:30'),
    ('30 2 * * *', 'Europe/Berlin', '2027-10-31 01:10', '2027-11-01 01:30'), ('0 3 * * *', 'Europe/Berlin', '2027-10-31 00:30', '2027-10-31 02:00'),
    ('30 * * * *', 'Europe/Berlin', '2027-10-31 00:30', '2027-10-31 01:30'), ('30 * * * *', 'Europe/Berlin', '2027-10-31 01:30', '2027-10-31 02:30'),
    ('*/30 2 * * *', 'Europe/Berlin', '2027-10-31 00:30', '2027-10-31 01:00'), ('*/30 2 31 10 *', 'Europe/Berlin', '2027-10-31 00:45', '2027-10-31 01:00'),
    -- New York: 2027-03-14 02:00 becomes 03:00, 2027-11-07 02:00 becomes 01:00
    ('30 2 * * *', 'America/New_York', '2027-03-13 08:00', '2027-03-14 07:00'), ('30 2 * * *', 'America/New_York', '2027-03-14 07:00', '2027-03-15 06:30'),
    ('30 1 * * *', 'America/New_York', '2027-11-06 06:00', '2027-11-07 05:30'), ('30 1 * * *', 'America/New_York', '2027-11-07 05:30', '2027-11-08 06:30'),
    ('@hourly', 'America/New_York', '2027-11-07 05:00', '2027-11-07 06:00'), ('@daily', 'America/New_York', '2027-11-07 04:00', '2027-11-08 05:00'),
    -- half an hour of summer time; midnight that doesn't exist; a day that never was
    ('15 2 * * *', 'Australia/Lord_Howe', '2027-10-02 00:00', '2027-10-02 15:30'), ('0 0 * * *', 'America/Asuncion', '2023-09-30 04:00', '2023-10-01 04:00'),
    ('0 12 30 12 *', 'Pacific/Apia', '2011-12-29', '2011-12-30 10:00'), ('0 * 30 12 *', 'Pacific/Apia', '2011-12-29', '2012-12-29 10:00')) v(c, z, a, n);

SELECT is(longhaul.cron_last(c, z, a::timestamptz, b::timestamptz), n::timestamptz, format('the last of %s up to %s', c, b)) FROM (VALUES
    ('* * * * *', 'UTC', '2020-01-01', '2027-01-01 00:00:30', '2027-01-01'), ('* * * * *', 'UTC', '2027-01-01', '2027-01-01', NULL),
    ('* * * * *', 'UTC', '2027-01-01', '2027-01-01 00:00:59', NULL), ('0 0 29 2 *', 'UTC', '2000-01-01', '2027-01-01', '2024-02-29'),
    ('0 0 29 2 *', 'UTC', '2024-02-29', '2027-01-01', NULL), ('0 0 30 2 *', 'UTC', '2000-01-01', '2027-01-01', NULL),
    ('@every 1s', 'UTC', '2000-01-01', '2027-01-01 00:00:00.5', '2027-01-01'), ('30 2 * * *', 'Europe/Berlin', '2027-03-01', '2027-03-28 12:00', '2027-03-28 01:00'),
    ('30 2 * * *', 'Europe/Berlin', '2027-03-01', '2027-03-28 01:00', '2027-03-28 01:00')) v(c, z, a, b, n);

-- ---- against every minute of two years -------------------------------------------------------------
-- What the clocks of a zone show in each half hour of two years (they are changed by halves of hours). seen: for the
-- second time. skipped: never shown, but left out when the clocks were put forward to at.
CREATE TEMP TABLE shown ON COMMIT DROP AS
WITH u AS MATERIALIZED (
    SELECT z, at, at AT TIME ZONE z AS l
      FROM unnest('{Europe/Berlin,America/New_York,Australia/Lord_Howe}'::text[]) z,
           generate_series('2026-12-31 12:00'::timestamptz, '2028-12-31 12:00', interval '30 minutes') at
), s AS (
    SELECT z, at, l, lag(l) OVER w AS before, max(l) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS top FROM u WINDOW w AS (PARTITION BY z ORDER BY at)
)
SELECT z, at, l, coalesce(l <= top, false) AS seen, false AS skipped FROM s
UNION ALL
SELECT z, at, g, false, true FROM s, generate_series(before + interval '30 minutes', l - interval '30 minutes', interval '30 minutes') g
 WHERE l > before + interval '30 minutes';
SELECT is((SELECT (count(*) FILTER (WHERE seen), count(*) FILTER (WHERE skipped)) FROM shown), (10::bigint, 10::bigint), 'clocks were changed four times in each zone');

CREATE TEMP TABLE hands ON COMMIT DROP AS
SELECT z, at, seen, skipped, extract(minute FROM l)::integer AS mi, extract(hour FROM l)::integer AS ho, extract(day FROM l)::integer AS da,
       extract(month FROM l)::integer AS mo, extract(dow FROM l)::integer AS we FROM shown;

-- A field at random: *, a number, a range, steps, lists.
CREATE FUNCTION pg_temp.field(p_low integer, p_high integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    a integer := p_low + floor(random() * (p_high - p_low + 1));
    b integer := a + floor(random() * (p_high - a + 1));
BEGIN
    RETURN CASE floor(random() * 6)
        WHEN 0 THEN '*' WHEN 1 THEN a::text WHEN 2 THEN a || '-' || b WHEN 3 THEN '*/' || 1 + floor(random() * (p_high - p_low) / 2)
        WHEN 4 THEN p_low || '-' || p_high || '/' || 1 + floor(random() * (p_high - p_low) / 2) ELSE a || ',' || b || ',' || p_low END;
END
$$;

-- What a field allows, found by a way of its own: each value is tried against each item of the list.
CREATE FUNCTION pg_temp.allowed(p_field text, p_low integer, p_high integer) RETURNS integer[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(DISTINCT CASE WHEN p_high = 7 THEN v % 7 ELSE v END)
      FROM generate_series(p_low, p_high) v, string_to_table(p_field, ',') item,
           LATERAL (SELECT split_part(item, '/', 1) AS range, coalesce(nullif(split_part(item, '/', 2), ''), '1')::integer AS step) i,
           LATERAL (SELECT CASE range WHEN '*' THEN p_low ELSE split_part(range, '-', 1)::integer END AS a,
                           CASE range WHEN '*' THEN p_high ELSE coalesce(nullif(split_part(range, '-', 2), ''), range)::integer END AS b) r
     WHERE v BETWEEN a AND b AND (v - a) % step = 0
$$;

-- All times of an expression in the two years, by looking at each minute.
CREATE FUNCTION pg_temp.counted(p_cron text, p_zone text) RETURNS timestamptz[] LANGUAGE plpgsql AS $$
DECLARE
    f        text[] := string_to_array(p_cron, ' ');
    v_mi     integer[] := pg_temp.allowed(f[1], 0, 59);
    v_ho     integer[] := pg_temp.allowed(f[2], 0, 23);
    v_da     integer[] := pg_temp.allowed(f[3], 1, 31);
    v_mo     integer[] := pg_temp.allowed(f[4], 1, 12);
    v_we     integer[] := pg_temp.allowed(f[5], 0, 7);
    v_both   boolean := f[3] LIKE '*%' OR f[5] LIKE '*%';
    v_clock  boolean := f[1] LIKE '*%' OR f[2] LIKE '*%';
BEGIN
    RETURN ARRAY(SELECT DISTINCT CASE WHEN skipped THEN at ELSE at + (m - mi) * interval '1 minute' END AS at
                   FROM hands JOIN unnest(v_mi) AS m ON m BETWEEN mi AND mi + 29
                  WHERE z = p_zone AND ho = ANY (v_ho) AND mo = ANY (v_mo)
                    AND CASE WHEN v_both THEN da = ANY (v_da) AND we = ANY (v_we) ELSE da = ANY (v_da) OR we = ANY (v_we) END
                    AND CASE WHEN v_clock THEN NOT skipped ELSE NOT seen END
                  ORDER BY 1);
END
$$;

-- Compares both ways from 40 places, among them the changes of the clocks; what differs is returned.
CREATE FUNCTION pg_temp.differs(p_cron text, p_zone text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_all  timestamptz[] := pg_temp.counted(p_cron, p_zone);
    v_place integer;
    v_from timestamptz;
    v_want timestamptz;
    v_next timestamptz;
    v_last timestamptz;
BEGIN
    FOR v_from IN
        SELECT date_trunc('second', at + random() * interval '150 minutes' - interval '75 minutes') FROM hands, generate_series(1, 5)
         WHERE z = p_zone AND (skipped OR seen)
        UNION ALL SELECT at FROM unnest(v_all) at WHERE random() < 10.0 / (1 + cardinality(v_all))
        UNION ALL SELECT '2027-01-01'::timestamptz + random() * interval '700 days' FROM generate_series(1, 10)
    LOOP
        v_place := width_bucket(v_from, v_all); -- how many are not later
        v_want := v_all[v_place + 1];
        v_next := longhaul.cron_next(p_cron, p_zone, v_from);
        IF v_next IS DISTINCT FROM v_want AND (v_want IS NOT NULL OR v_next <= '2028-12-31 12:00') THEN
            RETURN format('after %s: %s, not %s', v_from, v_next, v_want);
        END IF;
        v_want := CASE WHEN v_all[v_place] > '2027-01-01' THEN v_all[v_place] END;
        v_last := longhaul.cron_last(p_cron, p_zone, '2027-01-01', v_from);
        IF v_last IS DISTINCT FROM v_want THEN
            RETURN format('up to %s: %s, not %s', v_from, v_last, v_want);
        END IF;
    END LOOP;
    RETURN '';
END
$$;

SELECT setseed(0.5);
SELECT is(pg_temp.differs(c, z), '', format('as counted: %s in %s', c, z))
  FROM (SELECT format('%s %s %s %s %s', pg_temp.field(0, 59),
               -- Often the hours in which clocks are changed.
               CASE WHEN random() < 0.7 THEN (ARRAY['1', '2', '3', '1-3', '0-2', '2,3'])[1 + floor(random() * 6)] ELSE pg_temp.field(0, 23) END,
               CASE WHEN random() < 0.7 THEN '*' ELSE pg_temp.field(1, 31) END, CASE WHEN random() < 0.7 THEN '*' ELSE pg_temp.field(1, 12) END,
               CASE WHEN random() < 0.7 THEN '*' ELSE pg_temp.field(0, 7) END) AS c,
               (ARRAY['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe'])[1 + n % 3] AS z
          FROM generate_series(1, 42) n OFFSET 0) r;

SELECT * FROM finish();
ROLLBACK;
