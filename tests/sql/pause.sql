-- Pausing a type and going on.
BEGIN;
SELECT no_plan();
SELECT t.type('test') AS test, t.type('other') AS other, t.worker(1) AS w1 \gset
CREATE FUNCTION pg_temp.depth(p_type text) RETURNS TABLE (depth integer, paused boolean, since boolean, reason text) LANGUAGE sql AS $$
    SELECT depth, paused, clock_timestamp() - paused_since BETWEEN '0 s' AND '1 minute', paused_reason FROM longhaul.queue_depth WHERE type = p_type
$$;

SELECT is(longhaul.pause_type('test', 'disk is full'), true, 'a type is paused');
SELECT is((SELECT ROW(d.*) FROM pg_temp.depth('test') d), ROW(0, true, true, 'disk is full'::text), 'the view says since when and why');
SELECT is((SELECT ROW(d.*) FROM pg_temp.depth('other') d), ROW(0, false, NULL::boolean, NULL::text), 'no other is');
SELECT is((SELECT paused FROM longhaul.api_types() WHERE name = 'test'), true, 'API processes are told');
SELECT is((SELECT paused FROM longhaul.worker_types('{test}')), true, 'workers too');
SELECT t.job('test') AS j \gset
SELECT is(t.stands(:'j'), 'Queued 1.0', 'jobs are accepted');
SELECT is((SELECT why FROM longhaul.stuck WHERE type = 'test' AND why LIKE 'the type%'), 'the type is paused: disk is full', 'what waits doesn''t move, and why');
SELECT paused_since AS since FROM longhaul.job_type WHERE name = 'test' \gset
SELECT is(longhaul.pause_type('test', 'still full'), false, 'it was paused already');
SELECT is((SELECT (paused_since, paused_reason) FROM longhaul.job_type WHERE name = 'test'), (:'since'::timestamptz, 'still full'::text), 'since then, for another reason');
SELECT is(longhaul.resume_type('test'), true, 'it goes on');
SELECT is((SELECT (paused, paused_since, paused_reason) FROM longhaul.job_type WHERE name = 'test'), (false, NULL::timestamptz, NULL::text), 'nothing is left of it');
SELECT is(longhaul.resume_type('test'), false, 'it was not paused');
SELECT is((SELECT job_id FROM t.claim(1, 'test')), :'j'::uuid, 'what has waited is claimed');

-- By the column, as before.
UPDATE longhaul.job_type SET paused = true WHERE name = 'test';
SELECT is((SELECT ROW(d.*) FROM pg_temp.depth('test') d), ROW(0, true, true, NULL::text), 'the column alone does it');
UPDATE longhaul.job_type SET paused_since = '2000-01-01', wait_ms = 7 WHERE name = 'test';
SELECT is((SELECT since FROM pg_temp.depth('test')), true, 'since when is the database''s to say');
UPDATE longhaul.job_type SET paused = false WHERE name = 'test';
INSERT INTO longhaul.job_type (name, submit_path, collection, paused, paused_reason) VALUES ('new', '/new', 'new', true, 'not ready');
SELECT is((SELECT ROW(d.*) FROM pg_temp.depth('new') d), ROW(0, true, true, 'not ready'::text), 'a type may begin paused');

SELECT throws_ok('SELECT longhaul.pause_type(''nothing'')', '22023', NULL, 'of none there is');
SELECT throws_ok('SELECT longhaul.resume_type(''nothing'')', '22023', NULL, 'of none there is');
SELECT is(t.as_role('longhaul_dba', 'SELECT longhaul.pause_type(''test'', ''x''), longhaul.resume_type(''test'')'), '', 'a DBA may');
SELECT is(t.as_role('longhaul_api', 'SELECT longhaul.pause_type(''test'')'), '42501', 'nobody else');

SELECT * FROM finish();
ROLLBACK;
