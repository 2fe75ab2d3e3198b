-- submit_batch, submit, input_open, input_chunk_put.
BEGIN;
SELECT no_plan();
SELECT t.type('test') AS test, t.type('other') AS other \gset

-- ---- code 0: created ---------------------------------------------------------------------------
SELECT t.id() AS id \gset
CREATE TEMP TABLE s AS SELECT * FROM t.submit('test', :'id', 'alice', 7, p_input => '{"a":1}', p_waiter => 42);
SELECT is((SELECT code FROM s), 0::smallint, 'a new job: code 0');
SELECT is((SELECT job_id FROM s), :'id', 'its id is the one that was asked for');
SELECT is((SELECT version FROM s), 1::bigint << 32, 'its first version');
SELECT is((SELECT created_at FROM s), (SELECT created_at FROM longhaul.job WHERE id = :'id'), 'the time that is stored');
SELECT results_eq($$ SELECT type_id, client, priority, input, input_size, media_type, fingerprint, run_at, job.seq
                       FROM longhaul.job JOIN s ON s.job_id = id $$,
    format($$ SELECT %s, 'alice' COLLATE "C", 7::smallint, '{"a":1}'::bytea, 7::bigint, 'application/json'::text,
                     sha256('{"a":1}'), NULL::timestamptz, seq FROM s $$, :test), 'the job as it was asked for');
SELECT results_eq($$ SELECT r.type_id, r.priority, r.gen, r.attempt, r.waiter FROM longhaul.ready r JOIN s USING (job_id, seq) $$,
    format($$ VALUES (%s, 7::smallint, 1, 0, 42::bigint) $$, :test), 'it can be claimed');

-- ---- code 1: the same again, as nginx sends it to the next process when one died ---------------------
SELECT is((s2.code, s2.job_id, s2.created_at, s2.seq), (1::smallint, s.job_id, s.created_at, s.seq), 'the same request again: code 1, the same job')
  FROM s, t.submit('test', :'id', 'alice', 7, p_input => '{"a":1}') s2;
SELECT is(count(*), 1::bigint, 'which is queued once') FROM longhaul.ready WHERE job_id = :'id';

-- ---- code 4: the id belongs to another request -----------------------------------------------------
SELECT is(code, 4::smallint, 'the same id with another input: code 4') FROM t.submit('test', :'id', 'alice', 7, p_input => '{"a":2}');
SELECT is(code, 4::smallint, 'of another client: code 4') FROM t.submit('test', :'id', 'bob', 7, p_input => '{"a":1}');
SELECT is(code, 4::smallint, 'of another type: code 4') FROM t.submit('other', :'id', 'alice', 7, p_input => '{"a":1}');
SELECT is(count(*), 1::bigint, 'and nothing is queued by those') FROM longhaul.ready WHERE job_id = :'id';

-- ---- a batch: order, duplicates within ---------------------------------------------------------------
CREATE FUNCTION pg_temp.batch(p_ids uuid[], p_clients text[], p_inputs text[], p_keys text[])
RETURNS TABLE (ord integer, code smallint, job_id uuid) LANGUAGE sql AS $$
    SELECT s.ord, s.code, s.job_id
      FROM longhaul.submit_batch(p_ids, (SELECT array_agg(t.type_id('test')) FROM unnest(p_ids)), p_clients,
               (SELECT array_agg(0::smallint) FROM unnest(p_ids)), (SELECT array_agg(NULL::timestamptz) FROM unnest(p_ids)),
               (SELECT array_agg('text/plain'::text) FROM unnest(p_ids)), (SELECT array_agg(i::bytea) FROM unnest(p_inputs) i),
               (SELECT array_agg(length(i)::bigint) FROM unnest(p_inputs) i), p_keys,
               (SELECT array_agg(sha256(i::bytea)) FROM unnest(p_inputs) i), (SELECT array_agg(NULL::bigint) FROM unnest(p_ids)),
               (SELECT array_agg(NULL::text) FROM unnest(p_ids)), (SELECT array_agg(NULL::text) FROM unnest(p_ids))) s
     ORDER BY s.ord
