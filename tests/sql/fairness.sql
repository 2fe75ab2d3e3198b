-- Turns of clients, ageing, limits over all workers.
BEGIN;
SELECT no_plan();
SELECT t.type('a') AS a, t.type('b') AS b, t.worker(1) AS w1, t.worker(2) AS w2 \gset

-- A batch of p_n jobs of a client, as an API process sends it: p_last is what it remembers. Returns the last turn.
CREATE FUNCTION pg_temp.batch(p_client text, p_n integer, p_last bigint DEFAULT 0, p_type text DEFAULT 'a', p_priority integer DEFAULT 0)
RETURNS bigint LANGUAGE sql AS $$
    SELECT max(s.seq) >> 16 FROM longhaul.submit_batch(
        ARRAY(SELECT t.id() FROM generate_series(1, p_n)), array_fill(t.type_id(p_type), ARRAY[p_n]), array_fill(p_client, ARRAY[p_n]),
        array_fill(p_priority::smallint, ARRAY[p_n]), array_fill(NULL::timestamptz, ARRAY[p_n]), array_fill('a/b'::text, ARRAY[p_n]),
        array_fill('\x00'::bytea, ARRAY[p_n]), array_fill(1::bigint, ARRAY[p_n]), array_fill(NULL::text, ARRAY[p_n]),
        array_fill('\x00'::bytea, ARRAY[p_n]), array_fill(NULL::bigint, ARRAY[p_n]), array_fill(NULL::text, ARRAY[p_n]), array_fill(NULL::text, ARRAY[p_n]),
        p_last => array_fill(p_last, ARRAY[p_n]), p_turn => ARRAY(SELECT generate_series(1, p_n))) s
$$;
-- The clients of the jobs that a claim brings, in its order: 'alice bob alice'. Everywhere, as a look back.
CREATE FUNCTION pg_temp.claim(p_n integer, p_type text DEFAULT 'a', p_worker integer DEFAULT 1) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(c.client, ' ' ORDER BY c.fence), '') FROM t.claim(p_worker, p_type, p_n) c WHERE c.job_id IS NOT NULL
$$;
-- The same with a letter for each client and its number in a row: 'alice 3, bob 1'.
CREATE FUNCTION pg_temp.shares(p_n integer, p_type text DEFAULT 'a') RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(x.client || ' ' || x.n, ', ' ORDER BY x.client)
      FROM (SELECT c.client, count(*) AS n FROM t.claim(1, p_type, p_n) c GROUP BY 1) x
$$;

-- ---- turns ---------------------------------------------------------------------------------------------
SELECT is(pg_temp.batch('alice', 1000), 1000::bigint, 'a client with a thousand jobs has a thousand turns');
SELECT is(pg_temp.batch('alice', 1000, 1000), 2000::bigint, 'its next ones come behind');
SELECT is(pg_temp.batch('bob', 1), 1::bigint, 'another that comes then');
SELECT is(pg_temp.claim(3), 'alice bob alice', 'is second');
SELECT is(longhaul.queue_turn(:a, 0::smallint), 2::bigint, 'the clock shows the turn that was claimed');
SELECT is(pg_temp.batch('carol', 1), 3::bigint, 'who comes later comes next');
SELECT is(pg_temp.claim(2), 'alice carol', 'though 1,997 wait');
SELECT is(pg_temp.shares(500), 'alice 500', 'nobody else is there');
SELECT is(pg_temp.batch('bob', 300, 1), 503 + 300::bigint, 'turns that have passed are lost: the clock counts, not the memory');
SELECT is(pg_temp.shares(400), 'alice 200, bob 200', 'with jobs of both waiting they take turns');
SELECT is(pg_temp.batch('dave', 200), 703 + 200::bigint, 'a third');
SELECT is(pg_temp.shares(150), 'alice 50, bob 50, dave 50', 'has its share from now on');
SELECT is(pg_temp.shares(150), 'alice 50, bob 50, dave 50', 'and goes on to have it');
SELECT is(pg_temp.batch('erin', 1, p_priority => 1), 1::bigint, 'each priority has a clock of its own');
SELECT is(pg_temp.batch('frank', 1, p_priority => -1), 1::bigint, 'a lower one too');
SELECT is(pg_temp.claim(1), 'erin', 'the higher goes first, whatever the turn');
SELECT is(pg_temp.batch('erin', 1, p_type => 'b'), 1::bigint, 'and each type');
SELECT is((SELECT string_agg(concat_ws(' ', type, priority, turn), ', ' ORDER BY priority) FROM longhaul.turns WHERE type = 'a'),
    'a 0 ' || longhaul.queue_turn(:a, 0::smallint) || ', a 1 1', 'the view turns');
