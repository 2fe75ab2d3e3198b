-- The same under settings that a database, a role or a session may have: time zones a day apart,
-- date and number formats, plan settings, a search_path with traps in it.
BEGIN;
SELECT no_plan();
SELECT t.type('test', 'retention = ''7 days''') AS test, t.type('imp') AS imp, t.worker(1) AS w1 \gset

-- One job's whole way, with what depends on days and texts. Returns what went wrong, '' if nothing.
CREATE FUNCTION pg_temp.round_trip() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_day date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    v_job uuid;
    v_old uuid;
    v_run record;
    v_hook uuid := t.id();
BEGIN
    PERFORM longhaul.webhook_create(v_hook, 'alice', 'https://example.com/x', NULL, '{job.completed}', '', 'https://api', 'urn:', sha256('s'));
    v_job := (t.submit('test', p_input => '\x00ff27', p_key => 'K', p_run_at => NULL)).job_id;
    v_old := (t.submit('test', t.id(clock_timestamp() - interval '24 hours'))).job_id;
    IF (SELECT tableoid::regclass::text FROM longhaul.job WHERE id = v_job) NOT LIKE '%job_' || to_char(v_day, 'YYYYMMDD') THEN
        RETURN 'in the wrong day';
    END IF;
    IF (SELECT count(*) FROM longhaul.status_batch(ARRAY[v_job, v_old], '{alice,alice}', true)) <> 2 OR t.stands(v_job) <> 'Queued 1.0' THEN
        RETURN 'not found again';
    END IF;
    IF (t.submit('test', p_input => '\x00ff27', p_key => 'K')).job_id <> v_job THEN
        RETURN 'the key is not found again';
    END IF;
    IF (SELECT count(*) FROM longhaul.list_jobs('alice', NULL, NULL, clock_timestamp() - interval '1 minute', NULL, 10)) <> 2 THEN
        RETURN 'not listed';
    END IF;
    FOR v_run IN SELECT * FROM t.claim(1, 'test', 2) LOOP
        IF v_run.job_id = v_job AND (v_run.input <> '\x00ff27' OR v_run.expires_at - clock_timestamp() NOT BETWEEN '29 days 22 hours' AND '30 days 2 hours') THEN
            RETURN 'claimed wrongly';
        END IF;
        PERFORM t.progress(1, v_run.job_id, v_run.fence, 1500);
        PERFORM t.finish(1, v_run.job_id, v_run.fence, 1, 1500, '\x00ff27');
    END LOOP;
    IF (SELECT (s.status, s.result, s.ended_at - s.started_at BETWEEN '1.5 s' AND '3 s', s.expires_at - s.ended_at BETWEEN '6 days 22 hours' AND '7 days 2 hours')
          FROM t.status(v_job, p_with_result => true) s) <> (3::smallint, '\x00ff27'::bytea, true, true) THEN
        RETURN 'finished wrongly';
    END IF;
    IF longhaul.make_partitions(v_day - 1, v_day + 3) <> 0 OR longhaul.maintain() THEN
        RETURN 'the days are others';
    END IF;
    IF (SELECT min(day) <> v_day - 1 OR max(day) <> v_day + 3 FROM longhaul.partitions) THEN
        RETURN 'the view of the days is wrong';
    END IF;
    v_job := t.job('imp');
    SELECT b.fence INTO v_run FROM t.start(1, 'imp') b;
    EXECUTE format('INSERT INTO %s (line, email, name, extra, reason) VALUES (1, ''x@example.com'', ''X'', ''{"n":1.5}'', NULL), (2, NULL, NULL, NULL, ''bad'')',
                   longhaul.import_begin(v_job, t.boot(1), v_run.fence));
    PERFORM longhaul.import_finish(v_job, t.boot(1), v_run.fence, 10);
    IF convert_from((SELECT result FROM longhaul.outcome WHERE job_id = v_job), 'UTF8') <>
       '{"imported":1,"updated":0,"rejected":1,"errors":[{"line":2,"reason":"bad"}]}' || chr(10) THEN
        RETURN 'imported wrongly';
    END IF;
    IF v_hook NOT IN (SELECT w.id FROM longhaul.webhook_list('alice', NULL, 10) w) THEN
        RETURN 'the webhook is not listed';
    END IF;
    IF (SELECT array_agg(d.payload::json->>'type' || (d.payload::json->'data'->>'percentComplete') ORDER BY d.job_id = v_job) FROM longhaul.webhook_delivery d) <>
       '{job.completed100,job.completed100,job.completed100}' THEN
        RETURN 'deliveries are missing';
    END IF;
    IF (SELECT bool_or(abs(extract(epoch FROM (d.payload::json->'data'->>'completionTime')::timestamptz - clock_timestamp())) > 60) FROM longhaul.webhook_delivery d) THEN
        RETURN 'wrong times are told';
    END IF;
    FOR v_run IN SELECT * FROM longhaul.webhook_claim(t.boot(1), 1, 10, 10, NULL, 10, '{}', '{}') LOOP
        IF (SELECT f.code FROM longhaul.webhook_finish_batch(t.boot(1), ARRAY[v_run.delivery_id], ARRAY[v_run.fence], '{1}', '{200}', '{NULL}', '{5}',
                ARRAY[(extract(epoch FROM clock_timestamp()) * 1000)::bigint], '{NULL}') f) <> 1 OR v_run.secret1 <> sha256('s') THEN
            RETURN 'not delivered';
        END IF;
    END LOOP;
    IF (SELECT (count(*), min(d.tries::json->0->>'statusCode')) FROM longhaul.webhook_deliveries('alice', v_hook, NULL, 0, NULL, 10) d WHERE d.status = 2) <> (3::bigint, '200'::text) THEN
        RETURN 'the deliveries are not listed';
    END IF;
    DELETE FROM longhaul.webhook;
    DELETE FROM longhaul.webhook_delivery;
    DELETE FROM longhaul.webhook_try;
    DELETE FROM longhaul.webhook_secret;
    DELETE FROM longhaul.account;
    DELETE FROM longhaul.idempotency_key;
    DELETE FROM longhaul.job;
    DELETE FROM longhaul.outcome;
    RETURN '';
