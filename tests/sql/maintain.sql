-- make_partitions and maintain: days ahead, lifetime, retention, what else is cleared away.
BEGIN;
SELECT no_plan();
SELECT t.type('test') AS test, t.type('brief', 'lifetime = ''1 hour'', retention = ''1 hour''') AS brief, t.worker(1) AS w1 \gset
CREATE FUNCTION pg_temp.days(p_parent text DEFAULT 'job') RETURNS text[] LANGUAGE sql AS $$
    SELECT array_agg(right(inhrelid::regclass::text, 8) ORDER BY right(inhrelid::regclass::text, 8)) FROM pg_inherits WHERE inhparent = ('longhaul.' || p_parent)::regclass
$$;
CREATE FUNCTION pg_temp.day(p_offset integer) RETURNS text LANGUAGE sql AS $$
    SELECT to_char((now() AT TIME ZONE 'UTC')::date + p_offset, 'YYYYMMDD')
$$;
-- Makes it drop_partitions' turn: the tests want all days gone, it takes one a call.
CREATE FUNCTION pg_temp.maintain() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 50 LOOP
        IF NOT longhaul.maintain() THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END
$$;

-- ---- partitions ahead ------------------------------------------------------------------------------------
SELECT is(pg_temp.days(), ARRAY(SELECT pg_temp.day(i) FROM generate_series(-1, 3) i), 'yesterday to three days ahead');
SELECT is(longhaul.maintain(), false, 'nothing to do');
SELECT is(longhaul.make_partitions((now() AT TIME ZONE 'UTC')::date - 1, (now() AT TIME ZONE 'UTC')::date + 5), 12, 'two more days');
SELECT is(longhaul.make_partitions((now() AT TIME ZONE 'UTC')::date - 1, (now() AT TIME ZONE 'UTC')::date + 5), 0, 'once');
SELECT is(pg_temp.days(p), ARRAY(SELECT pg_temp.day(i) FROM generate_series(-1, 5) i), p || ' has a part for each day') FROM unnest('{job,outcome,input_chunk,result_chunk}'::text[]) p;
SELECT format('DROP TABLE longhaul.job_%1$s, longhaul.outcome_%1$s, longhaul.input_chunk_%1$s, longhaul.result_chunk_%1$s', pg_temp.day(2)) \gexec
SELECT is(longhaul.maintain(), false, 'a day that is missing between others');
SELECT is(pg_temp.days(), ARRAY(SELECT pg_temp.day(i) FROM generate_series(-1, 5) i), 'is made');
SELECT is_empty($$ SELECT i.inhrelid::regclass, c.contype FROM pg_inherits i JOIN pg_constraint c ON c.conrelid = i.inhrelid
                    WHERE i.inhparent = 'longhaul.job'::regclass AND c.contype <> 'p' $$, 'no helping constraint is left');
SELECT is((SELECT array_agg(DISTINCT pg_get_expr(c.relpartbound, c.oid) !~ '[1-9a-f]0000-0000-0000-0000-0*[1-9a-f]') FROM pg_class c WHERE c.oid = ('longhaul.job_' || pg_temp.day(0))::regclass), '{t}', 'bounds are those of the day');
SELECT is((SELECT count(DISTINCT (SELECT array_agg(indexdef ORDER BY indexdef) FROM (SELECT regexp_replace(indexdef, '_?\d{8}\w*', '', 'g') AS indexdef FROM pg_indexes WHERE schemaname = 'longhaul' AND tablename = 'outcome_' || d) x))
             FROM unnest(pg_temp.days()) d), 1::bigint, 'all days have the same indexes');
SELECT is((SELECT count(*) FROM pg_proc WHERE proname = 'status_on_' || pg_temp.day(5)), 1::bigint, 'and their status function');

-- ---- lifetime ---------------------------------------------------------------------------------------------
-- Makes a job as old as if it had been submitted back then.
CREATE FUNCTION pg_temp.age(p_job uuid, p_by interval) RETURNS void LANGUAGE sql AS $$
    UPDATE longhaul.job SET created_at = created_at - p_by WHERE id = p_job
$$;
CREATE FUNCTION pg_temp.old(p_type text, p_by interval, p_waiter bigint DEFAULT NULL) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid := (t.submit(p_type, t.id(clock_timestamp() - p_by), p_waiter => p_waiter)).job_id;
BEGIN
    PERFORM pg_temp.age(v_id, p_by);
    RETURN v_id;
