-- list_jobs: pages by keyset, filters, short pages, expired jobs.
BEGIN;
SELECT no_plan();
SELECT t.type('red') AS red, t.type('blue') AS blue, t.worker(1) AS w1 \gset

-- Walks through all pages; returns the jobs in the order in which they came, and how many pages it took.
CREATE FUNCTION pg_temp.walk(p_limit integer, p_client text DEFAULT 'alice', p_type integer DEFAULT NULL, p_status integer DEFAULT NULL,
                             p_after timestamptz DEFAULT NULL, OUT ids uuid[], OUT pages integer)
LANGUAGE plpgsql AS $$
DECLARE
    v_before uuid;
    v_next   uuid;
    r        record;
BEGIN
    ids := '{}';
    pages := 0;
    LOOP
        pages := pages + 1;
        v_next := NULL;
        FOR r IN SELECT * FROM longhaul.list_jobs(p_client, p_type, p_status::smallint, p_after, v_before, p_limit) l ORDER BY l.ord LOOP
            IF r.job_id IS NOT NULL THEN
                ids := ids || r.job_id;
            END IF;
            v_next := r.scanned_to;
        END LOOP;
        EXIT WHEN v_next IS NULL OR pages > 100;
        IF v_next >= v_before THEN
            RAISE EXCEPTION 'the cursor does not move';
        END IF;
        v_before := v_next;
    END LOOP;
