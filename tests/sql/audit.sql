-- The audit: who did what, whatever role was taken on; it can't be changed, and it ends some time.
BEGIN;
SELECT no_plan();
CREATE ROLE tap_dba LOGIN IN ROLE longhaul_dba;
CREATE FUNCTION pg_temp.last() RETURNS longhaul.audit LANGUAGE sql AS $$ SELECT * FROM longhaul.audit ORDER BY id DESC LIMIT 1 $$;

-- ---- notes -----------------------------------------------------------------------------------------------
SET SESSION AUTHORIZATION tap_dba;
SET application_name = 'tap';
SELECT longhaul.audit_note('restarted', 'host7', '{"ticket": 1}') \gset
SET ROLE longhaul_dba;
SELECT longhaul.audit_note('looked at', NULL) \gset
RESET ROLE;
RESET SESSION AUTHORIZATION;
SELECT is(ROW(a.who, a.as_role, a.application, a.action, a.what, a.detail), ROW('tap_dba'::text, NULL::text, 'tap'::text, 'restarted'::text, 'host7'::text, '{"ticket": 1}'::jsonb), 'a note')
  FROM longhaul.audit a WHERE action = 'restarted';
SELECT is(ROW(a.who, a.as_role, a.what, a.detail), ROW('tap_dba'::text, 'longhaul_dba'::text, ''::text, NULL::jsonb), 'SET ROLE doesn''t hide who it was') FROM longhaul.audit a WHERE action = 'looked at';
SELECT ok(clock_timestamp() - at BETWEEN '0 s' AND '1 minute', 'when') FROM pg_temp.last();
SELECT throws_ok('SELECT longhaul.audit_note(NULL, ''x'')', '22023', NULL, 'an act without a name');
SELECT throws_ok(format('SELECT longhaul.audit_note(%L, ''x'')', repeat('x', 101)), '22023', NULL, 'one with a long name');
SELECT longhaul.audit_note('long', repeat('x', 2000)) \gset
SELECT is(length(what), 1000, 'what it was done to is cut') FROM pg_temp.last();

SELECT is(t.as_role('longhaul_dba', 'SELECT * FROM longhaul.audit'), '', 'a DBA may read it');
SELECT is(t.as_role('longhaul_dba', q), '42501', 'a DBA may not: ' || q)
  FROM unnest(ARRAY['INSERT INTO longhaul.audit (who, action, what) VALUES (''x'', ''x'', ''x'')', 'UPDATE longhaul.audit SET who = ''x''', 'DELETE FROM longhaul.audit', 'TRUNCATE longhaul.audit',
                    'SELECT longhaul.purge_audit(1)']) q;
SELECT is(t.as_role(r, 'SELECT longhaul.audit_note(''x'', ''x'')'), '42501', r || ' writes nothing into it') FROM unnest('{longhaul_api,longhaul_worker,longhaul_import,longhaul_submit}'::text[]) r;

-- ---- tables that people edit --------------------------------------------------------------------------------
SELECT t.type('audited') AS type \gset
SELECT is(ROW(a.action, a.what, a.detail ->> 'collection', a.detail ->> 'wait_ms'), ROW('job_type insert'::text, 'audited'::text, 'audited-jobs'::text, '50'::text), 'a type is made') FROM pg_temp.last() a;
UPDATE longhaul.job_type SET max_running = 3, wait_ms = 70 WHERE name = 'audited';
SELECT is(ROW(a.action, a.what, a.detail), ROW('job_type update'::text, 'audited'::text, '{"max_running": [null, 3], "wait_ms": [50, 70]}'::jsonb), 'changed') FROM pg_temp.last() a;
SELECT id AS last FROM pg_temp.last() \gset
UPDATE longhaul.job_type SET wait_ms = 70 WHERE name = 'audited';
SELECT is(id, :last::bigint, 'what changes nothing is not noted') FROM pg_temp.last();
SELECT longhaul.pause_type('audited', 'disk is full') \gset
SELECT is(ROW(a.action, a.what, a.detail ->> 'reason'), ROW('pause_type'::text, 'audited'::text, 'disk is full'::text), 'paused') FROM pg_temp.last() a;
SELECT longhaul.pause_type('audited', 'still full') \gset
SELECT is(ROW(a.action, a.detail ->> 'reason'), ROW('pause_type'::text, 'still full'::text), 'for another reason') FROM pg_temp.last() a;
SELECT longhaul.resume_type('audited') \gset
SELECT is(ROW(a.action, a.what, a.detail ->> 'reason', a.detail ->> 'since' IS NOT NULL), ROW('resume_type'::text, 'audited'::text, 'still full'::text, true), 'resumed') FROM pg_temp.last() a;
UPDATE longhaul.job_type SET paused = true WHERE name = 'audited';
SELECT is(ROW(a.action, a.detail ->> 'reason'), ROW('pause_type'::text, NULL::text), 'paused by the column') FROM pg_temp.last() a;

