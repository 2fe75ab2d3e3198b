-- status_batch, result_chunk_get, watch, api_types, client_of_key, queue_state.
BEGIN;
SELECT no_plan();
SELECT t.type('test', 'backoff_ms = 1000, max_attempts = 3') AS test \gset
SELECT t.worker(1) AS w1 \gset
-- ---- a whole life, and its versions -----------------------------------------------------------------
SELECT t.job('test', 5) AS j \gset
CREATE TEMP TABLE seen (n serial, step text, version bigint, words text, visible boolean);
CREATE FUNCTION pg_temp.look(p_job uuid, p_step text, p_visible boolean) RETURNS text LANGUAGE sql AS $$
    INSERT INTO seen (step, version, words, visible)
    SELECT p_step, s.version, longhaul.status_word(s.status), p_visible FROM t.status(p_job) s RETURNING words
$$;
SELECT is(pg_temp.look(:'j', 'submitted', true), 'Queued', 'queued');
SELECT job_id AS j1, fence AS f1 FROM t.claim(1, 'test') \gset
SELECT is(pg_temp.look(:'j', 'claimed', false), 'Queued', 'claimed ahead, not begun: still queued');
SELECT is((SELECT (attempt, started_at) FROM t.status(:'j')), (0, NULL::timestamptz), 'no attempt is shown yet');
SELECT ok(t.progress(1, :'j', :f1, NULL), 'asking for the lease');
SELECT is(pg_temp.look(:'j', 'asked', false), 'Queued', 'doesn''t begin it');
SELECT ok(t.progress(1, :'j', :f1, 5), 'its handler begins');
SELECT is(pg_temp.look(:'j', 'begun', true), 'InProgress', 'in progress');
SELECT ok(t.progress(1, :'j', :f1, 5, 10, 40, 'reading'), 'progress');
SELECT is(pg_temp.look(:'j', 'progress', true), 'InProgress', 'in progress');
SELECT is((SELECT (attempt, done, total, message, started_at < clock_timestamp(), progress_at IS NOT NULL) FROM t.status(:'j')),
    (1, 10::bigint, 40::bigint, 'reading'::text, true, true), 'and how far');
SELECT ok(t.progress(1, :'j', :f1, 5, 20), 'only done');
SELECT is(pg_temp.look(:'j', 'more progress', true), 'InProgress', 'in progress');
SELECT is((SELECT (done, total, message) FROM t.status(:'j')), (20::bigint, 40::bigint, 'reading'::text), 'the rest stays');
SELECT is(t.finish(1, :'j', :f1, 3), 1::smallint, 'failed for now');
SELECT is(pg_temp.look(:'j', 'failed for now', true), 'Queued', 'queued again, after a backoff');
SELECT is((SELECT (attempt, done, total, message, started_at, run_at > clock_timestamp()) FROM t.status(:'j')),
    (1, NULL::bigint, NULL::bigint, NULL::text, NULL::timestamptz, true), 'one attempt is burned, nothing left of its progress, and when it goes on');
UPDATE longhaul.delayed SET run_at = clock_timestamp();
SELECT is((longhaul.promote_due(10)).moved, 1, 'its time comes');
SELECT is(pg_temp.look(:'j', 'due', false), 'Queued', 'queued');
SELECT fence AS f2 FROM t.claim(1, 'test') \gset
SELECT is(pg_temp.look(:'j', 'claimed again', false), 'Queued', 'claimed again');
SELECT ok(t.progress(1, :'j', :f2), 'begun again');
SELECT is(pg_temp.look(:'j', 'begun again', true), 'InProgress', 'in progress');
SELECT is((SELECT attempt FROM t.status(:'j')), 2, 'its second attempt');
SELECT t.die(1) \gset
SELECT is(longhaul.rescue(), 1, 'its host is lost');
SELECT is(pg_temp.look(:'j', 'rescued', true), 'Queued', 'queued');
SELECT t.worker(2) AS w2 \gset
SELECT fence AS f3 FROM t.claim(2, 'test') \gset
SELECT t.finish(2, :'j', :f3, 5, NULL) AS released \gset
SELECT is(pg_temp.look(:'j', 'released', true), 'Queued', 'handed back');
SELECT fence AS f3 FROM t.start(2, 'test') \gset
SELECT is(pg_temp.look(:'j', 'third', true), 'InProgress', 'in progress elsewhere');
SELECT is((SELECT attempt FROM t.status(:'j')), 2, 'a lost host burned no attempt, nor did handing it back');
SELECT is(t.finish(2, :'j', :f3, 2, p_error => '{"title":"no"}'), 1::smallint, 'failed for good');
SELECT is(pg_temp.look(:'j', 'failed', true), 'Failed', 'failed');
SELECT is((SELECT (error, attempt, ended_at IS NOT NULL, date_trunc('second', expires_at - ended_at), result_gen) FROM t.status(:'j')),
    ('{"title": "no"}'::text, 2, true, interval '7 days', NULL::integer), 'with its problem');
