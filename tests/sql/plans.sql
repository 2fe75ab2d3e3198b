-- How much the hot functions read: by an index, and no more than the batch, whether the tables are
-- empty, large and never analysed, or large and analysed; with plans made when they were empty, too.
-- In a database of its own: what the planner knows of an empty table is also what other tests left in its file.
\set db `createdb -T template_longhaul m_plans && echo m_plans`
\connect :db
BEGIN;
SELECT no_plan();
SELECT t.type('test') AS test, t.worker(1) AS w1 \gset

-- Rows read during a statement: sequentially, and by index, of tables whose name begins so.
CREATE FUNCTION pg_temp.counts(p_table text, OUT seq bigint, OUT idx bigint) LANGUAGE sql AS $$
    SELECT coalesce(sum(seq_tup_read), 0)::bigint, coalesce(sum(idx_tup_fetch), 0)::bigint
      FROM pg_stat_xact_user_tables WHERE schemaname = 'longhaul' AND relname ~ ('^' || p_table || '(_\d{8})?$')
$$;
CREATE TABLE pg_temp.reads (what text, tab text, seq bigint, idx bigint);
CREATE FUNCTION pg_temp.measure(p_what text, p_sql text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    c_tables CONSTANT text[] := '{ready,lease,delayed,job,outcome,input_chunk,result_chunk,idempotency_key,waiter}';
    v_before text[];
    v_table  text;
    v_x      record;
BEGIN
    DELETE FROM pg_temp.reads;
    CREATE TEMP TABLE before ON COMMIT DROP AS SELECT x.tab, c.* FROM unnest(c_tables) AS x(tab), pg_temp.counts(x.tab) c;
    EXECUTE p_sql;
    INSERT INTO pg_temp.reads SELECT p_what, x.tab, c.seq - b.seq, c.idx - b.idx
      FROM unnest(c_tables) AS x(tab) JOIN before b USING (tab), pg_temp.counts(x.tab) c;
    DROP TABLE before;
END
$$;
-- One test: nothing is read sequentially, and at most p_most rows by index of any table.
CREATE FUNCTION pg_temp.lean(p_state text, p_what text, p_sql text, p_most integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    IF p_state IS NULL THEN
        EXECUTE p_sql; -- only to have it done
        RETURN;
    END IF;
    PERFORM pg_temp.measure(p_what, p_sql);
    RETURN NEXT is((SELECT string_agg(format('%s: %s sequentially, %s by index', tab, seq, idx), '; ') FROM pg_temp.reads WHERE seq > 0 OR idx > p_most), NULL,
                   p_state || ': ' || p_what || ' reads at most ' || p_most || ' rows of a table, by index');
END
$$;

-- A batch of 200 for each function, of jobs made for it.
CREATE TABLE pg_temp.batch (n integer, id uuid, fence bigint);
CREATE FUNCTION pg_temp.submit(p_n integer, p_key text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pg_temp.batch (n, id)
    SELECT s.ord, s.job_id FROM (SELECT array_agg(t.id()) AS ids, array_agg(NULL::text) AS nulls, array_agg(p_key || i) AS keys FROM generate_series(1, p_n) i) x,
        LATERAL longhaul.submit_batch(ids, array_fill(t.type_id('test'), ARRAY[p_n]), array_fill('alice'::text, ARRAY[p_n]), array_fill(0::smallint, ARRAY[p_n]),
            array_fill(NULL::timestamptz, ARRAY[p_n]), array_fill('a/b'::text, ARRAY[p_n]), array_fill('\x00'::bytea, ARRAY[p_n]), array_fill(1::bigint, ARRAY[p_n]), keys,
            array_fill('\x00'::bytea, ARRAY[p_n]), array_fill(NULL::bigint, ARRAY[p_n]), nulls, nulls) s
$$;
CREATE FUNCTION pg_temp.claim(p_n integer, p_after bigint, p_look_back boolean) RETURNS void LANGUAGE sql AS $$
    DELETE FROM pg_temp.batch;
    INSERT INTO pg_temp.batch SELECT row_number() OVER (), job_id, fence
      FROM longhaul.claim(t.boot(1), setval('t.fence', nextval('t.fence') + p_n), ARRAY[t.type_id('test')], '{0}', ARRAY[p_after], ARRAY[p_n], p_look_back)
$$;
CREATE FUNCTION pg_temp.progress() RETURNS void LANGUAGE sql AS $$
    SELECT count(p) FROM (SELECT array_agg(id) AS ids, array_agg(fence) AS fences, array_agg(5) AS fives, array_agg(7::bigint) AS sevens, array_agg('m'::text) AS texts FROM pg_temp.batch) x,
        LATERAL longhaul.progress_batch(t.boot(1), ids, fences, fives, sevens, sevens, texts) p
$$;
CREATE FUNCTION pg_temp.finish(p_verdict integer) RETURNS void LANGUAGE sql AS $$
    SELECT count(f) FROM (SELECT array_agg(id) AS ids, array_agg(fence) AS fences, array_agg(p_verdict::smallint) AS verdicts, array_agg(5) AS ints, array_agg(0::bigint) AS bigs,
                                 array_agg(NULL::bigint) AS nobigs, array_agg('{}'::text) AS texts, array_agg('\x00'::bytea) AS bytes FROM pg_temp.batch) x,
        LATERAL longhaul.finish_batch(t.boot(1), ids, fences, verdicts, ints, texts, bytes, nobigs, texts, nobigs, nobigs, nobigs, texts) f
$$;
CREATE FUNCTION pg_temp.status() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM (SELECT array_agg(id) AS ids, array_agg('alice'::text) AS clients FROM pg_temp.batch) x, LATERAL longhaul.status_batch(ids, clients, true) s
$$;

-- Everything once. The limits leave room for what a step reads twice (a lock, then a delete by the same index).
CREATE FUNCTION pg_temp.all_lean(p_state text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    v_floor bigint := (SELECT max(seq) FROM longhaul.ready) / 2;
BEGIN
    RETURN QUERY SELECT pg_temp.lean(p_state, 'submit_batch', 'SELECT pg_temp.submit(200)', 0);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'submit_batch with keys', format('SELECT pg_temp.submit(200, %L)', 'k' || random()), 200);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'status_batch', 'SELECT pg_temp.status()', 600);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'claim behind the cursor', format('SELECT pg_temp.claim(100, %s, false)', coalesce(v_floor, 0)), 200);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'finish_batch, released', 'SELECT pg_temp.finish(5)', 500);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'claim looking back', 'SELECT pg_temp.claim(100, 0, true)', 200);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'progress_batch', 'SELECT pg_temp.progress()', 300);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'finish_batch, completed', 'SELECT pg_temp.finish(1)', 200);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'finish_batch again', 'SELECT pg_temp.finish(1)', 200);
    PERFORM pg_temp.claim(100, 0, true);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'finish_batch, tried again', 'SELECT pg_temp.finish(3)', 500);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'promote_due with nothing due', 'SELECT longhaul.promote_due(100)', 2);
    UPDATE longhaul.delayed SET run_at = now() - interval '1 second' WHERE job_id IN (SELECT id FROM pg_temp.batch);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'promote_due', 'SELECT longhaul.promote_due(100)', 202);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'queue_state', 'SELECT * FROM longhaul.queue_state()', 10000);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'list_jobs', 'SELECT * FROM longhaul.list_jobs(''alice'', NULL, NULL, NULL, NULL, 50)', 200);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'list_jobs of a status', 'SELECT * FROM longhaul.list_jobs(''alice'', NULL, 4::smallint, NULL, NULL, 50)', 3100);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'result_chunk_get', 'SELECT longhaul.result_chunk_get(id, 2, 0) FROM pg_temp.batch LIMIT 1', 1);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'input_chunk_get', 'SELECT longhaul.input_chunk_get(id, 0) FROM pg_temp.batch LIMIT 1', 1);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'watch', 'SELECT longhaul.watch(array_agg(id), 5) FROM pg_temp.batch', 200);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'cancel_job', 'SELECT longhaul.cancel_job(id, ''alice'') FROM pg_temp.batch LIMIT 1', 10);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'retry_job', 'SELECT longhaul.retry_job(id, ''alice'') FROM pg_temp.batch LIMIT 1', 10);
    RETURN QUERY SELECT pg_temp.lean(p_state, 'delete_job', 'SELECT longhaul.delete_job(id, ''alice'') FROM pg_temp.batch LIMIT 1', 10);
