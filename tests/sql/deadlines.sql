-- Jobs to be started by a time: failed if they still wait then, never claimed after it, left alone once begun.
BEGIN;
SELECT no_plan();
SELECT t.type('test', 'backoff_ms = 3600000, backoff_max_ms = 3600000') AS test, t.worker(1) AS w1, t.worker(2) AS w2 \gset

CREATE FUNCTION pg_temp.add(p_by timestamptz, p_run_at timestamptz DEFAULT NULL, p_priority integer DEFAULT 0, p_waiter bigint DEFAULT NULL) RETURNS uuid LANGUAGE sql AS $$
    SELECT job_id FROM longhaul.submit_batch(ARRAY[t.id()], ARRAY[t.type_id('test')], '{alice}', ARRAY[p_priority::smallint], ARRAY[p_run_at], '{a/b}', ARRAY['{}'::bytea],
               '{2}', '{NULL}', ARRAY[sha256('{}')], ARRAY[p_waiter], '{NULL}', '{NULL}', p_start_by => ARRAY[p_by])
$$;
-- Its time comes.
CREATE FUNCTION pg_temp.late(p_job uuid) RETURNS void LANGUAGE sql AS $$ UPDATE longhaul.job_deadline SET start_by = now() - interval '1 second' WHERE job_id = p_job $$;
CREATE FUNCTION pg_temp.ended(p_job uuid) RETURNS text LANGUAGE sql AS $$ SELECT longhaul.status_word(status) || coalesce(' ' || (error::json->>'type'), '') FROM t.status(p_job) $$;

SELECT is((ended, next_due_ms), (0, NULL::bigint), 'nothing has a deadline') FROM longhaul.expire_unstarted(10);

-- ---- the way of one ----------------------------------------------------------------------------------
SELECT pg_temp.add(now() + interval '1 hour') AS a \gset
SELECT is(start_by, now() + interval '1 hour', 'told while it waits') FROM t.status(:'a');
SELECT is((SELECT start_by FROM longhaul.list_jobs('alice', NULL, NULL, NULL, NULL, 10)), now() + interval '1 hour', 'in lists too');
SELECT is((ended, next_due_ms BETWEEN 3590000 AND 3600000), (0, true), 'not yet, and when') FROM longhaul.expire_unstarted(10);
SELECT pg_temp.late(:'a') \g /dev/null
SELECT is((SELECT count(*) FROM t.claim(1, 'test', 10)), 0::bigint, 'too late: not claimed');
SELECT is(pg_temp.ended(:'a'), 'Queued', 'though nobody has failed it');
SELECT is((ended, next_due_ms), (1, NULL::bigint), 'it fails') FROM longhaul.expire_unstarted(10);
SELECT is(pg_temp.ended(:'a'), 'Failed expired', 'with a clear problem');
SELECT is((error::json->>'title', (error::json->>'detail') LIKE 'No worker had taken the job by 20%Z, as was asked for.', attempt, started_at, start_by),
    ('The job was not started in time'::text, true, 0, NULL::timestamptz, NULL::timestamptz), 'which says what happened') FROM t.status(:'a');
SELECT is((SELECT count(*) FROM longhaul.job_deadline) + (SELECT count(*) FROM longhaul.ready), 0::bigint, 'nothing is left behind');

-- ---- wherever it waits --------------------------------------------------------------------------------
SELECT pg_temp.add(now() + interval '1 hour', p_priority => 7) AS p, pg_temp.add(now() + interval '2 hours', now() + interval '1 hour') AS d,
       pg_temp.add(now() + interval '2 hours', now() + interval '1 hour') AS m, pg_temp.add(now() + interval '1 hour') AS other, t.job('test') AS free \gset