SELECT is(longhaul.retry_job(:'j', 'alice'), 1::smallint, 'once more by hand');
SELECT is(pg_temp.look(:'j', 'retried', true), 'Queued', 'queued');
SELECT is((SELECT (error, ended_at, expires_at) FROM t.status(:'j')), (NULL::text, NULL::timestamptz, NULL::timestamptz), 'as if it had not ended');
SELECT fence AS f4 FROM t.start(2, 'test') \gset
SELECT is(pg_temp.look(:'j', 'fourth', true), 'InProgress', 'in progress');
SELECT is(longhaul.cancel_job(:'j', 'alice'), 2::smallint, 'cancel');
SELECT is((SELECT cancel_requested FROM t.status(:'j')), true, 'asked to cancel');
SELECT is(t.finish(2, :'j', :f4, 4), 1::smallint, 'canceled');
SELECT is(pg_temp.look(:'j', 'canceled', true), 'Canceled', 'canceled');
SELECT is(longhaul.retry_job(:'j', 'alice'), 1::smallint, 'and again');
SELECT is(pg_temp.look(:'j', 'retried again', true), 'Queued', 'queued');
SELECT is(longhaul.cancel_job(:'j', 'alice'), 1::smallint, 'canceled while it waits');
SELECT is(pg_temp.look(:'j', 'canceled again', true), 'Canceled', 'canceled');
SELECT is(longhaul.retry_job(:'j', 'alice'), 1::smallint, 'a last time');
SELECT is(pg_temp.look(:'j', 'retried at last', true), 'Queued', 'queued');
SELECT fence AS f5 FROM t.claim(2, 'test') \gset
SELECT is(t.finish(2, :'j', :f5, 1, 3, 'the result', p_media_type => 'text/plain'), 1::smallint, 'completed, never seen in progress');
SELECT is(pg_temp.look(:'j', 'completed', true), 'Completed', 'completed');
SELECT is((SELECT (result_media_type, result_size, result, result_gen IS NOT NULL, started_at IS NOT NULL) FROM t.status(:'j', p_with_result => true)),
    ('text/plain'::text, 10::bigint, 'the result'::bytea, true, true), 'with its result');
SELECT is((SELECT (result_size, result) FROM t.status(:'j')), (10::bigint, NULL::bytea), 'which comes only if asked for');

SELECT is_empty($$
    SELECT b.step, a.version >> 32 AS high, a.version & 4294967295 AS low, b.version >> 32 AS high2, b.version & 4294967295 AS low2
      FROM seen a JOIN seen b ON b.n = a.n + 1
     WHERE CASE WHEN b.visible THEN b.version <= a.version ELSE b.version <> a.version END
$$, 'each visible change has a higher version, what can''t be seen the same one');
SELECT is((SELECT count(*) FROM seen), 21::bigint, 'over the whole life');

-- ---- who sees what ---------------------------------------------------------------------------------
SELECT t.job('test', p_client => 'bob') AS bobs \gset
SELECT is((SELECT count(*) FROM t.status(:'bobs', 'alice')), 0::bigint, 'a foreign job is not there');
SELECT is((SELECT count(*) FROM t.status(:'bobs', 'BOB')), 0::bigint, 'names are compared exactly');
SELECT is((SELECT count(*) FROM t.status(t.id())), 0::bigint, 'nor is one that never was');
SELECT is((SELECT count(*) FROM longhaul.status_batch('{}', '{}', false)), 0::bigint, 'none asked, none told');

