-- Who changed what by hand: a row for each act of a DBA or an operator, written in the transaction of that act.
--
-- Who is the role that logged in (session_user): SET ROLE and functions that run as their owner don't hide it.
-- Nobody but the owner of the schema can change or remove rows; maintain() removes old ones.

CREATE TABLE longhaul.audit (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    who         text NOT NULL DEFAULT session_user,
    as_role     text,
    application text,
    address     inet,
    action      text NOT NULL CHECK (length(action) BETWEEN 1 AND 100),
    what        text NOT NULL CHECK (length(what) <= 1000),
    detail      jsonb
);
CREATE INDEX audit_at ON longhaul.audit (at);
CREATE INDEX audit_what ON longhaul.audit (what, at);
COMMENT ON TABLE longhaul.audit IS 'What was done by hand, by whom: functions that DBAs call, and changes of job types, clients, API keys and schedules. Kept for 400 days, or as long as longhaul.audit_keep says.';
COMMENT ON COLUMN longhaul.audit.id IS 'number; gaps are acts that were rolled back';
COMMENT ON COLUMN longhaul.audit.at IS 'when, by the database''s clock';
COMMENT ON COLUMN longhaul.audit.who IS 'the role that had logged in';
COMMENT ON COLUMN longhaul.audit.as_role IS 'the role that it had taken on by SET ROLE; NULL = none';
COMMENT ON COLUMN longhaul.audit.application IS 'application_name of its session';
COMMENT ON COLUMN longhaul.audit.address IS 'where it was connected from; NULL = a socket on the database''s host';
COMMENT ON COLUMN longhaul.audit.action IS 'the function that was called, or the table and what was done to its row: "cancel_job", "job_type update"';
COMMENT ON COLUMN longhaul.audit.what IS 'the job, type, client, host … that it was done to';
COMMENT ON COLUMN longhaul.audit.detail IS 'particulars; of an updated row the columns that changed: [before, after]';

-- Notes an act in longhaul.audit, for functions and programs through which people act. The note is part of the
-- caller's transaction: an act that is rolled back leaves none.
-- Writes: audit.
CREATE FUNCTION longhaul.audit_note(p_action text, p_what text, p_detail jsonb DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    IF coalesce(length(p_action), 0) NOT BETWEEN 1 AND 100 THEN
        RAISE EXCEPTION 'an action has 1 to 100 characters' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO longhaul.audit (who, as_role, application, address, action, what, detail)
    VALUES (session_user, nullif(current_setting('role'), 'none'), nullif(current_setting('application_name'), ''),
            inet_client_addr(), p_action, left(coalesce(p_what, ''), 1000), p_detail);
END
$$;
COMMENT ON FUNCTION longhaul.audit_note(text, text, jsonb) IS 'Notes who did what to what in longhaul.audit: SELECT longhaul.audit_note(''restarted'', ''host7'', ''{"ticket": 4711}'')';

-- Trigger: notes a changed row of a table that people edit. Arguments: the column that names the row, then the
-- columns that programs write, which don't count.
CREATE FUNCTION longhaul.audit_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_old    jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(old) - 'sha256' - TG_ARGV[1:] END;
    v_new    jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(new) - 'sha256' - TG_ARGV[1:] END;
    v_detail jsonb;
    v_action text := TG_TABLE_NAME || ' ' || lower(TG_OP);
BEGIN
    -- What is in an input, and how large it is, is not for here.
    IF v_old ? 'input' THEN
        v_old := v_old || jsonb_build_object('input', 'md5 ' || md5(v_old ->> 'input'));
    END IF;
    IF v_new ? 'input' THEN
        v_new := v_new || jsonb_build_object('input', 'md5 ' || md5(v_new ->> 'input'));
    END IF;
    v_detail := coalesce(v_new, v_old);
    IF TG_OP = 'UPDATE' THEN
        SELECT jsonb_object_agg(n.key, jsonb_build_array(v_old -> n.key, n.value)) INTO v_detail
          FROM jsonb_each(v_new) n WHERE n.value <> v_old -> n.key;
        IF v_detail IS NULL THEN
            RETURN NULL;
        END IF;
        IF TG_TABLE_NAME = 'job_type' AND v_detail - '{paused,paused_since,paused_reason}'::text[] = '{}' THEN
            v_action := CASE WHEN (v_new -> 'paused')::boolean THEN 'pause_type' ELSE 'resume_type' END;
            v_detail := jsonb_build_object('reason', coalesce(nullif(v_new -> 'paused_reason', 'null'), v_old -> 'paused_reason'),
                                           'since', coalesce(nullif(v_new -> 'paused_since', 'null'), v_old -> 'paused_since'));
        END IF;
    END IF;
    PERFORM longhaul.audit_note(v_action, coalesce(v_new, v_old) ->> TG_ARGV[0], v_detail);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION longhaul.audit_change() IS 'Trigger of tables that people edit: notes the change in longhaul.audit';

CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON longhaul.job_type
    FOR EACH ROW EXECUTE FUNCTION longhaul.audit_change('name');
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON longhaul.client
    FOR EACH ROW EXECUTE FUNCTION longhaul.audit_change('name');
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON longhaul.api_key
    FOR EACH ROW EXECUTE FUNCTION longhaul.audit_change('client');
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON longhaul.schedule
    FOR EACH ROW EXECUTE FUNCTION longhaul.audit_change('name', 'next_at', 'retry_at', 'due_at', 'last_at', 'last_made_at',
                                                        'last_job', 'last_error', 'skipped_at');

-- How long rows of longhaul.audit are kept: the setting longhaul.audit_keep, a day at least, else 400 days.
-- What is no interval counts as not set: upkeep must not stop for it. Internal.
CREATE FUNCTION longhaul.audit_keep() RETURNS interval
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    RETURN greatest(interval '1 day', coalesce(nullif(current_setting('longhaul.audit_keep', true), '')::interval,
                                               interval '400 days'));
EXCEPTION WHEN data_exception THEN
    RETURN interval '400 days';
END
$$;
COMMENT ON FUNCTION longhaul.audit_keep() IS 'Internal: how long rows of longhaul.audit are kept; ALTER DATABASE … SET longhaul.audit_keep = ''90 days''';

-- Removes up to p_limit rows of longhaul.audit that are older than they are kept. Returns how many. Internal.
-- Writes: audit. Locks: the rows, SKIP LOCKED.
CREATE FUNCTION longhaul.purge_audit(p_limit integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_rows integer;
BEGIN
    DELETE FROM longhaul.audit a WHERE a.ctid = ANY (ARRAY(
        SELECT q.ctid FROM longhaul.audit q WHERE q.at < now() - longhaul.audit_keep()
         ORDER BY q.at LIMIT p_limit FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END
$$;
COMMENT ON FUNCTION longhaul.purge_audit(integer) IS 'Internal: removes old rows of longhaul.audit';

REVOKE ALL ON FUNCTION longhaul.audit_note(text, text, jsonb), longhaul.audit_change(), longhaul.audit_keep(),
    longhaul.purge_audit(integer) FROM PUBLIC;
GRANT SELECT ON longhaul.audit TO longhaul_dba;
GRANT EXECUTE ON FUNCTION longhaul.audit_note(text, text, jsonb) TO longhaul_dba;
