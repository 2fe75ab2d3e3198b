-- Webhooks: what is told and to whom, claims that are fair, reports and their fences, redelivery, upkeep.
BEGIN;
SELECT no_plan();
SELECT t.type('test') AS test, t.type('other') AS other, t.worker(1) AS w1, t.worker(2) AS w2 \gset

-- ---- helpers ---------------------------------------------------------------------------------------
CREATE FUNCTION pg_temp.hook(p_client text DEFAULT 'alice', p_types integer[] DEFAULT NULL, p_url text DEFAULT 'https://example.com/hook',
                             p_events text[] DEFAULT '{job.completed,job.failed,job.canceled}') RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid := t.id();
BEGIN
    IF longhaul.webhook_create(v_id, p_client, p_url, p_types, p_events, 'd', 'https://api.example.com', 'https://problems/', sha256(v_id::text::bytea)) = 1 THEN
        RETURN v_id;
    END IF;
    RETURN NULL;
END
$$;
-- A job that has ended: verdict as in finish_batch. p_webhook: with its own URL.
CREATE FUNCTION pg_temp.ended(p_verdict integer DEFAULT 1, p_client text DEFAULT 'alice', p_type text DEFAULT 'test',
                              p_webhook text DEFAULT NULL, p_error text DEFAULT NULL) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid := t.id();
BEGIN
    PERFORM longhaul.submit_batch(ARRAY[v_id], ARRAY[t.type_id(p_type)], ARRAY[p_client], '{0}', '{NULL}', '{a/b}', ARRAY['x'::bytea], '{1}', '{NULL}',
        ARRAY['f'::bytea], '{NULL}', '{00-1-2-01}', '{NULL}', ARRAY[p_webhook], ARRAY['https://job.example.com'], ARRAY['urn:p:']);
    PERFORM t.finish(1, b.job_id, b.fence, p_verdict, p_error => p_error) FROM t.start(1, p_type) b;
    RETURN v_id;
END
$$;
CREATE SEQUENCE pg_temp.wf;
CREATE FUNCTION pg_temp.claim(n integer DEFAULT 1, p_limit integer DEFAULT 100, p_per_lane integer DEFAULT 4, p_after uuid DEFAULT NULL,
                              p_per_client integer DEFAULT 1000, p_clients text[] DEFAULT '{}', p_client_room integer[] DEFAULT '{}')
RETURNS TABLE (delivery_id uuid, fence bigint, attempt integer, lane uuid, url text, event text, payload text, secret1 bytea, secret2 bytea,
               secret3 bytea, client text, job_id uuid, created_at timestamptz, traceparent text) LANGUAGE sql AS $$
    SELECT * FROM longhaul.webhook_claim(t.boot(n), setval('pg_temp.wf', nextval('pg_temp.wf') + p_limit), p_limit, p_per_lane, p_after, p_per_client, p_clients, p_client_room)
$$;
CREATE FUNCTION pg_temp.report(n integer, p_id uuid, p_fence bigint, p_verdict integer, p_code integer DEFAULT NULL, p_error text DEFAULT NULL,
                               p_retry_ms bigint DEFAULT NULL) RETURNS smallint LANGUAGE sql AS $$
    SELECT f.code FROM longhaul.webhook_finish_batch(t.boot(n), ARRAY[p_id], ARRAY[p_fence], ARRAY[p_verdict::smallint], ARRAY[p_code], ARRAY[p_error], '{12}',
                                                     '{1791200000123}', ARRAY[p_retry_ms]) f
$$;
-- 'completed pending 0': deliveries of a job, or of a webhook.
CREATE FUNCTION pg_temp.deliveries(p_id uuid) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', event, (ARRAY['pending', 'delivered', 'failed', 'dropped'])[status], attempts), ', ' ORDER BY id)
      FROM longhaul.webhook_delivery WHERE job_id = p_id OR webhook_id = p_id
$$;
CREATE FUNCTION pg_temp.clear() RETURNS void LANGUAGE sql AS $$
    DELETE FROM longhaul.webhook; DELETE FROM longhaul.webhook_queue; DELETE FROM longhaul.webhook_delivery; DELETE FROM longhaul.webhook_try;
    DELETE FROM longhaul.webhook_secret; DELETE FROM longhaul.job_webhook;
$$;

-- ---- who is told what ------------------------------------------------------------------------------
SELECT pg_temp.ended() AS j \gset
SELECT is((SELECT count(*) FROM longhaul.webhook_delivery), 0::bigint, 'without webhooks nothing is to be delivered');
SELECT pg_temp.hook() AS h, pg_temp.hook('bob') AS hb \gset
SELECT pg_temp.hook('alice', ARRAY[:other]) AS ho, pg_temp.hook('alice', NULL, 'https://b.example.com', '{job.failed}') AS hf \gset
SELECT pg_temp.ended() AS j \gset
SELECT is(pg_temp.deliveries(:'j'), 'job.completed pending 0', 'one delivery to the one webhook that asked for it');
SELECT is((SELECT (webhook_id, client, lane, job_id, url, traceparent)::text FROM longhaul.webhook_delivery), (:'h'::uuid, 'alice'::text, longhaul.webhook_lane(:'h'), :'j'::uuid, NULL::text, '00-1-2-01'::text)::text, 'with its particulars');
SELECT is((SELECT (d.id, d.lane, true, NULL::uuid, 0) FROM longhaul.webhook_delivery d), (SELECT (q.delivery_id, q.lane, q.due_at <= clock_timestamp(), q.boot, q.attempt) FROM longhaul.webhook_queue q), 'it waits in the queue');
SELECT is((SELECT (payload::json->>'type', payload::json->>'version', payload::json->>'timestamp', payload::json->'data'->>'jobId')::text FROM longhaul.webhook_delivery),
          (SELECT ('job.completed', to_hex(s.version), longhaul.rfc3339(s.ended_at), :'j')::text FROM t.status(:'j') s), 'the payload: type, version, time, job');
