-- How many jobs have ended, and how long they waited and ran.
BEGIN;
SELECT no_plan();
SELECT t.type('test', 'max_attempts = 1') AS test, t.type('other') AS other \gset
SELECT t.worker(1);

-- What is counted, whether it was added up or not.
CREATE FUNCTION pg_temp.counted() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', x.client, t.name, longhaul.status_word(x.status), sum(x.jobs))
      FROM (SELECT client, type_id, status, jobs FROM longhaul.tally_client
            UNION ALL SELECT client, type_id, status, jobs FROM longhaul.tally_delta) x
      JOIN longhaul.job_type t ON t.type_id = x.type_id GROUP BY x.client, t.name, x.status
$$;
CREATE FUNCTION pg_temp.totals() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', t.name, longhaul.status_word(x.status), x.jobs)
      FROM longhaul.tally_total x JOIN longhaul.job_type t ON t.type_id = x.type_id
$$;

-- ---- every way a job ends ----------------------------------------------------------------------------
SELECT t.job('test'), t.job('test'), t.job('test', 0, 'bob'), t.job('other');
SELECT is(longhaul.cancel_job(t.job('test'), 'alice'), 1::smallint, 'one is canceled while it waits');
SELECT job_id AS a, fence AS fa FROM t.start(1, 'test') \gset
SELECT job_id AS b, fence AS fb FROM t.start(1, 'test') \gset
SELECT job_id AS c, fence AS fc FROM t.start(1, 'test') \gset
SELECT job_id AS d, fence AS fd FROM t.start(1, 'other') \gset
SELECT t.finish(1, :'a', :fa);
SELECT t.finish(1, :'b', :fb, 3, p_error => '{"type":"x"}');
SELECT t.finish(1, :'c', :fc);
SELECT t.finish(1, :'d', :fd, 4);
SELECT bag_eq('SELECT pg_temp.counted()', $$ VALUES ('alice test Completed 1'), ('alice test Failed 1'), ('bob test Completed 1'),
    ('alice test Canceled 1'), ('alice other Canceled 1') $$, 'ended jobs are counted by client, type and outcome');
SELECT t.finish(1, :'a', :fa);
SELECT t.finish(1, :'d', :fd + 1000);
SELECT is((SELECT sum(jobs) FROM longhaul.tally_delta), 5::numeric, 'a finish sent twice or refused is not');

SELECT t.job('other') AS e \gset
SELECT job_id, fence AS fe FROM t.start(1, 'other') \gset
SELECT t.finish(1, :'e', :fe, 5);
SELECT is((SELECT sum(jobs) FROM longhaul.tally_delta), 5::numeric, 'nor one that is put back');
SELECT t.start(1, 'other');
SELECT t.die(1);
UPDATE longhaul.lease SET host_deaths = 4 WHERE job_id = :'e';
-- The server's start must be longer ago than the lease's length, which is not so in this cluster.
UPDATE longhaul.worker SET beat_at = lease_until WHERE boot = t.boot(1);
SELECT longhaul.rescue();
SELECT is(status, 4::smallint, 'one is failed by rescue') FROM t.status(:'e');
SELECT is((SELECT sum(jobs) FROM longhaul.tally_delta), 6::numeric, 'which counts');

-- ---- times ---------------------------------------------------------------------------------------------
SELECT longhaul.worker_start(t.boot(2), 'host2', 2, 'test', 30000);
SELECT t.job('test', 0, 'carol') AS f \gset
UPDATE longhaul.ready SET due_at = clock_timestamp() - interval '100 s' WHERE job_id = :'f';
SELECT job_id, fence AS ff FROM t.claim(2, 'test') \gset
SELECT t.finish(2, :'f', :ff, p_ran_ms => 40000);
SELECT ok(waited BETWEEN '59 s' AND '65 s' AND ran BETWEEN '40 s' AND '41 s', 'waiting and running time are added up')
  FROM longhaul.tally_delta WHERE client = 'carol';

-- A delayed job waits from its time on.
SELECT job_id AS g FROM t.submit('test', p_client => 'dave', p_run_at => clock_timestamp() + interval '1 hour') \gset
UPDATE longhaul.delayed SET run_at = clock_timestamp() - interval '30 s' WHERE job_id = :'g';
SELECT longhaul.promote_due(10);
SELECT job_id, fence AS fg FROM t.claim(2, 'test') \gset
SELECT t.finish(2, :'g', :fg, p_ran_ms => 1);
SELECT ok(waited BETWEEN '29 s' AND '40 s', 'a delayed job waits from its time on') FROM longhaul.tally_delta WHERE client = 'dave';

