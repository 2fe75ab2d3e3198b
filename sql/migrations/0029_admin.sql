-- What longhaul-admin calls: a function a subcommand, each returning the JSON that --json prints.
--
-- Errors: invalid_parameter_value = no such thing, or not with this value; object_not_in_prerequisite_state = not now.
-- Changes of types, clients, keys and schedules are noted in longhaul.audit by the triggers of their tables.

-- A time as the API writes it. Internal.
CREATE FUNCTION longhaul.iso_time(p_at timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;
COMMENT ON FUNCTION longhaul.iso_time(timestamptz) IS 'Internal: a time as the API writes it';

-- ---------------------------------------------------------------------------------------------
-- Hosts that are drained
-- ---------------------------------------------------------------------------------------------

CREATE TABLE longhaul.drained_host (
    host   text PRIMARY KEY,
    since  timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason text NOT NULL DEFAULT ''
);
COMMENT ON TABLE longhaul.drained_host IS 'Worker hosts that finish what they run and claim no more; see drain_host()';
COMMENT ON COLUMN longhaul.drained_host.host IS 'worker.host; a daemon that is started there later is drained too';
COMMENT ON COLUMN longhaul.drained_host.since IS 'since when';
COMMENT ON COLUMN longhaul.drained_host.reason IS 'why, for people';
GRANT SELECT ON longhaul.drained_host TO longhaul_dba;

-- The daemons of a host that may still run; an error if no worker of that name is known. Internal.
CREATE FUNCTION longhaul.host_named(p_host text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM longhaul.worker w WHERE w.host = p_host)
       AND NOT EXISTS (SELECT FROM longhaul.drained_host d WHERE d.host = p_host) THEN
        RAISE EXCEPTION 'no worker has run on a host "%"', coalesce(p_host, 'NULL') USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN p_host;
END
$$;
COMMENT ON FUNCTION longhaul.host_named(text) IS 'Internal: the host; an error if it is not known';

-- Has the workers of a host claim no more jobs, until resume_host(), also those started there later. What they run, and the
-- little that they have claimed ahead, goes on; longhaul.running shows when the host is empty. Webhooks are still delivered.
-- Returns how many jobs it holds now.
-- Writes: drained_host, audit.
CREATE FUNCTION longhaul.drain_host(p_host text, p_reason text DEFAULT '') RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_jobs integer;
BEGIN
    PERFORM longhaul.host_named(p_host);
    INSERT INTO longhaul.drained_host (host, reason) VALUES (p_host, coalesce(p_reason, ''))
    ON CONFLICT (host) DO UPDATE SET reason = excluded.reason;
    SELECT count(*) INTO v_jobs FROM longhaul.lease l JOIN longhaul.worker w ON w.boot = l.boot WHERE w.host = p_host;
    PERFORM longhaul.audit_note('drain_host', p_host, jsonb_build_object('reason', p_reason, 'jobs', v_jobs));
    RETURN v_jobs;
END
$$;
COMMENT ON FUNCTION longhaul.drain_host(text, text) IS 'The workers of a host finish what they run and claim no more: SELECT longhaul.drain_host(''host7'', ''new disk'')';

-- Lets the workers of a drained host claim jobs again. Returns whether it was drained.
-- Writes: drained_host, audit.
CREATE FUNCTION longhaul.resume_host(p_host text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    PERFORM longhaul.host_named(p_host);
    DELETE FROM longhaul.drained_host d WHERE d.host = p_host;
    IF FOUND THEN
        PERFORM longhaul.audit_note('resume_host', p_host, NULL);
        RETURN true;
    END IF;
    RETURN false;
END
$$;
COMMENT ON FUNCTION longhaul.resume_host(text) IS 'The workers of a drained host claim jobs again';

-- The worker daemons, newest first of each host; p_all: also those that have ended.
CREATE FUNCTION longhaul.admin_hosts(p_all boolean DEFAULT false) RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT coalesce(json_agg(json_build_object(
               'host', w.host, 'pid', w.pid, 'version', w.version, 'state', w.state,
               'beatAgeSeconds', round(extract(epoch FROM clock_timestamp() - w.beat_at)::numeric, 1),
               'jobs', (SELECT count(*) FROM longhaul.lease l WHERE l.boot = w.boot),
               'serves', w.serves, 'drainedSince', longhaul.iso_time(d.since), 'reason', d.reason)
               ORDER BY w.host, w.started_at DESC), '[]')
      FROM longhaul.workers w LEFT JOIN longhaul.drained_host d ON d.host = w.host
     WHERE p_all OR w.state NOT IN ('stopped', 'dead') OR EXISTS (SELECT FROM longhaul.lease l WHERE l.boot = w.boot)
$$;
COMMENT ON FUNCTION longhaul.admin_hosts(boolean) IS 'longhaul-admin host list';

CREATE FUNCTION longhaul.admin_host_drain(p_host text, p_reason text) RETURNS json
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT json_build_object('host', p_host, 'drained', true, 'jobs', longhaul.drain_host(p_host, p_reason))
$$;
COMMENT ON FUNCTION longhaul.admin_host_drain(text, text) IS 'longhaul-admin host drain';

CREATE FUNCTION longhaul.admin_host_resume(p_host text) RETURNS json
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT json_build_object('host', p_host, 'drained', false, 'wasDrained', longhaul.resume_host(p_host))
$$;
COMMENT ON FUNCTION longhaul.admin_host_resume(text) IS 'longhaul-admin host resume';

-- Not as long as a worker lives there, unless p_alive.
CREATE FUNCTION longhaul.admin_host_release(p_host text, p_alive boolean DEFAULT false) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    PERFORM longhaul.host_named(p_host);
    IF NOT p_alive AND EXISTS (SELECT FROM longhaul.worker w WHERE w.host = p_host AND w.dead_at IS NULL
                                  AND w.stopped_at IS NULL AND w.lease_until > clock_timestamp()) THEN
        RAISE EXCEPTION 'a worker on host "%" is alive', p_host USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'host drain lets it finish what it runs. If it hangs, --alive takes its jobs all the same; it is told, and stops them.';
    END IF;
    RETURN json_build_object('host', p_host, 'jobs', longhaul.release_host(p_host));
END
$$;
COMMENT ON FUNCTION longhaul.admin_host_release(text, boolean) IS 'longhaul-admin host release';

-- ---------------------------------------------------------------------------------------------
-- Clients and their keys
-- ---------------------------------------------------------------------------------------------

-- An error if there is no such client. Internal.
CREATE FUNCTION longhaul.client_named(p_client text) RETURNS longhaul.client
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_client longhaul.client;
BEGIN
    SELECT * INTO v_client FROM longhaul.client c WHERE c.name = p_client;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no client "%"', coalesce(p_client, 'NULL') USING ERRCODE = 'invalid_parameter_value',
            HINT = 'client create makes one. Clients that only nginx names need none.';
    END IF;
    RETURN v_client;
END
$$;
COMMENT ON FUNCTION longhaul.client_named(text) IS 'Internal: a client; an error if there is none';

CREATE FUNCTION longhaul.admin_clients() RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT coalesce(json_agg(json_build_object(
               'client', c.name, 'createdTime', longhaul.iso_time(c.created_at), 'disabledTime', longhaul.iso_time(c.disabled_at),
               'keys', (SELECT count(*) FROM longhaul.api_key k WHERE k.client = c.name AND k.revoked_at IS NULL),
               'note', c.note) ORDER BY c.name), '[]')
      FROM longhaul.client c
$$;
COMMENT ON FUNCTION longhaul.admin_clients() IS 'longhaul-admin client list';

CREATE FUNCTION longhaul.admin_client_create(p_client text, p_note text DEFAULT '') RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    -- What the API takes from nginx, too.
    IF p_client IS NULL OR p_client !~ '^[!-~]([ -~]{0,62}[!-~])?$' THEN
        RAISE EXCEPTION 'a client''s name has 1 to 64 printable ASCII characters and begins and ends with none that is blank'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO longhaul.client (name, note) VALUES (p_client, coalesce(p_note, ''));
    RETURN json_build_object('client', p_client, 'created', true);
EXCEPTION WHEN unique_violation THEN
    RAISE EXCEPTION 'there is a client "%" already', p_client USING ERRCODE = 'object_not_in_prerequisite_state';
END
$$;
COMMENT ON FUNCTION longhaul.admin_client_create(text, text) IS 'longhaul-admin client create';

-- Has the API refuse, or take again, a client's keys. Clients that nginx names are nginx's business.
CREATE FUNCTION longhaul.admin_client_enable(p_client text, p_enabled boolean) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_was longhaul.client := longhaul.client_named(p_client);
BEGIN
    UPDATE longhaul.client SET disabled_at = CASE WHEN NOT p_enabled THEN coalesce(disabled_at, clock_timestamp()) END
     WHERE name = p_client AND (disabled_at IS NULL) <> p_enabled;
    RETURN json_build_object('client', p_client, 'enabled', p_enabled, 'changed', FOUND,
        'keys', (SELECT count(*) FROM longhaul.api_key k WHERE k.client = p_client AND k.revoked_at IS NULL));
END
$$;
COMMENT ON FUNCTION longhaul.admin_client_enable(text, boolean) IS 'longhaul-admin client disable, client enable';

-- What names a key without giving it away: a piece of the checksum of 244 random bits. Internal.
CREATE FUNCTION longhaul.key_id(p_sha256 bytea) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT left(encode(p_sha256, 'hex'), 12)
$$;
COMMENT ON FUNCTION longhaul.key_id(bytea) IS 'Internal: what names an API key';

CREATE FUNCTION longhaul.admin_keys(p_client text DEFAULT NULL) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    IF p_client IS NOT NULL THEN
        PERFORM longhaul.client_named(p_client);
    END IF;
    RETURN (SELECT coalesce(json_agg(json_build_object(
                       'keyId', longhaul.key_id(k.sha256), 'client', k.client, 'label', k.label,
                       'createdTime', longhaul.iso_time(k.created_at), 'revokedTime', longhaul.iso_time(k.revoked_at))
                       ORDER BY k.client, k.created_at), '[]')
              FROM longhaul.api_key k WHERE p_client IS NULL OR k.client = p_client);
END
$$;
COMMENT ON FUNCTION longhaul.admin_keys(text) IS 'longhaul-admin key list';

CREATE FUNCTION longhaul.admin_key_create(p_client text, p_label text DEFAULT '') RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_client longhaul.client := longhaul.client_named(p_client);
    v_key    text;
BEGIN
    IF v_client.disabled_at IS NOT NULL THEN
        RAISE EXCEPTION 'client "%" is disabled', p_client USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'client enable has its keys accepted again.';
    END IF;
    v_key := longhaul.create_api_key(p_client, coalesce(p_label, ''));
    RETURN json_build_object('keyId', longhaul.key_id(sha256(convert_to(v_key, 'UTF8'))), 'client', p_client,
                             'label', coalesce(p_label, ''), 'key', v_key);
END
$$;
COMMENT ON FUNCTION longhaul.admin_key_create(text, text) IS 'longhaul-admin key create';

CREATE FUNCTION longhaul.admin_key_revoke(p_key_id text) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_key longhaul.api_key;
BEGIN
    SELECT * INTO v_key FROM longhaul.api_key k WHERE longhaul.key_id(k.sha256) = p_key_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no key "%"', coalesce(p_key_id, 'NULL') USING ERRCODE = 'invalid_parameter_value',
            HINT = 'key list shows the ids.';
    END IF;
    UPDATE longhaul.api_key SET revoked_at = clock_timestamp() WHERE sha256 = v_key.sha256 AND revoked_at IS NULL;
    RETURN json_build_object('keyId', p_key_id, 'client', v_key.client, 'label', v_key.label, 'revoked', true, 'changed', FOUND);
END
$$;
COMMENT ON FUNCTION longhaul.admin_key_revoke(text) IS 'longhaul-admin key revoke';

-- ---------------------------------------------------------------------------------------------
-- Job types
-- ---------------------------------------------------------------------------------------------

-- The settings of job types: the columns that people write, with their types and meanings. Internal.
CREATE FUNCTION longhaul.type_settings(OUT setting text, OUT kind text, OUT nullable boolean, OUT meaning text) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, col_description(a.attrelid, a.attnum)
      FROM pg_attribute a
     WHERE a.attrelid = 'longhaul.job_type'::regclass AND a.attnum > 0 AND NOT a.attisdropped
       AND a.attname NOT IN ('type_id', 'name', 'paused', 'paused_since', 'paused_reason')
     ORDER BY a.attnum
$$;
COMMENT ON FUNCTION longhaul.type_settings() IS 'Internal: the settings of job types';

-- The value as text that the column takes: a list may be given with commas, none is NULL. Refuses, in words, what is not of
-- the column's type. Internal.
CREATE FUNCTION longhaul.setting_value(p_setting text, p_value text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_kind  text;
    v_null  boolean;
    v_value text := p_value;
BEGIN
    SELECT s.kind, s.nullable INTO v_kind, v_null FROM longhaul.type_settings() s WHERE s.setting = p_setting;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a job type has no setting "%"', p_setting USING ERRCODE = 'invalid_parameter_value',
            HINT = CASE WHEN p_setting LIKE 'paused%' THEN 'See pause and resume.'
                        WHEN p_setting = 'name' THEN 'A type keeps its name: jobs and configurations refer to it.'
                        ELSE 'Settings are: ' || (SELECT string_agg(s.setting, ', ') FROM longhaul.type_settings() s) || '.' END;
    END IF;
    IF p_value IS NULL OR v_null AND lower(p_value) IN ('none', '') THEN
        IF NOT v_null THEN
            RAISE EXCEPTION '%: a value is missing', p_setting USING ERRCODE = 'invalid_parameter_value';
        END IF;
        RETURN NULL;
    END IF;
    IF v_kind LIKE '%[]' AND p_value !~ '^\{.*\}$' THEN
        v_value := ARRAY(SELECT trim(x) FROM unnest(string_to_array(p_value, ',')) x)::text;
    END IF;
    EXECUTE format('SELECT %L::%s', v_value, v_kind);
    RETURN v_value;
EXCEPTION WHEN data_exception THEN
    IF SQLERRM LIKE p_setting || ':%' OR SQLERRM LIKE 'a job type has no%' THEN
        RAISE;
    END IF;
    RAISE EXCEPTION '%: "%" is not %', p_setting, left(p_value, 100),
        CASE WHEN v_kind IN ('integer', 'bigint') THEN 'a whole number' || CASE WHEN p_value ~ '^[+-]?\d+$' THEN ' of this size' ELSE '' END
             WHEN v_kind = 'interval' THEN 'a span of time, like 7 days or 90 minutes'
             WHEN v_kind = 'boolean' THEN 'true or false' ELSE 'of type ' || v_kind END
        USING ERRCODE = 'invalid_parameter_value';
END
$$;
COMMENT ON FUNCTION longhaul.setting_value(text, text) IS 'Internal: checks a value for a setting of job types';

-- Writes settings (an object of texts) of a type, or makes the type with them, and says in words which rule of the table
-- they break. Internal.
-- Writes: job_type.
CREATE FUNCTION longhaul.type_write(p_type text, p_settings jsonb, p_new boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_names  text;
    v_values text;
    v_rule   text;
BEGIN
    SELECT string_agg(quote_ident(e.key), ', '), string_agg(quote_nullable(longhaul.setting_value(e.key, e.value)), ', ')
      INTO v_names, v_values FROM jsonb_each_text(p_settings) e;
    IF p_new THEN
        EXECUTE format('INSERT INTO longhaul.job_type (name, %s) VALUES (%L, %s)', v_names, p_type, v_values);
    ELSIF v_names IS NOT NULL THEN
        EXECUTE format('UPDATE longhaul.job_type SET (%s) = ROW(%s) WHERE name = %L', v_names, v_values, p_type);
    END IF;
EXCEPTION
    WHEN check_violation THEN
        GET STACKED DIAGNOSTICS v_rule = CONSTRAINT_NAME;
        SELECT pg_get_constraintdef(c.oid, true) INTO v_rule FROM pg_constraint c
         WHERE c.conrelid = 'longhaul.job_type'::regclass AND c.conname = v_rule;
        RAISE EXCEPTION 'these settings break a rule of job types: %', regexp_replace(v_rule, '^CHECK \((.*)\)$', '\1')
            USING ERRCODE = 'invalid_parameter_value';
    WHEN unique_violation THEN
        GET STACKED DIAGNOSTICS v_rule = CONSTRAINT_NAME;
        RAISE EXCEPTION 'another job type has this %', CASE WHEN v_rule ~ 'path' THEN 'submit_path' ELSE 'collection' END
            USING ERRCODE = 'object_not_in_prerequisite_state';
    WHEN not_null_violation THEN
        RAISE EXCEPTION 'a setting that must have a value has none' USING ERRCODE = 'invalid_parameter_value';
END
$$;
COMMENT ON FUNCTION longhaul.type_write(text, jsonb, boolean) IS 'Internal: writes settings of a job type';

-- The row of a type as an object; an error if there is none. Internal.
CREATE FUNCTION longhaul.type_object(p_type text) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_row json := (SELECT to_json(t) FROM longhaul.job_type t WHERE t.type_id = longhaul.type_named(p_type));
BEGIN
    IF v_row IS NULL THEN
        RAISE EXCEPTION 'name a job type' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN v_row;
END
$$;
COMMENT ON FUNCTION longhaul.type_object(text) IS 'Internal: a job type as an object';

CREATE FUNCTION longhaul.admin_types() RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT coalesce(json_agg(json_build_object(
               'type', t.name, 'submitPath', '/v1' || t.submit_path, 'collection', t.collection, 'paused', t.paused,
               'servedByHosts', (SELECT count(DISTINCT w.host) FROM longhaul.worker_type x JOIN longhaul.worker w ON w.boot = x.boot
                                  WHERE x.type_id = t.type_id AND w.dead_at IS NULL AND w.stopped_at IS NULL),
               'description', t.description) ORDER BY t.name), '[]')
      FROM longhaul.job_type t
$$;
COMMENT ON FUNCTION longhaul.admin_types() IS 'longhaul-admin type list';

-- Each setting with its value and what it means.
CREATE FUNCTION longhaul.admin_type(p_type text) RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT json_build_object('type', o ->> 'name', 'typeId', o -> 'type_id', 'paused', o -> 'paused',
               'pausedSince', o -> 'paused_since', 'pausedReason', o -> 'paused_reason',
               'settings', (SELECT json_agg(json_build_object('setting', s.setting, 'value', o -> s.setting, 'meaning', s.meaning))
                              FROM longhaul.type_settings() s))
      FROM longhaul.type_object(p_type) o
$$;
COMMENT ON FUNCTION longhaul.admin_type(text) IS 'longhaul-admin type show';

-- Makes a type. Without submit_path and collection they are made of its name: a.b becomes /a/b and b-jobs.
CREATE FUNCTION longhaul.admin_type_add(p_type text, p_settings jsonb) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_path text := coalesce(p_settings ->> 'submit_path', '/' || replace(p_type, '.', '/'));
    v_coll text := coalesce(p_settings ->> 'collection', regexp_replace(p_type, '^.*\.', '') || '-jobs');
BEGIN
    IF p_type IS NULL OR p_type !~ '^[a-z0-9][a-z0-9._-]{0,63}$' THEN
        RAISE EXCEPTION 'the name of a job type has 1 to 64 of a-z, 0-9, ".", "_" and "-", and begins with a letter or digit'
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF EXISTS (SELECT FROM longhaul.job_type t WHERE t.name = p_type) THEN
        RAISE EXCEPTION 'there is a job type "%" already', p_type USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM longhaul.type_write(p_type, p_settings || jsonb_build_object('submit_path', v_path, 'collection', v_coll), true);
    RETURN json_build_object('type', p_type, 'submitPath', '/v1' || v_path, 'collection', v_coll,
        'takesEffect', 'API processes take its jobs within seconds; a worker runs them that has [type ' || p_type || '] in its configuration');
END
$$;
COMMENT ON FUNCTION longhaul.admin_type_add(text, jsonb) IS 'longhaul-admin type add';

CREATE FUNCTION longhaul.admin_type_set(p_type text, p_settings jsonb) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_old jsonb := longhaul.type_object(p_type)::jsonb;
    v_new jsonb;
BEGIN
    PERFORM longhaul.type_write(p_type, p_settings, false);
    v_new := longhaul.type_object(p_type)::jsonb;
    RETURN json_build_object('type', p_type, 'changes', (
        SELECT coalesce(json_agg(json_build_object('setting', s.setting, 'before', v_old -> s.setting, 'after', v_new -> s.setting,
            'takesEffect', CASE
                WHEN v_old -> s.setting = v_new -> s.setting THEN 'it was so'
                WHEN s.setting = 'collection' THEN 'within seconds; links to jobs in the old collection are not found any more'
                WHEN s.setting = 'retention' THEN 'for jobs that end from now on'
                WHEN s.setting IN ('timeout_ms', 'max_attempts', 'backoff_ms', 'backoff_max_ms', 'max_running', 'rate_limit', 'rate_period', 'ageing')
                    THEN 'within seconds, for jobs that begin from then on; no restart'
                ELSE 'within seconds; no restart' END)), '[]')
          FROM longhaul.type_settings() s WHERE p_settings ? s.setting));
END
$$;
COMMENT ON FUNCTION longhaul.admin_type_set(text, jsonb) IS 'longhaul-admin type set';

-- Removes a type of which there are no jobs any more.
-- Locks: job in SHARE mode, for half a second at most: a submit that is under way ends first.
CREATE FUNCTION longhaul.admin_type_remove(p_type text) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp SET lock_timeout = '500ms' AS $$
BEGIN
    PERFORM longhaul.type_object(p_type);
    LOCK TABLE longhaul.job IN SHARE MODE;
    DELETE FROM longhaul.job_type t WHERE t.name = p_type;
    RETURN json_build_object('type', p_type, 'removed', true);
EXCEPTION
    WHEN foreign_key_violation THEN
        RAISE EXCEPTION 'job type "%" is in use: %', p_type,
            CASE WHEN SQLERRM ~ 'there are jobs' THEN 'there are jobs of it' ELSE 'a schedule makes its jobs' END
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Pause it, cancel what waits and purge what has ended, or wait until the retention has run out.';
    WHEN lock_not_available THEN
        RAISE EXCEPTION 'submits that are under way don''t end' USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Try again.';
END
$$;
COMMENT ON FUNCTION longhaul.admin_type_remove(text) IS 'longhaul-admin type remove';

CREATE FUNCTION longhaul.admin_pause(p_type text, p_reason text DEFAULT NULL) RETURNS json
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT json_build_object('type', p_type, 'paused', true, 'changed', longhaul.pause_type(p_type, p_reason))
$$;
COMMENT ON FUNCTION longhaul.admin_pause(text, text) IS 'longhaul-admin pause';

CREATE FUNCTION longhaul.admin_resume(p_type text) RETURNS json
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT json_build_object('type', p_type, 'paused', false, 'changed', longhaul.resume_type(p_type))
$$;
COMMENT ON FUNCTION longhaul.admin_resume(text) IS 'longhaul-admin resume';

-- ---------------------------------------------------------------------------------------------
-- Jobs
-- ---------------------------------------------------------------------------------------------

-- A row of the view jobs as an object. Internal.
CREATE FUNCTION longhaul.job_object(p longhaul.jobs) RETURNS json
LANGUAGE sql STABLE SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT json_build_object('jobId', p.id, 'type', p.type, 'client', p.client, 'status', p.status,
        'createdTime', longhaul.iso_time(p.created_at), 'startedTime', longhaul.iso_time(p.started_at),
        'completionTime', longhaul.iso_time(p.ended_at), 'ranForSeconds', round(extract(epoch FROM p.ran_for)::numeric, 1),
        'attempt', p.attempt, 'host', p.host, 'percentComplete', round(100.0 * p.done / nullif(p.total, 0), 1),
        'error', p.error ->> 'title')
$$;
COMMENT ON FUNCTION longhaul.job_object(longhaul.jobs) IS 'Internal: a job as an object';

-- The newest jobs, of a type, a client, in a status. Looks at those of the last p_days only.
CREATE FUNCTION longhaul.admin_jobs(p_type text, p_client text, p_status text, p_limit integer, p_days integer) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    PERFORM longhaul.type_named(p_type);
    IF p_status NOT IN ('Queued', 'InProgress', 'Completed', 'Failed', 'Canceled') THEN
        RAISE EXCEPTION 'no job has the status "%"', p_status USING ERRCODE = 'invalid_parameter_value',
            HINT = 'It is Queued, InProgress, Completed, Failed or Canceled.';
    ELSIF p_limit NOT BETWEEN 1 AND 10000 OR p_days NOT BETWEEN 1 AND 3660 THEN
        RAISE EXCEPTION 'the limit is from 1 to 10000, the days from 1 to 3660' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN (SELECT coalesce(json_agg(longhaul.job_object(x)), '[]') FROM (
        SELECT v FROM longhaul.jobs v
         WHERE v.id >= longhaul.uuid_at(now() - p_days * interval '1 day') AND (p_type IS NULL OR v.type = p_type)
           AND (p_client IS NULL OR v.client = p_client) AND (p_status IS NULL OR v.status = p_status)
         ORDER BY v.id DESC LIMIT p_limit) y(x));
END
$$;
COMMENT ON FUNCTION longhaul.admin_jobs(text, text, text, integer, integer) IS 'longhaul-admin job list';

CREATE FUNCTION longhaul.admin_job(p_id uuid) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v longhaul.jobs;
BEGIN
    PERFORM longhaul.job_named(p_id);
    SELECT * INTO v FROM longhaul.jobs x WHERE x.id = p_id;
    RETURN longhaul.job_object(v);
END
$$;
COMMENT ON FUNCTION longhaul.admin_job(uuid) IS 'longhaul-admin job show';

CREATE FUNCTION longhaul.admin_job_cancel(p_id uuid) RETURNS json
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT json_build_object('jobId', p_id, 'status', longhaul.cancel_job(p_id))
$$;
COMMENT ON FUNCTION longhaul.admin_job_cancel(uuid) IS 'longhaul-admin job cancel';

CREATE FUNCTION longhaul.admin_job_retry(p_id uuid) RETURNS json
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT json_build_object('jobId', p_id, 'status', longhaul.retry_job(p_id))
$$;
COMMENT ON FUNCTION longhaul.admin_job_retry(uuid) IS 'longhaul-admin job retry';

CREATE FUNCTION longhaul.admin_jobs_cancel(p_type text, p_client text, p_limit integer) RETURNS json
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT json_build_object('canceled', n, 'mayBeMore', n >= p_limit)
      FROM longhaul.cancel_jobs(p_type => p_type, p_client => p_client, p_limit => p_limit) n
$$;
COMMENT ON FUNCTION longhaul.admin_jobs_cancel(text, text, integer) IS 'longhaul-admin job cancel-all';

CREATE FUNCTION longhaul.admin_jobs_retry(p_type text, p_client text, p_error text, p_since interval, p_limit integer) RETURNS json
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT json_build_object('queued', n, 'mayBeMore', n >= p_limit)
      FROM longhaul.retry_jobs(p_type => p_type, p_client => p_client, p_from => now() - p_since, p_to => now(), p_error => p_error,
                               p_limit => p_limit) n
$$;
COMMENT ON FUNCTION longhaul.admin_jobs_retry(text, text, text, interval, integer) IS 'longhaul-admin job retry-all';

-- Removes up to p_limit ended jobs behind p_after, in the order of their ids, that ended longer ago than p_older; or only
-- counts them (p_dry). last: where to go on; NULL = that was all.
-- Writes: as delete_job, audit.
CREATE FUNCTION longhaul.admin_purge(
    p_older interval, p_client text, p_type text, p_status text, p_dry boolean, p_after uuid, p_limit integer DEFAULT 1000)
RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_type   integer := longhaul.type_named(p_type);
    v_status smallint := CASE p_status WHEN 'Completed' THEN 3 WHEN 'Failed' THEN 4 WHEN 'Canceled' THEN 5 END;
    v_before timestamptz := now() - p_older;
    v_seen   integer := 0;
    v_count  integer := 0;
    v_last   uuid;
    r        record;
BEGIN
    IF p_status IS NOT NULL AND v_status IS NULL THEN
        RAISE EXCEPTION 'no job that has ended has the status "%"', p_status USING ERRCODE = 'invalid_parameter_value',
            HINT = 'It is Completed, Failed or Canceled.';
    ELSIF p_older IS NULL OR p_older < interval '0' THEN
        RAISE EXCEPTION 'the age must not be negative' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR r IN
        SELECT j.id, j.client FROM longhaul.job j JOIN longhaul.outcome o ON o.job_id = j.id
         WHERE j.id > coalesce(p_after, '00000000-0000-0000-0000-000000000000') AND j.id < longhaul.uuid_at(v_before + interval '2 days')
           AND o.ended_at <= v_before AND (p_client IS NULL OR j.client = p_client) AND (v_type IS NULL OR j.type_id = v_type)
           AND (v_status IS NULL OR o.status = v_status)
         ORDER BY j.id LIMIT p_limit
    LOOP
        v_seen := v_seen + 1;
        v_last := r.id;
        IF p_dry OR longhaul.delete_job(r.id, r.client) = 1 THEN
            v_count := v_count + 1;
        END IF;
    END LOOP;
    IF v_count > 0 AND NOT p_dry THEN
        PERFORM longhaul.audit_note('purge', concat_ws(' ', p_type, p_client), jsonb_strip_nulls(jsonb_build_object(
            'older', p_older, 'type', p_type, 'client', p_client, 'status', p_status, 'jobs', v_count)));
    END IF;
    RETURN json_build_object('jobs', v_count, 'last', CASE WHEN v_seen = p_limit THEN v_last END);
END
$$;
COMMENT ON FUNCTION longhaul.admin_purge(interval, text, text, text, boolean, uuid, integer) IS 'longhaul-admin purge, a step at a time';

-- ---------------------------------------------------------------------------------------------
-- Schedules, the audit
-- ---------------------------------------------------------------------------------------------

CREATE FUNCTION longhaul.admin_schedules() RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT coalesce(json_agg(json_build_object(
               'schedule', s.name, 'type', s.job_type, 'cron', s.cron, 'timeZone', s.time_zone, 'enabled', s.enabled,
               'nextTime', longhaul.iso_time(s.next_run), 'lastTime', longhaul.iso_time(s.last_run), 'lastStatus', s.last_status,
               'lastError', s.last_error) ORDER BY s.name), '[]')
      FROM longhaul.schedules s
$$;
COMMENT ON FUNCTION longhaul.admin_schedules() IS 'longhaul-admin schedule list';

CREATE FUNCTION longhaul.admin_schedule_enable(p_name text, p_enabled boolean) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_was boolean;
BEGIN
    SELECT s.enabled INTO v_was FROM longhaul.schedule s WHERE s.name = p_name FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no schedule "%"', coalesce(p_name, 'NULL') USING ERRCODE = 'invalid_parameter_value';
    END IF;
    UPDATE longhaul.schedule SET enabled = p_enabled WHERE name = p_name AND enabled <> p_enabled;
    RETURN (SELECT json_build_object('schedule', p_name, 'enabled', s.enabled, 'changed', s.enabled <> v_was,
                                     'nextTime', longhaul.iso_time(s.due_at))
              FROM longhaul.schedule s WHERE s.name = p_name);
END
$$;
COMMENT ON FUNCTION longhaul.admin_schedule_enable(text, boolean) IS 'longhaul-admin schedule pause, schedule resume';

CREATE FUNCTION longhaul.admin_audit(p_limit integer) RETURNS json
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    IF p_limit NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'the limit is from 1 to 10000' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN (SELECT coalesce(json_agg(json_build_object('time', longhaul.iso_time(a.at), 'who', a.who, 'action', a.action, 'what', a.what,
                                                       'detail', a.detail)), '[]')
              FROM (SELECT * FROM longhaul.audit x ORDER BY x.id DESC LIMIT p_limit) a);
END
$$;
COMMENT ON FUNCTION longhaul.admin_audit(integer) IS 'longhaul-admin audit';

-- ---------------------------------------------------------------------------------------------
-- How it all stands
-- ---------------------------------------------------------------------------------------------

-- What is wrong, in sentences. Internal.
CREATE FUNCTION longhaul.admin_warnings() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT format('%s: %s', coalesce(s.type, s.host), s.why) || CASE WHEN count(*) > 1 THEN format(' (%s jobs)', count(*)) ELSE '' END
      FROM longhaul.stuck s GROUP BY s.type, s.host, s.why
    UNION ALL
    SELECT 'partitions reach only to ' || max(p.day) || ': no worker does the upkeep; SELECT longhaul.maintain() makes more'
      FROM longhaul.partitions p HAVING coalesce(max(p.day), '-infinity') < (now() AT TIME ZONE 'UTC')::date + 2
    UNION ALL
    SELECT 'no worker is alive' WHERE NOT EXISTS (SELECT FROM longhaul.worker w WHERE w.dead_at IS NULL AND w.stopped_at IS NULL
                                                     AND w.lease_until > clock_timestamp())
$$;
COMMENT ON FUNCTION longhaul.admin_warnings() IS 'Internal: what is wrong, in sentences';

-- Recently: in the last ten minutes.
CREATE FUNCTION longhaul.admin_status() RETURNS json
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp SET jit = off AS $$
    SELECT json_build_object(
        'schemaVersion', longhaul.schema_version(),
        'database', current_database(),
        'server', current_setting('server_version'),
        'partitions', (SELECT json_build_object('first', min(p.day), 'last', max(p.day), 'days', count(*)) FROM longhaul.partitions p),
        'hosts', longhaul.admin_hosts(),
        'types', (SELECT coalesce(json_agg(json_build_object(
                      'type', q.type, 'waiting', q.depth, 'waitingIsMore', q.more, 'oldestAgeSeconds',
                      round(extract(epoch FROM q.head_age)::numeric, 1), 'delayed', q.delayed, 'running', q.running, 'slots', q.slots,
                      'recentlyCompleted', coalesce(e.completed, 0), 'recentlyFailed', coalesce(e.failed, 0),
                      'paused', q.paused, 'pausedReason', q.paused_reason) ORDER BY q.type), '[]')
                    FROM longhaul.queue_depth q
                    LEFT JOIN (SELECT x.type_id, sum(x.jobs) FILTER (WHERE x.status = 3) AS completed,
                                      sum(x.jobs) FILTER (WHERE x.status = 4) AS failed
                                 FROM (SELECT m.type_id, m.status, m.jobs FROM longhaul.tally_minute m
                                        WHERE m.minute > now() - interval '10 minutes'
                                       UNION ALL
                                       SELECT d.type_id, d.status, d.jobs FROM longhaul.tally_delta d
                                        WHERE d.ended_at > now() - interval '10 minutes') x
                                GROUP BY 1) e ON e.type_id = longhaul.type_named(q.type)),
        'warnings', (SELECT coalesce(json_agg(w ORDER BY w), '[]') FROM longhaul.admin_warnings() w))
$$;
COMMENT ON FUNCTION longhaul.admin_status() IS 'longhaul-admin status';

DO $$
DECLARE
    f regprocedure;
BEGIN
    FOREACH f IN ARRAY ARRAY(SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'longhaul'::regnamespace
                              AND (p.proname LIKE 'admin\_%' OR p.proname IN ('iso_time', 'host_named', 'client_named', 'key_id',
                                   'type_settings', 'setting_value', 'type_write', 'type_object', 'job_object', 'drain_host', 'resume_host'))) LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
    END LOOP;
    -- What people call; the rest is internal.
    FOREACH f IN ARRAY ARRAY(SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'longhaul'::regnamespace
                              AND (p.proname LIKE 'admin\_%' AND p.proname <> 'admin_warnings'
                                   OR p.proname IN ('drain_host', 'resume_host'))) LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO longhaul_dba', f);
    END LOOP;
END
$$;
