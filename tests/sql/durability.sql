-- Which functions commit without waiting for the disk: those that promise it, and no others. Whoever
-- submits or finishes, by whatever way, waits.
BEGIN;
SELECT longhaul.wake('{1}') AS nothing \gset
SELECT current_setting('synchronous_commit') AS woken \gset
ROLLBACK;
BEGIN;
SELECT no_plan();
SELECT t.type('test') AS test, t.type('accounts.bulk-import') AS imports, t.worker(1) AS w1, t.worker(2) AS w2 \gset
SELECT count(t.job('test')) FROM generate_series(1, 9) \gset

-- How the transaction would commit after this statement. What it did stays; the setting is put back.
CREATE FUNCTION pg_temp.commits(p_sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_how text;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    EXECUTE p_sql;
    v_how := current_setting('synchronous_commit');
    PERFORM set_config('synchronous_commit', 'on', true);
    RETURN v_how;
END
$$;
CREATE TEMP TABLE x (j uuid, f bigint);

SELECT is(pg_temp.commits('INSERT INTO x SELECT job_id, fence FROM t.claim(1, ''test'', 6)'), 'off', 'claim doesn''t wait');
SELECT is(pg_temp.commits('SELECT t.progress(1, j, f) FROM x'), 'off', 'progress_batch doesn''t');
SELECT is(pg_temp.commits('SELECT longhaul.worker_beat(t.boot(1), 1000, ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'')'), 'off', 'worker_beat doesn''t');
SELECT is(pg_temp.commits('SELECT longhaul.result_chunk_put(t.boot(1), j, f, 0, ''x'') FROM x'), 'off', 'result_chunk_put doesn''t');
SELECT is(pg_temp.commits('SELECT longhaul.watch(array_agg(j), 5) FROM x'), 'off', 'watch doesn''t');
SELECT is(pg_temp.commits('SELECT longhaul.notify_waiters(''{5}'', ARRAY[t.id()])'), 'off', 'notify_waiters doesn''t');
SELECT is(:'woken'::text, 'off', 'wake in a transaction of its own doesn''t');
SELECT is(pg_temp.commits('SELECT longhaul.queue_horizon(''{}'')'), 'off', 'queue_horizon doesn''t');

SELECT is(pg_temp.commits('SELECT t.submit(''test'')'), 'on', 'submit_batch waits');
SELECT is(pg_temp.commits('SELECT t.submit(''test'', p_key => ''K'')'), 'on', 'with a key too');
SELECT is(pg_temp.commits('SELECT longhaul.submit(''test'', ''{}'')'), 'on', 'submit waits');
SELECT is(pg_temp.commits('SELECT longhaul.input_chunk_put(t.id(), 0, ''x'')'), 'on', 'input_chunk_put waits');
SELECT is(pg_temp.commits(format('SELECT t.finish(1, j, f, %s) FROM x OFFSET %s LIMIT 1', v, v - 1)), 'on', 'finish_batch waits, verdict ' || v) FROM generate_series(1, 6) v;
SELECT is(pg_temp.commits('SELECT t.finish(1, j, f, 1) FROM x LIMIT 1'), 'on', 'and for a finish that was there already');
SELECT t.job('test') AS j \gset
SELECT longhaul.watch(ARRAY[:'j']::uuid[], 7) AS w \gset
SELECT set_config('synchronous_commit', 'on', true) AS s \gset
SELECT is(pg_temp.commits(format('SELECT longhaul.cancel_job(%L, ''alice'')', :'j')), 'on', 'cancel_job waits, though it notifies');
SELECT is(pg_temp.commits(format('SELECT longhaul.retry_job(%L, ''alice'')', :'j')), 'on', 'retry_job waits');
SELECT is(pg_temp.commits(format('SELECT longhaul.delete_job(%L, ''alice'')', j)), 'on', 'delete_job waits') FROM (SELECT j FROM x LIMIT 1) y;

-- An import ends its job in its own transaction, and tells those who wait.
SELECT job_id AS j FROM t.submit('accounts.bulk-import', p_waiter => 9) \gset
SELECT fence AS f FROM t.start(2, 'accounts.bulk-import') \gset
SELECT longhaul.watch(ARRAY[:'j']::uuid[], 7) AS w \gset
SELECT set_config('synchronous_commit', 'on', true) AS s, longhaul.import_begin(:'j', :'w2', :f) AS staging \gset
SELECT is(pg_temp.commits(format('SELECT longhaul.import_finish(%L, %L, %s, 1)', :'j', :'w2', :f)), 'on', 'import_finish waits, though it notifies');

SELECT is(pg_temp.commits('SELECT longhaul.worker_start(t.boot(3), ''h'', 1, ''v'', 1000)'), 'on', 'worker_start waits');
SELECT is(pg_temp.commits('SELECT t.die(2), longhaul.rescue()'), 'on', 'rescue waits');
SELECT is(pg_temp.commits('SELECT longhaul.worker_stop(t.boot(1))'), 'on', 'worker_stop waits');

-- In a transaction that has written something, waking the workers must not take that with it.
SELECT is(pg_temp.commits('SELECT longhaul.submit(''test'', ''{}''), longhaul.wake(''{1}'')'), 'on', 'a wake inside the transaction of a submit');

SELECT * FROM finish();
ROLLBACK;
