-- progress_batch, finish_batch, and what follows from each verdict.
BEGIN;
SELECT no_plan();
SELECT t.type('test', 'max_attempts = 3, backoff_ms = 1000, backoff_max_ms = 5000') AS test, t.worker(1) AS w1, t.worker(2) AS w2 \gset

CREATE FUNCTION pg_temp.outcome(p_job uuid) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', longhaul.status_word(status), 'attempt', attempt, 'gen', gen, 'result', coalesce(result_gen::text, '-'),
                     coalesce(result_size::text, '-'), coalesce(result_media_type, '-'), coalesce(error->>'type', error->>'title', '-'))
      FROM longhaul.outcome WHERE job_id = p_job
$$;
CREATE FUNCTION pg_temp.new() RETURNS TABLE (job_id uuid, fence bigint) LANGUAGE sql AS $$
    SELECT b.* FROM t.job('test') j, LATERAL t.start(1, CASE WHEN j IS NOT NULL THEN 'test' END) b
$$;
-- ms until a delayed job is due.
CREATE FUNCTION pg_temp.due(p_job uuid) RETURNS float8 LANGUAGE sql AS $$
    SELECT extract(epoch FROM run_at - clock_timestamp()) * 1000 FROM longhaul.delayed WHERE job_id = p_job
$$;

-- ---- 1, 2, 4: the end ------------------------------------------------------------------------------
SELECT job_id AS j, fence AS f FROM pg_temp.new() \gset
SELECT is(t.finish(1, :'j', :f, 1, 7, 'abc', p_media_type => 'text/plain'), 1::smallint, 'completed: accepted');
SELECT is(pg_temp.outcome(:'j'), 'Completed attempt 1 gen 3 result 2 3 text/plain -', 'completed');
SELECT is((SELECT count(*) FROM longhaul.lease), 0::bigint, 'its lease is gone');
SELECT is((SELECT (boot, fence) FROM longhaul.outcome WHERE job_id = :'j'), (t.boot(1), :f::bigint), 'who ended it is kept');
SELECT is(t.finish(1, :'j', :f, 1, 7, 'abc'), 2::smallint, 'sent again after a broken commit: already yours');
SELECT is(t.finish(1, :'j', :f, 3, 7, p_error => '{}'), 2::smallint, 'whatever it says');
SELECT is(t.finish(2, :'j', :f, 1, 7, 'xyz'), 0::smallint, 'from another worker: lost');
SELECT is(t.finish(1, :'j', :f + 1, 1, 7, 'xyz'), 0::smallint, 'of another claim: lost');
SELECT is((SELECT result FROM longhaul.outcome WHERE job_id = :'j'), 'abc'::bytea, 'nothing of it is written');

SELECT job_id AS j, fence AS f FROM pg_temp.new() \gset
SELECT is(t.finish(1, :'j', :f, 2, 7, 'abc', '{"type":"bad","title":"Bad"}'), 1::smallint, 'failed for good: accepted');
SELECT is(pg_temp.outcome(:'j'), 'Failed attempt 1 gen 3 result - - - bad', 'failed, without a result');
SELECT job_id AS j, fence AS f FROM pg_temp.new() \gset
SELECT is(t.finish(1, :'j', :f, 4, 7, 'abc', '{"type":"bad"}'), 1::smallint, 'canceled: accepted');
SELECT is(pg_temp.outcome(:'j'), 'Canceled attempt 1 gen 3 result - - - -', 'canceled, with neither result nor error');
SELECT job_id AS j, fence AS f FROM pg_temp.new() \gset
SELECT is(t.finish(1, :'j', :f, 1), 1::smallint, 'completed without a result');
SELECT is(pg_temp.outcome(:'j'), 'Completed attempt 1 gen 3 result 2 0 application/json -', 'of no bytes');

-- ---- 3: failed for now ------------------------------------------------------------------------------
SELECT job_id AS j, fence AS f FROM pg_temp.new() \gset
SELECT is(t.finish(1, :'j', :f, 3, p_error => '{"title":"first"}'), 1::smallint, 'failed for now: accepted');
SELECT ok(pg_temp.due(:'j') BETWEEN 650 AND 1250, 'tried again after the backoff, a second more or less');
SELECT is(t.finish(1, :'j', :f, 3), 0::smallint, 'the same again: the lease is given up');
CREATE FUNCTION pg_temp.again() RETURNS bigint LANGUAGE sql AS $$
    UPDATE longhaul.delayed SET run_at = clock_timestamp();
    SELECT longhaul.promote_due(10);
    SELECT fence FROM t.start(1, 'test')
