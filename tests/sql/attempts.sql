-- Attempts that end before their job does, their logs, and the count of refused writes.
BEGIN;
SELECT no_plan();
SELECT t.type('test', 'max_attempts = 3, backoff_ms = 1000, log_for_clients = true') AS type_id \gset
SELECT t.type('silent') AS x \gset
SELECT t.worker(1) AS w1, t.worker(2) AS w2 \gset

-- What became of the attempts of a job: "1 Failed 7 oops, 2 InProgress"; the number behind the status is the log's size.
CREATE FUNCTION pg_temp.attempts(p_job uuid) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', a.attempt, a.status, a.log_size, a.error->>'title'), ', ' ORDER BY a.attempt)
      FROM longhaul.attempts a WHERE a.id = p_job
$$;
-- Ends an attempt of worker n with a log.
CREATE FUNCTION pg_temp.finish(n integer, p_job uuid, p_fence bigint, p_verdict integer, p_log text, p_error text DEFAULT NULL,
                               p_ran_ms integer DEFAULT 5) RETURNS smallint LANGUAGE sql AS $$
    SELECT min(code) FROM longhaul.finish_batch(t.boot(n), ARRAY[p_job], ARRAY[p_fence], ARRAY[p_verdict::smallint], ARRAY[p_ran_ms],
        '{NULL}', '{NULL}', '{NULL}', ARRAY[p_error], '{0}', '{NULL}', '{NULL}', '{NULL}', ARRAY[p_log])
$$;

-- ---- a job that is done at once ------------------------------------------------------------------
SELECT t.job('test') AS j \gset
SELECT is(pg_temp.attempts(:'j'), NULL, 'one that waits has had no attempt');
SELECT fence AS f FROM t.claim(1, 'test') \gset
SELECT is(pg_temp.attempts(:'j'), NULL, 'nor one that is claimed ahead');
SELECT t.progress(1, :'j', :f) AS x \gset
SELECT is(pg_temp.attempts(:'j'), '1 InProgress', 'it has begun');
SELECT is(t.finish(1, :'j', :f, 1), 1::smallint, 'it is done, without a log');
SELECT is(pg_temp.attempts(:'j'), '1 Completed', 'that was its attempt');
SELECT is((SELECT count(*) FROM longhaul.attempt) + (SELECT count(*) FROM longhaul.attempt_log), 0::bigint, 'which has cost no row');
SELECT is(longhaul.job_log(:'j'), NULL, 'there is no log');