SELECT is((SELECT (payload::json->'data')::text FROM longhaul.webhook_delivery), longhaul.job_document(:'j', 'https://api.example.com', 'https://problems/'), 'its data is the job''s document');
SELECT pg_temp.clear() \gset
SELECT pg_temp.hook('alice', ARRAY[:other]) AS ho, pg_temp.hook('alice', NULL, 'https://b.example.com', '{job.failed,job.canceled}') AS hf \gset
SELECT pg_temp.ended(2) AS j1, pg_temp.ended(4) AS j2, pg_temp.ended(1, 'alice', 'other') AS j3, pg_temp.ended(1, 'bob') AS j4 \gset
SELECT is(pg_temp.deliveries(:'hf'), 'job.failed pending 0, job.canceled pending 0', 'a webhook for some events');
SELECT is(pg_temp.deliveries(:'ho'), 'job.completed pending 0', 'a webhook for some types');
SELECT is(pg_temp.deliveries(:'j4'), NULL, 'of another client''s jobs nothing');
SELECT t.job('test') AS j \gset
SELECT is(longhaul.cancel_job(:'j', 'alice'), 1::smallint, 'canceled while it waits');
SELECT is(pg_temp.deliveries(:'j'), 'job.canceled pending 0', 'that is told too');
SELECT is(longhaul.retry_job(:'j', 'alice'), 1::smallint, 'retried');
SELECT t.finish(1, job_id, fence, 2) AS x FROM t.start(1, 'test') \gset
SELECT is(pg_temp.deliveries(:'j'), 'job.canceled pending 0, job.failed pending 0', 'and told again when it ends again');
UPDATE longhaul.job_type SET lifetime = '1 second' WHERE type_id = :other;
SELECT (t.submit('other', t.id(clock_timestamp() - interval '1 hour'))).job_id AS j \gset
UPDATE longhaul.job SET created_at = now() - interval '1 hour' WHERE id = :'j';
SELECT longhaul.maintain() AS x \gset
SELECT is(pg_temp.deliveries(:'j'), 'job.failed pending 0, job.failed pending 0', 'one that expired is told to both');
SELECT longhaul.end_jobs(ARRAY[:'j']::uuid[], 5::smallint, ARRAY[NULL]::jsonb[]) \gset
SELECT is(pg_temp.deliveries(:'j'), 'job.failed pending 0, job.failed pending 0', 'and not once more by who comes too late');
UPDATE longhaul.job_type SET lifetime = '30 days' WHERE type_id = :other;
UPDATE longhaul.webhook SET disabled_at = now();
SELECT pg_temp.ended(2) AS j \gset
SELECT is(pg_temp.deliveries(:'j'), NULL, 'a disabled webhook is told nothing');
SELECT pg_temp.clear() \gset

-- By the batch: 500 jobs of five clients, three of which have webhooks; one of the jobs is not held any more.
SELECT count(pg_temp.hook('c' || n)) AS x FROM generate_series(1, 3) n \gset
SELECT pg_temp.hook('c3') AS h3 \gset
SELECT count(t.job('test', p_client => 'c' || n % 5)) AS x FROM generate_series(1, 500) n \gset
CREATE TEMP TABLE batch AS SELECT * FROM t.claim(1, 'test', 500);
UPDATE longhaul.lease SET fence = -1 WHERE job_id = (SELECT job_id FROM batch WHERE client = 'c1' LIMIT 1);
SELECT count(f) AS x FROM (SELECT array_agg(job_id) AS ids, array_agg(fence) AS fences, array_agg(1::smallint) AS ones, array_agg(5) AS ints, array_agg(NULL::text) AS texts, array_agg(NULL::bigint) AS bigs,
    array_agg(NULL::bytea) AS bytes FROM batch) b, LATERAL longhaul.finish_batch(:'w1', ids, fences, ones, ints, texts, bytes, bigs, texts, bigs, bigs, bigs, texts) f \gset
SELECT is((SELECT array_agg(c || ' ' || n ORDER BY c) FROM (SELECT client AS c, count(*) AS n FROM longhaul.webhook_delivery GROUP BY 1) x), '{c1 99,c2 100,c3 200}', 'a batch: a delivery for each job that ended and each webhook');
SELECT is((SELECT count(*) FROM longhaul.webhook_queue), 399::bigint, 'all in the queue');
SELECT pg_temp.clear() \gset
DELETE FROM longhaul.lease;

-- ---- a job's own URL -------------------------------------------------------------------------------
SELECT pg_temp.ended(1, 'alice', 'test', 'https://Example.com:8443/a?b') AS j, pg_temp.ended(2, 'alice', 'test', 'https://example.com:8443/z') AS j2, pg_temp.ended(1, 'bob', 'test', 'https://example.com:8443/a') AS j3,
       pg_temp.ended(1, 'alice', 'test', 'https://example.com/a') AS j4, pg_temp.ended() AS j5 \gset
