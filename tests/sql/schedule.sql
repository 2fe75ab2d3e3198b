-- Recurring jobs: what is checked when a row is written, what a tick makes, missed times, ticks twice.
BEGIN;
SELECT no_plan();
SET LOCAL timezone = 'UTC';
SELECT t.type('test', 'media_types = ''{application/json,text/plain}'', max_input_bytes = 100') AS test, t.worker(1) AS w1 \gset

-- Jobs made, as 'schedule/NAME' and time, in order.
CREATE FUNCTION pg_temp.made(p_name text) RETURNS text[] LANGUAGE sql AS $$
    SELECT coalesce(array_agg(split_part(request_id, '/', 3) ORDER BY request_id), '{}') FROM longhaul.job WHERE request_id LIKE 'schedule/' || p_name || '/%'
$$;
CREATE FUNCTION pg_temp.wire(p timestamptz) RETURNS text LANGUAGE sql AS $$ SELECT to_char(p, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;
-- The hours are whole, and not about to change.
CREATE FUNCTION pg_temp.hour(n integer) RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT date_trunc('hour', clock_timestamp()) + n * interval '1 hour' $$;
SELECT pg_sleep(extract(epoch FROM pg_temp.hour(1) - clock_timestamp())) WHERE pg_temp.hour(1) - clock_timestamp() < '20 seconds';

-- ---- what is refused ------------------------------------------------------------------------------
SELECT throws_like(format('INSERT INTO longhaul.schedule (name, job_type, cron, %s) VALUES (''bad'', ''test'', ''@hourly'', %s)', c, v), m, 'refused: ' || c || ' ' || v)
  FROM (VALUES ('time_zone', '''Mars/Olympus''', '%time zone "Mars/Olympus" is neither%'), ('time_zone', '''CET''', '%time zone "CET"%'),
               ('time_zone', '''FOO+3''', '%"FOO+3"%'), ('time_zone', '''europe/berlin''', '%neither%'), ('time_zone', 'NULL', '%neither%'),
               ('media_type', '''image/png''', '%does not accept image/png'), ('input', 'convert_to(repeat(''x'', 101), ''UTF8'')', '%larger than the 100 bytes%'),
               ('priority', '101', '%priority must be%'), ('client', '''''', '%1 to 64 characters'), ('missed', '''twice''', '%missed_check%'),
               ('missed_max', '0', '%missed_max_check%'), ('start_within', '''0''', '%start_within_check%'), ('ends_at', '''infinity''', '%ends_at_check%'),
               ('next_at', '''infinity''', '%next_at_check%'), ('due_at', 'now()', '%due_at%')) x(c, v, m);
SELECT throws_like(format('INSERT INTO longhaul.schedule (name, job_type, cron) VALUES (%L, %L, %L)', n, j, c), m, 'refused: ' || m)
  FROM (VALUES ('bad', 'nothing', '@hourly', '%there is no job type "nothing"'), ('bad name', 'test', '@hourly', '%name_check%'),
               ('bad', 'test', '0 0 30 2 *', '%cron expression "0 0 30 2 *" is never due'), ('bad', 'test', '61 * * * *', '%minute: 61%'),
               ('bad', 'test', NULL, '%cron%missing%')) x(n, j, c, m);
SELECT throws_like($$ INSERT INTO longhaul.schedule (name, job_type, cron, starts_at, ends_at) VALUES ('bad', 'test', '@hourly', now(), now()) $$, '%check%',
    'an end that is not later than the start');
SELECT is((SELECT count(*) FROM longhaul.schedule), 0::bigint, 'nothing of that is there');

-- ---- the next time ----------------------------------------------------------------------------------
INSERT INTO longhaul.schedule (name, job_type, cron, input, client, priority) VALUES ('hourly', 'test', '@hourly', '{"h":1}', 'alice', 7);
SELECT is((next_at, due_at), (pg_temp.hour(1), pg_temp.hour(1)), 'the next hour') FROM longhaul.schedule;
SELECT is(ARRAY(SELECT at FROM longhaul.schedule_next('hourly', 3)), ARRAY[pg_temp.hour(1), pg_temp.hour(2), pg_temp.hour(3)], 'the next three');
SELECT is((SELECT array_agg(local_time) FROM longhaul.schedule_next('hourly', 1)), ARRAY[pg_temp.hour(1) AT TIME ZONE 'UTC'], 'with the local time');
SELECT throws_ok('SELECT longhaul.schedule_next(''nothing'')', '22023', NULL, 'of none there is');
UPDATE longhaul.schedule SET cron = '30 12 * * *', time_zone = 'Asia/Kathmandu';
SELECT is((next_at AT TIME ZONE 'Asia/Kathmandu')::time, '12:30'::time, 'another expression, another time') FROM longhaul.schedule;
UPDATE longhaul.schedule SET cron = '@hourly', time_zone = 'UTC', starts_at = pg_temp.hour(5), ends_at = pg_temp.hour(6);
SELECT is(ARRAY(SELECT at FROM longhaul.schedule_next('hourly')), ARRAY[pg_temp.hour(5), pg_temp.hour(6)], 'from the start to the end, both counted');
UPDATE longhaul.schedule SET starts_at = NULL, ends_at = pg_temp.hour(0);
SELECT is((next_at, due_at), (NULL::timestamptz, NULL::timestamptz), 'past its end nothing comes') FROM longhaul.schedule;
SELECT is((made, next_due_ms), (0, NULL::bigint), 'and nothing is due') FROM longhaul.schedule_tick(10);
UPDATE longhaul.schedule SET ends_at = NULL, enabled = false;
SELECT is((next_at, due_at), (pg_temp.hour(1), NULL::timestamptz), 'not enabled: never due') FROM longhaul.schedule;
SELECT is((SELECT count(*) FROM longhaul.schedule_next('hourly', 4)), 4::bigint, 'but its times can be seen');
UPDATE longhaul.schedule SET next_at = pg_temp.hour(-2);
SELECT is((made, next_due_ms), (0, NULL::bigint), 'nothing is made') FROM longhaul.schedule_tick(10);
UPDATE longhaul.schedule SET enabled = true;
SELECT is(next_at, pg_temp.hour(1), 'enabled again: what came due meanwhile is not made up for') FROM longhaul.schedule;
SELECT throws_ok($$ DELETE FROM longhaul.job_type WHERE name = 'test' $$, '23503', NULL, 'a type that has schedules stays');

-- ---- a tick -------------------------------------------------------------------------------------
SELECT is((made, next_due_ms BETWEEN 1 AND 3600000), (0, true), 'nothing is due yet, and when it will be') FROM longhaul.schedule_tick(10);
UPDATE longhaul.schedule SET next_at = pg_temp.hour(0);
SELECT is((made, next_due_ms BETWEEN 0 AND 3600000), (1, true), 'one is due') FROM longhaul.schedule_tick(10);
SELECT is((next_at, last_at, last_error), (pg_temp.hour(1), pg_temp.hour(0), NULL::text), 'then the next') FROM longhaul.schedule;
SELECT is(pg_temp.made('hourly'), ARRAY[pg_temp.wire(pg_temp.hour(0))], 'a job was made');
SELECT is((j.client = 'alice', j.priority, j.input, j.media_type, j.type_id, j.id), (true, 7::smallint, '{"h":1}'::bytea, 'application/json'::text, :test, s.last_job),
    'as the schedule says') FROM longhaul.job j, longhaul.schedule s WHERE j.request_id LIKE 'schedule/%';
SELECT is((SELECT count(*) FROM longhaul.ready r JOIN longhaul.schedule s ON s.last_job = r.job_id), 1::bigint, 'which waits');
SELECT is((last_status, next_run, enabled), ('Queued'::text, pg_temp.hour(1), true), 'the view tells') FROM longhaul.schedules;

UPDATE longhaul.schedule SET next_at = pg_temp.hour(0);
SELECT is(made, 1, 'the same time once more') FROM longhaul.schedule_tick(10);
SELECT is(pg_temp.made('hourly'), ARRAY[pg_temp.wire(pg_temp.hour(0))], 'is the same job');
UPDATE longhaul.schedule SET next_at = pg_temp.hour(0), input = '{"h":2}';
SELECT is(made, 1, 'also after a change of the input') FROM longhaul.schedule_tick(10);
SELECT is((cardinality(pg_temp.made('hourly')), (SELECT last_job IS NOT NULL FROM longhaul.schedule)), (1, true), 'the same job');

SELECT b.fence FROM t.start(1, 'test') b \gset
SELECT is((SELECT last_status FROM longhaul.schedules), 'InProgress', 'the job runs');
SELECT t.finish(1, last_job, :fence) FROM longhaul.schedule \g /dev/null
SELECT is((SELECT last_status FROM longhaul.schedules), 'Completed', 'and ends');
SELECT is(longhaul.delete_job(last_job, 'alice'), 1::smallint, 'its job may be removed') FROM longhaul.schedule;
UPDATE longhaul.schedule SET next_at = pg_temp.hour(0);
SELECT is(made, 1, 'and the time comes once more') FROM longhaul.schedule_tick(10);
SELECT is(pg_temp.made('hourly'), '{}', 'no second job');

-- ---- out of turn ----------------------------------------------------------------------------------
SELECT longhaul.schedule_run('hourly') AS run \gset
SELECT is((last_job, last_status, next_run), (:'run'::uuid, 'Queued'::text, pg_temp.hour(1)), 'a run out of turn leaves the next time as it is') FROM longhaul.schedules;
UPDATE longhaul.schedule SET enabled = false;
SELECT isnt(longhaul.schedule_run('hourly'), :'run'::uuid, 'again, though it is not enabled');
SELECT throws_ok('SELECT longhaul.schedule_run(''nothing'')', '22023', NULL, 'none there is');
DELETE FROM longhaul.schedule;

-- ---- missed times -----------------------------------------------------------------------------------
INSERT INTO longhaul.schedule (name, job_type, cron, missed, missed_max, next_at)
VALUES ('skip', 'test', '@hourly', 'skip', 100, pg_temp.hour(-5)), ('once', 'test', '@hourly', 'once', 100, pg_temp.hour(-5)),
       ('all', 'test', '@hourly', 'all', 100, pg_temp.hour(-5)), ('some', 'test', '@hourly', 'all', 3, pg_temp.hour(-5)),
       ('most', 'test', '@every 1s', 'all', 50, now() - interval '100 days');
-- A little later, whatever the time is: nothing is within the grace.
UPDATE longhaul.schedule SET grace = '1 second' WHERE name = 'skip' AND pg_sleep(1.1) IS NOT NULL;
SELECT is(made, 1 + 6 + 3 + 50, 'a tick after five hours') FROM longhaul.schedule_tick(10);
SELECT is((SELECT count(*) FROM longhaul.schedule WHERE due_at > now() AND retry_at IS NULL), 5::bigint, 'nothing is left');
SELECT is(pg_temp.made('skip'), '{}', 'skip: none');
SELECT is((SELECT (last_at, last_job) FROM longhaul.schedule WHERE name = 'skip'), (NULL::timestamptz, NULL::uuid), 'which says so');
SELECT is(pg_temp.made('once'), ARRAY[pg_temp.wire(pg_temp.hour(0))], 'once: the last of them');
SELECT is(pg_temp.made('all'), ARRAY(SELECT pg_temp.wire(pg_temp.hour(n)) FROM generate_series(-5, 0) n), 'all: each');
SELECT is(pg_temp.made('some'), ARRAY(SELECT pg_temp.wire(pg_temp.hour(n)) FROM generate_series(-2, 0) n), 'all, but three at most: the last three');
SELECT is(cardinality(pg_temp.made('most')), 50, 'of millions fifty');
DELETE FROM longhaul.schedule;
INSERT INTO longhaul.schedule (name, job_type, cron, missed, next_at) VALUES ('fresh', 'test', '@every 10s', 'skip', clock_timestamp() - interval '15 seconds');
SELECT is(made, 1, 'skip: a time within the grace was not missed') FROM longhaul.schedule_tick(10);
DELETE FROM longhaul.schedule;
INSERT INTO longhaul.schedule (name, job_type, cron, missed, next_at, ends_at) VALUES ('over', 'test', '@hourly', 'all', pg_temp.hour(-5), pg_temp.hour(-3));
SELECT is((made, next_due_ms IS NULL), (3, true), 'up to the end') FROM longhaul.schedule_tick(10);
DELETE FROM longhaul.schedule;

-- ---- no overlaps --------------------------------------------------------------------------------------
INSERT INTO longhaul.schedule (name, job_type, cron, overlap, missed, next_at) VALUES ('alone', 'test', '@hourly', 'skip', 'all', pg_temp.hour(-3));
SELECT is(made, 1, 'of missed times one is made') FROM longhaul.schedule_tick(10);
SELECT is(pg_temp.made('alone'), ARRAY[pg_temp.wire(pg_temp.hour(0))], 'the last');
UPDATE longhaul.schedule SET next_at = pg_temp.hour(-1);
SELECT is((made, next_due_ms BETWEEN 1 AND 3600000), (0, true), 'its job waits: none is made') FROM longhaul.schedule_tick(10);
SELECT is((next_at, last_at, skipped_at), (pg_temp.hour(1), pg_temp.hour(0), pg_temp.hour(0)), 'which is kept') FROM longhaul.schedule;
SELECT longhaul.cancel_job(last_job, 'schedule') AS x FROM longhaul.schedule \gset
SELECT last_job AS first FROM longhaul.schedule \gset
UPDATE longhaul.schedule SET cron = '@every 10s', next_at = clock_timestamp() - interval '1 second';
SELECT is(made, 1, 'it has ended: one is made') FROM longhaul.schedule_tick(10);
SELECT b.fence FROM t.claim(1, 'test', 100) b JOIN longhaul.schedule s ON s.last_job = b.job_id \gset
UPDATE longhaul.schedule SET next_at = clock_timestamp();
SELECT is(made, 0, 'it has been claimed: none') FROM longhaul.schedule_tick(10);
SELECT isnt(longhaul.schedule_run('alone'), last_job, 'but out of turn') FROM longhaul.schedule;
UPDATE longhaul.schedule SET next_at = clock_timestamp();
SELECT is(made, 0, 'which counts as well') FROM longhaul.schedule_tick(10);
SELECT longhaul.cancel_job(last_job, 'schedule') AS x FROM longhaul.schedule \gset
SELECT longhaul.delete_job(last_job, 'schedule') AS x FROM longhaul.schedule \gset
UPDATE longhaul.schedule SET next_at = clock_timestamp();
SELECT is(made, 1, 'of one that has been removed nothing is known') FROM longhaul.schedule_tick(10);
DELETE FROM longhaul.schedule;

-- ---- what can't be made ---------------------------------------------------------------------------
INSERT INTO longhaul.schedule (name, job_type, cron, next_at, media_type)
VALUES ('bad', 'test', '@hourly', pg_temp.hour(0), 'text/plain'), ('good', 'test', '@hourly', pg_temp.hour(0), 'application/json');
UPDATE longhaul.job_type SET media_types = '{application/json}' WHERE name = 'test';
SELECT is((made, next_due_ms BETWEEN 1000 AND 60000), (1, true), 'one of two') FROM longhaul.schedule_tick(10);
SELECT is((last_error LIKE '%does not accept text/plain', next_at, due_at > clock_timestamp() + interval '50 seconds'), (true, pg_temp.hour(0), true),
    'the other says why, and comes again in a minute') FROM longhaul.schedule WHERE name = 'bad';
SELECT is(made, 0, 'not before') FROM longhaul.schedule_tick(10);
UPDATE longhaul.job_type SET media_types = '{*/*}' WHERE name = 'test';
UPDATE longhaul.schedule SET retry_at = now() WHERE name = 'bad';
SELECT is(made, 1, 'then') FROM longhaul.schedule_tick(10);
SELECT is((last_error, retry_at, next_at), (NULL::text, NULL::timestamptz, pg_temp.hour(1)), 'and all is well') FROM longhaul.schedule WHERE name = 'bad';

-- ---- bounds -----------------------------------------------------------------------------------------
UPDATE longhaul.schedule SET next_at = pg_temp.hour(-1);
SELECT is((made, next_due_ms), (1, 0::bigint), 'no more schedules than asked for, and the next at once') FROM longhaul.schedule_tick(1);
SELECT is(made, 1, 'then the other') FROM longhaul.schedule_tick(1);

-- ---- rights -----------------------------------------------------------------------------------------
SELECT is(t.as_role('longhaul_dba', $$ INSERT INTO longhaul.schedule (name, job_type, cron, time_zone) VALUES ('mine', 'test', '@daily', 'Europe/Berlin') $$), '', 'a DBA may make schedules');
SELECT is(t.as_role('longhaul_dba', $$ UPDATE longhaul.schedule SET enabled = false, cron = '@daily' $$), '', 'change them');
SELECT is(t.as_role('longhaul_dba', $$ SELECT longhaul.schedule_run('good'), longhaul.schedule_next('good'), longhaul.cron_next('@daily') $$), '', 'run them');
SELECT is(t.as_role('longhaul_dba', $$ DELETE FROM longhaul.schedule $$), '', 'and remove them');
SELECT is(t.as_role('longhaul_worker', 'SELECT longhaul.schedule_tick(10)'), '', 'workers tick');
SELECT is(t.as_role('longhaul_submit', 'SELECT longhaul.submit(''test'', ''{}'')'), '', 'longhaul_submit submits');
SELECT is(t.as_role('longhaul_submit', 'SELECT FROM longhaul.schedule'), '42501', 'and sees nothing');

-- ---- submit() with a key -------------------------------------------------------------------------------
SELECT longhaul.submit('test', '{}', p_key => 'K') AS first \gset
SELECT is(longhaul.submit('test', '{}', p_key => 'K'), :'first'::uuid, 'the same key, the same job');
SELECT isnt(longhaul.submit('test', '{}', p_key => 'K', p_client => 'other'), :'first'::uuid, 'another client''s is another');
SELECT throws_ok($$ SELECT longhaul.submit('test', '{}', p_key => 'K', p_priority => 1) $$, '23505', NULL, 'the key of another request is refused');
SELECT throws_ok($$ SELECT longhaul.submit('test', '{}', p_key => '') $$, '22023', NULL, 'an empty key is none');
UPDATE longhaul.job_type SET max_input_bytes = 1000000 WHERE name = 'test';
SELECT longhaul.submit('test', convert_to(repeat('x', 300000), 'UTF8'), p_key => 'L') AS large \gset
SELECT is(longhaul.submit('test', convert_to(repeat('x', 300000), 'UTF8'), p_key => 'L'), :'large'::uuid, 'the same large input');
SELECT is((SELECT count(*) FROM longhaul.input_chunk), 2::bigint, 'is stored once');

SELECT * FROM finish();
ROLLBACK;