-- ---- adding up -----------------------------------------------------------------------------------------
SELECT ok(longhaul.tally_fold(3), 'adding up goes in steps');
SELECT is((SELECT count(*) FROM longhaul.tally_delta), 5::bigint, 'of so many rows');
SELECT bag_eq('SELECT pg_temp.counted()', $$ VALUES ('alice test Completed 1'), ('alice test Failed 1'), ('bob test Completed 1'),
    ('alice test Canceled 1'), ('alice other Canceled 1'), ('alice other Failed 1'), ('carol test Completed 1'),
    ('dave test Completed 1') $$, 'in between nothing is lost');
SELECT ok(NOT longhaul.tally_fold(100), 'then all of it is');
SELECT is((SELECT count(*) FROM longhaul.tally_delta), 0::bigint, 'nothing is left over');
SELECT bag_eq('SELECT pg_temp.counted()', $$ VALUES ('alice test Completed 1'), ('alice test Failed 1'), ('bob test Completed 1'),
    ('alice test Canceled 1'), ('alice other Canceled 1'), ('alice other Failed 1'), ('carol test Completed 1'),
    ('dave test Completed 1') $$, 'nothing was added or lost');
SELECT bag_eq('SELECT pg_temp.totals()', $$ VALUES ('test Completed 4'), ('test Failed 1'), ('test Canceled 1'), ('other Failed 1'),
    ('other Canceled 1') $$, 'the totals are of all clients');
SELECT is((SELECT sum(jobs) FROM longhaul.tally_minute), 8::numeric, 'and so are the minutes');
SELECT is((SELECT sum(jobs) FROM longhaul.ended), 8::numeric, 'and the view');
INSERT INTO longhaul.tally_delta SELECT now(), :test, 3, 2, '1 s', '2 s', 'alice';
SELECT is((SELECT sum(jobs) FROM longhaul.ended), 10::numeric, 'which shows what is not added up yet too');
SELECT longhaul.tally_fold(100);
SELECT is(jobs, 6::bigint, 'later ones are added to what there is') FROM longhaul.tally_total WHERE type_id = :test AND status = 3;

-- ---- what is too old ------------------------------------------------------------------------------------
UPDATE longhaul.tally_client SET minute = minute - interval '4 hours' WHERE client = 'alice';
UPDATE longhaul.tally_minute SET minute = minute - interval '15 days' WHERE type_id = :test;
SELECT ok(longhaul.tally_fold(2), 'old minutes are dropped in steps');
SELECT ok(NOT longhaul.tally_fold(100), 'all of them');
SELECT bag_eq('SELECT DISTINCT client FROM longhaul.tally_client', $$ VALUES ('bob'), ('carol'), ('dave') $$, 'those of clients');
SELECT bag_eq('SELECT DISTINCT type_id FROM longhaul.tally_minute', format('VALUES (%s)', :other), 'those of all');
SELECT is(jobs, 6::bigint, 'the totals stay') FROM longhaul.tally_total WHERE type_id = :test AND status = 3;
INSERT INTO longhaul.tally_delta SELECT now() - interval '5 hours', :test, 3, 1, '1 s', '2 s', 'zoe';
SELECT longhaul.tally_fold(100);
SELECT is(jobs, 7::bigint, 'what comes too late for its minute still counts') FROM longhaul.tally_total WHERE type_id = :test AND status = 3;
SELECT t.type('gone') AS gone \gset
INSERT INTO longhaul.tally_delta SELECT now(), :gone, 3, 1, '1 s', '2 s', 'zoe';
SELECT longhaul.tally_fold(100);
DELETE FROM longhaul.job_type WHERE type_id = :gone;
INSERT INTO longhaul.tally_delta SELECT now(), :gone, 3, 1, '1 s', '2 s', 'zoe';
SELECT longhaul.tally_fold(100);
SELECT is((SELECT count(*) FROM longhaul.tally_total WHERE type_id = :gone), 0::bigint, 'totals go with their type');

-- ---- metrics -----------------------------------------------------------------------------------------------
CREATE FUNCTION pg_temp.metric(p_name text, p_label text, p_second text DEFAULT NULL) RETURNS float8 LANGUAGE sql AS $$
    SELECT m.value FROM longhaul.metrics() m
     WHERE m.name = p_name AND m.label IS NOT DISTINCT FROM p_label AND m.second IS NOT DISTINCT FROM p_second
