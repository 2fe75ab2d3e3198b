-- changed_batch, feed_changes, feed_open, feed_page.
BEGIN;
SELECT no_plan();
SELECT t.type('test', 'backoff_ms = 60000, max_attempts = 3') AS test, t.worker(1) AS w1 \gset

-- What changed_batch says of one job: 'ord status version', 'gone', or '' if nothing.
CREATE FUNCTION pg_temp.changed(p_job uuid, p_version bigint, p_client text DEFAULT 'alice') RETURNS text LANGUAGE sql AS $$
    SELECT coalesce((SELECT CASE WHEN c.job_id IS NULL THEN 'gone'
                                 ELSE longhaul.status_word(c.status) || ' ' || (c.version >> 32) || '.' || (c.version & 4294967295) END
                       FROM longhaul.changed_batch(ARRAY[p_job], ARRAY[p_client], ARRAY[p_version]) c), '')
$$;
-- The same, at the version that status_batch tells: it must say nothing.
CREATE FUNCTION pg_temp.same(p_job uuid) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.changed(p_job, s.version) FROM t.status(p_job) s
$$;

-- ---- changed_batch ------------------------------------------------------------------------------
SELECT t.job('test') AS j \gset
SELECT is(pg_temp.same(:'j'), '', 'queued: as it was');
SELECT is(pg_temp.changed(:'j', 0), 'Queued 1.0', 'another version: told');
SELECT is(pg_temp.changed(:'j', 0, 'bob'), 'gone', 'not to another client');
SELECT fence AS f FROM t.claim(1, 'test') \gset
SELECT is(pg_temp.changed(:'j', 1::bigint << 32), '', 'claimed ahead: nothing to see');
SELECT t.progress(1, :'j', :f, 1) \gset x
SELECT is(pg_temp.changed(:'j', 1::bigint << 32), 'InProgress 2.1', 'begun');
SELECT is(pg_temp.same(:'j'), '', 'as it was');
SELECT t.progress(1, :'j', :f, 1, 1, 2) \gset x
SELECT is(pg_temp.changed(:'j', (2::bigint << 32) | 1), 'InProgress 2.2', 'progress');
SELECT t.finish(1, :'j', :f, 3) \gset x
SELECT is(pg_temp.changed(:'j', (2::bigint << 32) | 2), 'Queued 3.0', 'put back');
SELECT is(pg_temp.same(:'j'), '', 'as it was');
SELECT longhaul.cancel_job(:'j', 'alice') \gset x
SELECT is(pg_temp.changed(:'j', 3::bigint << 32), 'Canceled 4.0', 'ended');
SELECT is(pg_temp.same(:'j'), '', 'as it was');
SELECT longhaul.retry_job(:'j', 'alice') \gset x
SELECT is(pg_temp.changed(:'j', 4::bigint << 32), 'Queued 5.0', 'queued again');
SELECT is(pg_temp.same(:'j'), '', 'as it was');
SELECT longhaul.cancel_job(:'j', 'alice'), longhaul.delete_job(:'j', 'alice') \gset x
SELECT is(pg_temp.changed(:'j', 6::bigint << 32), 'gone', 'deleted');
SELECT is(pg_temp.changed(t.id('2001-01-01'), 1), 'gone', 'of a day that isn''t there');
SELECT is((t.submit('test', t.id(clock_timestamp() - interval '20 hours'), p_fingerprint => 'y')).code, 0::smallint, 'one of yesterday or today');
SELECT array_agg(x) AS js FROM (SELECT t.job('test') AS x FROM generate_series(1, 700)) s \gset
SELECT is_empty(format('SELECT * FROM longhaul.changed_batch(%L, %L, %L)', :'js', array_fill('alice'::text, ARRAY[700]),
                       array_fill(1::bigint << 32, ARRAY[700])), 'hundreds, none changed');
SELECT results_eq(format('SELECT ord, job_id, version FROM longhaul.changed_batch(%L, %L, %L) ORDER BY ord', :'js',
                         array_fill('alice'::text, ARRAY[700]), array_fill(1::bigint << 32, ARRAY[698]) || '{7,8}'::bigint[]),
                  format('SELECT n, (%L::uuid[])[n], 1::bigint << 32 FROM generate_series(699, 700) n', :'js'), 'the two that differ, by their place');
SELECT is_empty('SELECT * FROM longhaul.changed_batch(''{}'', ''{}'', ''{}'')', 'nothing asked, nothing told');

-- ---- feed_changes ---------------------------------------------------------------------------------
CREATE FUNCTION pg_temp.feed(p_since timestamptz, p_seq bigint, p_limit integer DEFAULT 100) RETURNS TABLE (who integer, job uuid, status smallint)
LANGUAGE sql AS $$
    SELECT f.ord, f.job_id, f.status FROM longhaul.feed_changes('{carol,dave}', p_since, p_seq, p_limit) f WHERE f.ord > 0
$$;
-- Everything before is as of long ago.
UPDATE longhaul.lease SET changed_at = now() - interval '1 hour';
UPDATE longhaul.outcome SET ended_at = now() - interval '1 hour';
SELECT f.at, f.last_seq, f.xid >= f.xmin AS drawn FROM longhaul.feed_changes('{carol}', clock_timestamp(), 0, 10) f WHERE f.ord = 0 \gset m_
SELECT ok(:'m_drawn', 'a look draws a transaction id');
SELECT is(:'m_last_seq', (SELECT last_value FROM longhaul.ready_seq), 'and tells the last place');
SELECT is_empty('SELECT * FROM pg_temp.feed(clock_timestamp(), ' || :m_last_seq || ')', 'nothing of these clients');
SELECT t.job('test', 5, 'dave') AS d \gset
SELECT results_eq('SELECT * FROM pg_temp.feed(clock_timestamp() + interval ''5 s'', ' || :m_last_seq || ')',
                  format('VALUES (2, %L::uuid, 1::smallint)', :'d'), 'a new job, to its client');