$$;
CREATE TEMP TABLE i AS
    SELECT row_number() OVER (ORDER BY x.id) AS n, x.id FROM (SELECT t.id() AS id FROM generate_series(1, 20)) x;
CREATE FUNCTION pg_temp.i(k integer) RETURNS uuid LANGUAGE sql AS $$ SELECT id FROM i WHERE n = k $$;

SELECT results_eq($$
    SELECT ord, code, job_id FROM pg_temp.batch(
        ARRAY[pg_temp.i(1), pg_temp.i(2), pg_temp.i(1), pg_temp.i(2), pg_temp.i(2)],
        '{alice,alice,alice,bob,alice}', '{a,b,a,b,c}', '{NULL,NULL,NULL,NULL,NULL}') $$,
    $$ VALUES (1, 0::smallint, pg_temp.i(1)), (2, 0::smallint, pg_temp.i(2)), (3, 0::smallint, pg_temp.i(1)),
              (4, 4::smallint, pg_temp.i(2)), (5, 4::smallint, pg_temp.i(2)) $$,
    'the same id twice in a batch: one job for the same request, code 4 for another client or input');
SELECT is(count(*), 2::bigint, 'two jobs were queued') FROM longhaul.ready WHERE job_id IN (pg_temp.i(1), pg_temp.i(2));

SELECT is(count(*), 0::bigint, 'an empty batch') FROM pg_temp.batch('{}', '{}', '{}', '{}');

-- ---- codes 2, 3, 5: idempotency keys ----------------------------------------------------------------
SELECT is((code, job_id), (0::smallint, pg_temp.i(3)), 'a new key: code 0')
  FROM t.submit('test', pg_temp.i(3), p_input => 'k', p_key => 'K1');
SELECT is((code, job_id), (2::smallint, pg_temp.i(3)), 'the key again with the same request: code 2, the first job')
  FROM t.submit('test', pg_temp.i(4), p_input => 'k', p_key => 'K1');
SELECT is(code, 3::smallint, 'the key for another request: code 3') FROM t.submit('test', pg_temp.i(4), p_input => 'other', p_key => 'K1');
SELECT is(code, 1::smallint, 'the same id and key: code 1') FROM t.submit('test', pg_temp.i(3), p_input => 'k', p_key => 'K1');
SELECT is(code, 0::smallint, 'a key belongs to one client') FROM t.submit('test', pg_temp.i(5), 'bob', p_input => 'other', p_key => 'K1');
SELECT is(code, 0::smallint, 'and to one type') FROM t.submit('other', pg_temp.i(6), p_input => 'other', p_key => 'K1');
SELECT is((SELECT count(*) FROM longhaul.job WHERE id = pg_temp.i(4)), 0::bigint, 'codes 2 and 3 make no job');

-- Keys in one batch: new, repeated within the batch, repeated with another input, known, known for another request.
SELECT results_eq($$
    SELECT ord, code, job_id FROM pg_temp.batch(
        ARRAY[pg_temp.i(9), pg_temp.i(8), pg_temp.i(10), pg_temp.i(11), pg_temp.i(12), pg_temp.i(13)],
        '{alice,alice,alice,alice,alice,alice}', '{x,x,y,k,z,x}', '{K2,K2,K2,K1,K1,NULL}') $$,
    $$ VALUES (1, 2::smallint, pg_temp.i(8)), (2, 0::smallint, pg_temp.i(8)), (3, 3::smallint, pg_temp.i(10)),
              (4, 2::smallint, pg_temp.i(3)), (5, 3::smallint, pg_temp.i(12)), (6, 0::smallint, pg_temp.i(13)) $$,
    'keys in one batch: the lowest id makes the job, the others are told of it');

-- The job of a key is gone.
DELETE FROM longhaul.ready WHERE job_id = pg_temp.i(3);
DELETE FROM longhaul.job WHERE id = pg_temp.i(3);
SELECT is(code, 5::smallint, 'the key of a removed job: code 5') FROM t.submit('test', pg_temp.i(14), p_input => 'k', p_key => 'K1');

