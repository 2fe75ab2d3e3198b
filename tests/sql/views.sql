-- The views show what they promise, empty and full, and the functions that DBAs use beside them.
BEGIN;
SELECT no_plan();
SELECT lives_ok(format('SELECT * FROM longhaul.%I', v), v || ' of an empty database') FROM unnest('{jobs,running,waiting,queue_depth,client_depth,workers,dead_hosts,stuck,throughput,slowest,types_lately,partitions,estimates,limits,turns}'::text[]) v;
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
SELECT is((SELECT array_agg(concat_ws(' ', type, client, priority, host, attempt, started_at IS NOT NULL, done, total, percent, message, cancel_requested_at IS NOT NULL) ORDER BY id) FROM longhaul.running WHERE id <> :'orphan'),
    ARRAY(SELECT x FROM (VALUES (:'runs'::uuid, 'test alice 0 host1 1 t 1 3 33.3 a third t'), (:'ahead', 'test alice 0 host1 1 f f')) v(i, x) ORDER BY i), 'running');
SELECT is((SELECT array_agg(concat_ws(' ', type, depth, more, running, slots, workers, head_age BETWEEN '0' AND '1 min', finish_per_s, mean_ms, delayed, paused) ORDER BY type) FROM longhaul.queue_depth WHERE type IN ('test', 'lonely', 'halted')),
    '{"halted 1 f 0 1 1 t 0 0 t","lonely 1 f 0 0 0 t 0 0 f","test 1 f 1 4 1 t 2 100 1 f"}', 'queue_depth');
SELECT is((SELECT array_agg(concat_ws(' ', host, state, serves) ORDER BY host) FROM longhaul.workers), '{"host1 alive halted 0/1, test 1/4","host2 late","host3 stopped"}', 'workers');
SELECT is((SELECT array_agg(concat_ws(' ', why, type, host) ORDER BY why, type) FROM longhaul.stuck),
    '{"its worker''s lease has run out test host2","no progress for ten minutes test host1","no worker serves this type lonely","the type is paused halted"}', 'stuck');
SELECT is((SELECT array_agg(concat_ws(' ', host, state, silent_for BETWEEN '0' AND '1 minute', daemons, jobs_held, version) ORDER BY host) FROM longhaul.dead_hosts), '{"host2 late t 1 1 test","host3 stopped t 1 0 test"}', 'dead_hosts');
SELECT longhaul.rescue() \gset
SELECT is((SELECT array_agg(concat_ws(' ', host, state, jobs_held) ORDER BY host) FROM longhaul.dead_hosts), '{"host2 dead 0","host3 stopped 0"}', 'dead_hosts: its jobs were taken');
SELECT is((SELECT state FROM longhaul.workers WHERE host = 'host2'), 'dead', 'workers: one that was found dead');
SELECT is((SELECT concat_ws(' ', type, ended, completed, failed, canceled) FROM longhaul.throughput), 'test 2 1 1 0', 'throughput');
SELECT is((SELECT concat_ws(' ', type, ended, completed, failed, canceled, failed_percent, mean_wait > '0', mean_run > '0') FROM longhaul.types_lately), 'test 2 1 1 0 50.0 t t', 'types_lately');
SELECT is((SELECT array_agg(concat_ws(' ', type, status, attempt, host) ORDER BY status) FROM longhaul.slowest), '{"test Completed 1 host1","test Failed 1 host1"}', 'slowest');
SELECT is((SELECT array_agg((day - (now() AT TIME ZONE 'UTC')::date)::text || ' ' || tables ORDER BY day) FROM longhaul.partitions), '{"-1 6","0 6","1 6","2 6","3 6"}', 'partitions');