-- ---- several days at once, days that aren't there -----------------------------------------------------
SELECT job_id AS yesterday FROM t.submit('test', t.id(clock_timestamp() - interval '1 day')) \gset
SELECT job_id AS tomorrow FROM t.submit('test', t.id(clock_timestamp() + interval '1 day')) \gset
SELECT results_eq(format($$
    SELECT ord, job_id FROM longhaul.status_batch(
        ARRAY['%1$s', '%2$s', '%3$s', '00000000-0000-0000-0000-000000000000', '01234567-89ab-7def-8123-456789abcdef', '%4$s',
              'ffffffff-ffff-ffff-ffff-ffffffffffff', '%2$s', '%5$s']::uuid[],
        '{alice,alice,alice,alice,alice,alice,alice,alice,bob}', true) ORDER BY ord $$, :'j', :'yesterday', :'tomorrow', t.id(), :'bobs'),
    format($$ VALUES (1, '%1$s'::uuid), (2, '%2$s'), (3, '%3$s'), (8, '%2$s'), (9, '%4$s') $$, :'j', :'yesterday', :'tomorrow', :'bobs'),
    'jobs of several days and of no day at once; twice the same');
SELECT is((SELECT count(*) FROM t.status('ffffffff-ffff-ffff-ffff-ffffffffffff')), 0::bigint, 'only a time in a far future');

