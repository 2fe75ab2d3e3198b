-- A session whose plans and functions are warm goes on while another adds days and drops them.
\! createdb -T template_longhaul kept_plans
\setenv PGDATABASE kept_plans
\connect kept_plans
SELECT no_plan();
SELECT t.type('test') AS test, t.worker(1) AS w1 \gset

CREATE FUNCTION public.put(p_days integer) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid := t.id(now() - p_days * interval '1 day');
BEGIN
    INSERT INTO longhaul.job (id, type_id, client, priority, input_size, seq, created_at, fingerprint, media_type)
    VALUES (v_id, t.type_id('test'), 'alice', 0, 0, nextval('longhaul.ready_seq'), now() - p_days * interval '1 day', '', '');
    INSERT INTO longhaul.outcome (job_id, status, attempt, gen, result_gen, ended_at, expires_at, result) VALUES (v_id, 3, 1, 3, 2, now(), now() + interval '1 hour', 'old');
    RETURN v_id;
END
$$;
-- Every function that an API process or a worker calls, once; p_old is a job of an old day. '' if all went well.
CREATE FUNCTION public.everything(p_old uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_ids uuid[];
    v_run record;
BEGIN
    SELECT array_agg((t.submit('test', p_key => 'k' || random())).job_id) INTO v_ids FROM generate_series(1, 5);
    PERFORM t.submit('test', v_ids[1]), t.submit('test', p_run_at => now() + interval '1 ms');
    IF (SELECT count(*) FROM longhaul.status_batch(v_ids || p_old, array_fill('alice'::text, ARRAY[6]), true)) <> 5 + (p_old IS NOT NULL)::integer THEN
        RETURN 'status';
    END IF;
    IF longhaul.result_chunk_get(p_old, 2, 0) IS DISTINCT FROM (CASE WHEN p_old IS NOT NULL THEN 'old'::bytea END) THEN
        RETURN 'result';
    END IF;
    PERFORM longhaul.list_jobs('alice', NULL, NULL, NULL, NULL, 50), longhaul.list_jobs('alice', t.type_id('test'), 3::smallint, now() - interval '2 hours', NULL, 50);
    PERFORM longhaul.queue_state(), longhaul.promote_due(10), longhaul.watch(v_ids, 1), longhaul.queue_horizon('{}'), longhaul.rescue(), longhaul.input_chunk_get(v_ids[1], 0);
    IF longhaul.cancel_job(v_ids[5], 'alice') <> 1 OR longhaul.retry_job(v_ids[5], 'alice') <> 1 THEN
        RETURN 'cancel, retry';
    END IF;
    FOR v_run IN SELECT row_number() OVER () AS n, c.* FROM t.claim(1, 'test', 5) c LOOP
        PERFORM t.progress(1, v_run.job_id, v_run.fence, 1), longhaul.result_chunk_put(t.boot(1), v_run.job_id, v_run.fence, 0, 'x');
        IF t.finish(1, v_run.job_id, v_run.fence, v_run.n::integer) <> 1 OR t.finish(1, v_run.job_id, v_run.fence, 1) = 1 THEN
            RETURN 'finish';
        END IF;
    END LOOP;
    PERFORM longhaul.delete_job(i, 'alice') FROM unnest(v_ids) i;
    RETURN '';
END
$$;
SELECT longhaul.make_partitions((now() AT TIME ZONE 'UTC')::date - 9, (now() AT TIME ZONE 'UTC')::date - 2) \gset
SELECT put(8) AS old \gset
SELECT is(everything(:'old'), '', 'warming up ' || i) FROM generate_series(1, 8) i;

\! psql -X -q -c "SELECT longhaul.make_partitions((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + 9)" >/dev/null
SELECT is((SELECT count(*) FROM longhaul.partitions), 19::bigint, 'another session adds days');
SELECT is(everything(:'old'), '', 'all goes on ' || i) FROM generate_series(1, 2) i;

-- The old day's job is removed, then the day.
UPDATE longhaul.outcome SET expires_at = now() - interval '1 second' WHERE job_id = :'old';
\! for i in 1 2 3 4 5 6 7 8 9 10; do psql -X -q -c "SELECT longhaul.maintain()"; done >/dev/null
SELECT is((SELECT min(day) FROM longhaul.partitions), (now() AT TIME ZONE 'UTC')::date - 2, 'another session drops the old days');
SELECT is(everything(NULL), '', 'all goes on ' || i) FROM generate_series(1, 8) i;
SELECT is((SELECT count(*) FROM t.status(:'old')), 0::bigint, 'the old job is not found any more');
SELECT is(longhaul.result_chunk_get(:'old', 2, 0), NULL, 'nor its result');
SELECT is(longhaul.delete_job(:'old', 'alice') || ' ' || longhaul.retry_job(:'old', 'alice') || ' ' || longhaul.cancel_job(:'old', 'alice'), '0 0 0', 'nor can anything be done with it');

-- The same day again, under the same names.
\! psql -X -q -c "SELECT longhaul.make_partitions((now() AT TIME ZONE 'UTC')::date - 9, (now() AT TIME ZONE 'UTC')::date - 7)" >/dev/null
SELECT put(8) AS old2 \gset
SELECT is(everything(:'old2'), '', 'a day that was dropped and made again is the new one');
SELECT is((SELECT count(*) FROM t.status(:'old')), 0::bigint, 'with nothing of the old');

-- In one transaction, with its locks.
BEGIN;
SELECT is(everything(:'old2'), '', 'the same within one transaction');
SELECT cmp_ok((SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation::regclass::text ~ '_\d{8}'), '<', 200::bigint, 'that doesn''t lock every table there is');
COMMIT;

SELECT * FROM finish();
\connect longhaul
\setenv PGDATABASE
\! dropdb kept_plans