$$;
SELECT pg_temp.again() AS f \gset
SELECT is(t.finish(1, :'j', :f, 3, p_error => '{"title":"second"}'), 1::smallint, 'the second time');
SELECT ok(pg_temp.due(:'j') BETWEEN 1400 AND 2500, 'twice as long');
SELECT pg_temp.again() AS f \gset
SELECT is(t.finish(1, :'j', :f, 3, p_error => '{"title":"third"}'), 1::smallint, 'the third time, which is the last');
SELECT is(pg_temp.outcome(:'j'), 'Failed attempt 3 gen 7 result - - - third', 'failed, with the last problem');
SELECT longhaul.retry_job(:'j', 'alice') AS r \gset
SELECT fence AS f FROM t.start(1, 'test') \gset
SELECT is(t.finish(1, :'j', :f, 3, p_error => '{"title":"fourth"}'), 1::smallint, 'after a retry by hand');
SELECT ok(pg_temp.due(:'j') BETWEEN 650 AND 1250, 'attempts and backoff start anew');
SELECT is((SELECT (attempt, attempt_base) FROM longhaul.lease WHERE job_id = :'j'), (4, 3), 'though they are counted on');
SELECT count(pg_temp.again()) \gset

-- The handler's own delay.
SELECT job_id AS j, fence AS f FROM pg_temp.new() \gset
SELECT is(t.finish(1, :'j', :f, 3, p_retry_ms => 60000), 1::smallint, 'the handler asks for a minute');
SELECT ok(pg_temp.due(:'j') BETWEEN 59000 AND 60000, 'and gets it, though the type''s limit is less');
SELECT pg_temp.again() AS f \gset
SELECT is(t.finish(1, :'j', :f, 3, p_retry_ms => 9223372036854775807), 1::smallint, 'or for ever');
SELECT ok(pg_temp.due(:'j') BETWEEN 2591990000 AND 2592000000, 'then for 30 days');
SELECT pg_temp.again() AS f \gset
UPDATE longhaul.job_type SET max_attempts = 10;
SELECT is(t.finish(1, :'j', :f, 3, p_retry_ms => 0), 1::smallint, 'or for none');
SELECT is((SELECT (seq < 0, attempt) FROM longhaul.ready WHERE job_id = :'j'), (true, 3), 'then it is claimed next');
SELECT is((SELECT job_id FROM t.claim(1, 'test')), :'j', 'indeed');

-- Bounds of the backoff.
SELECT ok(bool_and(longhaul.backoff_after(n, 1000, 300000) BETWEEN 750 * least(power(2, n - 1), 300) AND least(1250 * power(2, n - 1), 300000)),
    'the backoff doubles, with a quarter of jitter, and never exceeds its maximum') FROM generate_series(1, 60) n, generate_series(1, 50);
SELECT ok(bool_and(longhaul.backoff_after(n, 86400000, 86400000) BETWEEN 64800000 AND 86400000), 'nor overflows')
  FROM unnest('{-1,0,1,2,1000,2147483647}'::integer[]) n;
SELECT ok(bool_and(longhaul.backoff_after(1, 1, 1) = 1), 'nor is it nothing') FROM generate_series(1, 50);
SELECT ok(count(DISTINCT longhaul.backoff_after(1, 1000000, 1000000000)) > 90, 'it scatters') FROM generate_series(1, 100);

-- ---- 5: handed back ------------------------------------------------------------------------------------
DELETE FROM longhaul.ready;
SELECT t.job('test') AS j \gset
SELECT lives_ok($$ DO 'BEGIN FOR i IN 1 .. 20 LOOP PERFORM t.finish(1, c.job_id, c.fence, 5, NULL) FROM t.claim(1, ''test'') c; END LOOP; END' $$, 'handed back twenty times');
SELECT is((SELECT (attempt, gen) FROM longhaul.ready WHERE job_id = :'j'), (0, 41), 'burns no attempt');
SELECT is(t.finish(1, job_id, fence, 5, 500), 1::smallint, 'handed back after it had begun') FROM t.start(1, 'test');
SELECT is((SELECT (attempt, started_at) FROM longhaul.lease WHERE job_id = :'j'), (0, NULL::timestamptz), 'neither');