END
$$;

-- On (nearly) empty tables. Then, so that plans that are kept are made, as after a vacuum of the empty tables: the
-- planner expects no rows at all then.
SELECT pg_temp.all_lean('empty');
DISCARD PLANS;
TRUNCATE longhaul.ready, longhaul.lease, longhaul.delayed, longhaul.cancel_request, longhaul.waiter, longhaul.idempotency_key;
UPDATE pg_class SET reltuples = 0, relpages = 0 WHERE relnamespace = 'longhaul'::regnamespace AND relkind IN ('r', 'i', 'I', 'p');
SELECT count(x) AS n FROM generate_series(1, 7), LATERAL pg_temp.all_lean(NULL) x \gset

-- 200,000 that wait, 20,000 leases, 100,000 that have ended, of several days.
CREATE FUNCTION pg_temp.prefix(p_days integer) RETURNS text LANGUAGE sql AS $$ SELECT substr(t.id(clock_timestamp() + p_days * interval '1 day')::text, 1, 15) $$;
INSERT INTO longhaul.job (id, type_id, client, priority, input_size, seq, created_at, fingerprint, media_type, input)
SELECT (d.prefix || substr(md5(i::text), 1, 3) || '-8' || substr(md5(i::text), 4, 3) || '-' || substr(md5(i::text), 7, 12))::uuid, :test,
       CASE WHEN i % 2 = 0 THEN 'alice' ELSE 'c' || i % 50 END, 0, 1, nextval('longhaul.ready_seq'), now(), '\x00', 'a/b', '\x00'
  FROM generate_series(1, 320000) i JOIN (VALUES (0, pg_temp.prefix(-1)), (1, pg_temp.prefix(0)), (2, pg_temp.prefix(1))) d(k, prefix) ON d.k = i % 3;
