-- sql_function, sql_begin, sql_finish: which functions fit, the result inline and in pieces, the lease.
BEGIN;
SELECT no_plan();
SELECT t.type('fn') AS fn, t.worker(1) AS w1, t.worker(2) AS w2 \gset

-- ---- which functions fit ------------------------------------------------------------------------------------
CREATE SCHEMA app;
CREATE SCHEMA "Odd one";
GRANT USAGE ON SCHEMA app TO longhaul_import;
CREATE FUNCTION app.good(job uuid, input jsonb) RETURNS text LANGUAGE sql AS 'SELECT ''x''';
CREATE FUNCTION app.good(job uuid, input integer) RETURNS text LANGUAGE sql AS 'SELECT ''x''';
CREATE FUNCTION app.bytes(job uuid, input bytea) RETURNS bytea LANGUAGE sql AS 'SELECT input';
CREATE FUNCTION app.nothing(uuid, json) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION "Odd one"."f""n"(uuid, text) RETURNS json LANGUAGE sql AS 'SELECT ''{}''::json';
CREATE FUNCTION app.twice(uuid, json) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION app.twice(uuid, jsonb) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION app.set(uuid, json) RETURNS SETOF text LANGUAGE sql AS 'SELECT ''x''';
CREATE FUNCTION app.one(uuid) RETURNS text LANGUAGE sql AS 'SELECT ''x''';
CREATE FUNCTION app.three(uuid, json, integer DEFAULT 1) RETURNS text LANGUAGE sql AS 'SELECT ''x''';
CREATE FUNCTION app.other(text, json) RETURNS text LANGUAGE sql AS 'SELECT ''x''';
CREATE FUNCTION app.number(uuid, json) RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION app.many(uuid, VARIADIC json[]) RETURNS text LANGUAGE sql AS 'SELECT ''x''';
CREATE PROCEDURE app.proc(uuid, json) LANGUAGE sql AS '';

SELECT is((f.call, f.takes, f.gives, f.why), (c, k, g, NULL::text), n) FROM (VALUES
    ('app.good', 'app.good', 'jsonb', 'text'), ('APP.Good', 'app.good', 'jsonb', 'text'),
    ('app.bytes', 'app.bytes', 'bytea', 'bytea'), ('app.nothing', 'app.nothing', 'json', 'void'),
    ('"Odd one"."f""n"', '"Odd one"."f""n"', 'text', 'json')) v(n, c, k, g), longhaul.sql_function(n) f;
SELECT is((f.call, f.why LIKE w), (NULL::text, true), n || ': ' || coalesce(f.why, 'is taken')) FROM (VALUES
    ('app.none', 'there is no such function'), ('none.good', 'there is no such function'), ('"APP".good', 'there is no such function'),
    ('good', 'the name must be%'), ('a.b.c', 'the name must be%'), ('', 'the name must be%'), ('app.good()', 'the name must be%'),
    ('app."good', 'the name must be%'), ('app.good; DROP TABLE x', 'the name must be%'), ('app.twice', 'there are several%'),
    ('app.set', 'it must take%SETOF text'), ('app.one', 'it must take%'), ('app.three', 'it must take%'), ('app.other', 'it must take%'),
    ('app.number', 'it must take%returns integer'), ('app.many', 'it must take%'), ('app.proc', 'it must take%')) v(n, w), longhaul.sql_function(n) f;
