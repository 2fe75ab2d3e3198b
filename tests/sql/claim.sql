-- claim, release_unheld, promote_due, queue_horizon.
BEGIN;
SELECT no_plan();
SELECT t.type('a') AS a, t.type('b') AS b, t.worker(1) AS w1, t.worker(2) AS w2 \gset

-- Names for jobs, and what a claim brought by those names: 'name name' in the order of the fences.
CREATE TEMP TABLE named (name text, id uuid);
CREATE FUNCTION pg_temp.add(p_name text, p_type text, p_priority integer DEFAULT 0) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    SELECT * INTO r FROM t.submit(p_type, p_priority => p_priority, p_input => p_name::bytea, p_waiter => 5);
    INSERT INTO named VALUES (p_name, r.job_id);
    RETURN r.seq;
END
$$;
CREATE SEQUENCE pg_temp.fences;
CREATE FUNCTION pg_temp.claim(p_types integer[], p_priorities smallint[], p_after bigint[], p_limits integer[], p_look_back boolean, n integer DEFAULT 1)
RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(x.name, ' ' ORDER BY c.fence), '')
      FROM longhaul.claim(t.boot(n), setval('pg_temp.fences', nextval('pg_temp.fences') + 1000), p_types, p_priorities, p_after, p_limits, p_look_back) c
      JOIN named x ON x.id = c.job_id
$$;
CREATE FUNCTION pg_temp.id(p_name text) RETURNS uuid LANGUAGE sql AS $$ SELECT id FROM named WHERE name = p_name $$;
CREATE FUNCTION pg_temp.fence(p_name text) RETURNS bigint LANGUAGE sql AS $$ SELECT fence FROM longhaul.lease WHERE job_id = pg_temp.id(p_name) $$;

-- ---- what a claim tells ------------------------------------------------------------------------------
SELECT t.id() AS id \gset
SELECT ord FROM longhaul.submit_batch(ARRAY[:'id']::uuid[], ARRAY[:a], '{alice}', '{3}', '{NULL}', '{text/csv}', '{input}', '{5}', '{NULL}',
    ARRAY['f']::bytea[], '{77}', '{00-trace-01}', '{req-1}') \gset
SELECT seq AS s, created_at AS c FROM longhaul.job WHERE id = :'id' \gset
SELECT is((SELECT c.*::text FROM longhaul.claim(t.boot(1), 41, ARRAY[:a], '{3}', '{0}', '{10}', false) c),
    format('(%s,%s,3,%s,41,1,2,alice,text/csv,5,"\\x696e707574",00-trace-01,req-1,"%s")', :'id', :'a', :'s', :'c'::timestamptz + interval '30 days'),
    'everything that a worker needs');
SELECT is((SELECT (boot, fence, attempt, gen, seq, waiter, started_at) FROM longhaul.lease WHERE job_id = :'id'),
    (t.boot(1), 41::bigint, 1, 2, :'s'::bigint, 77::bigint, NULL::timestamptz), 'the lease');
SELECT is((SELECT count(*) FROM longhaul.ready), 0::bigint, 'it doesn''t wait any more');
SELECT is((SELECT count(*) FROM longhaul.claim(t.boot(1), 42, ARRAY[:a], '{3}', '{0}', '{10}', true)), 0::bigint, 'nor is it claimed twice');
SELECT is((SELECT count(*) FROM longhaul.claim(t.boot(1), 42, '{}', '{}', '{}', '{}', true)), 0::bigint, 'a claim of nothing');

-- ---- order --------------------------------------------------------------------------------------------
SELECT pg_temp.add('n1', 'a'), pg_temp.add('low', 'a', -5), pg_temp.add('h1', 'a', 5), pg_temp.add('n2', 'a'), pg_temp.add('h2', 'a', 5), pg_temp.add('other', 'b') \gset
SELECT is(pg_temp.claim(ARRAY[:a, :a, :a], '{5,0,-5}', '{0,0,0}', '{3,3,3}', false), 'h1 h2 n1', 'priority first, then the place in the queue, up to the limit');
SELECT is(pg_temp.claim(ARRAY[:a, :a, :a], '{5,0,-5}', '{0,0,0}', '{9,9,9}', false), 'n2 low', 'the rest');
SELECT is(pg_temp.claim(ARRAY[:b], '{0}', '{0}', '{9}', false), 'other', 'of its type only');

