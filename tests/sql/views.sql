-- The views show what they promise, empty and full, and the functions that DBAs use beside them.
BEGIN;
SELECT no_plan();
SELECT lives_ok(format('SELECT * FROM longhaul.%I', v), v || ' of an empty database') FROM unnest('{jobs,running,queue_depth,workers,stuck,throughput,slowest,partitions}'::text[]) v;
SELECT is((SELECT count(*) FROM longhaul.jobs) + (SELECT count(*) FROM longhaul.stuck), 0::bigint, 'nothing is stuck in it');

SELECT t.type('test') AS test, t.type('lonely') AS lonely, t.type('halted', 'paused = true') AS halted, t.worker(1) AS w1, t.worker(2) AS w2, t.worker(3) AS w3 \gset
SELECT alive FROM longhaul.worker_beat(t.boot(1), 30000, ARRAY[:test, :halted], '{4,1}', '{1,0}', '{2,0}', '{100,NULL}', '{0,0}') \gset
SELECT t.job('test') AS done \gset
SELECT t.finish(1, job_id, fence, 1, p_result => 'abc') AS c FROM t.start(1, 'test') \gset
SELECT t.job('test') AS failed \gset
SELECT t.finish(1, job_id, fence, 2, p_error => '{"title":"no"}') AS c FROM t.start(1, 'test') \gset
SELECT t.job('test') AS runs \gset
SELECT fence AS f FROM t.start(1, 'test') \gset
SELECT t.progress(1, :'runs', :f, 700000, 1, 3, 'a third') AS p, longhaul.cancel_job(:'runs', 'alice') AS c \gset
SELECT t.job('test') AS orphan \gset
SELECT fence AS g FROM t.start(2, 'test') \gset
SELECT t.die(2), longhaul.worker_stop(t.boot(3)) \gset
SELECT t.job('test') AS ahead \gset
SELECT count(*) AS c FROM t.claim(1, 'test') \gset
SELECT t.job('test') AS waits, (t.submit('test', p_run_at => now() + interval '1 hour')).job_id AS later, t.job('lonely') AS alone, t.job('halted') AS paused \gset
UPDATE longhaul.lease SET started_at = now() - interval '20 minutes', progress_at = now() - interval '11 minutes' WHERE job_id = :'runs';

SELECT is((SELECT array_agg(concat_ws(' ', type, status, attempt, host, done, total, message) ORDER BY id) FROM longhaul.jobs WHERE id IN (:'done', :'failed', :'runs', :'ahead', :'later')),
    (SELECT array_agg(x ORDER BY i) FROM (VALUES (:'done'::uuid, 'test Completed 1 host1'), (:'failed', 'test Failed 1 host1'), (:'runs', 'test InProgress 1 host1 1 3 a third'),
        (:'ahead', 'test Queued 1 host1'), (:'later', 'test Queued 0')) v(i, x)), 'jobs');
SELECT is((SELECT (error->>'title', result_size, run_at IS NULL, ended_at IS NOT NULL) FROM longhaul.jobs WHERE id = :'failed'), ('no'::text, NULL::bigint, true, true), 'jobs: how one ended');
SELECT is((SELECT array_agg(concat_ws(' ', type, host, attempt, started_at IS NOT NULL, done, total, percent, message, cancel_requested_at IS NOT NULL) ORDER BY id) FROM longhaul.running WHERE id <> :'orphan'),
    ARRAY(SELECT x FROM (VALUES (:'runs'::uuid, 'test host1 1 t 1 3 33.3 a third t'), (:'ahead', 'test host1 1 f f')) v(i, x) ORDER BY i), 'running');
SELECT is((SELECT array_agg(concat_ws(' ', type, depth, more, running, slots, workers, head_age BETWEEN '0' AND '1 min', finish_per_s, mean_ms, delayed, paused) ORDER BY type) FROM longhaul.queue_depth WHERE type IN ('test', 'lonely', 'halted')),
    '{"halted 1 f 0 1 1 t 0 0 t","lonely 1 f 0 0 0 t 0 0 f","test 1 f 1 4 1 t 2 100 1 f"}', 'queue_depth');
SELECT is((SELECT array_agg(concat_ws(' ', host, state, serves) ORDER BY host) FROM longhaul.workers), '{"host1 alive halted 0/1, test 1/4","host2 late","host3 stopped"}', 'workers');
SELECT is((SELECT array_agg(concat_ws(' ', why, type, host) ORDER BY why, type) FROM longhaul.stuck),
    '{"its worker''s lease has run out test host2","no progress for ten minutes test host1","no worker serves this type lonely","the type is paused halted"}', 'stuck');
SELECT longhaul.rescue() \gset
SELECT is((SELECT state FROM longhaul.workers WHERE host = 'host2'), 'dead', 'workers: one that was found dead');
SELECT is((SELECT concat_ws(' ', type, ended, completed, failed, canceled) FROM longhaul.throughput), 'test 2 1 1 0', 'throughput');
SELECT is((SELECT array_agg(concat_ws(' ', type, status, attempt, host) ORDER BY status) FROM longhaul.slowest), '{"test Completed 1 host1","test Failed 1 host1"}', 'slowest');
SELECT is((SELECT array_agg((day - (now() AT TIME ZONE 'UTC')::date)::text || ' ' || tables ORDER BY day) FROM longhaul.partitions), '{"-1 4","0 4","1 4","2 4","3 4"}', 'partitions');

SELECT is(longhaul.status_word(n), w, 'status ' || n) FROM (VALUES (0, NULL), (1, 'Queued'), (2, 'InProgress'), (3, 'Completed'), (4, 'Failed'), (5, 'Canceled'), (6, NULL)) v(n, w);
SELECT is(longhaul.uuid_time(longhaul.uuid_at(x)), x, 'there and back: ' || x) FROM unnest('{1970-01-01 00:00Z,2026-10-02 10:58:12.114Z,2026-12-31 23:59:59.999Z,2199-12-31 23:59:59.999Z}'::timestamptz[]) x;
SELECT is(longhaul.uuid_at(x)::text, y, 'out of reach: ' || x) FROM (VALUES ('-infinity'::timestamptz, '00000000-0000-0000-0000-000000000000'), ('1969-12-31 23:59Z', '00000000-0000-0000-0000-000000000000'),
    ('infinity', 'ffffffff-ffff-0000-0000-000000000000'), ('12000-01-01', 'ffffffff-ffff-0000-0000-000000000000')) v(x, y);

SELECT * FROM finish();
ROLLBACK;