SELECT is(pg_temp.claim(1, 'b'), 'erin', '(the other type is empty again)');

-- The clock never goes back.
SELECT longhaul.queue_turn(:a, 0::smallint) AS now \gset
SELECT longhaul.advance_clock(:a, 0::smallint, 1) \gset
SELECT is(longhaul.queue_turn(:a, 0::smallint), :now::bigint, 'a clock never goes back');
SELECT is(longhaul.queue_turn(:a, 99::smallint), 0::bigint, 'one that isn''t there shows nothing');

-- A job that was put back keeps its lane before all others, and doesn't move the clock.
SELECT job_id AS j, fence AS f FROM t.claim(1, 'a', 1) \gset
SELECT longhaul.queue_turn(:a, 0::smallint) AS now \gset
SELECT t.finish(1, :'j', :f, 5, NULL) \gset
SELECT is((SELECT job_id FROM t.claim(1, 'a', 1)), :'j'::uuid, 'a job that is put back comes first');
SELECT is(longhaul.queue_turn(:a, 0::smallint), :now::bigint, 'the clock doesn''t mind');

-- Rows without turns, as of other callers.
SELECT t.job('a', 0, 'gina') AS j \gset
SELECT is((SELECT seq >> 16 FROM longhaul.job WHERE id = :'j'), :now::bigint + 1, 'no turn told: the next');

-- ---- from SQL: a session remembers ------------------------------------------------------------------------
TRUNCATE longhaul.ready;
SELECT longhaul.queue_turn(:a, 0::smallint) AS now \gset
SELECT count(longhaul.submit('a', '{}', p_client => 'alice')) FROM generate_series(1, 5) \gset
SELECT longhaul.submit('a', '{}', p_client => 'bob'), longhaul.submit('a', '{}', p_client => 'alice', p_priority => 7) \gset
SELECT is((SELECT array_agg((seq >> 16) - :now ORDER BY seq) FROM longhaul.ready WHERE priority = 0), '{1,1,2,3,4,5}'::bigint[], 'submit() gives a client one turn after the other');
SELECT is((SELECT seq >> 16 FROM longhaul.ready WHERE priority = 7), 1::bigint, 'of one priority');
SELECT is(pg_temp.claim(9), 'alice alice bob alice alice alice alice', 'in the order of the turns');
SELECT longhaul.submit('a', '{}', p_client => 'alice', p_run_at => now() + interval '1 hour') \gset
SELECT is(longhaul.take_turns(:a, 0::smallint, 'alice', 1), :now::bigint + 5, 'a job for later takes no turn');
RESET ALL;
SELECT is(longhaul.take_turns(:a, 0::smallint, 'x', 3), :now::bigint + 5, 'three turns of a client');
SELECT is(longhaul.take_turns(:a, 0::smallint, 'x', 1), :now::bigint + 8, 'the next is behind them');
SELECT count(longhaul.take_turns(:a, 0::smallint, 'y ' || n, 1)) FROM generate_series(1, 1000) n \gset
SELECT is((SELECT count(*) FROM generate_series(0, 100) n WHERE current_setting('longhaul.turn_' || n, true) <> ''), 64::bigint, 'a session remembers 64');
SELECT count(set_config('longhaul.turn_' || n, 'x', false)) FROM generate_series(0, 63) n \gset
SELECT is(longhaul.take_turns(:a, 0::smallint, 'x', 1), :now::bigint + 5, 'what it can''t read it forgets');

-- ---- delayed jobs ------------------------------------------------------------------------------------------
TRUNCATE longhaul.delayed;
SELECT count(t.submit('a', p_client => c, p_run_at => now() + interval '1 hour')) FROM unnest('{mary,mary,mary,nick}'::text[]) c \gset
UPDATE longhaul.delayed SET run_at = now() - interval '1 second' * CASE client WHEN 'mary' THEN 2 ELSE 1 END;
SELECT is(moved, 4, 'jobs whose time has come') FROM longhaul.promote_due(10);
SELECT is(pg_temp.claim(9), 'mary nick mary mary', 'take turns too');

-- ---- ageing ------------------------------------------------------------------------------------------------
-- A job of this priority that has waited so long.
CREATE FUNCTION pg_temp.old(p_client text, p_priority integer, p_age interval) RETURNS void LANGUAGE sql AS $$
    SELECT t.submit('aged', t.id(clock_timestamp() - p_age), p_client => p_client, p_priority => p_priority)