-- ---- the cursor -----------------------------------------------------------------------------------------
SELECT pg_temp.add('c1', 'a') AS c1, pg_temp.add('c2', 'a') AS c2, pg_temp.add('c3', 'a') AS c3, pg_temp.add('c4', 'a', 1) AS c4 \gset
SELECT is(pg_temp.claim(ARRAY[:a], '{0}', ARRAY[:c1]::bigint[], '{1}', false), 'c2', 'behind the cursor');
SELECT is(pg_temp.claim(ARRAY[:a], '{0}', ARRAY[:c3]::bigint[], '{9}', false), '', 'nothing there');
SELECT is(pg_temp.claim(ARRAY[:a], '{0}', ARRAY[:c1]::bigint[], '{9}', true), 'c4 c3', 'a look back finds a priority that wasn''t known, but goes no further down than its floor');
SELECT is(pg_temp.claim(ARRAY[:a], '{0}', '{0}', '{9}', false), 'c1', 'below the floor nobody looks until he starts from the bottom');

-- ---- looking back ---------------------------------------------------------------------------------------------
-- Unknown priorities above, between and below those that are known; in two types.
SELECT count(pg_temp.add('p' || p, 'a', p)) FROM unnest('{100,50,7,6,3,0,-1,-50,-100}'::integer[]) p \gset
SELECT count(pg_temp.add('q' || p, 'b', p)) FROM unnest('{1,0,-1}'::integer[]) p \gset
SELECT is(pg_temp.claim(ARRAY[:a, :a, :b], '{6,0,0}', '{0,0,0}', '{20,20,20}', false), 'p6 p0 q0', 'without looking back only the known ones');
SELECT is(pg_temp.claim(ARRAY[:a, :a, :b], '{6,0,0}', '{0,0,0}', '{20,20,20}', true), 'p100 p50 p7 p3 p-1 p-50 p-100 q1 q-1', 'looking back all of them, in order');

-- Put back: ahead of all others of its priority, in the old order.
SELECT count(pg_temp.add('r' || i, 'a')) FROM generate_series(1, 6) i \gset
SELECT is(pg_temp.claim(ARRAY[:a], '{0}', '{0}', '{4}', false), 'r1 r2 r3 r4', 'four of six');
SELECT is(t.finish(1, pg_temp.id(r), pg_temp.fence(r), 5, NULL), 1::smallint, r || ' is handed back') FROM unnest('{r3,r1}'::text[]) r;
SELECT is(pg_temp.claim(ARRAY[:a], '{0}', '{0}', '{1}', true, 2), 'r1', 'a job that is put back keeps its place');
SELECT pg_temp.add('r0', 'a', 1) \gset
SELECT is(pg_temp.claim(ARRAY[:a], '{0}', '{0}', '{2}', false), 'r5 r6', 'one that doesn''t look back doesn''t see it');
SELECT is(pg_temp.claim(ARRAY[:a, :a], '{1,0}', '{0,0}', '{9,9}', true), 'r0 r3', 'a higher priority still goes first');
SELECT is((SELECT (l.seq = j.seq, l.attempt) FROM longhaul.lease l JOIN longhaul.job j ON j.id = l.job_id WHERE j.id = pg_temp.id('r3')), (true, 1),
    'the lease has its old place, and no attempt was burned');
SELECT is(t.finish(1, pg_temp.id('r3'), pg_temp.fence('r3'), 5, NULL), 1::smallint, 'back again');
SELECT cmp_ok((SELECT seq FROM t.claim(1, 'a')), '<', 0::bigint, 'the seq that a claim tells of it is below zero: it must not move the cursor');
SELECT is((SELECT waiter FROM longhaul.lease WHERE job_id = pg_temp.id('r3')), 5::bigint, 'who waits for it is kept');

-- ---- limits ---------------------------------------------------------------------------------------------------
SELECT count(pg_temp.add('l' || i, 'a', i % 2)) FROM generate_series(1, 6) i \gset
SELECT count(pg_temp.add('m' || i, 'b')) FROM generate_series(1, 4) i \gset
SELECT is(pg_temp.claim(ARRAY[:a, :a, :b], '{1,0,0}', '{0,0,0}', '{4,4,2}', false), 'l1 l3 l5 l2 m1 m2', 'each type has its own limit, over all its priorities');
SELECT is(pg_temp.claim(ARRAY[:a, :a, :b], '{1,0,0}', '{0,0,0}', '{0,0,1}', true), 'm3', 'a limit of none');
SELECT is(pg_temp.claim(ARRAY[:b, :a, :a], '{0,1,0}', '{0,0,0}', '{9,9,9}', true), 'm4 l4 l6', 'the rest');
SELECT is((SELECT count(*) FROM longhaul.ready), 0::bigint, 'all is claimed');
SELECT is((SELECT count(*) - count(DISTINCT (boot, fence)) FROM longhaul.lease), 0::bigint, 'no fence is given twice');