-- A key that came with an id of somebody else's job must not stick to that job.
SELECT is(code, 4::smallint, 'a new key with a foreign id: code 4') FROM t.submit('test', pg_temp.i(8), 'bob', p_input => 'b', p_key => 'K3');
SELECT is((code, job_id), (0::smallint, pg_temp.i(15)), 'the key is still free then')
  FROM t.submit('test', pg_temp.i(15), 'bob', p_input => 'b', p_key => 'K3');

-- ---- ids of a wrong clock ---------------------------------------------------------------------------
SELECT results_eq(format($$
    SELECT s.code, substr(s.job_id::text, 14) = substr(w.id::text, 14), s.job_id <> w.id,
           longhaul.uuid_time(s.job_id) BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp() + interval '1 second'
      FROM (VALUES ('%s'::uuid), ('%s'), ('00000000-0000-7000-8000-00000000000a'), ('ffffffff-ffff-7fff-bfff-ffffffffffff')) w(id),
           LATERAL t.submit('test', w.id) s $$, t.id(now() - interval '400 days'), t.id(now() + interval '3 days')),
    $$ SELECT 0::smallint, true, true, true FROM generate_series(1, 4) $$,
    'times far in the past and in the future: the random bits stay, the time is the database''s');
SELECT is((code, job_id), (0::smallint, w.id), 'yesterday and tomorrow are right: ' || d)
  FROM unnest('{-1 day,1 day}'::interval[]) d, LATERAL (SELECT t.id(clock_timestamp() + d) AS id) w, LATERAL t.submit('test', w.id) s;
SELECT is((s.code, longhaul.input_open(i.id) = i.id), (0::smallint, true), 'the first millisecond of yesterday is right')
  FROM (SELECT (longhaul.uuid_at((date_trunc('day', now() AT TIME ZONE 'UTC') - interval '1 day') AT TIME ZONE 'UTC'))::uuid AS id) i,
       LATERAL t.submit('test', i.id) s;
SELECT is(code, 0::smallint, 'right and wrong clocks in one batch: ' || ord)
  FROM pg_temp.batch(ARRAY[t.id(), t.id(now() - interval '5 days')], '{alice,alice}', '{a,b}', '{NULL,NULL}');
SELECT is((SELECT count(*) FROM longhaul.job WHERE id < longhaul.uuid_at(now() - interval '3 days')), 0::bigint, 'no job lies in the far past');
SELECT is(longhaul.input_open(:'id'), :'id', 'input_open leaves a right id as it is');
SELECT isnt(longhaul.input_open(t.id(now() - interval '9 days')), NULL, 'and corrects a wrong one');

-- ---- run_at --------------------------------------------------------------------------------------
SELECT job_id AS later FROM t.submit('test', p_run_at => now() + interval '1 hour') \gset
SELECT job_id AS past FROM t.submit('test', p_run_at => now() - interval '1 hour') \gset
SELECT is((SELECT run_at FROM longhaul.delayed WHERE job_id = :'later'), now() + interval '1 hour', 'a job for later waits in delayed');
SELECT is((SELECT count(*) FROM longhaul.ready WHERE job_id = :'later'), 0::bigint, 'and not in ready');
SELECT is((SELECT (run_at, r.job_id IS NOT NULL) FROM longhaul.job j LEFT JOIN longhaul.ready r ON r.job_id = j.id WHERE j.id = :'past'),
    (NULL::timestamptz, true), 'a time that has passed means now');

-- ---- large inputs, by chunks ------------------------------------------------------------------------
SELECT t.id() AS big \gset
SELECT lives_ok(format($$ SELECT longhaul.input_chunk_put('%s', 0, 'one'), longhaul.input_chunk_put('%s', 1, 'two') $$, :'big', :'big'), 'pieces of an input');
SELECT lives_ok(format($$ SELECT longhaul.input_chunk_put('%s', 0, 'one') $$, :'big'), 'a piece again, as of a repeated request');
SELECT is(code, 0::smallint, 'a job with its input in pieces') FROM t.submit('test', :'big', p_input => NULL, p_fingerprint => 'f', p_input_size => 6);
SELECT is(ARRAY(SELECT data FROM longhaul.input_chunk WHERE job_id = :'big' ORDER BY seq), ARRAY['one', 'two']::bytea[], 'which are stored once');