INSERT INTO longhaul.ready (type_id, priority, gen, attempt, seq, job_id)
SELECT type_id, priority, 1, 0, seq, id FROM longhaul.job j WHERE seq % 16 < 10 AND NOT EXISTS (SELECT FROM longhaul.outcome WHERE job_id = id) AND NOT EXISTS (SELECT FROM longhaul.lease WHERE job_id = id)
    AND NOT EXISTS (SELECT FROM longhaul.ready r WHERE r.job_id = j.id);
INSERT INTO longhaul.lease (job_id, boot, fence, type_id, priority, gen, attempt, seq, claimed_at, started_at)
SELECT id, t.boot(9), seq, type_id, priority, 2, 1, seq, now(), now() FROM longhaul.job j WHERE seq % 16 = 10 AND NOT EXISTS (SELECT FROM longhaul.outcome WHERE job_id = id) AND NOT EXISTS (SELECT FROM longhaul.lease WHERE job_id = id)
    AND NOT EXISTS (SELECT FROM longhaul.ready r WHERE r.job_id = j.id);
INSERT INTO longhaul.outcome (job_id, status, attempt, gen, ended_at, expires_at)
SELECT id, 3, 1, 3, now(), now() + interval '7 days' FROM longhaul.job j WHERE seq % 16 > 10 AND NOT EXISTS (SELECT FROM longhaul.outcome WHERE job_id = id) AND NOT EXISTS (SELECT FROM longhaul.lease WHERE job_id = id)
    AND NOT EXISTS (SELECT FROM longhaul.ready r WHERE r.job_id = j.id);
INSERT INTO longhaul.delayed (job_id, run_at, type_id, priority, gen, attempt, seq) SELECT gen_random_uuid(), now() + interval '1 hour', :test, 0, 1, 0, 1 FROM generate_series(1, 50000);
INSERT INTO longhaul.idempotency_key SELECT 'alice', :test, 'x' || i, gen_random_uuid(), '\x00' FROM generate_series(1, 50000) i;
INSERT INTO longhaul.waiter SELECT gen_random_uuid(), 1 FROM generate_series(1, 20000);
SELECT ok(count(*) > 190000, 'about 200,000 jobs wait') FROM longhaul.ready;

SELECT pg_temp.all_lean('large, with plans made after a vacuum of the empty tables');
DISCARD PLANS;
SELECT pg_temp.all_lean('large, never analysed');
ANALYZE longhaul.ready, longhaul.lease, longhaul.job, longhaul.outcome, longhaul.delayed, longhaul.idempotency_key, longhaul.waiter;
SELECT pg_temp.all_lean('large and analysed');
SELECT count(x) AS n FROM generate_series(1, 7), LATERAL pg_temp.all_lean(NULL) x \gset
SELECT pg_temp.all_lean('large and analysed, plans that are kept');

-- (As autovacuum does it.)
SELECT count(brin_summarize_new_values(indexrelid)) AS n FROM pg_index WHERE indrelid::regclass::text LIKE 'longhaul.outcome\_2%' AND indexrelid::regclass::text LIKE '%expires%' \gset
-- What the upkeep reads: the queue as a whole; of 100,000 outcomes that haven't expired a few pages at most (the
-- index knows ranges of pages, and rows that are gone count in it).
SELECT pg_temp.measure('maintain', 'SELECT longhaul.maintain()') \gset
SELECT is((SELECT array_agg(tab || ' ' || seq || ' ' || (idx > 10000) ORDER BY tab) FROM pg_temp.reads WHERE tab IN ('job', 'outcome', 'input_chunk', 'result_chunk', 'idempotency_key') AND (seq > 0 OR idx > 10000)), NULL,
    'maintain doesn''t read the history');
