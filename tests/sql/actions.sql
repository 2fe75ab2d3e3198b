-- cancel_job, delete_job, retry_job: in every state, and for nobody but the owner.
BEGIN;
SELECT no_plan();
SELECT t.type('test') AS test, t.worker(1) AS w1 \gset
CREATE FUNCTION pg_temp.rows_of(p_job uuid) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(x, ' ' ORDER BY x) FROM (
        SELECT 'job' FROM longhaul.job WHERE id = p_job UNION ALL SELECT 'outcome' FROM longhaul.outcome WHERE job_id = p_job
        UNION ALL SELECT 'ready' FROM longhaul.ready WHERE job_id = p_job UNION ALL SELECT 'delayed' FROM longhaul.delayed WHERE job_id = p_job
        UNION ALL SELECT 'lease' FROM longhaul.lease WHERE job_id = p_job UNION ALL SELECT 'input' FROM longhaul.input_chunk WHERE job_id = p_job
        UNION ALL SELECT 'result' FROM longhaul.result_chunk WHERE job_id = p_job UNION ALL SELECT 'request' FROM longhaul.cancel_request WHERE job_id = p_job) t(x)
$$;

-- ---- cancel, where the job waits -------------------------------------------------------------------------
SELECT t.job('test', 5) AS j \gset
SELECT is(longhaul.cancel_job(:'j', 'bob'), 0::smallint, 'of another client: there is none');
SELECT is(longhaul.cancel_job(t.id(), 'alice'), 0::smallint, 'one that never was');
SELECT is(longhaul.cancel_job(:'j', 'alice'), 1::smallint, 'queued: canceled');
SELECT is(pg_temp.rows_of(:'j'), 'job outcome', 'it doesn''t wait any more');
SELECT is(t.stands(:'j'), 'Canceled 2.0', 'its status');
SELECT is(longhaul.cancel_job(:'j', 'alice'), 3::smallint, 'again: already');
SELECT is((SELECT (attempt, started_at, error) FROM longhaul.outcome WHERE job_id = :'j'), (0, NULL::timestamptz, NULL::jsonb), 'no attempt was made');

SELECT job_id AS j FROM t.submit('test', p_run_at => now() + interval '1 hour') \gset
SELECT is(longhaul.cancel_job(:'j', 'alice'), 1::smallint, 'waiting for its time: canceled');
SELECT is(pg_temp.rows_of(:'j'), 'job outcome', 'gone from there');

SELECT job_id AS j FROM t.submit('test', p_run_at => now() + interval '1 hour') \gset
UPDATE longhaul.delayed SET run_at = now() - interval '1 second';
SELECT longhaul.promote_due(10) \gset
SELECT is(longhaul.cancel_job(:'j', 'alice'), 1::smallint, 'its time has come, it has a new place: canceled');
SELECT is(pg_temp.rows_of(:'j'), 'job outcome', 'gone from there');

SELECT job_id AS j FROM t.submit('test', p_run_at => now() + interval '1 hour') \gset
UPDATE longhaul.delayed SET run_at = now() - interval '1 second';
SELECT longhaul.promote_due(10) \gset
SELECT is(t.finish(1, job_id, fence, 5), 1::smallint, 'put back from its new place') FROM t.start(1, 'test');
SELECT is(longhaul.cancel_job(:'j', 'alice'), 1::smallint, 'canceled');

SELECT t.job('test') AS j \gset
SELECT is(t.finish(1, job_id, fence, 5), 1::smallint, 'put back') FROM t.start(1, 'test');
SELECT is(pg_temp.rows_of(:'j'), 'job lease ready', '(a put-back job keeps its lease row)');
SELECT is(longhaul.cancel_job(:'j', 'alice'), 1::smallint, 'put back: canceled');
SELECT is(pg_temp.rows_of(:'j'), 'job outcome', 'gone from both');

SELECT t.job('test') AS j \gset
SELECT is(t.finish(1, job_id, fence, 3), 1::smallint, 'failed for now') FROM t.start(1, 'test');
SELECT is(longhaul.cancel_job(:'j', 'alice'), 1::smallint, 'between two attempts: canceled');
SELECT is((SELECT (status, attempt) FROM longhaul.outcome WHERE job_id = :'j'), (5::smallint, 1), 'after one attempt');
SELECT is(pg_temp.rows_of(:'j'), 'job outcome', 'gone from both');

-- ---- cancel, where the job runs ----------------------------------------------------------------------------
SELECT t.job('test') AS j \gset
SELECT fence AS f FROM t.claim(1, 'test') \gset
SELECT is(longhaul.cancel_job(:'j', 'alice'), 2::smallint, 'claimed ahead: its worker is told');
SELECT is(longhaul.cancel_job(:'j', 'alice'), 2::smallint, 'as often as one likes');
SELECT is(pg_temp.rows_of(:'j'), 'job lease request', 'the request is kept');
SELECT is(t.finish(1, :'j', :f, 5, NULL), 1::smallint, 'its worker hands it back');
SELECT is(t.stands(:'j'), 'Canceled 3.0', 'then it is canceled');
SELECT is(pg_temp.rows_of(:'j'), 'job outcome', 'all else is gone');
SELECT t.job('test') AS j \gset
SELECT fence AS f FROM t.start(1, 'test') \gset
SELECT is(longhaul.cancel_job(:'j', 'alice'), 2::smallint, 'running: its worker is told');
SELECT is(t.finish(1, :'j', :f, 1), 1::smallint, 'but it is done first');
SELECT is(longhaul.cancel_job(:'j', 'alice'), 4::smallint, 'Completed: not cancelable');
SELECT is(t.stands(:'j'), 'Completed 3.0', 'it stays so');
SELECT t.job('test') AS j \gset
SELECT fence AS f FROM t.start(1, 'test') \gset
SELECT is(t.finish(1, :'j', :f, 2), 1::smallint, 'one that fails');
SELECT is(longhaul.cancel_job(:'j', 'alice'), 4::smallint, 'Failed: not cancelable');

