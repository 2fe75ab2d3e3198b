-- What the handler `sql` calls: jobs that are a function of the operator's.

-- Looks up a function by its schema-qualified name, for the caller's role: `call` is its quoted name; `takes` and
-- `gives` are the types of its second parameter and of its result. If it can't serve jobs, `why` says why not.
CREATE FUNCTION longhaul.sql_function(p_name text, OUT call text, OUT takes text, OUT gives text, OUT why text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    c_takes CONSTANT oid[] := '{jsonb,json,text,bytea}'::regtype[];
    c_gives CONSTANT oid[] := '{jsonb,json,text,bytea,void}'::regtype[];
    v_name text[];
    v_fit  oid[];
    v_all  text;
BEGIN
    BEGIN
        v_name := parse_ident(p_name);
    EXCEPTION WHEN invalid_parameter_value THEN
        v_name := NULL;
    END;
    IF cardinality(v_name) IS DISTINCT FROM 2 THEN
        why := 'the name must be SCHEMA.FUNCTION';
        RETURN;
    END IF;
    SELECT array_agg(p.oid) FILTER (WHERE p.prokind = 'f' AND NOT p.proretset AND p.provariadic = 0 AND p.pronargs = 2
                                      AND p.proargtypes[0] = 'uuid'::regtype AND p.proargtypes[1] = ANY (c_takes)
                                      AND p.prorettype = ANY (c_gives)),
           string_agg(format('(%s) returns %s', pg_get_function_identity_arguments(p.oid), pg_get_function_result(p.oid)),
                      ', ' ORDER BY p.oid)
      INTO v_fit, v_all
      FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = v_name[1] AND p.proname = v_name[2];
    IF v_all IS NULL THEN
        why := 'there is no such function';
    ELSIF v_fit IS NULL THEN
        why := 'it must take (uuid, and jsonb, json, text or bytea) and return jsonb, json, text, bytea or void; there is '
               || v_all;
    ELSIF cardinality(v_fit) > 1 THEN
        why := 'there are several that fit: ' || v_all;
    ELSIF NOT has_schema_privilege(v_name[1], 'USAGE') OR NOT has_function_privilege(v_fit[1], 'EXECUTE') THEN
        why := format('role %I may not execute it', current_user);
    ELSE
        SELECT format('%I.%I', v_name[1], v_name[2]), format_type(p.proargtypes[1], NULL), format_type(p.prorettype, NULL)
          INTO call, takes, gives
          FROM pg_proc p WHERE p.oid = v_fit[1];
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.sql_function(text) IS 'Whether a function can serve jobs, for handler sql';

-- Begins the transaction of a job for the holder of its lease, and locks the lease against being taken away
-- until the transaction ends. Raises LH001 if the lease is lost.
-- Locks: the lease row, FOR KEY SHARE: the job's progress is still written to it.
CREATE FUNCTION longhaul.sql_begin(p_job_id uuid, p_boot uuid, p_fence bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    PERFORM FROM longhaul.lease l WHERE l.job_id = p_job_id AND l.boot = p_boot AND l.fence = p_fence FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lease of job % is lost', p_job_id USING ERRCODE = 'LH001';
    END IF;
    -- Whoever was killed, frozen or cut off must not keep the lease locked for long.
    PERFORM set_config('client_connection_check_interval', '1s', true),
            set_config('idle_in_transaction_session_timeout', '60s', true);
END
$$;
COMMENT ON FUNCTION longhaul.sql_begin(uuid, uuid, bigint) IS 'Begins the transaction of a job of handler sql';

-- Stores the result and ends the job, for the holder of the lease only, in the transaction that sql_begin has
-- begun: what the job's function did commits with it or not at all. p_result NULL = empty.
-- Raises LH001 if the lease is lost.
-- Writes: result_chunk, lease, outcome. Locks: the lease row.
CREATE FUNCTION longhaul.sql_finish(p_job_id uuid, p_boot uuid, p_fence bigint, p_media_type text, p_result bytea)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    c_chunk   CONSTANT integer := 262144;
    v_size    bigint := coalesce(length(p_result), 0);
    v_inline  boolean := coalesce(length(p_result), 0) <= 65536;
    v_gen     integer;
    v_code    smallint;
    v_waiters bigint[];
    v_jobs    uuid[];
BEGIN
    SELECT l.gen INTO v_gen FROM longhaul.lease l
     WHERE l.job_id = p_job_id AND l.boot = p_boot AND l.fence = p_fence FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lease of job % is lost', p_job_id USING ERRCODE = 'LH001';
    END IF;
    IF NOT v_inline THEN
        INSERT INTO longhaul.result_chunk (job_id, gen, seq, data)
        SELECT p_job_id, v_gen, i, substr(p_result, i * c_chunk + 1, c_chunk)
          FROM generate_series(0, ((v_size - 1) / c_chunk)::integer) AS i;
    END IF;
    SELECT min(f.code), array_agg(f.waiter), array_agg(p_job_id) INTO v_code, v_waiters, v_jobs
      FROM longhaul.finish_batch(p_boot, ARRAY[p_job_id], ARRAY[p_fence], ARRAY[1::smallint],
                                 ARRAY[least(extract(epoch FROM clock_timestamp() - now()) * 1000, 2147483647)::integer],
                                 ARRAY[p_media_type], ARRAY[CASE WHEN v_inline AND v_size > 0 THEN p_result END],
                                 ARRAY[v_size], ARRAY[NULL::text], ARRAY[NULL::bigint], ARRAY[NULL::bigint],
                                 ARRAY[NULL::bigint], ARRAY[NULL::text]) f;
    IF v_code IS DISTINCT FROM 1 THEN
        RAISE EXCEPTION 'the lease of job % is lost', p_job_id USING ERRCODE = 'LH001';
    END IF;
    PERFORM longhaul.tell_waiters(v_waiters, v_jobs);
END
$$;
COMMENT ON FUNCTION longhaul.sql_finish(uuid, uuid, bigint, text, bytea) IS 'Ends a job of handler sql with its result';

-- For the functions of such jobs: reports how far the job is. p_total NULL or negative = unknown. Seen by the job's
-- client while the transaction is still open: it goes to the handler as a message of the connection, and writes nothing.
CREATE FUNCTION longhaul.report_progress(p_done bigint, p_total bigint DEFAULT NULL, p_message text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    -- INFO is sent whatever client_min_messages says, and by default not logged.
    RAISE INFO USING ERRCODE = 'LH002', MESSAGE = format('%s %s %s', coalesce(p_done, 0), coalesce(p_total, -1), p_message);
END
$$;
COMMENT ON FUNCTION longhaul.report_progress(bigint, bigint, text) IS 'Reports the progress of a job of handler sql';

REVOKE ALL ON FUNCTION
    longhaul.sql_function(text), longhaul.sql_begin(uuid, uuid, bigint),
    longhaul.sql_finish(uuid, uuid, bigint, text, bytea), longhaul.report_progress(bigint, bigint, text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    longhaul.sql_function(text), longhaul.sql_begin(uuid, uuid, bigint),
    longhaul.sql_finish(uuid, uuid, bigint, text, bytea), longhaul.report_progress(bigint, bigint, text)
TO longhaul_import;
GRANT EXECUTE ON FUNCTION longhaul.sql_function(text), longhaul.report_progress(bigint, bigint, text) TO longhaul_dba;