-- ---- what waits, and why -----------------------------------------------------------------------------------
SELECT t.type('capped', 'max_running = 1') AS capped, t.type('rated', 'rate_limit = 1, rate_period = ''1 hour''') AS rated, t.type('full') AS full, t.type('backoff', 'backoff_ms = 3600000, backoff_max_ms = 3600000') AS backoff \gset
SELECT t.job('capped') AS capped_1, t.job('capped') AS capped_2, t.job('rated') AS rated_1, t.job('rated') AS rated_2, t.job('full') AS full_1, t.job('full', 7, 'bob') AS full_2, t.job('backoff') AS backoff_1, t.job('backoff') AS backoff_2 \gset
SELECT alive FROM longhaul.worker_beat(t.boot(1), 30000, ARRAY[:test, :halted, :capped, :rated, :full, :backoff], '{4,1,2,2,3,2}', '{1,0,1,1,3,0}', '{2,0,0,0,0,0}', '{100,NULL,NULL,NULL,NULL,NULL}', '{0,0,0,0,0,0}') \gset
SELECT count(t.start(1, k)) AS n FROM unnest('{capped,rated}'::text[]) k \gset
SELECT t.finish(1, job_id, fence, 3) AS c FROM t.start(1, 'backoff') \gset
SELECT t.finish(1, job_id, fence, 6) AS c FROM t.start(1, 'backoff') \gset
SELECT longhaul.cancel_job((t.submit('test', p_run_at => now() + interval '1 hour')).job_id) AS c, (t.submit('test', p_run_at => now() + interval '1 hour')).job_id AS retried \gset
SELECT longhaul.cancel_job(:'retried'::uuid) AS c \gset
SELECT longhaul.retry_job(:'retried'::uuid) AS c, (t.submit('test', p_run_at => now() + interval '1 hour')).job_id AS due \gset
UPDATE longhaul.delayed SET run_at = now() - interval '1 second' WHERE job_id = :'due';
CREATE FUNCTION pg_temp.why(p_id uuid) RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', type, client, priority, why, until > now(), ahead, attempts) FROM longhaul.waiting WHERE id = p_id $$;
SELECT is(pg_temp.why(i), w, 'waiting: ' || w) FROM (VALUES (:'alone'::uuid, 'lonely alice 0 no worker serves its type 0 0'), (:'paused', 'halted alice 0 its type is paused 0 0'), (:'later', 'test alice 0 not before its time t 0'),
    (:'ahead', 'test alice 0 claimed ahead by host1 0'), (:'waits', 'test alice 0 its turn comes 1 0'), (:'orphan', 'test alice 0 its turn comes 0 0'), (:'capped_2', 'capped alice 0 max_running: 1 of 1 jobs of its type run 0 0'),
    (:'rated_2', 'rated alice 0 rate limit: 1 in 01:00:00 are used up t 0 0'), (:'full_1', 'full alice 0 all 3 slots are busy 1 0'), (:'full_2', 'full bob 7 all 3 slots are busy 0 0'),
    (:'backoff_1', 'backoff alice 0 backoff after attempt 1 t 1'), (:'backoff_2', 'backoff alice 0 backoff: its runner died t 0'),
    (:'retried', 'test alice 0 not before its time t 0'), (:'due', 'test alice 0 its time has come: a worker is about to move it on f 0')) v(i, w);
SELECT is(pg_temp.why(:'runs'), NULL, 'what runs doesn''t wait');
SELECT is(pg_temp.why(:'done'), NULL, 'nor what has ended');
SELECT is((SELECT count(*) FROM longhaul.waiting), (SELECT count(*) FROM longhaul.jobs WHERE status = 'Queued'), 'all that is Queued waits');
SELECT is((SELECT array_agg(concat_ws(' ', type, client, waiting, delayed, running, oldest_at IS NOT NULL, age > '0') ORDER BY client) FROM longhaul.client_depth WHERE type = 'full'),
    '{"full alice 1 0 0 t t","full bob 1 0 0 t t"}', 'client_depth: who waits');
SELECT is((SELECT array_agg(concat_ws(' ', type, client, waiting, delayed, running) ORDER BY type) FROM longhaul.client_depth WHERE type IN ('test', 'capped', 'backoff')),
    '{"backoff alice 0 2 0","capped alice 1 0 1","test alice 2 3 2"}', 'client_depth: what waits for a time and what runs');