SELECT last_value AS s FROM longhaul.ready_seq \gset
SELECT is_empty('SELECT * FROM pg_temp.feed(clock_timestamp() + interval ''5 s'', ' || :s || ')', 'not again behind its place');
SELECT is((SELECT job FROM pg_temp.feed(clock_timestamp() - interval '1 s', NULL)), :'d'::uuid, 'place unknown: by time');
SELECT fence AS f FROM t.claim(1, 'test') \gset
SELECT is_empty('SELECT * FROM pg_temp.feed(clock_timestamp(), ' || :s || ')', 'a claim ahead is no change');
SELECT t.progress(1, :'d', :f, NULL) \gset x
SELECT is_empty('SELECT * FROM pg_temp.feed(clock_timestamp(), ' || :s || ')', 'asking for the lease neither');
SELECT t.progress(1, :'d', :f, 1) \gset x
SELECT is((SELECT (job, status) FROM pg_temp.feed(clock_timestamp(), :s)), (:'d'::uuid, 2::smallint), 'begun');
UPDATE longhaul.lease SET changed_at = now() - interval '1 hour';
SELECT t.progress(1, :'d', :f, 1, 3) \gset x
SELECT is((SELECT (job, status) FROM pg_temp.feed(clock_timestamp(), :s)), (:'d'::uuid, 2::smallint), 'progress');
UPDATE longhaul.lease SET changed_at = now() - interval '1 hour';
SELECT t.finish(1, :'d', :f, 3) \gset x
SELECT is((SELECT (job, status) FROM pg_temp.feed(clock_timestamp(), :s)), (:'d'::uuid, 1::smallint), 'put back');
UPDATE longhaul.lease SET changed_at = now() - interval '1 hour';
SELECT longhaul.cancel_job(:'d', 'dave') \gset x
SELECT is((SELECT (job, status) FROM pg_temp.feed(clock_timestamp(), :s)), (:'d'::uuid, 5::smallint), 'ended');
UPDATE longhaul.outcome SET ended_at = now() - interval '1 hour';
SELECT longhaul.retry_job(:'d', 'dave') \gset x
SELECT is((SELECT (job, status) FROM pg_temp.feed(clock_timestamp(), :s)), (:'d'::uuid, 1::smallint), 'queued again');
SELECT count(*) AS n FROM (SELECT t.job('test', 0, 'carol') FROM generate_series(1, 12)) x \gset
SELECT results_eq('SELECT * FROM pg_temp.feed(clock_timestamp(), ' || :s || ', 10) ORDER BY 1',
                  format('VALUES (1, NULL::uuid, NULL::smallint), (2, %L, 1::smallint)', :'d'),
                  'too many of one client: said, and the other is served');

-- ---- feed_open, feed_page --------------------------------------------------------------------------
SELECT ok((SELECT low FROM longhaul.feed_open(NULL)) <= (SELECT min(id::text)::uuid FROM longhaul.jobs WHERE status IN ('Queued', 'InProgress')),
          'no live job is older');
SELECT t.job('test', 0, 'erin') AS e1, t.job('test', 0, 'erin') AS e2, t.job('test', 0, 'erin') AS e3 \gset
SELECT longhaul.cancel_job(:'e1', 'erin'), longhaul.cancel_job(:'e2', 'erin') \gset x
UPDATE longhaul.outcome SET ended_at = now() - interval '1 hour' WHERE job_id = :'e1';
CREATE FUNCTION pg_temp.page(p_before uuid, p_since timestamptz, p_limit integer) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT coalesce(p.job_id::text, '-') || coalesce(' ' || p.scanned_to, '')
      FROM longhaul.feed_page('erin', p_before, '00000000-0000-0000-0000-000000000000', p_since, p_limit) p
$$;
SELECT set_eq('SELECT pg_temp.page(NULL, NULL, 10)', ARRAY[:'e3'], 'only live ones');
SELECT set_eq('SELECT pg_temp.page(NULL, now() - interval ''1 min'', 10)', ARRAY[:'e3', :'e2'], 'and what ended since');
SELECT id AS i1 FROM longhaul.job WHERE client = 'erin' ORDER BY id DESC LIMIT 1 \gset
SELECT id AS i3 FROM longhaul.job WHERE client = 'erin' ORDER BY id LIMIT 1 \gset
SELECT is((SELECT count(*) FROM pg_temp.page(NULL, '-infinity', 1) p WHERE p = :'i1' || ' ' || :'i1'), 1::bigint, 'a page says where the next begins');
SELECT is((SELECT count(*) FROM pg_temp.page(:'i3', '-infinity', 10)), 0::bigint, 'below the last is nothing');
DELETE FROM longhaul.ready WHERE job_id = :'e3';
SELECT longhaul.end_jobs(ARRAY[:'e3']::uuid[], 5::smallint, ARRAY[NULL::jsonb]) \gset x
SELECT is((SELECT array_agg(p) FROM pg_temp.page(NULL, 'infinity', 2) p), ARRAY['- ' || (SELECT id FROM longhaul.job WHERE client = 'erin' ORDER BY id DESC OFFSET 1 LIMIT 1)],
          'nothing on this page, but there is more');

SELECT * FROM finish();
ROLLBACK;