$$;
SELECT t.type('aged') AS aged \gset
SELECT pg_temp.old('low', 0, '1 hour'), pg_temp.old('high', 5, '0') \gset
SELECT is(pg_temp.claim(1, 'aged'), 'high', 'without ageing priorities are strict');
UPDATE longhaul.job_type SET ageing = '1 minute' WHERE name = 'aged';
SELECT pg_temp.old('high', 5, '0') \gset
SELECT is(pg_temp.claim(2, 'aged'), 'low high', 'an hour at a minute each is 60 priorities');
SELECT pg_temp.old('low', 0, '4 minutes'), pg_temp.old('high', 5, '0'), pg_temp.old('lowest', -100, '1 minute') \gset
SELECT is(pg_temp.claim(9, 'aged'), 'high low lowest', 'four minutes are less than five priorities');
-- Several of each: the heads are compared again and again.
SELECT count(pg_temp.old('low', 0, '10 minutes')), count(pg_temp.old('high', 5, n * interval '110 seconds')) FROM generate_series(5, 0, -1) n \gset
SELECT is(pg_temp.claim(5, 'aged'), 'high high high low low', 'an old head lets its priority go first until a younger one heads it');
SELECT is(pg_temp.claim(99, 'aged'), 'low low low low high high high', 'whose turn it is then');
-- A batch: by eighths.
SELECT count(pg_temp.old('low', 0, '10 minutes')), count(pg_temp.old('high', 5, '0')) FROM generate_series(1, 40) \gset
SELECT matches(pg_temp.claim(80, 'aged'), '^(low ){40}(high ?){40}$', 'forty and forty');
SELECT job_id AS j, fence AS f FROM pg_temp.old('x', 0, '10 minutes') o, t.claim(1, 'aged', 1) \gset
SELECT t.finish(1, :'j', :f, 5, NULL), pg_temp.old('y', 0, '1 hour') \gset
SELECT is(pg_temp.claim(2, 'aged'), 'x y', 'a job that was put back comes first in its priority');
SELECT is(pg_temp.claim(2, 'aged'), '', 'all is claimed');
-- Behind a cursor only.
SELECT pg_temp.old('low', 0, '1 hour'), pg_temp.old('high', 5, '0') \gset
SELECT is((SELECT string_agg(c.client, ' ') FROM longhaul.claim(t.boot(1), 900000, ARRAY[:aged, :aged], '{5,0}', ARRAY[0, 1::bigint << 60], '{1,1}', false) c), 'high', 'the head is that behind the cursor');
SELECT is(pg_temp.claim(2, 'aged'), 'low', '(the other)');

-- ---- max_running ------------------------------------------------------------------------------------------------
-- What the claim says about limits: 'jobs, cut short, wait'.
CREATE FUNCTION pg_temp.limited(p_type text, p_n integer, p_worker integer DEFAULT 1) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(', ', count(*) FILTER (WHERE job_id IS NOT NULL), CASE WHEN bool_or(job_id IS NULL AND type_id = t.type_id(p_type)) THEN 'cut' END,
                     CASE WHEN bool_or(job_id IS NULL AND seq IS NOT NULL) THEN 'wait' END)
      FROM t.claim(p_worker, p_type, p_n)