-- ---- each way for an attempt to end ----------------------------------------------------------------
SELECT t.job('test') AS j \gset
SELECT fence AS f FROM t.start(1, 'test') \gset
SELECT is(pg_temp.finish(1, :'j', :f, 3, E'first\n', '{"title":"once"}'), 1::smallint, 'failed for now');
SELECT is(pg_temp.finish(1, :'j', :f, 3, 'again', '{"title":"twice"}'), 0::smallint, 'sent again: refused');
SELECT fence AS f FROM t.start(1, 'test') \gset
SELECT is(pg_temp.finish(1, :'j', :f, 5, 'second'), 1::smallint, 'handed back');
SELECT fence AS f FROM t.start(1, 'test') \gset
SELECT is(pg_temp.finish(1, :'j', :f, 6, 'third', '{"title":"died"}'), 1::smallint, 'its runner died');
UPDATE longhaul.delayed SET run_at = clock_timestamp();
SELECT longhaul.promote_due(10) AS x \gset
SELECT fence AS f FROM t.start(1, 'test') \gset
UPDATE longhaul.worker SET lease_until = now() - interval '1 second', beat_at = now() - interval '1 second' WHERE boot = :'w1';
SELECT longhaul.rescue() AS x \gset
SELECT is(pg_temp.attempts(:'j'), '1 Failed 6 once, 2 Interrupted 6, 3 Interrupted 5 died, 4 Interrupted', 'its attempts so far');
SELECT is(pg_temp.finish(1, :'j', :f, 1, 'late'), 0::smallint, 'what the lost host says later is refused');
SELECT fence AS f FROM t.start(2, 'test') \gset
SELECT is(pg_temp.finish(2, :'j', :f, 2, 'last words', '{"title":"for good"}'), 1::smallint, 'failed for good');
SELECT is(pg_temp.attempts(:'j'), '1 Failed 6 once, 2 Interrupted 6, 3 Interrupted 5 died, 4 Interrupted, 5 Failed 10 for good', 'and at last');
SELECT is(longhaul.job_log(:'j'), 'last words', 'the last log');
SELECT is(longhaul.job_log(:'j', 1), E'first\n', 'the first');
SELECT is(longhaul.job_log(:'j', 4), NULL, 'the lost host''s is lost');
SELECT is((SELECT array_agg(host ORDER BY attempt) FROM longhaul.attempts WHERE id = :'j'), '{host1,host1,host1,host1,host2}', 'where they were');
SELECT is(longhaul.retry_job(:'j', 'alice'), 1::smallint, 'once more, by hand');
SELECT is((SELECT count(*) FROM longhaul.attempts WHERE id = :'j'), 5::bigint, 'what was stays');
SELECT is(longhaul.job_log(:'j', 5), 'last words', 'with its log');
SELECT fence AS f FROM t.start(2, 'test') \gset
SELECT is(pg_temp.finish(2, :'j', :f, 4, 'bye'), 1::smallint, 'canceled');
SELECT is((SELECT string_agg(status, ' ' ORDER BY attempt) FROM longhaul.attempts WHERE id = :'j' AND attempt > 4), 'Failed Canceled', 'the sixth');

SELECT job_id AS k, fence AS g FROM (SELECT t.job('test')) x, LATERAL t.claim(2, 'test') \gset
SELECT is(pg_temp.finish(2, :'k', :g, 5, NULL, p_ran_ms => NULL), 1::smallint, 'handed back, not begun');
SELECT is(pg_temp.attempts(:'k'), NULL, 'that was no attempt');
SELECT fence AS g FROM t.claim(2, 'test') \gset
SELECT is(pg_temp.finish(2, :'k', :g, 3, 'short', '{"title":"t"}'), 1::smallint, 'one too short for its begin to have been told');
SELECT is(pg_temp.attempts(:'k'), '1 Failed 5 t', 'was one');
SELECT pg_temp.finish(2, :'k', (SELECT fence FROM t.claim(2, 'test')), 1, NULL) AS x \gset

-- ---- with a batch of others ------------------------------------------------------------------------
SELECT t.job('test') AS a, t.job('test') AS b, t.job('test') AS c \gset
CREATE TEMP TABLE batch AS SELECT * FROM t.claim(2, 'test', 3);
SELECT is((SELECT array_agg(code ORDER BY ord) FROM (SELECT array_agg(job_id ORDER BY seq) ids, array_agg(fence ORDER BY seq) fences FROM batch) x,
    LATERAL longhaul.finish_batch(:'w2', ids, ARRAY[fences[1], fences[2] + 100, fences[3]], '{1,1,3}', '{1,1,1}', '{NULL,NULL,NULL}', '{NULL,NULL,NULL}',
        '{NULL,NULL,NULL}', '{NULL,NULL,NULL}', '{NULL,NULL,NULL}', '{NULL,NULL,NULL}', '{NULL,NULL,NULL}', '{NULL,NULL,NULL}', '{one,two,three}')),
    '{1,0,1}', 'a batch with one that has lost its lease');
SELECT is(ARRAY[longhaul.job_log(:'a'), longhaul.job_log(:'b'), longhaul.job_log(:'c')], '{one,NULL,three}', 'each has its own log, or none');