-- ---- 6: its runner died -------------------------------------------------------------------------------------
SELECT is(t.finish(1, job_id, fence, 6, NULL), 1::smallint, 'its runner died before it had begun') FROM t.claim(1, 'test');
SELECT is((SELECT (l.deaths, l.attempt, r.seq < 0) FROM longhaul.lease l JOIN longhaul.ready r USING (job_id) WHERE job_id = :'j'), (0::smallint, 0, true), 'that counts for nothing');
SELECT is(t.finish(1, job_id, fence, 6, 500), 1::smallint, 'its runner died in it') FROM t.start(1, 'test');
SELECT is((SELECT (deaths, attempt, boot) FROM longhaul.lease WHERE job_id = :'j'), (1::smallint, 0, NULL::uuid), 'once is no failure of the job');
SELECT ok(pg_temp.due(:'j') BETWEEN 650 AND 1250, 'it is tried again, a little later');
SELECT pg_temp.again() AS f \gset
SELECT is(t.finish(1, :'j', :f, 6, 500), 1::smallint, 'twice');
SELECT is(pg_temp.outcome(:'j'), 'Failed attempt 1 gen ' || (SELECT gen FROM longhaul.outcome WHERE job_id = :'j') || ' result - - - handler-died', 'is poison');
SELECT longhaul.retry_job(:'j', 'alice') AS r \gset
SELECT is((SELECT deaths FROM longhaul.lease WHERE job_id = :'j'), 0::smallint, 'a retry by hand forgets it');
DELETE FROM longhaul.ready;

-- ---- a batch with everything, in no order ---------------------------------------------------------------------
SELECT count(t.job('test')) FROM generate_series(1, 8) \gset
CREATE TEMP TABLE b AS SELECT row_number() OVER (ORDER BY md5(job_id::text))::integer AS n, job_id, fence FROM t.claim(1, 'test', 8);
SELECT min(longhaul.cancel_job(job_id, 'alice')) FROM b WHERE n = 8 \gset
CREATE FUNCTION pg_temp.finish_all() RETURNS TABLE (ord integer, code smallint) LANGUAGE sql AS $$
    SELECT f.ord, min(f.code) FROM (SELECT array_agg(job_id ORDER BY n) AS ids, array_agg(CASE WHEN n = 7 THEN 1 ELSE fence END ORDER BY n) AS fences FROM b) x,
        LATERAL longhaul.finish_batch(t.boot(1), ids || ids[1], fences || fences[1], '{1,2,3,4,5,6,1,3,1}', '{1,1,1,1,NULL,1,1,1,1}', '{a/b,a/b,a/b,a/b,a/b,a/b,a/b,a/b,a/b}',
            '{r,r,r,r,r,r,r,r,r}', '{NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL}', '{NULL,"{}","{}",NULL,NULL,"{}",NULL,"{}",NULL}',
            '{NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL}', '{1,2,3,4,5,6,7,8,9}', '{9,9,9,9,9,9,9,9,9}', '{m,m,m,m,m,m,m,m,m}') f GROUP BY f.ord ORDER BY f.ord
$$;
SELECT is((SELECT array_agg(code ORDER BY ord) FROM pg_temp.finish_all()), '{1,1,1,1,1,1,0,1,2}', 'a batch of all verdicts, with a lost lease and the first one twice');
SELECT is((SELECT string_agg(n || ' ' || coalesce(longhaul.status_word(o.status) || coalesce(' ' || o.done, ''), CASE WHEN d.job_id IS NOT NULL THEN 'later' WHEN r.job_id IS NOT NULL THEN 'ready' ELSE 'leased' END), ', ' ORDER BY n)
             FROM b LEFT JOIN longhaul.outcome o USING (job_id) LEFT JOIN longhaul.delayed d USING (job_id) LEFT JOIN longhaul.ready r USING (job_id)),
    '1 Completed 1, 2 Failed 2, 3 later, 4 Canceled 4, 5 ready, 6 later, 7 leased, 8 Canceled 8',
    'each as its verdict says; one that is to be canceled isn''t tried again');
SELECT is((SELECT array_agg(code ORDER BY ord) FROM pg_temp.finish_all()), '{2,2,0,2,0,0,0,2,2}', 'sent again');
SELECT is((SELECT count(*) FROM longhaul.finish_batch(t.boot(1), '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')), 0::bigint, 'a batch of none');

-- One row that can't be stored fails the statement, so that the caller can find it by halving.
SELECT job_id AS j, fence AS f FROM pg_temp.new() \gset
SELECT throws_ok(format($$ SELECT t.finish(1, '%s', %s, 2, p_error => '{"a":"\u0000"}') $$, :'j', :f), '22P05', NULL, 'a problem that jsonb can''t hold is an error');
SELECT is((SELECT count(*) FROM longhaul.lease WHERE job_id = :'j' AND fence = :f), 1::bigint, 'and the lease stays');

