-- What DBAs do by hand: cancel, retry, remove, release; each noted, and nonsense refused.
BEGIN;
SELECT no_plan();
SELECT t.type('test') AS test, t.type('other') AS other, t.type('brief', 'lifetime = ''1 hour''') AS brief, t.worker(1) AS w1, t.worker(2) AS w2 \gset
CREATE ROLE tap_dba LOGIN IN ROLE longhaul_dba;
-- The newest note: 'cancel_job Queued'.
CREATE FUNCTION pg_temp.noted(p_key text) RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', who, action, what, detail ->> p_key) FROM longhaul.audit ORDER BY id DESC LIMIT 1 $$;
-- Makes a job that has failed with this error, minutes ago.
CREATE FUNCTION pg_temp.failed(p_type text, p_client text DEFAULT 'alice', p_detail text DEFAULT 'no', p_minutes integer DEFAULT 0) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid := t.job(p_type, p_client => p_client);
BEGIN
    PERFORM t.finish(1, s.job_id, s.fence, 2, p_error => longhaul.problem('broken', 'It broke', 500, p_detail)::text) FROM t.start(1, p_type) s;
    UPDATE longhaul.outcome SET ended_at = now() - p_minutes * interval '1 minute' WHERE job_id = v_id;
    RETURN v_id;
END
$$;
CREATE FUNCTION pg_temp.status(p_id uuid) RETURNS text LANGUAGE sql AS $$ SELECT status FROM longhaul.jobs WHERE id = p_id $$;
SELECT current_user AS me \gset

-- ---- cancel ----------------------------------------------------------------------------------------------
SELECT t.job('test') AS j \gset
SET SESSION AUTHORIZATION tap_dba;
SELECT longhaul.cancel_job(:'j') AS got \gset
RESET SESSION AUTHORIZATION;
SELECT is(:'got'::text, 'Canceled', 'one that waits');
SELECT is(pg_temp.status(:'j'), 'Canceled', 'is canceled');
SELECT is(pg_temp.noted('was'), 'tap_dba cancel_job ' || :'j' || ' Queued', 'noted');
SELECT is(longhaul.cancel_job(:'j'), 'Canceled', 'again: it is');
SELECT is(pg_temp.noted('was'), :'me' || ' cancel_job ' || :'j' || ' Canceled', 'noted');
SELECT t.job('test') AS j \gset
SELECT fence AS f FROM t.start(1, 'test') \gset
SELECT is(longhaul.cancel_job(:'j'), 'InProgress', 'one that runs: its worker is told');
SELECT is(pg_temp.noted('was'), :'me' || ' cancel_job ' || :'j' || ' InProgress', 'noted');
SELECT is(t.finish(1, :'j', :f), 1::smallint, 'it was faster');
SELECT throws_ok(format('SELECT longhaul.cancel_job(%L::uuid)', :'j'), '55000', 'job ' || :'j' || ' is Completed already', 'one that has ended');
SELECT throws_ok('SELECT longhaul.cancel_job(''01234567-0000-7000-8000-000000000000''::uuid)', '22023', 'there is no job 01234567-0000-7000-8000-000000000000', 'one that never was');
SELECT throws_ok('SELECT longhaul.cancel_job(NULL::uuid)', '22023', 'there is no job NULL', 'none');

SELECT t.job('test', p_client => 'flood') AS a, t.job('test', p_client => 'flood') AS b, t.job('other', p_client => 'flood') AS c, t.job('test') AS d,
       (t.submit('test', p_client => 'flood', p_run_at => now() + interval '1 hour')).job_id AS later \gset