SELECT pg_temp.measure('rescue', 'SELECT longhaul.rescue()') \gset
SELECT is((SELECT array_agg(tab) FROM pg_temp.reads WHERE tab <> 'lease' AND (seq > 0 OR idx > 0)), NULL, 'rescue reads the leases only');

-- What a DBA asks for first.
SELECT pg_temp.measure('jobs', 'SELECT * FROM longhaul.jobs ORDER BY id DESC LIMIT 20') \gset
SELECT is((SELECT array_agg(tab || ' ' || seq) FROM pg_temp.reads WHERE tab IN ('job', 'outcome') AND seq + idx > 1000), NULL, 'the newest jobs of the view jobs are found by index');
SELECT pg_temp.measure('jobs', 'SELECT * FROM longhaul.jobs WHERE id = ''' || id || '''') FROM longhaul.job LIMIT 1 \gset
SELECT is((SELECT array_agg(tab || ' ' || seq) FROM pg_temp.reads WHERE seq + idx > 10), NULL, 'one job too');

-- What else: views read no table of the history but by the key, one row for each they show.
CREATE FUNCTION pg_temp.reads_of(p_sql text, p_tables text[], p_most bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.measure('view', p_sql);
    RETURN (SELECT string_agg(format('%s: %s sequentially, %s by index', tab, seq, idx), '; ') FROM pg_temp.reads WHERE tab = ANY (p_tables) AND (seq > 0 OR idx > p_most));
END
$$;
SELECT is(pg_temp.reads_of('SELECT * FROM longhaul.waiting LIMIT 20', '{job,outcome,lease,delayed}', 20), NULL, 'waiting: 20 jobs');
SELECT ok(seq + idx <= 20 * 1000 + 20, 'waiting: and up to 1000 ahead of each') FROM pg_temp.reads WHERE tab = 'ready';
SELECT is(pg_temp.reads_of('SELECT type, why, count(*), min(since) FROM longhaul.waiting GROUP BY 1, 2', '{job,outcome}', 0), NULL, 'waiting in short: nothing of the history');
SELECT is(pg_temp.reads_of('SELECT * FROM longhaul.waiting WHERE id = ''' || (SELECT job_id FROM longhaul.ready LIMIT 1) || '''', '{job,outcome}', 1), NULL, 'waiting: one job');
SELECT is(pg_temp.reads_of(format('SELECT * FROM longhaul.%I', v), '{job,outcome,input_chunk,result_chunk,ready,lease,delayed,idempotency_key}', 0), NULL, v || ': reads no table') FROM unnest('{partitions,estimates}'::text[]) v;
SELECT is(pg_temp.reads_of(format('SELECT * FROM longhaul.%I', v), '{job,outcome,input_chunk,result_chunk,idempotency_key}', 0), NULL, v || ': nothing of the history') FROM unnest('{running,queue_depth,client_depth,workers,dead_hosts,limits,turns,stuck,throughput,types_lately}'::text[]) v;
SELECT ok(rows_estimated > 300000, 'estimates: and knows how many there are') FROM longhaul.estimates WHERE (kind, name) = ('table', 'job');
SELECT is(pg_temp.reads_of('SELECT * FROM longhaul.slowest', '{job}', 50), NULL, 'slowest: the fifty jobs');
-- Functions of DBAs, by time and by client.
UPDATE longhaul.outcome SET status = 4, ended_at = '2026-01-01Z' WHERE job_id IN (SELECT job_id FROM longhaul.outcome LIMIT 50);
SELECT count(brin_summarize_new_values(indexrelid)) AS n FROM pg_index WHERE indrelid::regclass::text LIKE 'longhaul.outcome\_2%' AND indexrelid::regclass::text LIKE '%expires%' \gset
SELECT is(pg_temp.reads_of('SELECT longhaul.retry_jobs(''test'', p_from => ''2026-01-01Z'', p_to => ''2026-01-02Z'', p_limit => 30)', '{job,outcome,ready,lease,delayed}', 10000), NULL, 'retry_jobs: what ended in that time');
SELECT is(pg_temp.reads_of('SELECT longhaul.cancel_jobs(''test'', p_limit => 30)', '{job,outcome,ready,lease,delayed}', 1000), NULL, 'cancel_jobs of a type');
SELECT is(pg_temp.reads_of('SELECT longhaul.cancel_jobs(NULL, ''c7'', p_limit => 30)', '{job,outcome,ready,lease,delayed}', 1000), NULL, 'cancel_jobs of a client');

SELECT * FROM finish();
ROLLBACK;