SELECT longhaul.drain_host('host1') \gset
SELECT is(pg_temp.why(:'full_2'), 'full bob 7 the hosts that serve its type are drained 0 0', 'waiting: where nobody may claim');
SELECT longhaul.resume_host('host1') \gset

-- ---- estimates ---------------------------------------------------------------------------------------------
SELECT format('ANALYZE longhaul.%I, longhaul.%I', 'job_' || d, 'outcome_' || d) FROM to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD') d \gexec
SELECT is((SELECT rows_estimated FROM longhaul.estimates WHERE kind = 'table' AND name = 'job'), (SELECT count(*) FROM longhaul.job), 'estimates: what was just analysed is exact');
SELECT is((SELECT array_agg(name || ' ' || rows_estimated ORDER BY name) FROM longhaul.estimates WHERE kind = 'jobs that ended'), (SELECT array_agg(s || ' ' || n ORDER BY s) FROM (SELECT longhaul.status_word(status), count(*) FROM longhaul.outcome GROUP BY 1) x(s, n) WHERE n > 1), 'by status, if there are several');
SELECT ok((SELECT rows_estimated FROM longhaul.estimates WHERE (kind, name) = ('jobs of type', 'test')) = (SELECT count(*) FROM longhaul.job WHERE type_id = :test), 'by type');
SELECT ok((SELECT rows_estimated FROM longhaul.estimates WHERE (kind, name) = ('jobs of client', 'alice')) = (SELECT count(*) FROM longhaul.job WHERE client = 'alice'), 'by client');
SELECT ok(bytes > 0 AND size IS NOT NULL, 'with sizes') FROM longhaul.estimates WHERE name = 'outcome';
SELECT is(t.as_role('longhaul_dba', 'SELECT 1 / (count(*) FILTER (WHERE kind <> ''table'') > 2)::integer FROM longhaul.estimates'), '', 'a DBA sees them all');
SELECT is((SELECT array_agg(concat_ws(' ', jobs_estimated = (SELECT count(*) FROM longhaul.job), ended_estimated = (SELECT count(*) FROM longhaul.outcome), bytes > 0,
        drop_from BETWEEN (SELECT max(expires_at) FROM longhaul.outcome) - interval '1 second' AND (SELECT max(expires_at) FROM longhaul.outcome) + interval '1 day')) FROM longhaul.partitions WHERE day = (now() AT TIME ZONE 'UTC')::date),
    '{"t t t t"}', 'partitions: a day that was analysed goes when its last outcome expires');
SELECT is((SELECT array_agg(concat_ws(' ', jobs_estimated, drop_from AT TIME ZONE 'UTC' - day, drop_by AT TIME ZONE 'UTC' - day)) FROM longhaul.partitions WHERE day = (now() AT TIME ZONE 'UTC')::date + 3),
    '{"0 8 days 38 days"}', 'one without jobs, as the types say');

SELECT is(longhaul.status_word(n), w, 'status ' || n) FROM (VALUES (0, NULL), (1, 'Queued'), (2, 'InProgress'), (3, 'Completed'), (4, 'Failed'), (5, 'Canceled'), (6, NULL)) v(n, w);
SELECT is(longhaul.uuid_time(longhaul.uuid_at(x)), x, 'there and back: ' || x) FROM unnest('{1970-01-01 00:00Z,2026-10-02 10:58:12.114Z,2026-12-31 23:59:59.999Z,2199-12-31 23:59:59.999Z}'::timestamptz[]) x;
SELECT is(longhaul.uuid_at(x)::text, y, 'out of reach: ' || x) FROM (VALUES ('-infinity'::timestamptz, '00000000-0000-0000-0000-000000000000'), ('1969-12-31 23:59Z', '00000000-0000-0000-0000-000000000000'),
    ('infinity', 'ffffffff-ffff-0000-0000-000000000000'), ('12000-01-01', 'ffffffff-ffff-0000-0000-000000000000')) v(x, y);

SELECT * FROM finish();
ROLLBACK;
