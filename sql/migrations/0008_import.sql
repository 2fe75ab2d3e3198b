-- The worked example: a bulk import of accounts.

CREATE TABLE longhaul.account (
    email       text COLLATE "C" NOT NULL,
    name        text NOT NULL,
    external_id text,
    extra       jsonb,
    imported_by uuid NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX account_email ON longhaul.account (lower(email));
COMMENT ON TABLE longhaul.account IS 'Accounts, as imported by jobs of type accounts.bulk-import';
COMMENT ON COLUMN longhaul.account.email IS 'the key, compared without case';
COMMENT ON COLUMN longhaul.account.name IS 'name of the account''s holder';
COMMENT ON COLUMN longhaul.account.external_id IS 'the account''s id in the system that it comes from';
COMMENT ON COLUMN longhaul.account.extra IS 'members of the imported row that have no column';
COMMENT ON COLUMN longhaul.account.imported_by IS 'the job that last wrote this row';
COMMENT ON COLUMN longhaul.account.updated_at IS 'when it did';

-- Staging tables, one per import that runs at a time. Unlogged: a crash ends the import anyway.
CREATE UNLOGGED TABLE longhaul.account_staging_0 (
    line        bigint NOT NULL,
    email       text COLLATE "C",
    name        text,
    external_id text,
    extra       text,
    field       text,
    reason      text,
    raw         text
) WITH (autovacuum_enabled = off);
COMMENT ON COLUMN longhaul.account_staging_0.line IS 'line of the input, from 1';
COMMENT ON COLUMN longhaul.account_staging_0.email IS 'as in account';
COMMENT ON COLUMN longhaul.account_staging_0.name IS 'as in account';
COMMENT ON COLUMN longhaul.account_staging_0.external_id IS 'as in account';
COMMENT ON COLUMN longhaul.account_staging_0.extra IS 'as in account: the text of a JSON object';
COMMENT ON COLUMN longhaul.account_staging_0.field IS 'what is wrong with a rejected row: the member';
COMMENT ON COLUMN longhaul.account_staging_0.reason IS 'and why; NULL = the row is good';
COMMENT ON COLUMN longhaul.account_staging_0.raw IS 'a rejected row as it came';
DO $$
BEGIN
    FOR i IN 0 .. 31 LOOP
        IF i > 0 THEN
            EXECUTE format('CREATE UNLOGGED TABLE longhaul.account_staging_%s (LIKE longhaul.account_staging_0 INCLUDING COMMENTS) '
                           'WITH (autovacuum_enabled = off)', i);
        END IF;
        EXECUTE format('COMMENT ON TABLE longhaul.account_staging_%s IS %L', i,
                       'Rows of one running import; reason set = rejected. Emptied when the import ends.');
    END LOOP;
END
$$;

-- Empties a staging table; nobody but the caller uses it. Internal.
-- TRUNCATE must not wait: a pg_dump that is under way has locked every table until its end.
CREATE FUNCTION longhaul.empty_staging(p_table text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE NOWAIT', p_table);
    EXECUTE 'TRUNCATE ' || p_table;
EXCEPTION WHEN lock_not_available THEN
    EXECUTE 'DELETE FROM ' || p_table;
END
$$;
COMMENT ON FUNCTION longhaul.empty_staging(text) IS 'Internal: empties a staging table';

-- Begins an import for the holder of the lease: chooses a staging table that nobody uses, empties
-- it and returns its name. The choice holds until the end of the transaction, which must also
-- contain the COPY and import_finish. Raises LH001 if the lease is lost, 53400 if 32 imports run already.
-- Locks: an advisory lock; the staging table.
CREATE FUNCTION longhaul.import_begin(p_job_id uuid, p_boot uuid, p_fence bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_table text;
BEGIN
    IF NOT EXISTS (SELECT FROM longhaul.lease l WHERE l.job_id = p_job_id AND l.boot = p_boot AND l.fence = p_fence) THEN
        RAISE EXCEPTION 'the lease of job % is lost', p_job_id USING ERRCODE = 'LH001';
    END IF;
    -- A merge whose runner was killed must not go on, and keep the lease locked, until it is done.
    PERFORM set_config('client_connection_check_interval', '1s', true);
    FOR i IN 0 .. 31 LOOP
        IF pg_try_advisory_xact_lock(hashtext('longhaul.account_staging'), i) THEN
            v_table := format('longhaul.account_staging_%s', i);
            IF pg_relation_size(v_table::regclass) > 0 THEN
                PERFORM longhaul.empty_staging(v_table);
            END IF;
            RETURN v_table;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'all staging tables are in use' USING ERRCODE = 'configuration_limit_exceeded';
END
$$;
COMMENT ON FUNCTION longhaul.import_begin(uuid, uuid, bigint) IS 'Begins an import; returns the staging table to COPY into';

-- Reports how many of an import's rows are merged. Of the 10,000 steps that its progress is told in, reading
-- takes the first 2,000 and sorting the next 2,500, about as much as they take of the time. Internal.
CREATE FUNCTION longhaul.import_progress(p_merged bigint, p_rows bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    PERFORM longhaul.report_progress(4500 + 5500 * p_merged / greatest(p_rows, 1), 10000,
                                     format('%s of %s rows merged', p_merged, p_rows));
END
$$;
COMMENT ON FUNCTION longhaul.import_progress(bigint, bigint) IS 'Internal: reports how far a merge is';

-- Merges what was staged in this transaction into account, stores the result and ends the job, all
-- for the holder of the lease only: it locks the lease row first, against being taken away, so an attempt that
-- was frozen or repeated can't merge a second time, nor turn "imported" into "updated".
-- An email that comes twice in the input: the last line counts, the earlier ones are rejected. Merging goes
-- in the order of the key, so that imports that overlap wait for each other and not in a ring.
-- Returns the result without its errors. Raises LH001 if the lease is lost.
-- Writes: account, result_chunk, lease, outcome. Locks: the lease row, FOR KEY SHARE until the end, so that
-- progress can be stored; the accounts.
CREATE FUNCTION longhaul.import_finish(p_job_id uuid, p_boot uuid, p_fence bigint, p_ran_ms integer) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET work_mem = '64MB' SET jit = off
SET enable_hashjoin = on SET enable_mergejoin = on AS $$
DECLARE
    c_chunk    CONSTANT integer := 262144;
    c_steps    CONSTANT bigint := 10000;
    c_insert   CONSTANT text :=
        'INSERT INTO longhaul.account AS a (email, name, external_id, extra, imported_by)
         SELECT s.email, s.name, s.external_id, s.extra::jsonb, $1
           FROM (SELECT d.*,
                        CASE WHEN row_number() OVER () %% 5000 = 0
                             THEN longhaul.import_progress(row_number() OVER (), $2) END
                   FROM (SELECT DISTINCT ON (lower(email)) email, name, external_id, extra FROM %s
                          WHERE reason IS NULL ORDER BY lower(email), line DESC) d) s';
    v_known    boolean;
    v_slot     integer;
    v_table    text;
    v_gen      integer;
    v_valid    bigint;
    v_imported bigint;
    v_merged   bigint;
    v_rejected bigint;
    v_head     text;
    v_text     text;
    v_bytes    bytea;
    v_at       integer;
    v_seq      integer := 0;
    v_total    bigint := 0;
    v_code     smallint;
    v_waiters  bigint[];
    v_jobs     uuid[];
BEGIN
    SELECT l.gen INTO v_gen FROM longhaul.lease l
     WHERE l.job_id = p_job_id AND l.boot = p_boot AND l.fence = p_fence FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lease of job % is lost', p_job_id USING ERRCODE = 'LH001';
    END IF;
    SELECT k.objid INTO v_slot FROM pg_locks k
     WHERE k.locktype = 'advisory' AND k.pid = pg_backend_pid() AND k.granted
       AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND k.classid = (hashtext('longhaul.account_staging')::bigint & 4294967295)::oid AND k.objsubid = 2;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'import_finish without import_begin in this transaction' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    v_table := format('longhaul.account_staging_%s', v_slot);

    EXECUTE format('SELECT count(*) FROM %s WHERE reason IS NULL', v_table) INTO v_valid;
    -- Of an import that brings nothing but new accounts, a plain INSERT takes two thirds of the time.
    -- Whether it does is asked of the index, row by row: a hash join might read all accounts.
    PERFORM set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true);
    EXECUTE format('SELECT EXISTS (SELECT FROM %s s JOIN longhaul.account a ON lower(a.email) = lower(s.email)
                                    WHERE s.reason IS NULL)', v_table) INTO v_known;
    PERFORM set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', 'on', true);
    IF NOT v_known THEN
        BEGIN
            EXECUTE format(c_insert, v_table) USING p_job_id, v_valid;
            GET DIAGNOSTICS v_merged = ROW_COUNT;
            v_imported := v_merged;
        EXCEPTION WHEN unique_violation THEN
            v_known := true; -- another import brought one of them meanwhile
        END;
    END IF;
    IF v_known THEN
        EXECUTE format(
            'WITH m AS (' || c_insert || '
                 ON CONFLICT (lower(email)) DO UPDATE
                    SET email = excluded.email, name = excluded.name, external_id = excluded.external_id,
                        extra = excluded.extra, imported_by = excluded.imported_by, updated_at = now()
                 RETURNING a.xmax = 0 AS fresh)
             SELECT count(*), count(*) FILTER (WHERE m.fresh) FROM m', v_table)
            INTO v_merged, v_imported USING p_job_id, v_valid;
    END IF;
    IF v_merged < v_valid THEN
        EXECUTE format(
            'UPDATE %1$s s SET field = ''email'', reason = format(''repeated in line %%s, which counts'', d.last)
               FROM (SELECT lower(email) AS key, max(line) AS last FROM %1$s WHERE reason IS NULL
                      GROUP BY 1 HAVING count(*) > 1) d
              WHERE s.reason IS NULL AND lower(s.email) = d.key AND s.line < d.last', v_table);
    END IF;
    EXECUTE format('SELECT count(*) FROM %s WHERE reason IS NOT NULL', v_table) INTO v_rejected;

    v_head := format('{"imported":%s,"updated":%s,"rejected":%s', v_imported, v_merged - v_imported, v_rejected);
    v_bytes := convert_to(v_head || ',"errors":[', 'UTF8');
    IF v_rejected > 0 THEN
        FOR v_text IN EXECUTE format(
            'SELECT (CASE WHEN g.part = 0 THEN '''' ELSE '','' END) || string_agg(g.item, '','' ORDER BY g.place)
               FROM (SELECT row_number() OVER (ORDER BY line, field, reason) AS place,
                            (row_number() OVER (ORDER BY line, field, reason) - 1) / 200 AS part,
                            json_strip_nulls(json_build_object(''line'', line, ''field'', field, ''reason'', reason,
                                                               ''row'', raw))::text AS item
                       FROM %s WHERE reason IS NOT NULL) g
              GROUP BY g.part ORDER BY g.part', v_table)
        LOOP
            v_bytes := v_bytes || convert_to(v_text, 'UTF8');
            v_at := 1;
            WHILE length(v_bytes) - v_at >= c_chunk LOOP
                INSERT INTO longhaul.result_chunk (job_id, gen, seq, data)
                VALUES (p_job_id, v_gen, v_seq, substr(v_bytes, v_at, c_chunk));
                v_at := v_at + c_chunk;
                v_seq := v_seq + 1;
                v_total := v_total + c_chunk;
            END LOOP;
            v_bytes := substr(v_bytes, v_at);
        END LOOP;
    END IF;
    v_bytes := v_bytes || '\x5d7d0a'; -- ]} and a line feed
    IF v_seq = 0 AND length(v_bytes) <= 65536 THEN
        v_total := length(v_bytes);
    ELSE
        WHILE length(v_bytes) > 0 LOOP
            INSERT INTO longhaul.result_chunk (job_id, gen, seq, data)
            VALUES (p_job_id, v_gen, v_seq, substr(v_bytes, 1, c_chunk));
            v_total := v_total + least(length(v_bytes), c_chunk);
            v_bytes := substr(v_bytes, c_chunk + 1);
            v_seq := v_seq + 1;
        END LOOP;
        v_bytes := NULL;
    END IF;

    -- Progress that is just being stored would make a new version of the row, which finish_batch takes for another.
    PERFORM FROM longhaul.lease l WHERE l.job_id = p_job_id FOR UPDATE;
    SELECT min(f.code), array_agg(f.waiter), array_agg(p_job_id) INTO v_code, v_waiters, v_jobs
      FROM longhaul.finish_batch(p_boot, ARRAY[p_job_id], ARRAY[p_fence], ARRAY[1::smallint], ARRAY[p_ran_ms],
                                 ARRAY['application/json'], ARRAY[v_bytes], ARRAY[v_total], ARRAY[NULL::text],
                                 ARRAY[NULL::bigint], ARRAY[c_steps], ARRAY[c_steps],
                                 ARRAY[format('%s rows', v_valid + v_rejected - (v_valid - v_merged))]) f;
    IF v_code IS DISTINCT FROM 1 THEN
        RAISE EXCEPTION 'the lease of job % is lost', p_job_id USING ERRCODE = 'LH001';
    END IF;
    PERFORM longhaul.tell_waiters(v_waiters, v_jobs);
    PERFORM longhaul.empty_staging(v_table);
    RETURN v_head || '}';
END
$$;
COMMENT ON FUNCTION longhaul.import_finish(uuid, uuid, bigint, integer) IS 'Merges a staged import, stores its result and ends its job';