-- Today's partitions may be missing where no worker has called maintain(): then nothing is there, no more.
SAVEPOINT today;
SELECT format('DROP FUNCTION longhaul.status_on_%s', to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')) \gexec
SELECT lives_ok($$ SELECT * FROM t.status(t.id()) $$, 'a day without partitions is a day without jobs');
ROLLBACK TO today;

-- ---- results, piece by piece --------------------------------------------------------------------------
SELECT result_gen AS g FROM t.status(:'j') \gset
SELECT is(longhaul.result_chunk_get(:'j', :g, 0), 'the result'::bytea, 'an inline result comes as its first piece');
SELECT is(longhaul.result_chunk_get(:'j', :g, 1), NULL, 'and its last');
SELECT is(longhaul.result_chunk_get(:'j', :g + 1, 0), NULL, 'another generation''s result isn''t there');
SELECT is(longhaul.result_chunk_get(:'bobs', 1, 0), NULL, 'nor that of a job that goes on');
SELECT job_id AS big, fence AS bf FROM t.start(2, 'test') \gset
SELECT ok(longhaul.result_chunk_put(:'w1'::uuid, :'big', :bf, 0, 'x') = false, 'only the holder of the lease writes results');
SELECT ok(longhaul.result_chunk_put(t.boot(2), :'big', :bf, 0, 'one') AND longhaul.result_chunk_put(t.boot(2), :'big', :bf, 1, 'two')
          AND longhaul.result_chunk_put(t.boot(2), :'big', :bf, 0, 'one'), 'in pieces, a piece sent again counts once');
SELECT is(t.finish(2, :'big', :bf, 1, p_result_size => 6), 1::smallint, 'completed with a result in pieces');
SELECT client AS bigs_client FROM longhaul.job WHERE id = :'big' \gset
SELECT is((SELECT ARRAY[longhaul.result_chunk_get(:'big', s.result_gen, 0), longhaul.result_chunk_get(:'big', s.result_gen, 1),
                        longhaul.result_chunk_get(:'big', s.result_gen, 2)] FROM t.status(:'big', :'bigs_client') s),
    ARRAY['one', 'two', NULL]::bytea[], 'which come back as they were');
SELECT is((SELECT (result_size, result) FROM t.status(:'big', :'bigs_client', true)), (6::bigint, NULL::bytea), 'and not in the row');

-- ---- waiting -----------------------------------------------------------------------------------------
SELECT lives_ok(format($$ SELECT longhaul.watch(ARRAY['%1$s', '%2$s', '%1$s']::uuid[], 99) $$, :'yesterday', :'tomorrow'), 'an API process waits for jobs');
SELECT is((SELECT count(*) FROM longhaul.waiter WHERE waiter = 99), 2::bigint, 'each is registered once');
UPDATE longhaul.waiter SET created_at = now() - interval '100 seconds';
SELECT longhaul.watch(ARRAY[:'yesterday']::uuid[], 99) \gset
SELECT is((SELECT array_agg(job_id) FROM longhaul.waiter WHERE created_at = now()), ARRAY[:'yesterday']::uuid[],
    'waiting on renews it: it must not be forgotten after two minutes');

-- ---- types and keys ------------------------------------------------------------------------------------
UPDATE longhaul.job_type SET media_types = '{text/csv,application/x-ndjson}', retention = '1 day 1 hour', max_queued = 5 WHERE name = 'test';
SELECT is((SELECT (a.*)::text FROM longhaul.api_types() a WHERE name = 'test'),
    format('(%s,test,/test,test-jobs,50,"text/csv, application/x-ndjson",104857600,90000,1000,60000,f,5,,f,"")', :'test'), 'the job types for the API');
SELECT is((SELECT array_agg(w.*::text) FROM longhaul.worker_types('{test,none}') w), ARRAY[format('(%s,test,3,,f,f,f)', :'test')],
    'and for workers, those that they serve');
SELECT longhaul.create_api_key('alice', 'laptop') AS key \gset
SELECT matches(:'key'::text, '^lh_[0-9a-f]{64}$', 'a new API key');
SELECT is(longhaul.client_of_key(sha256(:'key'::bytea)), 'alice'::text, 'tells its client');
SELECT is(longhaul.client_of_key(sha256('lh_other')), NULL::text, 'another doesn''t');
SELECT is((SELECT count(*) FROM longhaul.api_key k WHERE k::text LIKE '%' || :'key' || '%'), 0::bigint, 'the key is stored nowhere');
SELECT isnt(longhaul.create_api_key('alice'), :'key'::text, 'a second key of the client');
UPDATE longhaul.api_key SET revoked_at = now() WHERE label = 'laptop';
SELECT is(longhaul.client_of_key(sha256(:'key'::bytea)), NULL, 'a revoked key is worth nothing');
SELECT throws_ok($$ SELECT longhaul.create_api_key('') $$, '23514', NULL, 'a client has a name');

-- ---- the queue ---------------------------------------------------------------------------------------------
SELECT t.type('busy') AS busy \gset
SELECT is((SELECT (depth, running, head_age_ms, mean_ms, finish_per_s, workers, slots) FROM longhaul.queue_state() WHERE type_id = :busy),
    (0, 0, NULL::bigint, NULL::float8, 0::float8, 0, 0), 'an empty queue');
SELECT count(t.job('busy', p)) FROM unnest('{0,0,5,-5}'::integer[]) p \gset
SELECT alive FROM longhaul.worker_beat(t.boot(2), 30000, ARRAY[:busy], '{4}', '{1}', '{2.5}', '{100}', '{0}') \gset
SELECT is((SELECT (depth, running, head_age_ms BETWEEN 0 AND 60000, mean_ms, finish_per_s, workers, slots) FROM longhaul.queue_state() WHERE type_id = :busy),
    (4, 1, true, 100::float8, 2.5::float8, 1, 4), 'all priorities are counted, and what the workers say');
SELECT max(seq) AS last FROM longhaul.ready WHERE type_id = :busy AND priority = 0 \gset
SELECT longhaul.worker_beat(t.boot(2), 30000, ARRAY[:busy], '{4}', '{1}', '{2.5}', '{NULL}', ARRAY[:last]::bigint[]) \gset
SELECT is((SELECT (depth, mean_ms) FROM longhaul.queue_state() WHERE type_id = :busy), (2, NULL::float8),
    'below the workers'' floor nothing of priority 0 is looked for');
SELECT is((SELECT (depth, mean_ms) FROM longhaul.queue_state() WHERE type_id = :busy), (2, NULL::float8), 'the other priorities still are');
SELECT t.worker(3) AS w3 \gset
SELECT longhaul.worker_beat(t.boot(3), 30000, ARRAY[:busy], '{2}', '{0}', '{0.5}', '{400}', '{0}') \gset
SELECT is((SELECT (depth, slots, workers) FROM longhaul.queue_state() WHERE type_id = :busy), (4, 6, 2), 'the lowest floor of the workers counts');
SELECT t.die(3) \gset
SELECT is((SELECT (depth, slots, workers) FROM longhaul.queue_state() WHERE type_id = :busy), (2, 4, 1), 'of those that live');

-- How far it counts.
INSERT INTO longhaul.ready (type_id, priority, gen, attempt, seq, job_id) SELECT :busy, 1, 1, 0, n, t.boot(n) FROM generate_series(1000000, 1012000) n;
SELECT is((SELECT depth FROM longhaul.queue_state() WHERE type_id = :busy), 10000, 'a long queue is counted up to 10,000');
UPDATE longhaul.job_type SET max_queued = 11000 WHERE name = 'busy';
SELECT is((SELECT depth FROM longhaul.queue_state() WHERE type_id = :busy), 11000, 'or to where submits are refused');
UPDATE longhaul.job_type SET max_queued = 10 WHERE name = 'busy';
SELECT is((SELECT depth FROM longhaul.queue_state() WHERE type_id = :busy), 10000, 'if that is more');

SELECT * FROM finish();
ROLLBACK;