END
$$;
SELECT pg_temp.old('brief', '2 hours') AS backoff \gset
SELECT t.finish(1, job_id, fence, 3) AS c FROM t.start(1, 'brief') \gset
SELECT pg_temp.old('brief', '2 hours') AS claimed \gset
SELECT fence AS f1 FROM t.start(1, 'brief') \gset
SELECT t.progress(1, :'claimed', :f1, 5, 7, 9, 'far') AS p \gset
SELECT pg_temp.old('brief', '2 hours') AS back \gset
SELECT t.finish(1, job_id, fence, 5) AS c FROM t.start(1, 'brief') \gset
SELECT pg_temp.old('brief', '2 hours') AS queued \gset
SELECT job_id AS later FROM t.submit('brief', t.id(clock_timestamp() - interval '2 hours'), p_run_at => now() + interval '1 day') \gset
SELECT pg_temp.age(:'later', '2 hours') AS a \gset
SELECT job_id AS skewed FROM t.submit('brief', t.id(clock_timestamp() - interval '2 hours')) \gset
SELECT pg_temp.old('brief', '30 minutes') AS young \gset
SELECT pg_temp.old('test', '1 day') AS patient \gset
SELECT is((SELECT array_agg(n || ' ' || t.stands(i) ORDER BY n) FROM (VALUES (1, :'claimed'::uuid), (2, :'back'), (3, :'backoff'), (4, :'queued'), (5, :'later'), (6, :'skewed'), (7, :'young'), (8, :'patient')) x(n, i)),
    '{"1 InProgress 2.2","2 Queued 3.0","3 Queued 3.0","4 Queued 1.0","5 Queued 1.0","6 Queued 1.0","7 Queued 1.0","8 Queued 1.0"}', '(jobs in every state)');
SELECT is(pg_temp.maintain(), true, 'maintain');
SELECT is((SELECT array_agg(n || ' ' || t.stands(i) ORDER BY n) FROM (VALUES (1, :'claimed'::uuid), (2, :'back'), (3, :'backoff'), (4, :'queued'), (5, :'later'), (6, :'skewed'), (7, :'young'), (8, :'patient')) x(n, i)),
    '{"1 Failed 3.0","2 Failed 4.0","3 Failed 4.0","4 Failed 2.0","5 Failed 2.0","6 Queued 1.0","7 Queued 1.0","8 Queued 1.0"}',
    'those past their lifetime have failed; not one whose id only comes from a clock that is behind');
SELECT is((SELECT array_agg(DISTINCT error->>'type') FROM longhaul.outcome), '{expired}', 'as expired');
SELECT is((SELECT (attempt, done, total, message, started_at IS NOT NULL) FROM longhaul.outcome WHERE job_id = :'claimed'), (1, 7::bigint, 9::bigint, 'far'::text, true), 'how far it had come is kept');
SELECT is((SELECT count(*) FROM longhaul.ready) + (SELECT count(*) FROM longhaul.delayed) + (SELECT count(*) FROM longhaul.lease), 3::bigint, 'nothing else is left of them in the queue');
SELECT is(t.progress(1, :'claimed', :f1), false, 'the worker of the one that ran is told');
SELECT is(t.finish(1, :'claimed', :f1), 0::smallint, 'and can''t finish it');
SELECT is(longhaul.expire_jobs(10), 0, 'once');
SELECT count(pg_temp.old('brief', '2 hours')) FROM generate_series(1, 25) \gset
SELECT is(longhaul.expire_jobs(10) || ' ' || longhaul.expire_jobs(10) || ' ' || longhaul.expire_jobs(10) || ' ' || longhaul.expire_jobs(10), '10 10 5 0', 'in bounded steps');

-- ---- retention -------------------------------------------------------------------------------------------------
DELETE FROM longhaul.ready;
SELECT t.id() AS j \gset
SELECT longhaul.input_chunk_put(:'j', 0, 'in') AS x, (t.submit('test', :'j', p_input => NULL, p_fingerprint => 'f', p_input_size => 2, p_key => 'K')).code \gset
SELECT fence AS f FROM t.start(1, 'test') \gset
SELECT longhaul.result_chunk_put(:'w1', :'j', :f, 0, 'out'), t.finish(1, :'j', :f, 1, p_result_size => 3) \gset
SELECT t.job('test') AS keeps \gset
SELECT t.finish(1, job_id, fence, 1) AS c FROM t.start(1, 'test') \gset
UPDATE longhaul.outcome SET expires_at = now() - interval '1 second' WHERE job_id = :'j';
SELECT is(pg_temp.maintain(), true, 'maintain');
SELECT is((SELECT count(*) FROM longhaul.job WHERE id = :'j') + (SELECT count(*) FROM longhaul.outcome WHERE job_id = :'j')
        + (SELECT count(*) FROM longhaul.input_chunk WHERE job_id = :'j') + (SELECT count(*) FROM longhaul.result_chunk WHERE job_id = :'j'), 0::bigint,
    'a job past its retention is gone, with input and result');
SELECT is(t.stands(:'keeps'), 'Completed 3.0', 'another stays');
SELECT is(code, 5::smallint, 'its key says so') FROM t.submit('test', p_input => NULL, p_fingerprint => 'f', p_input_size => 2, p_key => 'K');
UPDATE longhaul.outcome SET expires_at = now() - interval '1 second';
SELECT is(longhaul.purge_jobs(20) || ' ' || longhaul.purge_jobs(20) || ' ' || longhaul.purge_jobs(20), '20 11 0', 'in bounded steps');