SELECT is((SELECT count(*) FROM longhaul.webhook_delivery), 4::bigint, 'jobs with URLs of their own are told there');
SELECT is((SELECT lane FROM longhaul.webhook_delivery WHERE job_id = :'j'), (SELECT lane FROM longhaul.webhook_delivery WHERE job_id = :'j2'), 'one lane for a client''s URLs of one host');
SELECT is((SELECT count(DISTINCT lane) FROM longhaul.webhook_delivery), 3::bigint, 'another for another client or port');
SELECT is((SELECT array_agg(c.url || ' ' || length(c.secret1) ORDER BY c.url) FROM pg_temp.claim() c), '{https://Example.com:8443/a?b 32,https://example.com/a 32,https://example.com:8443/a 32,https://example.com:8443/z 32}',
    'a claim brings the URL, and a secret that is made on first need');
SELECT is((SELECT array_agg(client ORDER BY client) FROM longhaul.webhook_secret WHERE webhook_id IS NULL), '{alice,bob}', 'one a client');
SELECT is((SELECT payload::json->'data'->'_links'->'self'->>'href' FROM longhaul.webhook_delivery WHERE job_id = :'j'), 'https://job.example.com/v1/test-jobs/' || :'j', 'links begin with the base of the request');
SELECT is((SELECT payload::json->'data'->'error'->>'type' FROM longhaul.webhook_delivery WHERE job_id = :'j2'), NULL, 'no error was given');
SELECT is((t.submit('test', :'j', p_input => 'x', p_fingerprint => 'f')).code, 1::smallint, 'the same request again');
SELECT is((SELECT count(*) FROM longhaul.job_webhook), 4::bigint, 'makes nothing twice');
-- The job goes; what is pending stays, what has ended goes with it.
SELECT pg_temp.report(1, q.delivery_id, q.fence, 1, 200) AS x FROM longhaul.webhook_queue q JOIN longhaul.webhook_delivery d ON d.id = q.delivery_id WHERE d.job_id = :'j' \gset
SELECT is((longhaul.delete_job(:'j', 'alice'), longhaul.delete_job(:'j2', 'alice')), (1::smallint, 1::smallint), 'two jobs are removed');
SELECT is((SELECT count(*) FROM longhaul.job_webhook), 2::bigint, 'their URLs too');
SELECT is((pg_temp.deliveries(:'j'), pg_temp.deliveries(:'j2')), (NULL::text, 'job.failed pending 0'::text), 'and the delivery that had ended, not the one that is pending');
SELECT is((SELECT count(*) FROM longhaul.webhook_try), 0::bigint, 'its tries too');
SELECT pg_temp.clear() \gset

-- ---- documents -------------------------------------------------------------------------------------
SELECT pg_temp.hook() AS h \gset
CREATE FUNCTION pg_temp.doc(p_error text, p_message text DEFAULT NULL, p_done bigint DEFAULT NULL, p_total bigint DEFAULT NULL) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    v_job uuid := t.job('test');
BEGIN
    PERFORM longhaul.finish_batch(t.boot(1), ARRAY[v_job], ARRAY[b.fence], ARRAY[CASE WHEN p_error IS NULL THEN 1 ELSE 2 END]::smallint[], '{5}', '{a/b}', ARRAY['x'::bytea], '{NULL}', ARRAY[p_error], '{NULL}',
        ARRAY[p_done], ARRAY[p_total], ARRAY[p_message]) FROM t.start(1, 'test') b;
    RETURN (SELECT payload::json->'data' FROM longhaul.webhook_delivery WHERE job_id = v_job);
END
$$;
SELECT is(pg_temp.doc(NULL, E'a "q" \\ \n\x01 \U0001F600 é', 1, 3)->'progress'->>'message', E'a "q" \\ \n\x01 \U0001F600 é', 'any message is valid JSON');
SELECT is(pg_temp.doc('{"title":"T\u00e9 \"x\"","n":null,"deep":[1,{"a":null}],"type":"own"}')->>'error', '{"n": null, "deep": [1, {"a": null}], "type": "https://problems/own", "title": "Té \"x\""}', 'any error, members that are null too');
SELECT is(pg_temp.doc('{"type":"urn:x","title":5}')->'error'->>'title', 'The job failed', 'a title that is none');
SELECT is(pg_temp.doc('{"type":"","detail":"d"}')->'error'->>'type', 'https://problems/job-failed', 'a type that is none');
SELECT is(pg_temp.doc('[1]')->>'error', '{"type": "https://problems/job-failed", "title": "The job failed"}', 'an error that is no object');
SELECT is((SELECT (octet_length(d->'error'->>'detail'), d->'error'->>'status', d->'error'->>'x') FROM pg_temp.doc(json_build_object('detail', repeat('é', 5000) , 'status', 418, 'x', 'y')::text) d), (2048, '418'::text, NULL::text), 'a large error is cut');
SELECT is(right(pg_temp.doc(json_build_object('detail', 'a' || repeat('é', 5000))::text)->'error'->>'detail', 1), 'é', 'between characters');
SELECT is(pg_temp.doc('{"title":"x"}', NULL, 1, 3)->>'percentComplete', '33.3', 'percent of a failed job');
SELECT is(pg_temp.doc('{"title":"x"}', NULL, 3, 3)->>'percentComplete', '99.9', 'never 100 unless it completed');
SELECT is(pg_temp.doc('{"title":"x"}', NULL, 1, 2)->>'percentComplete', '50', 'whole ones without a point');
SELECT is(pg_temp.doc('{"title":"x"}', NULL, 7, 0)->>'percentComplete', NULL, 'unknown without a total');
SELECT is(pg_temp.doc(NULL)->>'percentComplete', '100', '100 when it completed');
SELECT is(longhaul.job_document(t.job('test'), 'b', 'p'), NULL, 'of a live job there is none here');
DELETE FROM longhaul.ready;
SELECT pg_temp.clear() \gset