SELECT is(longhaul.cancel_jobs('test', 'flood', p_limit => 2), 2, 'a client''s jobs of a type, the newest first');
SELECT is(array_agg(pg_temp.status(i) ORDER BY n), '{Queued,Canceled,Queued,Queued,Canceled}', 'those') FROM unnest(ARRAY[:'a', :'b', :'c', :'d', :'later']::uuid[]) WITH ORDINALITY u(i, n);
SELECT is(pg_temp.noted('jobs'), :'me' || ' cancel_jobs test flood 2', 'noted, in one row');
SELECT is(longhaul.cancel_jobs('test', 'flood'), 1, 'the rest');
SELECT is(longhaul.cancel_jobs('test', 'flood'), 0, 'nothing is left');
SELECT is(longhaul.cancel_jobs('test', p_to => now() - interval '1 hour'), 0, 'of a time: none');
SELECT is(longhaul.cancel_jobs('test'), 1, 'all of a type');
SELECT is(pg_temp.status(:'d'), 'Canceled', 'that one');
SELECT is(pg_temp.status(:'c'), 'Queued', 'no other');
SELECT is(longhaul.cancel_jobs(p_client => 'flood', p_from => now() - interval '1 hour'), 1, 'all of a client');
SELECT t.job('test') AS j \gset
SELECT fence AS f FROM t.start(1, 'test') \gset
SELECT is(longhaul.cancel_jobs('test'), 0, 'what runs goes on');
SELECT is(longhaul.cancel_jobs('test', 'alice'), 0, 'what runs goes on');
SELECT t.finish(1, :'j', :f) \gset
SELECT throws_ok('SELECT longhaul.cancel_jobs()', '22023', NULL, 'everything at once is refused');
SELECT throws_ok('SELECT longhaul.cancel_jobs(''nothing'')', '22023', 'there is no job type "nothing"', 'of a type that is none');
SELECT throws_ok('SELECT longhaul.cancel_jobs(''test'', p_limit => 0)', '22023', NULL, 'none at a time');
SELECT throws_ok('SELECT longhaul.cancel_jobs(''test'', p_from => now(), p_to => now())', '22023', NULL, 'of no time');

-- ---- retry -----------------------------------------------------------------------------------------------
SELECT pg_temp.failed('test') AS j \gset
SELECT is(longhaul.retry_job(:'j'), 'Queued', 'one that failed');
SELECT is(pg_temp.status(:'j'), 'Queued', 'waits again');
SELECT is(pg_temp.noted('was'), :'me' || ' retry_job ' || :'j' || ' Failed', 'noted');
SELECT throws_ok(format('SELECT longhaul.retry_job(%L::uuid)', :'j'), '55000', 'job ' || :'j' || ' has not ended', 'one that waits');
SELECT t.finish(1, job_id, fence) FROM t.start(1, 'test') \gset
SELECT throws_ok(format('SELECT longhaul.retry_job(%L::uuid)', :'j'), '55000', 'job ' || :'j' || ' is Completed', 'one that is done');
SELECT throws_ok('SELECT longhaul.retry_job(t.id())', '22023', NULL, 'one that never was');
SELECT pg_temp.failed('test') AS j \gset
UPDATE longhaul.outcome SET expires_at = now() - interval '1 second' WHERE job_id = :'j';
SELECT throws_like(format('SELECT longhaul.retry_job(%L::uuid)', :'j'), '%retention%', 'one that is removed soon');
SELECT pg_temp.failed('brief') AS j \gset
UPDATE longhaul.job SET created_at = now() - interval '2 hours' WHERE id = :'j';
SELECT throws_like(format('SELECT longhaul.retry_job(%L::uuid)', :'j'), '%lifetime%', 'one that would expire at once');
SELECT is(longhaul.retry_jobs('brief'), 0, 'nor by a filter');

SELECT pg_temp.failed('test', 'alice', 'timeout of the bank') AS a, pg_temp.failed('test', 'bob', 'no such account') AS b, pg_temp.failed('other', 'alice', 'timeout of the bank') AS c,
       pg_temp.failed('test', 'alice', 'timeout of the bank', 120) AS d, pg_temp.failed('test', 'alice', 'timeout', 2000) AS e \gset
