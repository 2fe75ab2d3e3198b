-- Worker daemons: registration, beats, sign-off, and the rescue of what a dead one held.
BEGIN;
SELECT no_plan();
SELECT t.type('test', 'max_attempts = 3') AS test, t.type('other') AS other \gset

-- ---- a worker's life --------------------------------------------------------------------------------
SELECT t.worker(1, 30000) AS w1, t.worker(2) AS w2 \gset
SELECT ok(lease_until - clock_timestamp() BETWEEN '29 s' AND '30 s', 'its lease runs from its registration') FROM longhaul.worker WHERE boot = :'w1';
SELECT lives_ok($$ SELECT longhaul.worker_start(t.boot(1), 'elsewhere', 1, 'x', 1) $$, 'registered again, as after a broken commit');
SELECT is((SELECT host FROM longhaul.worker WHERE boot = :'w1'), 'host1', 'changes nothing');
UPDATE longhaul.worker SET lease_until = clock_timestamp() + interval '1 second' WHERE boot = :'w1';
CREATE FUNCTION pg_temp.beat(n integer) RETURNS TABLE (alive boolean, job_id uuid) LANGUAGE sql AS $$
    SELECT * FROM longhaul.worker_beat(t.boot(n), 30000, ARRAY[t.type_id('test'), t.type_id('other')], '{4,2}', '{1,0}', '{2.5,0}', '{100,NULL}', '{7,0}')
$$;
SELECT is((SELECT array_agg(b::text) FROM pg_temp.beat(1) b), '{"(t,)"}', 'a beat: alive, nothing to cancel');
SELECT ok(lease_until - clock_timestamp() BETWEEN '29 s' AND '30 s', 'and a new lease') FROM longhaul.worker WHERE boot = :'w1';
SELECT is((SELECT array_agg((type_id = :test, slots, running, finish_per_s, mean_ms, floor_seq)::text ORDER BY type_id) FROM longhaul.worker_type WHERE boot = :'w1'),
    '{"(t,4,1,2.5,100,7)","(f,2,0,0,,0)"}', 'what it serves');
SELECT is((SELECT count(*) FROM pg_temp.beat(1)), 1::bigint, 'again');
SELECT is((SELECT count(*) FROM longhaul.worker_type WHERE boot = :'w1'), 2::bigint, 'is written over');
SELECT is((SELECT array_agg(b::text) FROM longhaul.worker_beat(t.boot(1), 30000, '{}', '{}', '{}', '{}', '{}', '{}') b), '{"(t,)"}', 'a worker without types');
SELECT is((SELECT count(*) FROM longhaul.worker_type WHERE boot = :'w1'), 0::bigint, 'serves nothing');
SELECT is((SELECT count(*) FROM pg_temp.beat(1)), 1::bigint, 'until it says otherwise');
SELECT is((SELECT array_agg(b::text) FROM pg_temp.beat(9) b), '{"(f,)"}', 'nobody knows this one: not alive');

-- Cancel requests of its jobs come with the beat.
SELECT count(t.job('test')) FROM generate_series(1, 3) \gset
SELECT count(t.job('test')) FROM generate_series(1, 1) \gset
SELECT array_agg(job_id ORDER BY job_id) AS mine FROM t.claim(1, 'test', 3) \gset
SELECT job_id AS theirs FROM t.claim(2, 'test', 1) \gset
SELECT is((SELECT array_agg(longhaul.cancel_job(i, 'alice')) FROM unnest(:'mine'::uuid[]) i WHERE i <> (:'mine'::uuid[])[3]), '{2,2}', 'two are to be canceled');
SELECT is(longhaul.cancel_job(:'theirs', 'alice'), 2::smallint, 'and one of another worker');
SELECT is((SELECT array_agg(job_id ORDER BY job_id) FROM pg_temp.beat(1) WHERE alive), (:'mine'::uuid[])[1:2], 'a worker is told its own');

-- ---- signing off ------------------------------------------------------------------------------------------
SELECT lives_ok($$ SELECT longhaul.worker_stop(t.boot(1)) $$, 'signed off with jobs in hand');
SELECT is((SELECT array_agg(t.stands(i)) FROM unnest(:'mine'::uuid[]) i), '{Canceled 3.0,Canceled 3.0,Queued 3.0}', 'what was to be canceled is, the rest is put back');
SELECT is((SELECT (attempt, boot) FROM longhaul.lease WHERE job_id = (:'mine'::uuid[])[3]), (0, NULL::uuid), 'with no attempt burned');
SELECT is((SELECT array_agg(b::text) FROM pg_temp.beat(1) b), '{"(f,)"}', 'no beat revives it');
SELECT is((SELECT count(*) FROM longhaul.worker_type WHERE boot = :'w1'), 0::bigint, 'it serves nothing');
SELECT is(longhaul.rescue(), 0, 'there is nothing to rescue');
SELECT is((SELECT dead_at FROM longhaul.worker WHERE boot = :'w1'), NULL::timestamptz, 'and it isn''t called dead');
SELECT lives_ok($$ SELECT longhaul.worker_stop(t.boot(1)), longhaul.worker_stop(t.boot(9)) $$, 'twice, or by nobody, does nothing');