-- ---- claims ----------------------------------------------------------------------------------------
SELECT pg_temp.hook() AS dead, pg_temp.hook('bob') AS h2, pg_temp.hook('carol') AS h3 \gset
CREATE FUNCTION pg_temp.fill(p_lane uuid, p_n integer, p_due timestamptz DEFAULT now() - interval '1 minute') RETURNS void LANGUAGE sql AS $$
    WITH d AS (INSERT INTO longhaul.webhook_delivery (id, webhook_id, client, lane, event, payload)
               SELECT longhaul.uuid_v7(), p_lane, w.client, longhaul.webhook_lane(p_lane), 'ping', '{}' FROM generate_series(1, p_n), longhaul.webhook w WHERE w.id = p_lane RETURNING id)
    INSERT INTO longhaul.webhook_queue (delivery_id, lane, due_at) SELECT id, longhaul.webhook_lane(p_lane), p_due FROM d
$$;
SELECT pg_temp.fill(:'dead', 10000), pg_temp.fill(:'h2', 3), pg_temp.fill(:'h3', 3) \gset
SELECT is((SELECT string_agg(n::text, ' ' ORDER BY n DESC) FROM (SELECT count(*) AS n FROM pg_temp.claim(1, 6, 4) GROUP BY lane) x), '2 2 2', 'a full claim takes from each lane alike');
SELECT is((SELECT array_agg(n ORDER BY n) FROM (SELECT lane, count(*) AS n FROM pg_temp.claim(1, 100, 4) GROUP BY lane) c),
          '{1,1,2}', 'and of each what is there, up to four in flight');
SELECT is((SELECT count(*) FROM pg_temp.claim(2, 100, 4)), 0::bigint, 'over all workers');
SELECT pg_temp.fill(:'h2', 1) \gset
SELECT is((SELECT lane FROM pg_temp.claim(2, 1, 4)), longhaul.webhook_lane(:'h2'), 'behind the lane that waits for its endpoint, another''s is had');
SELECT is((SELECT array_agg(DISTINCT boot || ' ' || attempt) FROM longhaul.webhook_queue WHERE boot = :'w2'), ARRAY[:'w2' || ' 1'], 'a claim counts the attempt');
SELECT is((SELECT count(DISTINCT fence) = count(*) FROM longhaul.webhook_queue WHERE boot = :'w1'), true, 'each has a fence of its own');
UPDATE longhaul.webhook_queue SET due_at = now() + interval '1 hour' WHERE boot IS NULL;
SELECT is((SELECT count(*) FROM pg_temp.claim(2, 100, 400)), 0::bigint, 'what is not due is left alone');
SELECT ok(longhaul.webhook_next_due() BETWEEN 3590000 AND 3600000, 'and it is known when it will be');
UPDATE longhaul.webhook_queue SET due_at = now() - interval '1 hour' WHERE boot IS NULL;
SELECT is(longhaul.webhook_next_due(), NULL, 'what is due doesn''t count as that');
SELECT is((SELECT count(*) FROM longhaul.webhook_claim(t.boot(9), 1, 100, 100, NULL, 100, '{}', '{}')), 0::bigint, 'a worker that nobody knows gets nothing');
SELECT t.worker(3) AS w3, longhaul.worker_stop(t.boot(3)) AS x \gset
SELECT is((SELECT count(*) FROM pg_temp.claim(3, 100, 100)), 0::bigint, 'nor one that has signed off');

-- A client's share, whatever many endpoints it has.
SELECT pg_temp.clear() \gset
SELECT pg_temp.hook() AS a1, pg_temp.hook() AS a2, pg_temp.hook() AS a3, pg_temp.hook('bob') AS b \gset
SELECT pg_temp.fill(l, 9) FROM unnest(ARRAY[:'a1', :'a2', :'a3', :'b']::uuid[]) l \g /dev/null
SELECT is((SELECT array_agg(client || ' ' || n ORDER BY client) FROM (SELECT client, count(*) AS n FROM pg_temp.claim(1, 100, 9, NULL, 4) GROUP BY 1) c), '{alice 4,bob 4}', 'each client gets its share');
SELECT is((SELECT array_agg(client || ' ' || n ORDER BY client) FROM (SELECT client, count(*) AS n FROM pg_temp.claim(1, 100, 9, NULL, 4, '{bob,carol}', '{1,0}') GROUP BY 1) c), '{alice 4,bob 1}', 'or what the caller has left for it');
SELECT is((SELECT array_agg(client || ' ' || n ORDER BY client) FROM (SELECT client, count(*) AS n FROM pg_temp.claim(1, 100, 9, NULL, 2, '{alice}', '{0}') GROUP BY 1) c), '{bob 2}', 'none, if that is nothing');

