-- import_begin and import_finish: the merge, the counts, the result inline and in pieces, the lease.
BEGIN;
SELECT no_plan();
SELECT t.type('imp') AS imp, t.worker(1) AS w1, t.worker(2) AS w2 \gset

-- Runs one import of the rows (line, email, name, external_id, extra, field, reason, raw); returns its short result.
CREATE TABLE pg_temp.last (job uuid, fence bigint, staging text, result text);
CREATE FUNCTION pg_temp.import(p_rows text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_job   uuid := t.job('imp');
    v_fence bigint := (SELECT fence FROM t.start(1, 'imp'));
    v_table text := longhaul.import_begin(v_job, t.boot(1), v_fence);
    v_text  text;
BEGIN
    EXECUTE format('INSERT INTO %s (line, email, name, external_id, extra, field, reason, raw) %s', v_table, p_rows);
    v_text := longhaul.import_finish(v_job, t.boot(1), v_fence, 1234);
    DELETE FROM pg_temp.last;
    INSERT INTO pg_temp.last VALUES (v_job, v_fence, v_table, v_text);
    RETURN v_text;
END
$$;
-- The whole result of the last import, wherever it lies; and the lengths of its pieces.
CREATE FUNCTION pg_temp.result() RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    v_job  uuid := (SELECT job FROM pg_temp.last);
    v_gen  integer := (SELECT result_gen FROM longhaul.outcome WHERE job_id = v_job);
    v_all  bytea := '';
    v_part bytea;
BEGIN
    FOR i IN 0 .. 1000 LOOP
        v_part := longhaul.result_chunk_get(v_job, v_gen, i);
        EXIT WHEN v_part IS NULL;
        v_all := v_all || v_part;
    END LOOP;
    RETURN v_all;
END
$$;
CREATE FUNCTION pg_temp.pieces() RETURNS integer[] LANGUAGE sql AS $$
    SELECT array_agg(length(data) ORDER BY seq) FROM longhaul.result_chunk WHERE job_id = (SELECT job FROM pg_temp.last)
$$;

-- ---- the staging table ----------------------------------------------------------------------------------
SELECT t.job('imp') AS j \gset
SELECT fence AS f FROM t.start(1, 'imp') \gset
SELECT throws_ok(format($$ SELECT longhaul.import_finish('%s', t.boot(1), %s, 1) $$, :'j', :f), '55000', NULL, 'no finish without a begin');
SELECT is((SELECT count(DISTINCT longhaul.import_begin(:'j', :'w1', :f)) FROM generate_series(1, 5)), 1::bigint, 'a transaction keeps its table');
SELECT is(t.finish(1, :'j', :f, 4), 1::smallint, '(enough of it)');

-- ---- imported ---------------------------------------------------------------------------------------
SELECT is(pg_temp.import($$ VALUES (1, 'Ann@Example.com', 'Ann', 'a1', '{"x":1}', NULL, NULL, NULL), (2, 'bob@example.com', 'Bob', NULL, NULL, NULL, NULL, NULL) $$),
    '{"imported":2,"updated":0,"rejected":0}', 'new accounts');
SELECT is((SELECT array_agg((email, name, external_id, extra, imported_by = job)::text ORDER BY lower(email)) FROM longhaul.account, pg_temp.last),
    '{"(Ann@Example.com,Ann,a1,\"{\"\"x\"\": 1}\",t)","(bob@example.com,Bob,,,t)"}', 'as they came');
SELECT is(convert_from(pg_temp.result(), 'UTF8'), '{"imported":2,"updated":0,"rejected":0,"errors":[]}' || chr(10), 'the result');
SELECT is((SELECT (s.status, s.result_media_type, s.result_size, s.done = s.total, s.total = 10000, s.message) FROM pg_temp.last, t.status(job) s),
    (3::smallint, 'application/json'::text, 52::bigint, true, true, '2 rows'::text), 'the job is completed');
SELECT is((SELECT (o.boot, o.fence) FROM longhaul.outcome o, pg_temp.last WHERE job_id = job), (SELECT (t.boot(1), fence) FROM pg_temp.last), 'by this claim');
SELECT is((SELECT t.finish(1, job, fence, 1) FROM pg_temp.last), 2::smallint, 'so the daemon''s own finish finds it done');
SELECT is((SELECT pg_relation_size(staging::regclass) FROM pg_temp.last), 0::bigint, 'the staging table is empty');

-- ---- updated -----------------------------------------------------------------------------------------
SELECT is(pg_temp.import($$ VALUES (1, 'ANN@example.COM', 'Anna', NULL, NULL, NULL, NULL, NULL), (2, 'cy@example.com', 'Cy', NULL, NULL, NULL, NULL, NULL) $$),
    '{"imported":1,"updated":1,"rejected":0}', 'known and new accounts; emails are compared without case');
SELECT is((SELECT array_agg((email, name, external_id, extra)::text) FROM longhaul.account WHERE lower(email) = 'ann@example.com'), '{"(ANN@example.COM,Anna,,)"}', 'the new row replaces the old one');
SELECT is(pg_temp.import($$ VALUES (1, 'bob@example.com', 'Bob', NULL, NULL, NULL, NULL, NULL) $$), '{"imported":0,"updated":1,"rejected":0}', 'only known ones');
SELECT is((SELECT count(*) FROM longhaul.account), 3::bigint, 'no account is there twice');

-- ---- rejected ------------------------------------------------------------------------------------------
SELECT is(pg_temp.import($$ VALUES (1, NULL, NULL, NULL, NULL, 'email', 'missing', '{"name":"x"}'), (2, 'dee@example.com', 'Dee', NULL, NULL, NULL, NULL, NULL),
    (3, NULL, NULL, NULL, NULL, NULL, 'not JSON', E'a "quoted" \\ line\twith\u0001\u2028é') $$), '{"imported":1,"updated":0,"rejected":2}', 'rows that the reader rejected');
SELECT is(convert_from(pg_temp.result(), 'UTF8')::jsonb,
    jsonb_build_object('imported', 1, 'updated', 0, 'rejected', 2, 'errors', jsonb_build_array(
        jsonb_build_object('line', 1, 'field', 'email', 'reason', 'missing', 'row', '{"name":"x"}'),
        jsonb_build_object('line', 3, 'reason', 'not JSON', 'row', E'a "quoted" \\ line\twith\u0001\u2028é'))), 'are told with line, field, reason, and as they came');
SELECT is(pg_temp.import($$ SELECT 1, NULL, NULL, NULL, NULL, NULL, 'x', NULL WHERE false $$), '{"imported":0,"updated":0,"rejected":0}', 'nothing at all');
SELECT is(pg_temp.import($$ VALUES (1, NULL, NULL, NULL, NULL, NULL, 'no', '') $$), '{"imported":0,"updated":0,"rejected":1}', 'nothing good');

-- ---- the same email more than once in a file ---------------------------------------------------------------
SELECT is(pg_temp.import($$ VALUES (1, 'eve@example.com', 'first', NULL, NULL, NULL, NULL, NULL), (2, 'EVE@example.com', 'second', NULL, NULL, NULL, NULL, NULL),
    (3, 'fay@example.com', 'Fay', NULL, NULL, NULL, NULL, NULL), (4, 'Eve@Example.com', 'third', NULL, NULL, NULL, NULL, NULL), (5, 'bob@example.com', 'Bob1', NULL, NULL, NULL, NULL, NULL),
    (6, 'bob@example.com', 'Bob2', NULL, NULL, NULL, NULL, NULL), (7, 'eve@example.com', NULL, NULL, NULL, 'name', 'missing', 'raw') $$),
    '{"imported":2,"updated":1,"rejected":4}', 'duplicates in one file');
SELECT is((SELECT array_agg(name ORDER BY name) FROM longhaul.account WHERE lower(email) IN ('eve@example.com', 'bob@example.com')), '{Bob2,third}', 'the last line counts');
SELECT is((SELECT array_agg((e->>'line') || ' ' || (e->>'field') || ': ' || (e->>'reason') ORDER BY n) FROM jsonb_array_elements(convert_from(pg_temp.result(), 'UTF8')::jsonb->'errors') WITH ORDINALITY x(e, n)),
    '{"1 email: repeated in line 4, which counts","2 email: repeated in line 4, which counts","5 email: repeated in line 6, which counts","7 name: missing"}',
    'the others are told, in the order of the lines');
SELECT is(pg_temp.import($$ VALUES (1, 'gus@example.com', '1', NULL, NULL, NULL, NULL, NULL), (2, 'gus@example.com', '2', NULL, NULL, NULL, NULL, NULL) $$),
    '{"imported":1,"updated":0,"rejected":1}', 'twice in a file of new accounts');

-- ---- results in pieces --------------------------------------------------------------------------------------
-- 64 KiB is the most that lies in the row.
SELECT length(pg_temp.result()) AS base FROM (SELECT pg_temp.import($$ VALUES (1, NULL, NULL, NULL, NULL, NULL, 'no', '') $$)) x \gset
CREATE FUNCTION pg_temp.import_of(p_bytes integer, p_base integer) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.import(format($i$ VALUES (1, NULL, NULL, NULL, NULL, NULL, 'no', repeat('x', %s)) $i$, p_bytes - p_base))
$$;
SELECT pg_temp.import_of(65536, :base) AS x \gset
SELECT is((SELECT (o.result_size, length(o.result)) FROM longhaul.outcome o, pg_temp.last WHERE job_id = job), (65536::bigint, 65536), '65,536 bytes: in the row');
SELECT is(pg_temp.pieces(), NULL, 'only there');
SELECT pg_temp.import_of(65537, :base) AS x \gset
SELECT is((SELECT (o.result_size, o.result) FROM longhaul.outcome o, pg_temp.last WHERE job_id = job), (65537::bigint, NULL::bytea), 'one more: in pieces');
SELECT is(pg_temp.pieces(), '{65537}', 'of which there is one');
SELECT is(length(pg_temp.result()), 65537, 'that holds it all');
SELECT is((SELECT pg_temp.pieces() FROM pg_temp.import_of(n, :base)), p, 'a result of ' || n || ' bytes')
  FROM (VALUES (262143, '{262143}'::integer[]), (262144, '{262144}'), (262145, '{262144,1}'), (524288, '{262144,262144}'), (524289, '{262144,262144,1}')) v(n, p);

SELECT is(pg_temp.import($$ SELECT i, CASE WHEN i % 2 = 0 THEN 'mass' || i || '@example.com' END, 'N', NULL, NULL, NULL, CASE WHEN i % 2 = 1 THEN 'odd' END,
    CASE WHEN i % 2 = 1 THEN repeat('é' || i, 200) END FROM generate_series(1, 3000) i $$), '{"imported":1500,"updated":0,"rejected":1500}', 'many rejected rows');
SELECT is((SELECT (bool_and(p = 262144) FILTER (WHERE n < cardinality(pg_temp.pieces())), cardinality(pg_temp.pieces()) > 4, sum(p)) FROM unnest(pg_temp.pieces()) WITH ORDINALITY x(p, n)),
    (SELECT (true, true, result_size) FROM longhaul.outcome, pg_temp.last WHERE job_id = job), 'pieces of exactly 262,144 bytes but the last');
SELECT is((SELECT (jsonb_array_length(r->'errors'), r->'errors'->0->>'line', r->'errors'->1499->>'line', r->'errors'->1499->>'row' = repeat('é2999', 200)) FROM (SELECT convert_from(pg_temp.result(), 'UTF8')::jsonb AS r) x),
    (1500, '1'::text, '2999'::text, true), 'that together are the JSON of all errors, in order');

-- ---- the lease ------------------------------------------------------------------------------------------------
SELECT t.job('imp') AS j \gset
SELECT fence AS f FROM t.start(1, 'imp') \gset
SELECT throws_ok(format($$ SELECT longhaul.import_begin('%s', t.boot(2), %s) $$, :'j', :f), 'LH001', NULL, 'another worker can''t begin');
SELECT throws_ok(format($$ SELECT longhaul.import_begin('%s', t.boot(1), %s) $$, :'j', :f + 1), 'LH001', NULL, 'nor another claim');
SELECT longhaul.import_begin(:'j', :'w1', :f) AS staging \gset
SELECT throws_ok(format($$ SELECT longhaul.import_finish('%s', t.boot(2), %s, 1) $$, :'j', :f), 'LH001', NULL, 'nor finish');
SELECT is(t.finish(1, :'j', :f, 5), 1::smallint, 'the job is taken away meanwhile');
SELECT throws_ok(format($$ SELECT longhaul.import_finish('%s', t.boot(1), %s, 1) $$, :'j', :f), 'LH001', NULL, 'then the first can''t finish either');
SELECT fence AS f2 FROM t.start(2, 'imp') \gset
SELECT is(longhaul.import_finish(:'j', :'w2', :f2, 1), '{"imported":0,"updated":0,"rejected":0}', 'but the second can');
SELECT throws_ok(format($$ SELECT longhaul.import_finish('%s', t.boot(2), %s, 1) $$, :'j', :f2), 'LH001', NULL, 'once');

SELECT * FROM finish();
ROLLBACK;