-- ---- delete ---------------------------------------------------------------------------------------------------
SELECT t.id() AS j \gset
SELECT longhaul.input_chunk_put(:'j', 0, 'in') AS x \gset
SELECT code AS c FROM t.submit('test', :'j', p_input => NULL, p_fingerprint => 'f', p_input_size => 2, p_key => 'K') \gset
SELECT is(longhaul.delete_job(:'j', 'alice'), 2::smallint, 'queued: not deletable');
SELECT fence AS f FROM t.start(1, 'test') \gset
SELECT is(longhaul.delete_job(:'j', 'alice'), 2::smallint, 'running: not deletable');
SELECT longhaul.result_chunk_put(:'w1', :'j', :f, 0, 'out') AS x \gset
SELECT is(t.finish(1, :'j', :f, 1, p_result_size => 3), 1::smallint, 'completed');
SELECT is(pg_temp.rows_of(:'j'), 'input job outcome result', '(all that belongs to it)');
SELECT is(longhaul.delete_job(:'j', 'bob'), 0::smallint, 'of another client: there is none');
SELECT is(longhaul.delete_job(:'j', 'alice'), 1::smallint, 'ended: deleted');
SELECT is(pg_temp.rows_of(:'j'), NULL, 'with input and result');
SELECT is(longhaul.delete_job(:'j', 'alice'), 0::smallint, 'again: there is none');
SELECT is((SELECT count(*) FROM t.status(:'j')), 0::bigint, 'nobody sees it');
SELECT is(longhaul.cancel_job(:'j', 'alice'), 0::smallint, 'nor can cancel it');
SELECT is(longhaul.retry_job(:'j', 'alice'), 0::smallint, 'nor retry it');
SELECT is(code, 5::smallint, 'its key says that it is gone') FROM t.submit('test', p_input => NULL, p_fingerprint => 'f', p_input_size => 2, p_key => 'K');

-- ---- retry -----------------------------------------------------------------------------------------------------
SELECT t.job('test', 3) AS j \gset
SELECT is(longhaul.retry_job(:'j', 'alice'), 2::smallint, 'queued: not retryable');
SELECT fence AS f FROM t.start(1, 'test') \gset
SELECT is(longhaul.retry_job(:'j', 'alice'), 2::smallint, 'running: not retryable');
SELECT is(t.finish(1, :'j', :f, 2), 1::smallint, 'failed');
SELECT is(longhaul.retry_job(:'j', 'bob'), 0::smallint, 'of another client: there is none');
SELECT is(longhaul.retry_job(:'j', 'alice'), 1::smallint, 'Failed: queued again');
SELECT is(longhaul.retry_job(:'j', 'alice'), 2::smallint, 'once');
SELECT is((SELECT (priority, attempt, seq < 0) FROM longhaul.ready WHERE job_id = :'j'), (3::smallint, 1, true), 'with its priority, before the others');
SELECT is(t.finish(1, :'j', :f, 1), 0::smallint, 'the attempt that failed can''t end it now');
SELECT fence AS f2, attempt AS a2 FROM t.claim(1, 'test') \gset
SELECT is(:a2, 2, 'its second attempt');
SELECT is(t.finish(1, :'j', :f2, 1), 1::smallint, 'completed');
SELECT is(longhaul.retry_job(:'j', 'alice'), 2::smallint, 'Completed: not retryable');
SELECT t.job('test') AS j \gset
SELECT longhaul.cancel_job(:'j', 'alice') AS c, longhaul.retry_job(:'j', 'alice') AS r \gset
SELECT is(:r, 1, 'Canceled: queued again');
SELECT is(t.stands(:'j'), 'Queued 3.0', 'its status');
SELECT longhaul.cancel_job(:'j', 'alice') AS c \gset
UPDATE longhaul.outcome SET expires_at = now() - interval '1 second' WHERE job_id = :'j';
SELECT is(longhaul.retry_job(:'j', 'alice'), 2::smallint, 'past its retention: not retryable');

SELECT job_id AS j FROM t.submit('test', p_run_at => now() + interval '1 hour') \gset
SELECT longhaul.cancel_job(:'j', 'alice') AS c, longhaul.retry_job(:'j', 'alice') AS r \gset
SELECT is((:c, :r), (1, 1), 'canceled before its time, and queued again');
SELECT is(pg_temp.rows_of(:'j'), 'delayed job lease', 'it still waits for its time');
SELECT is((SELECT run_at FROM longhaul.delayed WHERE job_id = :'j'), now() + interval '1 hour', 'the one that its client wanted');
SELECT is(t.stands(:'j'), 'Queued 3.0', 'its status');
UPDATE longhaul.delayed SET run_at = now() - interval '1 second';
SELECT longhaul.promote_due(10) \gset
SELECT is((SELECT job_id FROM t.start(1, 'test')), :'j', 'then it runs');

-- ---- job types ---------------------------------------------------------------------------------------------------
SELECT throws_ok('DELETE FROM longhaul.job_type WHERE name = ''test''', '23503', NULL, 'a type with jobs can''t be deleted: they could neither run nor end');
SELECT t.type('unused') AS unused \gset
SELECT lives_ok('DELETE FROM longhaul.job_type WHERE name = ''unused''', 'one without can');

SELECT * FROM finish();
ROLLBACK;