-- In turn: one at a time, from where the last one was.
SELECT pg_temp.clear() \gset
SELECT pg_temp.hook() AS a, pg_temp.hook('bob') AS b, pg_temp.hook('carol') AS c \gset
SELECT pg_temp.fill(:'a', 9), pg_temp.fill(:'b', 9), pg_temp.fill(:'c', 9) \gset
SELECT lane AS l1 FROM pg_temp.claim(1, 1, 9, NULL) \gset
SELECT lane AS l2 FROM pg_temp.claim(1, 1, 9, :'l1') \gset
SELECT lane AS l3 FROM pg_temp.claim(1, 1, 9, :'l2') \gset
SELECT lane AS l4 FROM pg_temp.claim(1, 1, 9, :'l3') \gset
SELECT is((SELECT count(DISTINCT x) FROM unnest(ARRAY[:'l1', :'l2', :'l3']) x), 3::bigint, 'three claims of one serve three lanes');
SELECT is(:'l4'::text, :'l1'::text, 'then the first again');
-- Thousands of lanes that are not due don't hide the one that is.
INSERT INTO longhaul.webhook_queue (delivery_id, lane, due_at) SELECT gen_random_uuid(), gen_random_uuid(), now() + interval '1 hour' FROM generate_series(1, 5000);
DELETE FROM longhaul.webhook_queue WHERE lane <> longhaul.webhook_lane(:'a') AND due_at < now();
SELECT is((SELECT count(*) > 0 FROM generate_series(1, 200) n, LATERAL (SELECT FROM pg_temp.claim(1, n - n + 1, 9, :'a')) x), true, 'among thousands of idle lanes one that has something is found');
SELECT pg_temp.clear() \gset

-- ---- reports ---------------------------------------------------------------------------------------
SELECT pg_temp.hook() AS h \gset
SELECT pg_temp.ended() AS j \gset
SELECT delivery_id AS d, fence AS f FROM pg_temp.claim() \gset
SELECT is(pg_temp.report(2, :'d', :f, 1, 200), 0::smallint, 'a report of another worker is refused');
SELECT is(pg_temp.report(1, :'d', :f + 1, 1, 200), 0::smallint, 'and of another claim');
SELECT is((SELECT count(*) FROM longhaul.webhook_try), 0::bigint, 'no try is listed for it');
SELECT is(pg_temp.report(1, :'d', :f, 3, 503, 'http-error', 60000), 1::smallint, 'try again');
SELECT is(pg_temp.report(1, :'d', :f, 3, 503, 'http-error', 60000), 1::smallint, 'the same report again is accepted');
SELECT is((SELECT array_agg((attempt, started_at, duration_ms, status_code, error)::text) FROM longhaul.webhook_try), ARRAY[(1, '2026-10-05 11:33:20.123+00'::timestamptz, 12, 503, 'http-error')::text], 'and listed once');
SELECT is((SELECT (boot, fence, attempt, due_at - now() BETWEEN '50 s' AND '70 s') FROM longhaul.webhook_queue), (NULL::uuid, NULL::bigint, 1, true), 'it waits');
UPDATE longhaul.webhook_queue SET due_at = now() - interval '1 s';
SELECT fence AS f2, attempt AS a2 FROM pg_temp.claim(2) \gset
SELECT is(:a2, 2, 'its second attempt');
SELECT is(pg_temp.report(1, :'d', :f, 1, 200), 1::smallint, 'the old report once more: accepted then');
SELECT is((SELECT boot FROM longhaul.webhook_queue), :'w2', 'but nothing of it is done');
SELECT is(pg_temp.report(2, :'d', :f2, 5), 1::smallint, 'released');
SELECT is((SELECT (boot, attempt) FROM longhaul.webhook_queue), (NULL::uuid, 1), 'burns no attempt');
SELECT is((SELECT count(*) FROM longhaul.webhook_try), 1::bigint, 'and is no try');
SELECT fence AS f3 FROM pg_temp.claim(2) \gset
SELECT is(pg_temp.report(2, :'d', :f3, 1, 204), 1::smallint, 'delivered');
SELECT is(pg_temp.deliveries(:'j'), 'job.completed delivered 2', 'is delivered');
SELECT is((SELECT count(*) FROM longhaul.webhook_queue), 0::bigint, 'and out of the queue');
SELECT is(pg_temp.report(2, :'d', :f3, 1, 204), 1::smallint, 'sent again after a broken commit: accepted');
SELECT is((SELECT (event, status, next_try_at, tries::json->1->>'statusCode', tries::json->0->>'error', tries::json->0->>'time') FROM longhaul.webhook_deliveries('alice', :'h', NULL, 0, NULL, 10)),
    ('job.completed'::text, 2::smallint, NULL::timestamptz, '204'::text, 'http-error'::text, '2026-10-05T11:33:20.123Z'::text), 'it is listed with its tries');