-- ---- submit, from SQL ------------------------------------------------------------------------------
SELECT longhaul.submit('test', '{"by":"sql"}') AS sql \gset
SELECT results_eq(format($$ SELECT client, input, priority, media_type, fingerprint FROM longhaul.job WHERE id = '%s' $$, :'sql'),
    $$ VALUES ('sql' COLLATE "C", '{"by":"sql"}'::bytea, 0::smallint, 'application/json', sha256('{"by":"sql"}')) $$, 'submit() makes a job');
SELECT is((get_byte(uuid_send(:'sql'), 6) >> 4, get_byte(uuid_send(:'sql'), 8) >> 6), (7, 2), 'with a version 7 id');
SELECT ok((SELECT count(*) = 1 FROM longhaul.ready WHERE job_id = :'sql'), 'that can be claimed');
SELECT throws_ok($$ SELECT longhaul.submit('nothing', '{}') $$, '22023', NULL, 'submit() refuses an unknown type');
SELECT throws_ok($$ SELECT longhaul.submit('test', '{}', 'text/plain') $$, '22023', NULL, 'a media type that the type doesn''t accept');
SELECT throws_ok($$ SELECT longhaul.submit('test', '{}', p_priority => 101) $$, '22023', NULL, 'a priority out of range');
SELECT throws_ok($$ SELECT longhaul.submit('test', '{}', p_priority => NULL) $$, '22023', NULL, 'no priority');
SELECT throws_ok($$ SELECT longhaul.submit('test', NULL) $$, '22023', NULL, 'no input');
SELECT throws_ok($$ SELECT longhaul.submit('test', '{}', p_client => '') $$, '22023', NULL, 'no client');
SELECT throws_ok($$ SELECT longhaul.submit('test', '{}', p_run_at => 'infinity') $$, '22023', NULL,
    'a time that never comes: promote_due could not reckon with it');
UPDATE longhaul.job_type SET media_types = '{text/*,Application/XML}' WHERE name = 'test';
SELECT lives_ok(format('SELECT longhaul.submit(''test'', ''x'', %L)', m), 'as over HTTP, a type that takes text/* takes ' || m)
  FROM unnest('{text/plain,text/csv; charset=utf-8,TEXT/HTML ;a=b,application/xml}'::text[]) AS m;
SELECT throws_ok(format('SELECT longhaul.submit(''test'', ''x'', %L)', m), '22023', NULL, 'and not ' || coalesce(m, 'NULL'))
  FROM unnest('{textual/plain,text,application/json,"",NULL}'::text[]) AS m;
UPDATE longhaul.job_type SET max_input_bytes = 300000, media_types = '{*/*}' WHERE name = 'test';
SELECT throws_ok($$ SELECT longhaul.submit('test', convert_to(repeat('x', 300001), 'UTF8')) $$, '54000', NULL, 'an input that is too large');
SELECT longhaul.submit('test', convert_to(repeat('x', 262144) || repeat('y', 37856), 'UTF8'), 'text/plain') AS wide \gset
SELECT is((SELECT (input IS NULL, input_size) FROM longhaul.job WHERE id = :'wide'), (true, 300000::bigint),
    'submit() stores a large input in pieces, which is what workers expect');
SELECT is(ARRAY(SELECT length(data) FROM longhaul.input_chunk WHERE job_id = :'wide' ORDER BY seq), '{262144,37856}', 'of 262144 bytes, the last shorter');
SELECT is((SELECT count(*) FROM longhaul.input_chunk WHERE job_id = :'sql'), 0::bigint, 'a small one in the row');

SELECT * FROM finish();
ROLLBACK;