-- ---- the rest ------------------------------------------------------------------------------------------------------
UPDATE longhaul.idempotency_key SET created_at = now() - interval '25 hours';
SELECT code FROM t.submit('test', p_key => 'young') \gset
SELECT longhaul.watch(ARRAY[t.id()], 1) AS w \gset
UPDATE longhaul.waiter SET created_at = now() - interval '3 minutes';
SELECT longhaul.watch(ARRAY[:'keeps']::uuid[], 1) AS w \gset
SELECT t.worker(2) AS w2, t.worker(3) AS w3, t.worker(4) AS w4 \gset
SELECT longhaul.worker_stop(t.boot(2)), longhaul.worker_stop(t.boot(3)), t.die(4), longhaul.rescue() \gset
SELECT t.worker(5) AS w5, t.job('test') AS held \gset
SELECT count(*) AS c FROM t.claim(5, 'test') \gset
UPDATE longhaul.worker SET stopped_at = now() - interval '25 hours' WHERE boot IN (t.boot(2), t.boot(5));
UPDATE longhaul.worker SET dead_at = now() - interval '25 hours' WHERE boot = t.boot(4);
INSERT INTO longhaul.cancel_request VALUES (t.id(), t.boot(1), now() - interval '3 minutes'), (t.id(), t.boot(1), now());
SELECT is(pg_temp.maintain(), true, 'maintain');
SELECT is((SELECT array_agg(key::text) FROM longhaul.idempotency_key), '{young}', 'idempotency keys go after a day');
SELECT is((SELECT array_agg(job_id) FROM longhaul.waiter), ARRAY[:'keeps']::uuid[], 'waiters after two minutes');
SELECT is((SELECT array_agg(boot ORDER BY boot) FROM longhaul.worker), ARRAY[t.boot(1), t.boot(3), t.boot(5)], 'workers a day after their end, if they hold nothing');
SELECT is((SELECT count(*) FROM longhaul.cancel_request), 1::bigint, 'cancel requests of jobs that have ended');

-- ---- days that are over ----------------------------------------------------------------------------------------------
-- Days in the past, with jobs put there by hand.
SELECT longhaul.make_partitions((now() AT TIME ZONE 'UTC')::date - 10, (now() AT TIME ZONE 'UTC')::date - 2) \gset
CREATE FUNCTION pg_temp.put(p_days integer, p_status integer, p_expires interval) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid := t.id(now() - p_days * interval '1 day');
BEGIN
    INSERT INTO longhaul.job (id, type_id, client, priority, input_size, seq, created_at, fingerprint, media_type)
    VALUES (v_id, t.type_id('test'), 'alice', 0, 0, nextval('longhaul.ready_seq'), now() - p_days * interval '1 day', '', '');
    IF p_status IS NOT NULL THEN
        INSERT INTO longhaul.outcome (job_id, status, attempt, gen, ended_at, expires_at) VALUES (v_id, p_status, 1, 3, now(), now() + p_expires);
    END IF;
    RETURN v_id;
END
$$;
SELECT pg_temp.put(9, NULL, NULL) AS live, pg_temp.put(8, 3, '1 hour') AS kept, pg_temp.put(7, 3, '-1 hour') AS expired \gset
SELECT count(pg_temp.put(6, 3, '-1 hour')) FROM generate_series(1, 3000) \gset
SELECT is(longhaul.maintain(), true, 'one day at a time, and more is to be done');
SELECT is(pg_temp.maintain(), true, 'until nothing is');
SELECT is(pg_temp.days(), ARRAY[pg_temp.day(-9), pg_temp.day(-8)] || ARRAY(SELECT pg_temp.day(i) FROM generate_series(-2, 5) i),
    'days without jobs go, and those of which all has expired; not one with a live job or a result that is kept, nor the last two');
SELECT is(pg_temp.days(p), pg_temp.days(), p || ' too') FROM unnest('{outcome,input_chunk,result_chunk}'::text[]) p;
SELECT is((SELECT array_agg(right(proname, 8) ORDER BY proname) FROM pg_proc WHERE proname LIKE 'status\_on\_%'), pg_temp.days(), 'and the status functions');
SELECT is((SELECT array_agg(t.stands(i)) FROM unnest(ARRAY[:'live', :'kept', :'expired']::uuid[]) i), '{Queued 1.0,Completed 3.0,NULL}', 'what is kept can be seen');
SELECT is((SELECT count(*) FROM longhaul.list_jobs('alice', NULL, 3::smallint, NULL, NULL, 200)), 1::bigint, 'and listed');
SELECT lives_ok($$ SELECT t.job('test') $$, 'submits go on');

SELECT * FROM finish();
ROLLBACK;