SELECT is((SELECT count(delivery_id) FROM longhaul.webhook_deliveries('alice', NULL, :'j', :test, NULL, 10)), 1::bigint, 'under its job too');
SELECT is((SELECT count(*) FROM longhaul.webhook_deliveries('alice', NULL, :'j', :other, NULL, 10)), 0::bigint, 'of its type');
SELECT is((SELECT count(*) FROM longhaul.webhook_deliveries('bob', NULL, :'j', 0, NULL, 10)) + (SELECT count(*) FROM longhaul.webhook_deliveries('bob', :'h', NULL, 0, NULL, 10)), 0::bigint, 'not for others');
SELECT is((SELECT array_agg(delivery_id) FROM longhaul.webhook_deliveries('alice', :'h', NULL, 0, :'d', 10)), '{NULL}', 'below it there is nothing more');

-- Once more.
SELECT is(longhaul.webhook_redeliver('bob', :'h', NULL, :'d'), 0::smallint, 'another client can''t redeliver it');
SELECT is(longhaul.webhook_redeliver('alice', NULL, t.id(), :'d'), 0::smallint, 'nor can it be had under another job');
SELECT is(longhaul.webhook_redeliver('alice', NULL, :'j', :'d'), 1::smallint, 'redelivered');
SELECT is(longhaul.webhook_redeliver('alice', :'h', NULL, :'d'), 2::smallint, 'it is pending already');
SELECT fence AS f, attempt AS a, payload AS p FROM pg_temp.claim() \gset
SELECT is(:a, 1, 'attempts start anew');
SELECT is(pg_temp.report(1, :'d', :f, 2, 400, 'http-error'), 1::smallint, 'failed for good');
SELECT is(pg_temp.deliveries(:'j'), 'job.completed failed 3', 'tries go on counting');
UPDATE longhaul.webhook SET disabled_at = now();
SELECT is(longhaul.webhook_redeliver('alice', :'h', NULL, :'d'), 3::smallint, 'not to a disabled one');
SELECT is(longhaul.webhook_ping('alice', :'h', t.id()), 2::smallint, 'nor a ping');
SELECT is(longhaul.webhook_enable('alice', :'h'), 1::smallint, 'enabled again');
SELECT t.id() AS p \gset
SELECT is((longhaul.webhook_ping('alice', :'h', :'p'), longhaul.webhook_ping('alice', :'h', :'p'), longhaul.webhook_ping('bob', :'h', t.id())), (1::smallint, 1::smallint, 0::smallint), 'a ping is queued, once, and not by others');
SELECT is((SELECT payload::json->'data'->>'webhookId' FROM pg_temp.claim()), :'h', 'and tells whose it is');
SELECT pg_temp.clear() \gset

-- Gone (410): the endpoint is disabled, the rest dropped.
SELECT pg_temp.hook() AS h, pg_temp.hook('bob') AS hb \gset
SELECT pg_temp.fill(:'h', 5), pg_temp.fill(:'hb', 1) \gset
CREATE TEMP TABLE c AS SELECT * FROM pg_temp.claim(1, 2, 4, (SELECT longhaul.uuid_at('2000-01-01'))) WHERE lane = longhaul.webhook_lane(:'h');
SELECT is(pg_temp.report(1, delivery_id, fence, 4, 410), 1::smallint, 'the endpoint is gone') FROM c LIMIT 1;
SELECT is((SELECT (disabled_at IS NOT NULL, disabled_reason) FROM longhaul.webhook WHERE id = :'h'), (true, 'gone'::text), 'it is disabled');
SELECT is((SELECT string_agg(status || ':' || n, ' ' ORDER BY status) FROM (SELECT status, count(*) AS n FROM longhaul.webhook_delivery WHERE webhook_id = :'h' GROUP BY 1) x), '3:1 4:4', 'what waited is dropped');
SELECT is((SELECT (disabled_at, (SELECT count(*) FROM longhaul.webhook_queue q WHERE q.lane = longhaul.webhook_lane(w.id))) FROM longhaul.webhook w WHERE id = :'hb'), (NULL::timestamptz, 1::bigint), 'another''s is not');
-- What is in flight then ends by itself.
SELECT longhaul.webhook_enable('alice', :'h') AS x, pg_temp.fill(:'h', 2) AS y \gset
DROP TABLE c;
CREATE TEMP TABLE c AS SELECT * FROM pg_temp.claim(1, 9, 4) WHERE lane = longhaul.webhook_lane(:'h');
SELECT is(pg_temp.report(1, delivery_id, fence, 4, 410), 1::smallint, 'gone again') FROM c LIMIT 1;
SELECT is(pg_temp.report(1, delivery_id, fence, 3, 500, 'http-error', 0), 1::smallint, 'the other one fails') FROM (SELECT * FROM c OFFSET 1) x;
SELECT is((SELECT count(*) FROM pg_temp.claim() WHERE lane = longhaul.webhook_lane(:'h')), 0::bigint, 'and isn''t tried again');
SELECT is((SELECT count(*) FROM longhaul.webhook_queue WHERE lane = longhaul.webhook_lane(:'h')) + (SELECT count(*) FROM longhaul.webhook_delivery WHERE webhook_id = :'h' AND status = 1), 0::bigint, 'but dropped');
SELECT pg_temp.clear() \gset
SELECT pg_temp.ended(1, 'alice', 'test', 'https://example.com/a') AS j \gset
SELECT is((SELECT pg_temp.report(1, delivery_id, fence, 4, 410) FROM pg_temp.claim()), 1::smallint, 'gone, of a job''s own URL');
SELECT is(pg_temp.deliveries(:'j'), 'job.completed failed 1', 'that one has failed');
SELECT pg_temp.clear() \gset