-- ---- a cancel request outlives somebody else's finish -----------------------------------------------------------
SELECT t.worker(3) AS w3 \gset
DELETE FROM longhaul.ready;
SELECT t.job('test') AS j \gset
SELECT fence AS f1 FROM t.start(3, 'test') \gset
SELECT t.die(3), longhaul.rescue() \gset
SELECT fence AS f2 FROM t.start(2, 'test') \gset
SELECT is(longhaul.cancel_job(:'j', 'alice'), 2::smallint, 'canceled while its second worker has it');
SELECT is(t.finish(3, :'j', :f1, 1), 0::smallint, 'the first one''s finish is refused');
SELECT is((SELECT boot FROM longhaul.cancel_request WHERE job_id = :'j'), t.boot(2), 'and leaves the request for the second');
SELECT is(t.finish(2, :'j', :f2, 1), 1::smallint, 'which ends the job in its own way');
SELECT is((SELECT count(*) FROM longhaul.cancel_request), 0::bigint, 'then it is gone');

-- ---- who is told ------------------------------------------------------------------------------------------------
SELECT job_id AS j FROM t.submit('test', p_waiter => 11) \gset
SELECT longhaul.watch(ARRAY[:'j']::uuid[], 12), longhaul.watch(ARRAY[:'j']::uuid[], -13) \gset
SELECT fence AS f FROM t.claim(1, 'test') \gset
SELECT is((SELECT array_agg(waiter ORDER BY waiter) FROM longhaul.finish_batch(t.boot(1), ARRAY[:'j']::uuid[], ARRAY[:f]::bigint[], '{3}', '{1}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{0}', '{NULL}', '{NULL}', '{NULL}') WHERE waiter IS NOT NULL),
    NULL::bigint[], 'nobody, while it goes on');
SELECT fence AS f FROM t.claim(1, 'test') \gset
SELECT is((SELECT array_agg(waiter ORDER BY waiter) FROM longhaul.finish_batch(t.boot(1), ARRAY[:'j']::uuid[], ARRAY[:f]::bigint[], '{1}', '{1}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}')),
    '{-13,11,12}', 'the API process of the submit and those that wait since');
SELECT is((SELECT count(*) FROM longhaul.waiter WHERE job_id = :'j'), 0::bigint, 'once');

-- ---- progress -------------------------------------------------------------------------------------------------------
SELECT job_id AS j, fence AS f FROM pg_temp.new() \gset
SELECT job_id AS k, fence AS g FROM pg_temp.new() \gset
SELECT is((SELECT array_agg(p ORDER BY p DESC) FROM longhaul.progress_batch(t.boot(1), ARRAY[:'k', :'j', t.boot(77)]::uuid[], ARRAY[:g + 1, :f, 1]::bigint[], '{1,1,1}', '{5,6,7}', '{NULL,10,NULL}', '{x,y,z}') p),
    ARRAY[:'k', t.boot(77)]::uuid[], 'the jobs whose lease is lost are told');
SELECT is((SELECT array_agg((done, total, message)::text ORDER BY fence) FROM longhaul.lease WHERE job_id IN (:'j', :'k')), '{"(6,10,y)","(,,)"}', 'and nothing is written of them');
SELECT is(count(*), 1::bigint, 'another worker may not write either') FROM longhaul.progress_batch(t.boot(2), ARRAY[:'j']::uuid[], ARRAY[:f]::bigint[], '{1}', '{99}', '{99}', '{x}');
SELECT is((SELECT change FROM longhaul.lease WHERE job_id = :'j'), 2, 'begun, and changed once since');
SELECT t.job('test') AS j \gset
SELECT fence AS f FROM t.claim(1, 'test') \gset
SELECT ok(t.progress(1, :'j', :f, 60000), 'told a minute after it began');
SELECT ok((SELECT clock_timestamp() - started_at BETWEEN '60 s' AND '61 s' FROM longhaul.lease WHERE job_id = :'j'), 'when it began');
SELECT ok(t.progress(1, :'j', :f, 5), 'told again');
SELECT ok((SELECT clock_timestamp() - started_at BETWEEN '60 s' AND '61 s' FROM longhaul.lease WHERE job_id = :'j'), 'it keeps its first time');
SELECT is((SELECT count(*) FROM longhaul.progress_batch(t.boot(1), '{}', '{}', '{}', '{}', '{}', '{}')), 0::bigint, 'of none');

SELECT * FROM finish();
ROLLBACK;