UPDATE longhaul.delayed SET run_at = now() - interval '1 second' WHERE job_id = :'m';
SELECT is(moved, 1, 'one was delayed, and its time has come') FROM longhaul.promote_due(10);
SELECT pg_temp.late(i) FROM unnest(ARRAY[:'p', :'d', :'m']::uuid[]) i \g /dev/null
SELECT is(ended, 2, 'no more than asked for') FROM longhaul.expire_unstarted(2);
SELECT is(ended, 1, 'then the rest') FROM longhaul.expire_unstarted(2);
SELECT is(pg_temp.ended(i), 'Failed expired', 'of another priority; delayed; delayed once')  FROM unnest(ARRAY[:'p', :'d', :'m']::uuid[]) i;
SELECT is(ARRAY(SELECT job_id FROM t.claim(1, 'test', 10) ORDER BY job_id), ARRAY(SELECT unnest(ARRAY[:'other', :'free']::uuid[]) ORDER BY 1), 'the others can be claimed');
SELECT longhaul.worker_stop(t.boot(1)) \g /dev/null
DELETE FROM longhaul.ready WHERE job_id = :'free';
DELETE FROM longhaul.lease WHERE job_id = :'free';

-- That gave other back before it had begun: behind the same deadline again.
SELECT pg_temp.late(:'other') \g /dev/null
SELECT is((SELECT count(*) FROM t.claim(2, 'test', 10)), 0::bigint, 'given back before it began: too late all the same');
SELECT is(ended, 1, 'it fails') FROM longhaul.expire_unstarted(10);
SELECT is(pg_temp.ended(:'other'), 'Failed expired', 'like one that was never claimed');

-- ---- a worker has it ------------------------------------------------------------------------------
SELECT pg_temp.add(now() + interval '1 hour') AS h \gset
SELECT fence AS f FROM t.claim(2, 'test') \gset
SELECT pg_temp.late(:'h') \g /dev/null
SELECT is((ended, next_due_ms), (0, 100::bigint), 'claimed in time: left alone, looked at again') FROM longhaul.expire_unstarted(10);
SELECT ok(t.progress(2, :'h', :f, 5), 'it begins');
SELECT is((ended, next_due_ms), (0, NULL::bigint), 'the deadline is over') FROM longhaul.expire_unstarted(10);
SELECT is(t.finish(2, :'h', :f, 3), 1::smallint, 'it is to be tried again');
SELECT is(ended, 0, 'whenever') FROM longhaul.expire_unstarted(10);
SELECT is(pg_temp.ended(:'h'), 'Queued', 'it waits for its next attempt');

-- Begun and put back before its time: the deadline is forgotten then.
SELECT pg_temp.add(now() + interval '1 hour') AS b \gset
SELECT fence AS f FROM t.start(2, 'test') \gset
SELECT is(t.finish(2, :'b', :f, 3), 1::smallint, 'begun, then to be tried again');
SELECT is((SELECT count(*) FROM longhaul.job_deadline), 0::bigint, 'no deadline any more');
SELECT pg_temp.add(now() + interval '1 hour') AS q \gset
SELECT fence AS f FROM t.claim(2, 'test') \gset
SELECT is(t.finish(2, :'q', :f, 6, 5), 1::smallint, 'its runner died in it at once');
SELECT is((SELECT count(*) FROM longhaul.job_deadline), 0::bigint, 'that was a beginning, too');
SELECT pg_temp.add(now() + interval '1 hour') AS n \gset
SELECT fence AS f FROM t.claim(2, 'test') \gset
SELECT is(t.finish(2, :'n', :f, 5, NULL), 1::smallint, 'handed back, not begun');
SELECT is((SELECT count(*) FROM longhaul.job_deadline), 1::bigint, 'that wasn''t');

