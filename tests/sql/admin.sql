-- What longhaul-admin calls; the program itself is tested end to end.
BEGIN;
SELECT no_plan();
SELECT t.type('a') AS a \gset

-- ---- hosts that are drained ----------------------------------------------------------------------
SELECT t.worker(1) AS boot \gset
SELECT t.job('a') AS job \gset
CREATE FUNCTION pg_temp.claim() RETURNS SETOF record LANGUAGE sql VOLATILE AS $$
    SELECT c.job_id, c.type_id, c.seq FROM longhaul.claim(t.boot(1), nextval('t.fence'), ARRAY[t.type_id('a'), t.type_id('a')],
                                                   ARRAY[0, -1]::smallint[], ARRAY[0, 0]::bigint[], ARRAY[5, 5], true) c
$$;
SELECT is(longhaul.drain_host('host1', 'new disk'), 0, 'a host is drained');
SELECT results_eq('SELECT * FROM pg_temp.claim() AS c(job_id uuid, type_id integer, seq bigint)', format('VALUES (NULL::uuid, %s, NULL::bigint)', :a),
    'its claim gets nothing, as at a limit: one row a type, so that its cursor stays');
SELECT is(longhaul.drain_host('host1', 'still'), 0, 'it may be said twice');
SELECT is((SELECT reason FROM longhaul.drained_host), 'still', 'the second reason counts');
SELECT ok(longhaul.resume_host('host1'), 'it is resumed');
SELECT ok(NOT longhaul.resume_host('host1'), 'once');
SELECT is((SELECT c.job_id FROM pg_temp.claim() AS c(job_id uuid, type_id integer, seq bigint)), :'job'::uuid, 'and claims again');
SELECT is(longhaul.drain_host('host1'), 1, 'it is said how many jobs it holds');
SELECT throws_ok($$ SELECT longhaul.drain_host('nowhere') $$, '22023', NULL, 'a host must be known');
SELECT is((SELECT array_agg(action ORDER BY id) FROM longhaul.audit WHERE what = 'host1'),
          '{drain_host,drain_host,resume_host,drain_host}', 'all of it is in the audit');
SELECT throws_ok($$ SELECT longhaul.admin_host_release('host1') $$, '55000', NULL, 'a live host keeps its jobs');
SELECT is(longhaul.admin_host_release('host1', true) ->> 'jobs', '1', 'unless one insists');

-- ---- keys ----------------------------------------------------------------------------------------
SELECT longhaul.admin_client_create('acme', 'note');
SELECT longhaul.admin_key_create('acme', 'l') ->> 'key' AS key \gset
SELECT is(longhaul.client_of_key(sha256(:'key')), 'acme', 'the key is good');
SELECT longhaul.admin_client_enable('acme', false);
SELECT is(longhaul.client_of_key(sha256(:'key')), NULL, 'not while its client is disabled');
SELECT throws_ok($$ SELECT longhaul.admin_key_create('acme', 'm') $$, '55000', NULL, 'which gets no other');
SELECT longhaul.admin_client_enable('acme', true);
SELECT is(longhaul.client_of_key(sha256(:'key')), 'acme', 'it is good again');
SELECT ok(longhaul.admin_keys('acme')::text !~ right(:'key', 20), 'the list doesn''t have the key');
SELECT ok((SELECT bool_and(length(k ->> 'keyId') = 12) FROM json_array_elements(longhaul.admin_keys('acme')) k),
          'nor its checksum, but a piece of it');
SELECT longhaul.admin_key_revoke(longhaul.admin_keys('acme') -> 0 ->> 'keyId');
SELECT is(longhaul.client_of_key(sha256(:'key')), NULL, 'and it is revoked');
SELECT throws_ok(format('SELECT longhaul.admin_client_create(%L)', n), '22023', NULL, 'no name of a client: ' || quote_literal(n))
  FROM unnest(ARRAY['', ' a', 'a ', 'ü', E'a\tb', repeat('x', 65)]) n;

-- ---- types ---------------------------------------------------------------------------------------
SELECT is(longhaul.setting_value('media_types', 'a/b, c/d'), '{a/b,c/d}', 'a list with commas');
SELECT is(longhaul.setting_value('timeout_ms', 'none'), NULL, 'none is NULL');
SELECT is(longhaul.setting_value('description', 'none'), 'none', 'but where there is no NULL, a word');
SELECT throws_ok($$ SELECT longhaul.setting_value('retention', 'x') $$, '22023', 'retention: "x" is not a span of time, like 7 days or 90 minutes', 'said in words');
SELECT throws_ok($$ SELECT longhaul.setting_value('paused', 'true') $$, '22023', NULL, 'pausing has its own command');
SELECT set_eq($$ SELECT setting FROM longhaul.type_settings() $$,
    $$ SELECT attname FROM pg_attribute WHERE attrelid = 'longhaul.job_type'::regclass AND attnum > 0 AND NOT attisdropped
          AND attname NOT IN ('type_id', 'name', 'paused', 'paused_since', 'paused_reason') $$, 'each column that people write is a setting');
SELECT lives_ok($$ SELECT longhaul.admin_type_set('a', '{}') $$, 'nothing to set is nothing');
SELECT throws_ok($$ SELECT longhaul.admin_type_set('a', '{"wait_ms": "1", "poll_min_ms": "1"}') $$, '22023', NULL, 'a rule is broken');
SELECT is((SELECT wait_ms FROM longhaul.job_type WHERE name = 'a'), 50, 'then nothing of it is written');
SELECT is(longhaul.admin_type_add('x.y', '{"max_running": "2"}') ->> 'collection', 'y-jobs', 'a type is made');
SELECT is((SELECT count(*) FROM longhaul.audit WHERE what = 'x.y'), 1::bigint, 'by one act');
SELECT throws_ok($$ SELECT longhaul.admin_type_add('x.y', '{}') $$, '55000', NULL, 'once');
SELECT throws_ok($$ SELECT longhaul.admin_type_remove('a') $$, '55000', NULL, 'one with jobs stays');
SELECT is(longhaul.admin_type_remove('x.y') ->> 'removed', 'true', 'one without goes');

-- ---- all of it with a DBA's rights, and with no others' --------------------------------------------
SELECT is(t.as_role('longhaul_dba', 'SELECT longhaul.' || f), '', 'longhaul_dba: ' || f)
  FROM unnest('{admin_status(),admin_hosts(true),admin_clients(),admin_keys(NULL),admin_types(),admin_schedules(),admin_audit(5)}'::text[]) f;
SELECT is(t.as_role('longhaul_api', 'SELECT longhaul.admin_status()'), '42501', 'not the API');
SELECT is(t.as_role('longhaul_dba', 'SELECT longhaul.type_write(''a'', ''{}'', false)'), '42501', 'what is internal is nobody''s');
SELECT ok(longhaul.admin_warnings()::text IS NOT NULL, 'the warnings are sentences') LIMIT 1;

SELECT * FROM finish();
ROLLBACK;