-- ---- workers that are gone -------------------------------------------------------------------------
SELECT pg_temp.hook() AS h \gset
SELECT pg_temp.fill(:'h', 3) \gset
CREATE TEMP TABLE d AS SELECT * FROM pg_temp.claim(2);
SELECT is(longhaul.webhook_release_unheld(:'w2', max(fence) + 1, ARRAY[max(fence)]), 2, 'a claim whose answer was lost is put back') FROM d;
SELECT is((SELECT array_agg(attempt || coalesce(' ' || boot, '') ORDER BY attempt) FROM longhaul.webhook_queue), ARRAY['0', '0', '1 ' || :'w2'], 'with no attempt burned');
SELECT t.die(2), longhaul.rescue() AS x \gset
SELECT is((SELECT array_agg(DISTINCT attempt || coalesce(' ' || boot, '')) FROM longhaul.webhook_queue), '{0}', 'a dead worker''s too');
SELECT is((SELECT pg_temp.report(2, delivery_id, fence, 1, 200) FROM d ORDER BY fence DESC LIMIT 1), 0::smallint, 'whose report comes too late');
SELECT t.worker(4) AS w4, count(*) AS n FROM pg_temp.claim(1) \gset
SELECT longhaul.worker_stop(:'w1') AS x \gset
SELECT is((SELECT array_agg(DISTINCT attempt || coalesce(' ' || boot, '')) FROM longhaul.webhook_queue), '{0}', 'and one''s that signs off');
SELECT count(*) AS n FROM pg_temp.claim(4) \gset
UPDATE longhaul.worker SET stopped_at = now(), lease_until = now() - interval '1 s' WHERE boot = :'w4';
SELECT longhaul.rescue() AS x \gset
SELECT is((SELECT array_agg(DISTINCT attempt || coalesce(' ' || boot, '')) FROM longhaul.webhook_queue), '{0}', 'what it left behind is found later');
SELECT t.worker(5) AS w5 \gset
SELECT pg_temp.clear() \gset

-- ---- secrets ---------------------------------------------------------------------------------------
SELECT pg_temp.hook() AS h \gset
SELECT is(longhaul.webhook_rotate('bob', :'h', sha256('2'), 1000), 0::smallint, 'another client can''t');
SELECT is(longhaul.webhook_rotate('alice', :'h', sha256('2'), 3600000), 1::smallint, 'a second secret');
SELECT pg_temp.fill(:'h', 9) \gset
SELECT is((SELECT (secret1, secret2, secret3) FROM pg_temp.claim(5, 1, 9)), (sha256('2'), sha256(:'h'::text::bytea), NULL::bytea), 'both sign, the newest first');
SELECT longhaul.webhook_rotate('alice', :'h', sha256('3'), 3600000) AS a, longhaul.webhook_rotate('alice', :'h', sha256('4'), 7200000) AS b \gset
SELECT is((SELECT (secret1, secret2, secret3) FROM pg_temp.claim(5, 1, 9)), (sha256('4'), sha256('3'), sha256('2')), 'at most three');
SELECT is((SELECT array_agg(round(extract(epoch FROM expires_at - now()) / 3600) ORDER BY id) FROM longhaul.webhook_secret), '{1,2,NULL}', 'what ends sooner goes on to');
UPDATE longhaul.webhook_secret SET expires_at = now() - interval '1 s' WHERE secret = sha256('2');
SELECT is((SELECT secret3 FROM pg_temp.claim(5, 1, 9)), NULL, 'one that has expired signs no more');
SELECT longhaul.webhook_rotate('alice', :'h', sha256('5'), 0) AS a \gset
SELECT is((SELECT (secret1, secret2) FROM pg_temp.claim(5, 1, 9)), (sha256('5'), NULL::bytea), 'without overlap only the new one does');
SELECT is(longhaul.webhook_rotate('alice', NULL, sha256('own'), 1000), 1::smallint, 'a client''s own');
SELECT is((SELECT count(*) FROM longhaul.webhook_secret WHERE client = 'alice' AND webhook_id IS NULL), 1::bigint, 'is made');
SELECT is(longhaul.webhook_create(:'h', 'alice', 'https://x', NULL, '{job.failed}', '', 'b', 'p', sha256('6')), 1::smallint, 'the same id again');
SELECT is((SELECT (secret1, url) FROM pg_temp.claim(5, 1, 9)), (sha256('6'), 'https://example.com/hook'::text), 'the newer secret counts, nothing else');