CREATE TABLE pg_temp.five AS SELECT i, n FROM unnest(ARRAY[:'a', :'b', :'c', :'d', :'e']::uuid[]) WITH ORDINALITY u(i, n);
CREATE FUNCTION pg_temp.all() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(left(status, 1), '' ORDER BY n) FROM pg_temp.five JOIN longhaul.jobs ON id = i $$;
SELECT is(longhaul.retry_jobs('test', 'carol'), 0, 'of a client without any');
SELECT is(longhaul.retry_jobs(p_error => 'no space left'), 0, 'of an error that there wasn''t');
SELECT is(longhaul.retry_jobs(p_status => 'Canceled', p_type => 'test', p_from => now() + interval '1 hour'), 0, 'of a time to come');
SELECT is(longhaul.retry_jobs('test', p_error => 'TIMEOUT', p_from => now() - interval '1 hour'), 1, 'of a type, an error and a time');
SELECT is(pg_temp.all(), 'QFFFF', 'that one');
SELECT is(pg_temp.noted('jobs'), :'me' || ' retry_jobs test 1', 'noted');
SELECT is((SELECT detail ->> 'error' FROM longhaul.audit ORDER BY id DESC LIMIT 1), 'TIMEOUT', 'with the filter');
SELECT is(longhaul.retry_jobs(p_client => 'alice', p_limit => 1), 1, 'of a client, one at a time');
SELECT is(longhaul.retry_jobs(p_client => 'alice', p_limit => 1), 1, 'of a client, one at a time');
SELECT is(pg_temp.all(), 'QFQQF', 'those of the last day');
SELECT is(longhaul.retry_jobs(p_client => 'alice'), 0, 'no more');
SELECT is(longhaul.retry_jobs('test', p_from => '-infinity', p_to => now() - interval '1 day'), 1, 'what ended before');
SELECT is(pg_temp.all(), 'QFQQQ', 'that one');
SELECT is(longhaul.cancel_job(:'a'), 'Canceled', 'a canceled one');
SELECT is(longhaul.retry_jobs('test', 'alice', p_status => 'Canceled', p_limit => 10000) > 0, true, 'can be queued again too');
SELECT is(pg_temp.status(:'a'), 'Queued', 'that one');
SELECT throws_ok('SELECT longhaul.retry_jobs(''nothing'')', '22023', 'there is no job type "nothing"', 'of a type that is none');
SELECT throws_ok('SELECT longhaul.retry_jobs(p_status => ''Completed'')', '22023', NULL, 'what is done');
SELECT throws_ok('SELECT longhaul.retry_jobs(p_error => ''('')', '2201B', NULL, 'what is no regular expression');
SELECT throws_ok('SELECT longhaul.retry_jobs(p_limit => 10001)', '22023', NULL, 'too many at a time');
SELECT throws_ok('SELECT longhaul.retry_jobs(p_from => NULL)', '22023', NULL, 'of no time');

-- ---- remove ----------------------------------------------------------------------------------------------
SELECT throws_ok(format('SELECT longhaul.delete_job(%L::uuid)', :'a'), '55000', 'job ' || :'a' || ' has not ended', 'a live one is not removed');
SELECT longhaul.delete_job(:'b') \gset
SELECT is(pg_temp.status(:'b'), NULL, 'one that has ended is');
SELECT is(pg_temp.noted('client'), :'me' || ' delete_job ' || :'b' || ' bob', 'noted');
SELECT throws_ok(format('SELECT longhaul.delete_job(%L::uuid)', :'b'), '22023', NULL, 'once');