$$;
SELECT t.type('few', 'max_running = 3') AS few \gset
SELECT count(t.job('few')) FROM generate_series(1, 10) \gset
SELECT is((SELECT (limited, aged)::text FROM longhaul.worker_types('{few}')), '(t,f)', 'workers know that it has a limit');
SELECT is(pg_temp.limited('few', 2), '2', 'two of three');
SELECT is(pg_temp.limited('few', 2, 2), '1, cut', 'another worker gets the third only');
SELECT is(pg_temp.limited('few', 2), '0, cut', 'then nobody gets one');
SELECT is((SELECT string_agg(concat_ws(' ', type, max_running, running, rate_limit), ', ') FROM longhaul.limits), 'few 3 3', 'the view limits');
SELECT job_id AS j, fence AS f FROM longhaul.lease WHERE type_id = :few AND boot = :'w2' \gset
SELECT is(t.finish(2, :'j', :f), 1::smallint, 'one ends');
SELECT is(pg_temp.limited('few', 2, 2), '1, cut', 'then there is room for one');
SELECT job_id AS j, fence AS f FROM longhaul.lease WHERE type_id = :few AND boot = :'w2' \gset
SELECT is(t.finish(2, :'j', :f, 3, p_retry_ms => 60000), 1::smallint, 'one is to be tried again');
SELECT is(pg_temp.limited('few', 1, 2), '1', 'while it waits it doesn''t count; no more than asked for isn''t short');
SELECT t.die(2) \gset
SELECT is(pg_temp.limited('few', 1), '0, cut', 'a host that is late still holds its jobs');
SELECT is(longhaul.rescue(), 1, 'they are taken from it');
SELECT is(pg_temp.limited('few', 5), '1, cut', 'and count no more');
UPDATE longhaul.job_type SET max_running = 20 WHERE name = 'few';
SELECT is(pg_temp.limited('few', 20), '5', 'a higher limit; that all were claimed isn''t the limit''s doing');
UPDATE longhaul.job_type SET max_running = 2 WHERE name = 'few';
SELECT t.job('few') \gset
SELECT is(pg_temp.limited('few', 20), '0, cut', 'a lower one than run already');
UPDATE longhaul.job_type SET max_running = NULL WHERE name = 'few';
SELECT is(pg_temp.limited('few', 20), '1', 'none');
SELECT is((SELECT count(*) FROM longhaul.lease WHERE limited AND type_id <> :few), 0::bigint, 'leases of other types aren''t counted');
-- Two types in a claim, one with a limit.
UPDATE longhaul.job_type SET max_running = 1 WHERE name = 'b';
TRUNCATE longhaul.ready;
SELECT count(t.job(y)) FROM unnest('{a,a,a,b,b,b}'::text[]) y \gset
SELECT is((SELECT string_agg(c.type_id || CASE WHEN c.job_id IS NULL THEN ' cut' ELSE '' END, ',' ORDER BY c.fence)
             FROM longhaul.claim(t.boot(1), 950000, ARRAY[:a, :b], '{0,0}', '{0,0}', '{2,2}', false) c),
    format('%s,%1$s,%2$s,%2$s cut', :a, :b), 'one type''s limit doesn''t bind the other');

-- ---- rate limit ---------------------------------------------------------------------------------------------------
SELECT t.type('slow', 'rate_limit = 4, rate_period = ''1 hour''') AS slow \gset
SELECT count(t.job('slow')) FROM generate_series(1, 20) \gset
SELECT is(pg_temp.limited('slow', 3), '3', 'three of four');
SELECT is(pg_temp.limited('slow', 3, 1), '1, cut, wait', 'the fourth');
SELECT ok(seq BETWEEN 890000 AND 900000, 'then one each quarter of an hour') FROM t.claim(1, 'slow', 1) WHERE job_id IS NULL;
SELECT ok(full_in BETWEEN '59 minutes 50 seconds' AND '1 hour', 'the view tells when all four may begin again') FROM longhaul.limits WHERE type = 'slow';
UPDATE longhaul.type_rate SET full_at = full_at - interval '15 minutes' WHERE type_id = :slow;
SELECT is(pg_temp.limited('slow', 3), '1, cut, wait', 'after a quarter of an hour one');
UPDATE longhaul.type_rate SET full_at = full_at - interval '35 minutes' WHERE type_id = :slow;
SELECT is(pg_temp.limited('slow', 3), '2, cut, wait', 'after 35 minutes two');
UPDATE longhaul.type_rate SET full_at = full_at - interval '1 day' WHERE type_id = :slow;
SELECT is(pg_temp.limited('slow', 9), '4, cut, wait', 'after a day no more than four');
UPDATE longhaul.job_type SET rate_limit = 1000, rate_period = '1 second' WHERE name = 'slow';
UPDATE longhaul.type_rate SET full_at = now() + interval '1 hour' WHERE type_id = :slow;
SELECT is(pg_temp.limited('slow', 1), '0, cut, wait', 'a new rate counts');
SELECT ok(seq BETWEEN 1 AND 5, 'and no debt is longer than its period') FROM t.claim(1, 'slow', 1) WHERE job_id IS NULL;
UPDATE longhaul.job_type SET rate_limit = 10, rate_period = '1 hour', max_running = (SELECT count(*) FROM longhaul.lease WHERE type_id = :slow) + 1 WHERE name = 'slow';
UPDATE longhaul.type_rate SET full_at = now() WHERE type_id = :slow;
SELECT is(pg_temp.limited('slow', 2), '1, cut', 'with both limits the tighter one cuts');
UPDATE longhaul.job_type SET rate_limit = NULL, max_running = NULL WHERE name = 'slow';
SELECT is(pg_temp.limited('slow', 2), '2', 'none');

SELECT throws_ok(format('UPDATE longhaul.job_type SET %s = %s WHERE name = ''a''', c, v), '23514', NULL, c || ' = ' || v || ' is refused')
  FROM (VALUES ('max_running', '0'), ('rate_limit', '0'), ('rate_period', '''0'''), ('ageing', '''0''')) x(c, v);

SELECT * FROM finish();
ROLLBACK;