END
$$;
-- What the walk should give.
CREATE FUNCTION pg_temp.want(p_where text DEFAULT 'true') RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[];
BEGIN
    EXECUTE format('SELECT array_agg(j.id ORDER BY j.id DESC) FROM longhaul.job j LEFT JOIN longhaul.outcome o ON o.job_id = j.id
                     WHERE j.client = ''alice'' AND %s', p_where) INTO v_ids;
    RETURN coalesce(v_ids, '{}');
END
$$;

SELECT is((SELECT count(*) FROM longhaul.list_jobs('alice', NULL, NULL, NULL, NULL, 50)), 0::bigint, 'no jobs: no rows');

-- Several days; many ids of the same millisecond.
SELECT count(t.submit('red', t.id(clock_timestamp() - n * interval '1 hour'))) FROM generate_series(0, 20) n \gset
SELECT now() AS instant \gset
SELECT count(t.submit('red', t.id(:'instant'))) FROM generate_series(1, 10) \gset
SELECT count(t.job('blue')) FROM generate_series(1, 5) \gset
SELECT count(t.job('red', p_client => 'bob')) FROM generate_series(1, 30) \gset

SELECT is((w).ids, pg_temp.want(), 'all jobs of the client, newest first, none twice or left out: pages of ' || n)
  FROM unnest('{1,2,3,7,36,37,200}'::integer[]) n, LATERAL (SELECT pg_temp.walk(n) AS w) x;
SELECT is((array_agg(ord ORDER BY ord), count(DISTINCT scanned_to), min(scanned_to::text)),
          (ARRAY[1, 2, 3, 4, 5, 6, 7], 1::bigint, (array_agg(job_id ORDER BY ord))[7]::text),
          'a full page: its rows are numbered, and the last is where to go on')
  FROM longhaul.list_jobs('alice', NULL, NULL, NULL, NULL, 7);
SELECT is(bool_and(scanned_to IS NULL), true, 'a page that isn''t full is the last') FROM longhaul.list_jobs('alice', NULL, NULL, NULL, NULL, 37);

-- ---- filters ------------------------------------------------------------------------------------------
SELECT is((pg_temp.walk(4, p_type => :blue)).ids, pg_temp.want(format('j.type_id = %s', :blue)), 'of one type');
SELECT is((pg_temp.walk(4, p_type => -1)).ids, '{}', 'of a type that isn''t there');
SELECT count(t.finish(1, c.job_id, c.fence, 1)) FROM t.claim(1, 'red', 100) c JOIN longhaul.job j ON j.id = c.job_id WHERE j.client = 'alice' AND c.seq % 3 = 0 \gset
SELECT is((pg_temp.walk(4, p_status => 3)).ids, pg_temp.want('o.status = 3'), 'of one status');
SELECT cmp_ok(cardinality((pg_temp.walk(4, p_status => 3)).ids), '>', 5, '(there are some)');
SELECT is((pg_temp.walk(4, p_status => 1)).ids, pg_temp.want('o.status IS NULL'), 'of another: claimed ahead is Queued');
SELECT is((pg_temp.walk(3, p_type => :red, p_status => 3)).ids, pg_temp.want(format('o.status = 3 AND j.type_id = %s', :red)), 'of a type and a status');
SELECT is((pg_temp.walk(3, p_status => 4)).ids, '{}', 'of a status that none has');

-- Jobs are stored now, whatever the time in their ids: both rows are made older here.
SELECT id AS old FROM longhaul.job WHERE client = 'alice' ORDER BY id LIMIT 1 OFFSET 4 \gset
UPDATE longhaul.job SET created_at = longhaul.uuid_time(id) WHERE client = 'alice';
SELECT created_at AS old_at FROM longhaul.job WHERE id = :'old' \gset
SELECT is((pg_temp.walk(5, p_after => :'old_at')).ids, pg_temp.want(format('j.id > %L', :'old')), 'created after a time: not the one of that time');
SELECT is((pg_temp.walk(5, p_after => a)).ids, pg_temp.want(), 'after ' || a)
  FROM unnest('{-infinity,0001-01-01 00:00+00,1969-12-31 00:00+00,1970-01-01 00:00+00}'::timestamptz[]) a;
SELECT is((pg_temp.walk(5, p_after => a)).ids, '{}', 'after ' || a)
  FROM unnest('{infinity,9999-12-31 00:00+00,12000-01-01 00:00+00,294276-12-31 00:00+00}'::timestamptz[]) a;
SELECT job_id AS early FROM t.submit('blue', longhaul.input_open((longhaul.uuid_at((now() AT TIME ZONE 'UTC')::date - 1)::text)::uuid)) \gset
SELECT ok(:'early' = ANY ((pg_temp.walk(50, p_after => (SELECT created_at - interval '1 ms' FROM longhaul.job WHERE id = :'early'))).ids),
    'a job whose id is nearly two days behind the time of its creation');

-- ---- expired jobs --------------------------------------------------------------------------------------
UPDATE longhaul.outcome SET expires_at = now() - interval '1 second' WHERE job_id IN (SELECT job_id FROM longhaul.outcome ORDER BY job_id DESC LIMIT 4);
SELECT is((pg_temp.walk(2)).ids, pg_temp.want('(o.expires_at IS NULL OR o.expires_at > now())'), 'jobs past their retention are not listed, though they are stored');
UPDATE longhaul.outcome SET expires_at = now() - interval '1 second';
SELECT is((pg_temp.walk(2)).ids, pg_temp.want('o.status IS NULL'), 'nor are many');

-- ---- short pages -----------------------------------------------------------------------------------------
-- 1,500 jobs of another type lie above: a page looks at 1,000 and says where to go on.
SELECT count(t.submit('red', t.id(clock_timestamp() + interval '1 hour'))) FROM generate_series(1, 1500) \gset
SELECT is((SELECT array_agg((l.ord, l.job_id IS NULL, l.scanned_to IS NOT NULL)::text) FROM longhaul.list_jobs('alice', :blue, NULL, NULL, NULL, 5) l),
    '{"(0,t,t)"}', 'nothing of the type among the first 1,000: an empty page with a next');
SELECT is(w, ROW(pg_temp.want(format('j.type_id = %s', :blue)), 3), 'and going on finds them, in three pages')
  FROM pg_temp.walk(5, p_type => :blue) w;
SELECT is(w, ROW('{}'::uuid[], 2), 'the same for a status') FROM pg_temp.walk(5, p_status => 5) w;
SELECT is((w).ids, pg_temp.want('o.status IS NULL'), 'a page of the most that is allowed') FROM pg_temp.walk(200, p_status => 1) w;

SELECT * FROM finish();
ROLLBACK;