-- ---- release a host -----------------------------------------------------------------------------------------
SELECT longhaul.cancel_jobs('test', p_limit => 10000), longhaul.cancel_jobs('other', p_limit => 10000) \gset
SELECT t.job('test') AS runs, t.job('test') AS ahead \gset
SELECT fence AS f FROM t.start(2, 'test') \gset
SELECT count(*) AS n FROM t.claim(2, 'test') \gset
SELECT alive FROM longhaul.worker_beat(t.boot(2), 30000, ARRAY[:test], '{4}', '{2}', '{0}', '{NULL}', '{0}') \gset
SELECT is((SELECT array_agg(host) FROM longhaul.running), '{host2,host2}', '(one runs there, one is claimed ahead)');
SELECT is(longhaul.release_host('host2'), 2, 'both are put back');
SELECT is(pg_temp.noted('jobs'), :'me' || ' release_host host2 2', 'noted');
SELECT is((SELECT array_agg((attempt, deaths, host_deaths, boot IS NULL, started_at IS NULL)::text) FROM longhaul.lease WHERE job_id IN (:'runs', :'ahead')), '{"(0,0,0,t,t)","(0,0,0,t,t)"}', 'no attempt is burned');
SELECT is(t.progress(2, :'runs', :f), false, 'its worker is refused');
SELECT is(t.finish(2, :'runs', :f), 0::smallint, 'its result too');
SELECT throws_ok('SELECT count(*) FROM t.claim(2, ''test'')', 'LH001', NULL, 'it can''t claim any more');
SELECT is((SELECT alive FROM longhaul.worker_beat(t.boot(2), 30000, '{}', '{}', '{}', '{}', '{}', '{}')), false, 'its beat says so');
SELECT is((SELECT state FROM longhaul.workers WHERE host = 'host2'), 'dead', 'the view too');
SELECT is((SELECT array_agg(job_id ORDER BY job_id) FROM t.claim(1, 'test', 5)), (SELECT array_agg(i ORDER BY i) FROM unnest(ARRAY[:'runs', :'ahead']::uuid[]) i), 'others claim them at once');
SELECT throws_ok('SELECT longhaul.release_host(''host2'')', '22023', 'host "host2" holds no jobs: no worker daemon lives there', 'once');
SELECT throws_ok('SELECT longhaul.release_host(''host7'')', '22023', NULL, 'one that never was');
SELECT throws_ok('SELECT longhaul.release_host(NULL)', '22023', NULL, 'none');
SELECT is(longhaul.cancel_job(:'runs'), 'InProgress', '(one of them is to be canceled)');
SELECT is(longhaul.release_host('host1') > 0, true, 'another host');
SELECT is(pg_temp.status(:'runs'), 'Canceled', 'what was to be canceled is');
SELECT is(pg_temp.status(:'ahead'), 'Queued', 'the other waits');

-- What a statement notes goes with it.
SELECT count(*) AS n FROM longhaul.audit \gset
SAVEPOINT before;
SELECT longhaul.cancel_job(:'ahead') \gset
ROLLBACK TO before;
SELECT is(count(*), :n::bigint, 'an act that is rolled back is not noted') FROM longhaul.audit;

SELECT longhaul.forget_history('test') \gset
SELECT is(pg_temp.noted('rows'), :'me' || ' forget_history test 0', 'forget_history is noted');
INSERT INTO longhaul.schedule (name, job_type, cron) VALUES ('nightly', 'test', '0 3 * * *');
SELECT longhaul.schedule_run('nightly') AS j \gset
SELECT is(pg_temp.noted('job'), :'me' || ' schedule_run nightly ' || :'j', 'schedule_run is noted');

SELECT is(t.as_role(r, q), CASE r WHEN 'longhaul_dba' THEN '22023' ELSE '42501' END, r || ': ' || q) FROM unnest('{longhaul_dba,longhaul_api,longhaul_worker,longhaul_submit}'::text[]) r,
    unnest('{SELECT longhaul.cancel_job(NULL::uuid),SELECT longhaul.cancel_jobs(),SELECT longhaul.retry_job(NULL::uuid),SELECT longhaul.retry_jobs(''x''),SELECT longhaul.delete_job(NULL::uuid),SELECT longhaul.release_host(NULL)}'::text[]) q;

SELECT * FROM finish();
ROLLBACK;