-- ---- an end by the handler's own transaction -------------------------------------------------------
SELECT t.job('silent') AS s \gset
SELECT fence AS f FROM t.start(2, 'silent') \gset
SELECT longhaul.sql_finish(:'s', :'w2', :f, NULL, NULL) AS x \gset
SELECT is(pg_temp.finish(2, :'s', :f, 1, 'notes'), 2::smallint, 'a handler has ended its job itself');
SELECT is(longhaul.job_log(:'s'), 'notes', 'its log comes after');

-- ---- what clients see ------------------------------------------------------------------------------
SELECT is((SELECT (attempt, log)::text FROM longhaul.client_log(:'j', 'alice', NULL)), '(6,bye)', 'the last log');
SELECT is((SELECT (attempt, log)::text FROM longhaul.client_log(:'j', 'alice', 2)), '(2,second)', 'that of an attempt');
SELECT is_empty(format('SELECT longhaul.client_log(%L, ''bob'', NULL)', :'j'), 'not another client');
SELECT is_empty(format('SELECT longhaul.client_log(%L, ''alice'', NULL)', :'s'), 'not of a type that doesn''t say so');
SELECT is((SELECT string_agg(concat_ws(' ', attempt, status, log_size, error::jsonb->>'title', ended_at >= started_at), ', ') FROM longhaul.client_attempts(:'j', 'alice')),
    '1 Failed 6 once t, 2 Interrupted 6 t, 3 Interrupted 5 died t, 4 Interrupted t, 5 Failed 10 for good t, 6 Canceled 3 t', 'the attempts');
SELECT is((SELECT (input_size, input_media_type, attempt, status, log_size)::text FROM longhaul.client_attempts(:'s', 'alice')), '(2,application/json,1,Completed,)', 'without the log''s size');
SELECT t.job('test') AS w \gset
SELECT is((SELECT (input_size, attempt)::text FROM longhaul.client_attempts(:'w', 'alice')), '(2,)', 'none yet');
SELECT is_empty(format('SELECT longhaul.client_attempts(%L, ''bob'')', :'j'), 'nor those of another client');

-- ---- what goes with the job ------------------------------------------------------------------------
SELECT is(longhaul.delete_job(:'j', 'alice'), 1::smallint, 'deleted');
SELECT is((SELECT count(*) FROM longhaul.attempt WHERE job_id = :'j') + (SELECT count(*) FROM longhaul.attempt_log WHERE job_id = :'j'), 0::bigint, 'with attempts and logs');
UPDATE longhaul.outcome SET expires_at = now() - interval '1 second' WHERE job_id = :'s';
SELECT longhaul.purge_jobs(10) AS x \gset
SELECT is((SELECT count(*) FROM longhaul.attempt_log WHERE job_id = :'s'), 0::bigint, 'when its retention is over too');

-- ---- refused writes --------------------------------------------------------------------------------
SELECT is((SELECT (outcomes, results, progress)::text FROM longhaul.stale_writes WHERE host = 'host1'), '(1,,)', 'the lost host''s outcome was counted, not what was sent twice');
SELECT is((SELECT (outcomes, results, progress)::text FROM longhaul.stale_writes WHERE host = 'host2'), '(1,,)', 'and the one of the batch');
SELECT longhaul.result_chunk_put(:'w1', :'b', 1, 0, 'x') AS x \gset
SELECT t.progress(1, :'b', 1, 0) AS x, t.progress(1, :'b', 1, 0, 5) AS y \gset
SELECT is((SELECT (outcomes, results, progress)::text FROM longhaul.stale_writes WHERE host = 'host1'), '(1,1,1)', 'a piece of a result and progress; a question is no write');
SELECT t.progress(2, :'a', (SELECT fence FROM batch WHERE job_id = :'a'), 0, 5) AS x \gset
SELECT is((SELECT progress FROM longhaul.stale_writes WHERE host = 'host2'), NULL, 'nor is what comes behind the end that it made itself');

SELECT * FROM finish();
ROLLBACK;