$$;
SELECT is(pg_temp.metric('ended', 'test', 'completed'), 7::float8, 'ended jobs come from the totals');
INSERT INTO longhaul.tally_delta SELECT now(), :test, 3, 2, '1 s', '2 s', 'alice';
SELECT is(pg_temp.metric('ended', 'test', 'completed'), 9::float8, 'and from what was not added up');
SELECT is(pg_temp.metric('lease_lost', 'host1'), 1::float8, 'a lease that was lost is counted');
SELECT is(pg_temp.metric('rescued', 'host1'), 1::float8, 'and the job that it cost');
SELECT is(pg_temp.metric('claimed', 'host1'), 6::float8, 'claims are counted by host');
SELECT is(pg_temp.metric('claimed', 'host2'), 2::float8, 'for each host');
SELECT longhaul.tally_fold(100);
SELECT is(pg_temp.metric('claimed', 'host1'), 6::float8, 'added up or not');
SELECT is(pg_temp.metric('ended', 'test', 'completed'), 9::float8, 'which holds for all');
SELECT is(pg_temp.metric('stale', 'host1', 'outcome'), 1::float8, 'refused writes are told by host and kind');
SELECT is(pg_temp.metric('workers', 'host1'), 0::float8, 'a host that was lost is told');
SELECT is(pg_temp.metric('workers', 'host2'), 1::float8, 'and one that lives');
DELETE FROM longhaul.tally_delta;
DELETE FROM longhaul.tally_minute;
DELETE FROM longhaul.tally_client;
SELECT is(pg_temp.metric('ended', 'test', 'completed'), 9::float8, 'counters need no old minutes');
SELECT is((SELECT count(*) FROM (SELECT name, label, second FROM longhaul.metrics() GROUP BY 1, 2, 3 HAVING count(*) > 1) x),
    0::bigint, 'no series comes twice');

-- ---- what a client sees ---------------------------------------------------------------------------------
SELECT is((SELECT array_agg(ROW(queued, at_least, running) || '') FROM longhaul.client_statistics('nobody', 60, 10, 5) WHERE minute IS NULL),
    ARRAY['(0,f,0)'], 'who has no jobs has none');
SELECT is((SELECT count(*) FROM longhaul.client_statistics('nobody', 60, 10, 5) WHERE minute IS NOT NULL), 60::bigint, 'in sixty minutes');
SELECT is((SELECT sum(completed + failed + canceled) FROM longhaul.client_statistics('nobody', 60, 10, 5)), 0::numeric, 'all empty');
SELECT is((SELECT array_agg(minute) FROM longhaul.client_statistics('nobody', 60, 10, 5) WHERE minute IS NOT NULL),
    (SELECT array_agg(m ORDER BY m) FROM generate_series(date_trunc('minute', clock_timestamp()) - interval '59 minutes',
                                                        date_trunc('minute', clock_timestamp()), interval '1 minute') m), 'oldest first');
INSERT INTO longhaul.tally_delta SELECT now() - interval '2 minutes', :test, s, n, '1 s', '2 s', c
  FROM (VALUES (3, 2, 'erin'), (4, 3, 'erin'), (5, 4, 'erin'), (3, 100, 'other'), (3, 7, 'erin')) AS v(s, n, c);
SELECT longhaul.tally_fold(2);
SELECT results_eq($$ SELECT completed, failed, canceled FROM longhaul.client_statistics('erin', 60, 10, 5) WHERE completed > 0 $$,
    'VALUES (9::bigint, 3::bigint, 4::bigint)', 'a client''s minutes, added up or not');
INSERT INTO longhaul.tally_delta SELECT now() - interval '61 minutes', :test, 3, 1, '1 s', '2 s', 'frank';
SELECT is((SELECT sum(completed) FROM longhaul.client_statistics('frank', 60, 10, 5)), 0::numeric, 'no older ones');

-- Queued in all its forms: waiting, delayed, claimed ahead, put back.
SELECT t.job('test', 0, 'gina') AS h \gset
SELECT job_id, fence AS fh FROM t.start(2, 'test') \gset
SELECT t.job('test', 0, 'gina') AS i \gset
SELECT t.claim(2, 'test');
SELECT t.job('test', 0, 'gina') AS j \gset
SELECT job_id, fence AS fj FROM t.start(2, 'test') \gset
SELECT t.finish(2, :'j', :fj, 5);
SELECT t.job('test', 0, 'gina'), t.job('test', 0, 'henry');
SELECT t.submit('test', p_client => 'gina', p_run_at => clock_timestamp() + interval '1 hour');
CREATE FUNCTION pg_temp.live(p_client text, p_look integer, p_most integer) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', l.queued, l.at_least, l.running) FROM longhaul.client_live(p_client, p_look, p_most) l
$$;
SELECT is(pg_temp.live('gina', 100, 100), '4 f 1', 'what waits and runs of a client');
SELECT is(pg_temp.live('henry', 100, 100), '1 f 0', 'and of another');
SELECT is((SELECT oldest FROM longhaul.client_live('gina', 100, 100)), longhaul.uuid_time(:'i'), 'since when the oldest waits');
SELECT is(pg_temp.live('gina', 3, 100), '4 f 1', 'counted from the other side if all have too many');
SELECT is((SELECT oldest FROM longhaul.client_live('gina', 3, 100)), longhaul.uuid_time(:'i'), 'with the oldest');
SELECT is(pg_temp.live('gina', 3, 2), '2 t 1', 'and no further than the bound');
SELECT is((SELECT oldest FROM longhaul.client_live('gina', 3, 2)), longhaul.uuid_time(:'i'), 'the oldest is known all the same');

SELECT * FROM finish();
ROLLBACK;