-- ---- a client's webhooks -----------------------------------------------------------------------------
SELECT is(longhaul.webhook_create(t.id(), 'alice', 'https://x', NULL, '{job.failed}', '', 'b', 'p', sha256('6'), 1), 0::smallint, 'one too many');
SELECT pg_temp.hook('alice', ARRAY[:other, :test], 'https://two', '{job.failed,job.completed}') AS h2 \gset
SELECT is((SELECT array_agg(id) FROM longhaul.webhook_list('alice', NULL, 9)), ARRAY[:'h2', :'h']::uuid[], 'newest first');
SELECT is((SELECT array_agg(id) FROM longhaul.webhook_list('alice', :'h2', 9)), ARRAY[:'h']::uuid[], 'below one');
SELECT is((SELECT (url, types, events, description, disabled_at) FROM longhaul.webhook_get('alice', :'h2')), ('https://two'::text, 'other,test'::text, 'job.failed,job.completed'::text, 'd'::text, NULL::timestamptz), 'one of them');
SELECT is((SELECT count(*) FROM longhaul.webhook_get('bob', :'h2')), 0::bigint, 'not for others');
SELECT is((longhaul.webhook_delete('bob', :'h'), longhaul.webhook_enable('bob', :'h')), (0::smallint, 0::smallint), 'nor can they touch it');
SELECT is((SELECT array_agg(id) FROM longhaul.webhook_deliveries('alice', :'h2', NULL, 0, NULL, 9) d(id)), '{NULL}', 'nothing was delivered to it yet');
SELECT count(*) AS n, min(delivery_id::text) AS d, min(fence) AS f FROM pg_temp.claim(5, 1, 99) \gset
SELECT is(longhaul.webhook_delete('alice', :'h'), 1::smallint, 'removed');
SELECT is(longhaul.webhook_delete('alice', :'h'), 0::smallint, 'it is gone');
SELECT is((SELECT count(*) FROM longhaul.webhook_get('alice', :'h')) + (SELECT count(*) FROM longhaul.webhook_queue WHERE lane = longhaul.webhook_lane(:'h')) + (SELECT count(*) FROM longhaul.webhook_secret WHERE webhook_id = :'h'), 0::bigint,
    'with its secrets and what waited');
SELECT is(pg_temp.report(5, :'d', :f, 1, 200), 0::smallint, 'the report of what was under way is refused');
SELECT is(longhaul.webhook_redeliver('alice', :'h', NULL, :'d'), 0::smallint, 'nothing of it can be redelivered');
-- One that a transaction that ended a job brings in late.
SELECT pg_temp.fill(:'h', 2) \gset
SELECT is((SELECT count(*) FROM pg_temp.claim(5)), 0::bigint, 'a late one is not tried');

-- ---- upkeep ----------------------------------------------------------------------------------------
SELECT longhaul.maintain() AS x \gset
SELECT is((SELECT count(*) FROM longhaul.webhook_delivery) + (SELECT count(*) FROM longhaul.webhook_try), 0::bigint, 'nothing is left of a removed webhook');
SELECT is((SELECT count(*) FROM longhaul.webhook WHERE id = :'h'), 1::bigint, 'but its row, for a while');
UPDATE longhaul.webhook SET deleted_at = now() - interval '2 hours' WHERE id = :'h';
SELECT pg_temp.fill(:'h2', 3) \gset
CREATE TEMP TABLE e AS SELECT * FROM pg_temp.claim(5, 9, 2);
SELECT count(pg_temp.report(5, delivery_id, fence, 1, 200)) AS x FROM e \gset
UPDATE longhaul.webhook_try t SET delivery_id = n.id FROM (SELECT id, (substr(longhaul.uuid_at(now() - interval '8 days')::text, 1, 13) || substr(id::text, 14))::uuid AS new FROM longhaul.webhook_delivery) o
    CROSS JOIN LATERAL (SELECT o.new AS id) n WHERE t.delivery_id = o.id;
UPDATE longhaul.webhook_delivery SET id = (substr(longhaul.uuid_at(now() - interval '8 days')::text, 1, 13) || substr(id::text, 14))::uuid;
UPDATE longhaul.webhook_delivery SET ended_at = now() - interval '8 days' WHERE id = (SELECT min(id::text)::uuid FROM longhaul.webhook_delivery WHERE status = 2);
INSERT INTO longhaul.job_webhook VALUES (t.id(now() - interval '100 days'), 'u', 'b', 'p'), (t.id(), 'u', 'b', 'p');
SELECT longhaul.maintain() AS x \gset
SELECT is((SELECT count(*) FROM longhaul.webhook WHERE id = :'h'), 0::bigint, 'then that goes too');
SELECT is((SELECT array_agg(status || '' ORDER BY status) FROM longhaul.webhook_delivery), '{1,2}', 'a delivery goes 7 days after it ended, a pending one stays');
SELECT is((SELECT count(*) FROM longhaul.webhook_try), 1::bigint, 'its tries go with it');
SELECT is((SELECT count(*) FROM longhaul.job_webhook), 1::bigint, 'the URL of a job whose day is gone too');

-- ---- views -----------------------------------------------------------------------------------------
SELECT is((SELECT (client, types, waiting, in_flight, last_status_code)::text FROM longhaul.webhook_endpoints), ('alice'::text, 'other, test'::text, 1::bigint, 0::bigint, 200)::text, 'webhook_endpoints');
SELECT lives_ok('SELECT * FROM longhaul.webhook_backlog', 'webhook_backlog');
SELECT is(t.as_role('longhaul_dba', 'SELECT * FROM longhaul.webhook_endpoints'), '', 'both for longhaul_dba too');
SELECT is(t.as_role('longhaul_dba', 'SELECT * FROM longhaul.webhook_backlog'), '', 'the other one');
SELECT is((SELECT string_agg(column_name, ' ') FROM information_schema.columns WHERE table_schema = 'longhaul' AND table_name LIKE 'webhook\_%' AND column_name LIKE '%secret%'), 'secret', 'only the table of secrets has any');

SELECT * FROM finish();
ROLLBACK;