-- Fences go up from the first, without gaps, in the order of the answer.
SELECT count(pg_temp.add('f' || i, 'a', i % 3)) FROM generate_series(1, 7) i \gset
CREATE TEMP TABLE f AS SELECT * FROM longhaul.claim(t.boot(2), 500000, ARRAY[:a], '{0}', '{0}', '{7}', true);
SELECT results_eq('SELECT fence FROM f ORDER BY priority DESC, seq', 'SELECT generate_series(500000, 500006)::bigint', 'the fences of a claim');
-- A row of ready without its lease can't come into being; if it did, its fence would not be given to another.
SELECT t.finish(2, job_id, fence, 5, NULL) FROM f WHERE fence IN (500002, 500003) \g /dev/null
SELECT job_id AS orphan FROM f WHERE fence = 500002 \gset
SELECT pg_temp.add('after', 'b') \gset
DELETE FROM longhaul.lease WHERE job_id = :'orphan';
TRUNCATE f;
INSERT INTO f SELECT * FROM longhaul.claim(t.boot(2), 600000, ARRAY[:a, :b], '{0,0}', '{0,0}', '{9,9}', true);
SELECT is((SELECT array_agg(DISTINCT fence ORDER BY fence) FROM f), (SELECT array_agg(fence ORDER BY fence) FROM f), 'two jobs, two fences');
SELECT is((SELECT count(*) FROM f), 2::bigint, 'the orphan is gone');

-- ---- who may claim --------------------------------------------------------------------------------------------
SELECT throws_ok($$ SELECT * FROM t.claim(9, 'a') $$, 'LH001', NULL, 'a worker that isn''t registered may not');
SELECT t.worker(3), t.worker(4) \gset
SELECT longhaul.worker_stop(t.boot(3)), t.die(4) \gset
SELECT throws_ok($$ SELECT * FROM t.claim(3, 'a') $$, 'LH001', NULL, 'nor one that has signed off');
SELECT lives_ok($$ SELECT * FROM t.claim(4, 'a') $$, 'one that is late may, as long as nobody has taken its jobs');
SELECT is(longhaul.rescue(), 0, 'somebody does');
SELECT throws_ok($$ SELECT * FROM t.claim(4, 'a') $$, 'LH001', NULL, 'then it may not');

-- ---- large inputs, a type's lifetime ------------------------------------------------------------------------------
SELECT t.id() AS big \gset
SELECT longhaul.input_chunk_put(:'big', 0, 'one'), longhaul.input_chunk_put(:'big', 1, 'two') \gset
SELECT code FROM t.submit('a', :'big', p_input => NULL, p_fingerprint => 'f', p_input_size => 6) \gset
SELECT is((SELECT (input, input_size) FROM t.claim(1, 'a')), (NULL::bytea, 6::bigint), 'a large input is not in the answer');
SELECT is(ARRAY[longhaul.input_chunk_get(:'big', 0), longhaul.input_chunk_get(:'big', 1), longhaul.input_chunk_get(:'big', 2)], ARRAY['one', 'two', NULL]::bytea[],
    'it is fetched in pieces');

-- ---- an answer that was lost ---------------------------------------------------------------------------------------
SELECT count(pg_temp.add('g' || i, 'a')) FROM generate_series(1, 4) i \gset
SELECT coalesce(array_agg(fence), '{}') AS held FROM longhaul.lease WHERE boot = t.boot(1) \gset
SELECT count(*) FROM longhaul.claim(t.boot(1), 700000, ARRAY[:a], '{0}', '{0}', '{3}', false) \gset
SELECT is(longhaul.release_unheld(t.boot(2), 700003, (SELECT array_agg(fence) FROM longhaul.lease WHERE boot = t.boot(2))), 0, 'another''s claim can''t be released');
SELECT is(longhaul.cancel_job(pg_temp.id('g2'), 'alice'), 2::smallint, '(one of the jobs is to be canceled)');
SELECT is(longhaul.release_unheld(t.boot(1), 700000, :'held'), 0, 'a claim that is still on its way isn''t released');
SELECT is(longhaul.release_unheld(t.boot(1), 700003, :'held'), 3, 'a claim whose answer was lost is');
SELECT is(t.stands(pg_temp.id('g2')), 'Canceled 3.0', 'the one to be canceled is');
SELECT is(pg_temp.claim(ARRAY[:a], '{0}', '{0}', '{9}', true), 'g1 g3 g4', 'the others come again, in their order');
SELECT is((SELECT array_agg(DISTINCT attempt) FROM longhaul.lease WHERE job_id IN (pg_temp.id('g1'), pg_temp.id('g3'))), '{1}', 'with no attempt burned');
SELECT is(longhaul.release_unheld(t.boot(1), 700003, (SELECT array_agg(fence) FROM longhaul.lease WHERE boot = t.boot(1))), 0, 'what the worker holds stays');