-- ---- rescue -----------------------------------------------------------------------------------------------------
SELECT t.worker(3) AS w3 \gset
SELECT job_id AS ahead FROM t.claim(3, 'test') \gset
SELECT is(:'ahead'::uuid, (:'mine'::uuid[])[3], '(a job that is claimed ahead)');
SELECT t.job('test') AS j \gset
SELECT fence AS f FROM t.start(3, 'test') \gset
SELECT t.progress(3, :'j', :f, 10, 5, 10, 'working') \gset
SELECT is(longhaul.rescue(), 0, 'as long as the lease runs nothing is taken');
SELECT t.die(3) \gset
SELECT is(longhaul.rescue(), 2, 'when it has run out, all is');
SELECT ok((SELECT dead_at IS NOT NULL FROM longhaul.worker WHERE boot = :'w3'), 'the worker is dead');
SELECT is((SELECT array_agg(b::text) FROM pg_temp.beat(3) b), '{"(f,)"}', 'and learns of it by its next beat');
SELECT is(longhaul.rescue(), 0, 'once');
SELECT is((SELECT array_agg((job_id = :'j', boot, fence, attempt, host_deaths, started_at, done, message, gen)::text ORDER BY job_id = :'j') FROM longhaul.lease WHERE job_id IN (:'j', :'ahead')),
    '{"(f,,,0,0,,,,5)","(t,,,0,1,,,,3)"}', 'no attempt is burned; the death counts against the one that had begun');
SELECT is((SELECT array_agg((job_id = :'j', seq < 0, attempt)::text ORDER BY job_id = :'j') FROM longhaul.ready WHERE job_id IN (:'j', :'ahead')), '{"(f,t,0)","(t,t,0)"}', 'both go before the others');
SELECT is(t.progress(3, :'j', :f), false, 'the dead one''s progress is refused');
SELECT is(t.finish(3, :'j', :f), 0::smallint, 'its finish too');
SELECT is(longhaul.result_chunk_put(:'w3', :'j', :f, 0, 'x'), false, 'and its results');

-- While the server was down nobody could beat: a lease gets its length once more from the start on.
SELECT t.worker(5) AS w5 \gset
SELECT t.start(5, 'test') \gset
UPDATE longhaul.worker SET lease_until = clock_timestamp() - interval '1 s', beat_at = clock_timestamp() - interval '10 years' WHERE boot = :'w5';
SELECT is(longhaul.rescue(), 0, 'a lease that is longer than the server has been up is not taken');
UPDATE longhaul.worker SET beat_at = lease_until WHERE boot = :'w5';
SELECT is(longhaul.rescue(), 1, 'a shorter one is');

-- A worker that is late but beats before anybody looks goes on.
SELECT t.worker(4) AS w4 \gset
SELECT fence AS f, job_id AS j4 FROM t.start(4, 'test') \gset
SELECT t.die(4) \gset
SELECT is((SELECT array_agg(b::text) FROM pg_temp.beat(4) b), '{"(t,)"}', 'a late beat is still in time');
SELECT is(longhaul.rescue(), 0, 'then nothing is taken');
SELECT ok(t.progress(4, :'j4', :f), 'and its lease holds');

-- Several dead at once; a cancel request is honoured.
SELECT is(longhaul.cancel_job(:'j4', 'alice'), 2::smallint, 'to be canceled');
SELECT t.die(4), t.die(2) \gset
SELECT is(longhaul.rescue(), 2, 'two dead workers at once');
SELECT is(t.stands(:'j4'), 'Canceled ' || (SELECT gen || '.0' FROM longhaul.outcome WHERE job_id = :'j4'), 'what was to be canceled is not tried again');
SELECT is(t.stands(:'theirs'), 'Canceled 3.0', 'in either');
SELECT is((SELECT count(*) FROM longhaul.cancel_request), 0::bigint, 'and nothing is left of the requests');

-- Five hosts. The last time it is canceled in vain.
DELETE FROM longhaul.ready;
SELECT t.job('test') AS j \gset
CREATE FUNCTION pg_temp.kill(n integer) RETURNS integer LANGUAGE sql AS $$
    SELECT t.worker(n);
    SELECT t.start(n, 'test');
    SELECT t.die(n);
    SELECT longhaul.rescue()
$$;
SELECT is((SELECT array_agg(pg_temp.kill(n)) FROM generate_series(11, 14) n), '{1,1,1,1}', 'four hosts are lost with a job begun');
SELECT is((SELECT (host_deaths, attempt, boot) FROM longhaul.lease WHERE job_id = :'j'), (4::smallint, 0, NULL::uuid), 'it is still tried');
SELECT t.worker(20) AS w20, (SELECT count(*) FROM t.claim(20, 'test')), t.die(20), longhaul.rescue() \gset
SELECT is((SELECT host_deaths FROM longhaul.lease WHERE job_id = :'j'), 4::smallint, 'a host that had only claimed it ahead doesn''t count');
SELECT is(pg_temp.kill(15), 1, 'the fifth');
SELECT is((SELECT (longhaul.status_word(status), error->>'type', attempt, started_at IS NOT NULL) FROM longhaul.outcome WHERE job_id = :'j'), ('Failed'::text, 'host-lost'::text, 1, true),
    'is one too many: failed, in its first attempt');
SELECT is((SELECT count(*) FROM longhaul.lease WHERE job_id = :'j') + (SELECT count(*) FROM longhaul.ready WHERE job_id = :'j'), 0::bigint, 'and gone from the queue');
SELECT longhaul.retry_job(:'j', 'alice') AS r \gset
SELECT is((SELECT host_deaths FROM longhaul.lease WHERE job_id = :'j'), 0::smallint, 'a retry by hand forgets it');

-- A job whose lease was locked when its worker was found dead is taken by a later rescue.
SELECT t.worker(21) AS w21 \gset
SELECT fence AS f FROM t.start(21, 'test') \gset
UPDATE longhaul.worker SET dead_at = clock_timestamp(), lease_until = clock_timestamp() WHERE boot = :'w21';
SELECT is(longhaul.rescue(), 1, 'leases that a dead worker still holds are taken too');
SELECT is(longhaul.rescue(), 0, 'once');

SELECT * FROM finish();
ROLLBACK;