END
$$;

-- Everything is undone with each setting, so that each starts anew.
CREATE FUNCTION pg_temp.under(p_name text, p_value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_said text;
BEGIN
    PERFORM set_config(p_name, p_value, true);
    v_said := pg_temp.round_trip();
    RETURN v_said;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END
$$;
SELECT is(pg_temp.round_trip(), '', 'as it is');
SELECT is(pg_temp.under(n, v), '', n || ' = ' || v) FROM (VALUES
    ('timezone', 'Pacific/Kiritimati'), ('timezone', 'Pacific/Pago_Pago'), ('timezone', 'America/Sao_Paulo'), ('timezone', 'Asia/Kathmandu'), ('timezone', 'UTC'),
    ('datestyle', 'SQL, DMY'), ('datestyle', 'German'), ('datestyle', 'Postgres, MDY'), ('datestyle', 'ISO, MDY'),
    ('intervalstyle', 'sql_standard'), ('intervalstyle', 'iso_8601'), ('intervalstyle', 'postgres'),
    ('bytea_output', 'escape'), ('bytea_output', 'hex'), ('extra_float_digits', '-15'), ('extra_float_digits', '1'),
    ('plan_cache_mode', 'force_generic_plan'), ('plan_cache_mode', 'force_custom_plan'), ('plan_cache_mode', 'auto'),
    ('enable_indexscan', 'off'), ('enable_indexscan', 'on'), ('enable_nestloop', 'off'), ('enable_nestloop', 'on'),
    ('jit_above_cost', '0'), ('jit_above_cost', '100000'), ('row_security', 'off'), ('transform_null_equals', 'on'), ('transform_null_equals', 'off'),
    ('work_mem', '64kB'), ('check_function_bodies', 'off'), ('xmloption', 'document')) s(n, v);

-- Names that could be taken for ours, where a caller can put them.
CREATE TEMP TABLE job (id uuid);
CREATE TEMP TABLE ready (LIKE longhaul.ready);
CREATE TEMP TABLE lease (LIKE longhaul.lease);
CREATE TEMP TABLE worker (LIKE longhaul.worker);
CREATE TEMP TABLE job_type (LIKE longhaul.job_type);
CREATE TEMP TABLE pg_class (oid oid);
CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '2000-01-01'::timestamptz $$;
CREATE FUNCTION public.uuid_at(timestamptz) RETURNS uuid LANGUAGE sql AS $$ SELECT NULL::uuid $$;
CREATE FUNCTION public.always(uuid, uuid) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
CREATE OPERATOR public.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = public.always);
SELECT longhaul.submit('test', '{}') AS j \gset
SET LOCAL search_path = pg_temp, public, pg_catalog;
SELECT count(*) AS n, min(job_id::text) AS j2 FROM longhaul.claim(t.boot(1), 900000, ARRAY[:test], '{0}', '{0}', '{9}', true) \gset
SELECT count(*) AS m FROM longhaul.status_batch(ARRAY[:'j', t.id()]::uuid[], '{sql,sql}', false) \gset
SELECT count(*) AS o FROM longhaul.finish_batch(t.boot(1), ARRAY[:'j']::uuid[], '{900000}', '{1}', '{1}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}') WHERE code = 1 \gset
SET LOCAL search_path = public;
SELECT is((:n, :'j2'::text, :m, :o), (1, :'j'::text, 1, 1), 'temporary tables, functions and operators of the caller change nothing');

SELECT * FROM finish();
ROLLBACK;