-- ---- ended otherwise, retried -------------------------------------------------------------------------
SELECT is(longhaul.cancel_job(:'n', 'alice'), 1::smallint, 'canceled');
SELECT pg_temp.late(:'n') \g /dev/null
SELECT is((ended, next_due_ms), (0, NULL::bigint), 'its time comes to nothing') FROM longhaul.expire_unstarted(10);
SELECT is(pg_temp.ended(:'n'), 'Canceled', 'it stays canceled');
SELECT pg_temp.add(now() + interval '1 hour') AS c \gset
SELECT longhaul.cancel_job(:'c', 'alice'), longhaul.retry_job(:'c', 'alice') \g /dev/null
SELECT is((SELECT count(*) FROM longhaul.job_deadline), 0::bigint, 'retried by hand: no deadline');
SELECT is(longhaul.retry_job(:'a', 'alice'), 1::smallint, 'what came too late can be retried');
SELECT is((SELECT count(*) FROM t.claim(2, 'test', 10)), 2::bigint, 'and is claimed');
SELECT pg_temp.add(now() + interval '1 hour') AS g \gset
DELETE FROM longhaul.ready WHERE job_id = :'g';
DELETE FROM longhaul.job WHERE id = :'g';
SELECT pg_temp.late(:'g') \g /dev/null
SELECT is((ended, next_due_ms), (0, NULL::bigint), 'of a job that is gone it is forgotten') FROM longhaul.expire_unstarted(10);

-- ---- submits ----------------------------------------------------------------------------------------
SELECT t.id() AS i \gset
SELECT count(*) FROM longhaul.submit_batch(ARRAY[:'i', :'i', t.id()]::uuid[], array_fill(:test, ARRAY[3]), '{alice,alice,alice}', '{0,0,0}', '{NULL,NULL,NULL}', '{a/b,a/b,a/b}',
           ARRAY['x', 'x', 'x']::bytea[], '{1,1,1}', '{NULL,NULL,NULL}', ARRAY['f', 'f', 'f']::bytea[], '{NULL,NULL,NULL}', '{NULL,NULL,NULL}', '{NULL,NULL,NULL}',
           p_start_by => ARRAY[now() + interval '1 hour', now() + interval '2 hours', NULL]) \g /dev/null
SELECT is((SELECT count(*) FROM longhaul.job_deadline WHERE job_id = :'i'), 1::bigint, 'the same id twice has one deadline');
SELECT isnt(longhaul.submit('test', '{}', p_start_by => now() + interval '1 hour'), NULL, 'submit() takes one');
SELECT throws_ok(format('SELECT longhaul.submit(''test'', ''{}'', p_run_at => %L, p_start_by => %L)', r, b), '22023', NULL, 'refused: ' || coalesce(r || ' ', '') || b)
  FROM (VALUES (NULL, 'infinity'), (NULL, '-infinity'), (NULL, '2000-01-01'), (now() + interval '2 hours', (now() + interval '1 hour')::text)) v(r, b);

-- ---- who is told ------------------------------------------------------------------------------------
SELECT longhaul.webhook_create(t.id(), 'alice', 'https://example.com/x', NULL, '{job.failed}', '', 'https://api', 'urn:', sha256('s')) \g /dev/null
SELECT pg_temp.add(now() + interval '1 hour', p_waiter => 77) AS w \gset
SELECT longhaul.watch(ARRAY[:'w']::uuid[], 78) \g /dev/null
SELECT pg_temp.late(:'w') \g /dev/null
SELECT is(ended, 1, 'one for which somebody waits') FROM longhaul.expire_unstarted(10);
SELECT is((SELECT array_agg((d.event = 'job.failed', d.payload::json->'data'->'error'->>'title')::text) FROM longhaul.webhook_delivery d WHERE d.job_id = :'w'),
    ARRAY[(true, 'The job was not started in time')::text], 'a webhook tells of it as of any end');
SELECT is((SELECT count(*) FROM longhaul.waiter WHERE job_id = :'w'), 0::bigint, 'who watched was told');

-- ---- a schedule's ---------------------------------------------------------------------------------------
DELETE FROM longhaul.job_deadline;
INSERT INTO longhaul.schedule (name, job_type, cron, start_within, next_at) VALUES ('s', 'test', '@daily', '5 minutes', now() - interval '1 day');
SELECT is(made, 1, 'a job that should have been made long ago') FROM longhaul.schedule_tick(1);
SELECT ok(start_by BETWEEN clock_timestamp() + interval '4 minutes' AND clock_timestamp() + interval '5 minutes', 'has its time from now on') FROM longhaul.job_deadline;

SELECT * FROM finish();
ROLLBACK;