-- ---- delayed jobs ----------------------------------------------------------------------------------------------------
SELECT is((SELECT p::text FROM longhaul.promote_due(10) p), '(0,)', 'none waits for a time');
SELECT job_id AS d1 FROM t.submit('b', p_run_at => clock_timestamp() + interval '1 hour') \gset
SELECT job_id AS d2, seq AS s2 FROM t.submit('b', p_run_at => clock_timestamp() + interval '2 hours') \gset
SELECT ok(moved = 0 AND next_due_ms BETWEEN 3590000 AND 3600000, 'when the next is due') FROM longhaul.promote_due(10);
UPDATE longhaul.delayed SET run_at = clock_timestamp() - interval '1 second' * CASE WHEN job_id = :'d2' THEN 2 ELSE 1 END;
SELECT pg_temp.add('d3', 'b') \gset
SELECT is((SELECT p::text FROM longhaul.promote_due(1) p), '(1,0)', 'only so many at a time: there are more');
SELECT is((SELECT array_agg(job_id ORDER BY seq) FROM longhaul.ready), ARRAY[pg_temp.id('d3'), :'d2'], 'the one that was due first; it gets its place now');
SELECT is((SELECT p::text FROM longhaul.promote_due(10) p), '(1,)', 'the other');
SELECT is((SELECT array_agg(job_id ORDER BY fence) FROM longhaul.claim(t.boot(1), 800000, ARRAY[:b], '{0}', '{0}', '{9}', false)), ARRAY[pg_temp.id('d3'), :'d2', :'d1'], 'in the order in which they were due');
SELECT is(t.finish(1, :'d2', 800001, 3, p_retry_ms => 5000), 1::smallint, 'one fails for now');
UPDATE longhaul.delayed SET run_at = clock_timestamp() - interval '1 second';
SELECT is((SELECT p::text FROM longhaul.promote_due(10) p), '(1,)', 'its time comes again');
SELECT is((SELECT (attempt, gen, seq < 0) FROM longhaul.ready WHERE job_id = :'d2'), (1, 3, true), 'now it goes before the others');
SELECT is((SELECT (job_id, attempt, gen) FROM t.claim(2, 'b', 9)), (:'d2'::uuid, 2, 4), 'and is claimed for its second attempt');

-- ---- the horizon -------------------------------------------------------------------------------------------------------
SELECT is((SELECT count(*) FROM longhaul.queue_horizon('{}')), 0::bigint, 'of no type');
SELECT seq AS l1, xmax AS x1, xmin AS m1, h.priority AS p1 FROM longhaul.queue_horizon(ARRAY[:b]) h WHERE h.type_id = :b AND h.priority = 0 \gset
SELECT is(:l1::bigint, ((longhaul.queue_turn(:b, 0::smallint) + 1) << 16) - 1, 'all places of the turn that was claimed and of those before');
SELECT cmp_ok((SELECT seq FROM t.submit('b', p_client => 'new')), '>', :l1::bigint, 'what is submitted now comes behind that');
SELECT cmp_ok(:x1::bigint, '>=', pg_current_xact_id()::text::bigint, 'no transaction that read the clock up to now has an id above xmax');
SELECT cmp_ok(:m1::bigint, '<=', :x1::bigint, 'xmin is not above it');
SELECT results_eq(format('SELECT priority::smallint FROM longhaul.queue_horizon(ARRAY[%s, %s]) WHERE type_id = %2$s ORDER BY 1', :a, :b), '{-1,0,1}'::smallint[], 'a clock for each priority that was claimed');

SELECT * FROM finish();
ROLLBACK;