CREATE FUNCTION pg_temp.why_as_import(p_name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_why text;
BEGIN
    SET LOCAL ROLE longhaul_import;
    v_why := (SELECT f.why FROM longhaul.sql_function(p_name) f);
    RESET ROLE;
    RETURN v_why;
END
$$;
SELECT is(pg_temp.why_as_import('app.good'), NULL, 'the role that asks may execute it');
REVOKE EXECUTE ON FUNCTION app.nothing FROM PUBLIC;
SELECT is(pg_temp.why_as_import('app.nothing'), 'role longhaul_import may not execute it', 'it may not');
SELECT is(pg_temp.why_as_import('"Odd one"."f""n"'), 'role longhaul_import may not execute it', 'nor use the schema');

-- ---- results ---------------------------------------------------------------------------------------------------
CREATE FUNCTION pg_temp.run(p_result bytea, OUT job uuid, OUT size bigint, OUT inline bigint, OUT pieces integer[], OUT media text, OUT status smallint)
LANGUAGE plpgsql AS $$
DECLARE
    v_fence bigint;
BEGIN
    job := t.job('fn');
    v_fence := (SELECT fence FROM t.start(1, 'fn'));
    PERFORM longhaul.sql_begin(job, t.boot(1), v_fence);
    PERFORM longhaul.sql_finish(job, t.boot(1), v_fence, 'text/x', p_result);
    SELECT o.result_size, length(o.result), o.result_media_type, o.status INTO size, inline, media, status FROM longhaul.outcome o WHERE o.job_id = job;
    pieces := ARRAY(SELECT length(c.data) FROM longhaul.result_chunk c WHERE c.job_id = job ORDER BY c.seq);
END
$$;
SELECT is((r.size, r.inline, r.pieces, r.media, r.status), (v.size, v.inline, v.pieces, 'text/x'::text, 3::smallint), 'a result of ' || v.size || ' bytes')
  FROM (VALUES (0::bigint, NULL::bigint, '{}'::integer[]), (1, 1, '{}'), (65536, 65536, '{}'), (65537, NULL, '{65537}'), (262144, NULL, '{262144}'),
               (262145, NULL, '{262144,1}'), (600000, NULL, '{262144,262144,75712}')) v(size, inline, pieces),
       pg_temp.run(convert_to(repeat('x', v.size::integer), 'UTF8')) r;
SELECT is((r.size, r.inline, r.status), (0::bigint, NULL::bigint, 3::smallint), 'no result') FROM pg_temp.run(NULL) r;
SELECT r.job AS big FROM pg_temp.run(convert_to((SELECT string_agg(i::text, ',') FROM generate_series(1, 100000) i), 'UTF8')) r \gset
SELECT is((SELECT md5(string_agg(c.data, '' ORDER BY c.seq)) FROM longhaul.result_chunk c WHERE c.job_id = :'big'),
    (SELECT md5(string_agg(i::text, ',')) FROM generate_series(1, 100000) i), 'the pieces are the result');

-- ---- the lease ---------------------------------------------------------------------------------------------------
SELECT t.job('fn') AS j \gset
SELECT fence AS f FROM t.start(1, 'fn') \gset
SELECT throws_ok(format($$ SELECT longhaul.sql_begin('%s', t.boot(2), %s) $$, :'j', :f), 'LH001', NULL, 'another worker can''t begin');
SELECT throws_ok(format($$ SELECT longhaul.sql_begin('%s', t.boot(1), %s) $$, :'j', :f + 1), 'LH001', NULL, 'nor another claim');
SELECT lives_ok(format($$ SELECT longhaul.sql_begin('%s', t.boot(1), %s) $$, :'j', :f), 'its holder can');
SELECT is(current_setting('client_connection_check_interval'), '1s', 'and is watched until the end of the transaction');
SELECT throws_ok(format($$ SELECT longhaul.sql_finish('%s', t.boot(2), %s, 'x/y', 'x') $$, :'j', :f), 'LH001', NULL, 'another worker can''t finish');
SELECT is(t.finish(1, :'j', :f, 5), 1::smallint, 'the job is taken away meanwhile');
SELECT throws_ok(format($$ SELECT longhaul.sql_finish('%s', t.boot(1), %s, 'x/y', 'x') $$, :'j', :f), 'LH001', NULL, 'then the first can''t finish either');
SELECT fence AS f2 FROM t.start(2, 'fn') \gset
SELECT lives_ok(format($$ SELECT longhaul.sql_finish('%s', t.boot(2), %s, 'x/y', 'x') $$, :'j', :f2), 'but the second can');
SELECT throws_ok(format($$ SELECT longhaul.sql_finish('%s', t.boot(2), %s, 'x/y', 'x') $$, :'j', :f2), 'LH001', NULL, 'once');
SELECT is(t.finish(2, :'j', :f2, 1), 2::smallint, 'the daemon''s own finish finds it done');

SELECT * FROM finish();
ROLLBACK;