SELECT longhaul.create_api_key('tap', 'first') AS key \gset
SELECT is(ROW(a.action, a.what, a.detail ->> 'label'), ROW('api_key insert'::text, 'tap'::text, 'first'::text), 'a key is made') FROM pg_temp.last() a;
SELECT is(detail ? 'sha256', false, 'nothing of the key is noted') FROM pg_temp.last();
SELECT is(count(*), 1::bigint, 'its client too') FROM longhaul.audit WHERE action = 'client insert' AND what = 'tap';
UPDATE longhaul.api_key SET revoked_at = '2026-01-01Z' WHERE client = 'tap';
SELECT is(ROW(a.action, a.detail -> 'revoked_at' -> 0), ROW('api_key update'::text, 'null'::jsonb), 'a key is revoked') FROM pg_temp.last() a;

INSERT INTO longhaul.schedule (name, job_type, cron, input) VALUES ('nightly', 'audited', '0 3 * * *', '{"password": 1}');
SELECT is(ROW(a.action, a.what, a.detail ->> 'cron', a.detail::text ~ 'md5', a.detail ? 'next_at'), ROW('schedule insert'::text, 'nightly'::text, '0 3 * * *'::text, true, false), 'a schedule is made') FROM pg_temp.last() a;
SELECT id AS last FROM pg_temp.last() \gset
UPDATE longhaul.schedule SET next_at = now() - interval '1 second' WHERE name = 'nightly';
SELECT longhaul.schedule_tick(10) \gset
SELECT is(id, :last::bigint, 'what workers write in it is not noted') FROM pg_temp.last();
DELETE FROM longhaul.schedule WHERE name = 'nightly';
SELECT is(ROW(a.action, a.what, a.detail ->> 'cron'), ROW('schedule delete'::text, 'nightly'::text, '0 3 * * *'::text), 'and removed') FROM pg_temp.last() a;

-- ---- retention ---------------------------------------------------------------------------------------------
UPDATE longhaul.audit SET at = now() - interval '401 days' WHERE action = 'restarted';
UPDATE longhaul.audit SET at = now() - interval '30 days' WHERE action = 'looked at';
SELECT longhaul.maintain() \gset
SELECT is(array_agg(action), '{looked at}', 'kept for 400 days') FROM longhaul.audit WHERE action IN ('restarted', 'looked at');
SELECT is(longhaul.audit_keep(), k, 'longhaul.audit_keep = ' || coalesce(s, 'unset')) FROM (VALUES (NULL, interval '400 days'), ('90 days', '90 days'), ('0', '1 day'), ('-3 days', '1 day'), ('for ever', '400 days')) v(s, k),
    LATERAL set_config('longhaul.audit_keep', s, true) WHERE set_config IS NOT NULL;
SET LOCAL longhaul.audit_keep = '20 days';
SELECT longhaul.maintain() \gset
SELECT is(count(*), 0::bigint, 'or as long as the setting says') FROM longhaul.audit WHERE action = 'looked at';

SELECT * FROM finish();
ROLLBACK;
