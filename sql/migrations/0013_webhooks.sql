-- Webhooks: who wants to be told when jobs end, and what is to be told.
--
-- The deliveries of a job are made in the transaction that ends it: announce(). From then on they
-- go their own way, by tables of their own rather than as jobs: claims must be fair per endpoint.

CREATE TABLE longhaul.webhook (
    id              uuid PRIMARY KEY,
    client          text COLLATE "C" NOT NULL,
    url             text NOT NULL,
    type_ids        integer[],
    events          text[] NOT NULL CHECK (events <@ '{job.completed,job.failed,job.canceled}' AND cardinality(events) > 0),
    description     text NOT NULL DEFAULT '',
    base_url        text NOT NULL,
    problem_base    text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    disabled_at     timestamptz,
    disabled_reason text,
    deleted_at      timestamptz
);
CREATE INDEX webhook_client ON longhaul.webhook (client, id);
COMMENT ON TABLE longhaul.webhook IS 'Endpoints that clients subscribed: told when the client''s jobs end';
COMMENT ON COLUMN longhaul.webhook.id IS 'UUIDv7';
COMMENT ON COLUMN longhaul.webhook.client IS 'whose it is; it tells of this client''s jobs only';
COMMENT ON COLUMN longhaul.webhook.url IS 'where deliveries go';
COMMENT ON COLUMN longhaul.webhook.type_ids IS 'of jobs of these types only (job_type.type_id); NULL = of all';
COMMENT ON COLUMN longhaul.webhook.events IS 'which events: job.completed, job.failed, job.canceled';
COMMENT ON COLUMN longhaul.webhook.description IS 'the client''s own words';
COMMENT ON COLUMN longhaul.webhook.base_url IS 'base of the links in what is told: that of the request which made it';
COMMENT ON COLUMN longhaul.webhook.problem_base IS 'base of the problem types in what is told';
COMMENT ON COLUMN longhaul.webhook.created_at IS 'when it was subscribed';
COMMENT ON COLUMN longhaul.webhook.disabled_at IS 'since when nothing is delivered; NULL = it is enabled';
COMMENT ON COLUMN longhaul.webhook.disabled_reason IS 'why: gone = the endpoint answered 410';
COMMENT ON COLUMN longhaul.webhook.deleted_at IS 'when the client removed it: it is seen no more, and maintain() removes what is left';

CREATE TABLE longhaul.webhook_secret (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client     text COLLATE "C" NOT NULL,
    webhook_id uuid,
    secret     bytea NOT NULL CHECK (length(secret) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz
);
CREATE UNIQUE INDEX webhook_secret_current ON longhaul.webhook_secret (client, webhook_id) NULLS NOT DISTINCT WHERE expires_at IS NULL;
CREATE INDEX webhook_secret_of ON longhaul.webhook_secret (client, webhook_id);
COMMENT ON TABLE longhaul.webhook_secret IS 'Secrets that deliveries are signed with; nobody may read the column secret';
COMMENT ON COLUMN longhaul.webhook_secret.id IS 'number; a newer secret has a higher one';
COMMENT ON COLUMN longhaul.webhook_secret.client IS 'whose it is';
COMMENT ON COLUMN longhaul.webhook_secret.webhook_id IS 'webhook.id; NULL = the client''s own, for what goes to the URLs of single jobs';
COMMENT ON COLUMN longhaul.webhook_secret.secret IS 'the key of the HMAC, shown to the client once';
COMMENT ON COLUMN longhaul.webhook_secret.created_at IS 'when it was made';
COMMENT ON COLUMN longhaul.webhook_secret.expires_at IS 'it was replaced, and signs beside its successor until then; NULL = the current one';

CREATE TABLE longhaul.job_webhook (
    job_id       uuid PRIMARY KEY,
    url          text NOT NULL,
    base_url     text NOT NULL,
    problem_base text NOT NULL
);
COMMENT ON TABLE longhaul.job_webhook IS 'Jobs that were submitted with a URL to tell of their end; removed with the job';
COMMENT ON COLUMN longhaul.job_webhook.job_id IS 'job.id';
COMMENT ON COLUMN longhaul.job_webhook.url IS 'Longhaul-Webhook of the request';
COMMENT ON COLUMN longhaul.job_webhook.base_url IS 'base of the links in what is told';
COMMENT ON COLUMN longhaul.job_webhook.problem_base IS 'base of the problem types in what is told';

CREATE TABLE longhaul.webhook_delivery (
    id          uuid PRIMARY KEY,
    webhook_id  uuid,
    client      text COLLATE "C" NOT NULL,
    lane        uuid NOT NULL,
    event       text NOT NULL,
    job_id      uuid,
    version     bigint,
    status      smallint NOT NULL DEFAULT 1 CHECK (status BETWEEN 1 AND 4),
    attempts    integer NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at    timestamptz,
    boot        uuid,
    fence       bigint,
    url         text,
    traceparent text,
    payload     text COMPRESSION lz4 NOT NULL
) WITH (fillfactor = 90);
CREATE INDEX webhook_delivery_endpoint ON longhaul.webhook_delivery (webhook_id, id) WHERE webhook_id IS NOT NULL;
CREATE INDEX webhook_delivery_job ON longhaul.webhook_delivery (job_id, id) WHERE job_id IS NOT NULL;
COMMENT ON TABLE longhaul.webhook_delivery IS 'What is or was to be delivered: one row per event and endpoint, kept for 7 days after it ended';
COMMENT ON COLUMN longhaul.webhook_delivery.id IS 'UUIDv7; webhook-id on the wire, the same at each try';
COMMENT ON COLUMN longhaul.webhook_delivery.webhook_id IS 'webhook.id; NULL = to the URL of a single job';
COMMENT ON COLUMN longhaul.webhook_delivery.client IS 'whose job it tells of';
COMMENT ON COLUMN longhaul.webhook_delivery.lane IS 'as in webhook_queue';
COMMENT ON COLUMN longhaul.webhook_delivery.event IS 'job.completed, job.failed, job.canceled or ping';
COMMENT ON COLUMN longhaul.webhook_delivery.job_id IS 'job.id; NULL = a ping';
COMMENT ON COLUMN longhaul.webhook_delivery.version IS 'version of the job that is told, as in its ETag';
COMMENT ON COLUMN longhaul.webhook_delivery.status IS '1 pending, 2 delivered, 3 failed, 4 dropped: its endpoint was removed or disabled';
COMMENT ON COLUMN longhaul.webhook_delivery.attempts IS 'tries that were made, in webhook_try';
COMMENT ON COLUMN longhaul.webhook_delivery.created_at IS 'when the job ended';
COMMENT ON COLUMN longhaul.webhook_delivery.ended_at IS 'when it was delivered or given up';
COMMENT ON COLUMN longhaul.webhook_delivery.boot IS 'the worker that made the last try, with fence: so that its report sent twice is recognised';
COMMENT ON COLUMN longhaul.webhook_delivery.fence IS 'number of that claim';
COMMENT ON COLUMN longhaul.webhook_delivery.url IS 'where to; NULL = where its webhook points at the time';
COMMENT ON COLUMN longhaul.webhook_delivery.traceparent IS 'W3C trace context of the request that made the job';
COMMENT ON COLUMN longhaul.webhook_delivery.payload IS 'the body, the same at each try';

CREATE TABLE longhaul.webhook_queue (
    delivery_id uuid PRIMARY KEY,
    lane        uuid NOT NULL,
    due_at      timestamptz NOT NULL,
    boot        uuid,
    fence       bigint,
    attempt     integer NOT NULL DEFAULT 0,
    claimed_at  timestamptz
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0,
        autovacuum_analyze_threshold = 100000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX webhook_queue_lane ON longhaul.webhook_queue (lane, due_at) WHERE boot IS NULL;
CREATE INDEX webhook_queue_due ON longhaul.webhook_queue (due_at) WHERE boot IS NULL;
CREATE INDEX webhook_queue_taken ON longhaul.webhook_queue (lane) WHERE boot IS NOT NULL;
COMMENT ON TABLE longhaul.webhook_queue IS 'Deliveries that are pending: waiting until they are due, or claimed by a worker (boot)';
COMMENT ON COLUMN longhaul.webhook_queue.delivery_id IS 'webhook_delivery.id';
COMMENT ON COLUMN longhaul.webhook_queue.lane IS 'the endpoint, for claims that are fair to each: webhook_lane() of its webhook, or made from client, host and port of a single job''s URL';
COMMENT ON COLUMN longhaul.webhook_queue.due_at IS 'when it is to be tried';
COMMENT ON COLUMN longhaul.webhook_queue.boot IS 'the worker that has it (worker.boot); NULL = none';
COMMENT ON COLUMN longhaul.webhook_queue.fence IS 'number of that worker''s claim: a report that names another pair is refused';
COMMENT ON COLUMN longhaul.webhook_queue.attempt IS 'this try, counted from 1; between tries the number already burned';
COMMENT ON COLUMN longhaul.webhook_queue.claimed_at IS 'when it was claimed';

CREATE TABLE longhaul.webhook_try (
    delivery_id uuid NOT NULL,
    attempt     integer NOT NULL,
    started_at  timestamptz NOT NULL,
    duration_ms integer NOT NULL,
    status_code integer,
    error       text,
    PRIMARY KEY (delivery_id, attempt)
);
COMMENT ON TABLE longhaul.webhook_try IS 'Tries to deliver: when, how long, and what came of them. What the endpoint said is not kept.';
COMMENT ON COLUMN longhaul.webhook_try.delivery_id IS 'webhook_delivery.id';
COMMENT ON COLUMN longhaul.webhook_try.attempt IS 'counted from 1, over all times that it was queued';
COMMENT ON COLUMN longhaul.webhook_try.started_at IS 'when it began';
COMMENT ON COLUMN longhaul.webhook_try.duration_ms IS 'how long it took';
COMMENT ON COLUMN longhaul.webhook_try.status_code IS 'HTTP status of the answer; NULL = there was none';
COMMENT ON COLUMN longhaul.webhook_try.error IS 'why it failed, in a word; NULL = it did not';

-- ---------------------------------------------------------------------------------------------
-- What is told
-- ---------------------------------------------------------------------------------------------

-- The functions that write documents have no settings of their own, which each call would have to put in force: those
-- who call them, a few hundred times in a statement, have a fixed search_path.

-- A new UUIDv7. Internal.
CREATE FUNCTION longhaul.uuid_v7() RETURNS uuid
LANGUAGE sql VOLATILE AS $$
    SELECT (substr(longhaul.uuid_at(clock_timestamp())::text, 1, 13) || '-7' || substr(gen_random_uuid()::text, 16, 21))::uuid
$$;
COMMENT ON FUNCTION longhaul.uuid_v7() IS 'Internal: a new UUIDv7';

-- The lane of a webhook. Hashed, so that lanes are spread evenly: see webhook_lanes. Internal.
CREATE FUNCTION longhaul.webhook_lane(p_webhook_id uuid) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT md5(p_webhook_id::text)::uuid
$$;
COMMENT ON FUNCTION longhaul.webhook_lane(uuid) IS 'Internal: in which lane a webhook''s deliveries wait';

-- A time as the API writes it: UTC, milliseconds, rounded down. Internal.
CREATE FUNCTION longhaul.rfc3339(p_at timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;
COMMENT ON FUNCTION longhaul.rfc3339(timestamptz) IS 'Internal: a time in words for the wire';

-- The longest beginning of a text that has at most p_bytes bytes in UTF-8. Internal.
CREATE FUNCTION longhaul.utf8_prefix(p_text text, p_bytes integer) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    v_bytes bytea := convert_to(p_text, 'UTF8');
    v_at    integer := p_bytes;
BEGIN
    IF length(v_bytes) <= p_bytes THEN
        RETURN p_text;
    END IF;
    WHILE v_at > 0 AND get_byte(v_bytes, v_at) & 192 = 128 LOOP -- in the middle of a character
        v_at := v_at - 1;
    END LOOP;
    RETURN convert_from(substr(v_bytes, 1, v_at), 'UTF8');
END
$$;
COMMENT ON FUNCTION longhaul.utf8_prefix(text, integer) IS 'Internal: a text cut to so many bytes';

-- The error of a job as its document shows it: bounded in size, with a full type and a title. Internal.
CREATE FUNCTION longhaul.document_error(p_error text, p_problem_base text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    c_max      CONSTANT integer := 8192;
    c_text_max CONSTANT integer := 2048;
    v_error    jsonb := p_error::jsonb;
    v_type     text;
BEGIN
    IF jsonb_typeof(v_error) <> 'object' THEN
        v_error := '{}';
    END IF;
    IF octet_length(p_error) > c_max THEN
        v_error := (SELECT coalesce(jsonb_object_agg(e.key, CASE jsonb_typeof(e.value) WHEN 'string'
                                        THEN to_jsonb(longhaul.utf8_prefix(e.value #>> '{}', c_text_max)) ELSE e.value END), '{}')
                      FROM jsonb_each(v_error) e
                     WHERE e.key IN ('type', 'title', 'detail') AND jsonb_typeof(e.value) = 'string'
                        OR e.key = 'status' AND jsonb_typeof(e.value) = 'number' AND e.value::text ~ '^-?[0-9]+$' AND e.value <> '0');
    END IF;
    v_type := CASE WHEN jsonb_typeof(v_error->'type') = 'string' THEN nullif(v_error->>'type', '') END;
    v_type := coalesce(v_type, 'job-failed');
    IF v_type !~ '[:/]' THEN
        v_type := p_problem_base || v_type;
    END IF;
    v_error := v_error || jsonb_build_object('type', v_type);
    IF jsonb_typeof(v_error->'title') IS DISTINCT FROM 'string' THEN
        v_error := v_error || '{"title":"The job failed"}';
    END IF;
    RETURN v_error::text;
END
$$;
COMMENT ON FUNCTION longhaul.document_error(text, text) IS 'Internal: a job''s error as its document shows it';

-- The document of an ended job, member for member what GET on the job shows. Internal.
CREATE FUNCTION longhaul.document_of(
    p_job longhaul.job_status, p_type text, p_collection text, p_log boolean, p_base_url text, p_problem_base text)
RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_permille integer := CASE WHEN p_job.status = 3 THEN 1000
                               WHEN p_job.done >= 0 AND p_job.total > 0 THEN
                                   least(999, trunc(p_job.done::float8 * 1000 / p_job.total)) END;
    v_self     text := p_base_url || '/v1/' || p_collection || '/' || p_job.job_id;
BEGIN
    RETURN '{' || concat_ws(',',
        '"jobId":' || to_json(p_job.job_id),
        '"type":' || to_json(p_type),
        '"status":' || to_json(longhaul.status_word(p_job.status)),
        '"percentComplete":' || v_permille / 10 || coalesce('.' || nullif(v_permille % 10, 0), ''),
        '"progress":{' || nullif(concat_ws(',',
            '"done":' || CASE WHEN p_job.done >= 0 THEN p_job.done END,
            '"total":' || CASE WHEN p_job.total >= 0 THEN p_job.total END,
            '"message":' || to_json(p_job.message)), '') || '}',
        '"createdTime":' || to_json(longhaul.rfc3339(p_job.created_at)),
        '"startedTime":' || to_json(longhaul.rfc3339(p_job.started_at)),
        '"completionTime":' || to_json(longhaul.rfc3339(p_job.ended_at)),
        '"expiresTime":' || to_json(longhaul.rfc3339(p_job.expires_at)),
        '"attempt":' || nullif(p_job.attempt, 0),
        '"error":' || longhaul.document_error(p_job.error, p_problem_base),
        '"_links":{"self":{"href":' || to_json(v_self) || '}' ||
            CASE WHEN p_job.status = 3 THEN ',"results":{"href":' || to_json(v_self || '/results') || '}' ELSE '' END ||
            CASE WHEN p_log THEN ',"log":{"href":' || to_json(v_self || '/log') || '}' ELSE '' END || '}')
        || '}';
END
$$;
COMMENT ON FUNCTION longhaul.document_of(longhaul.job_status, text, text, boolean, text, text) IS 'Internal: the document of an ended job';

-- The document of one ended job, as JSON; NULL if there is no such job or it has not ended.
--   p_base_url      base of its links, as in the webhook
--   p_problem_base  base of its error's type
CREATE FUNCTION longhaul.job_document(p_job_id uuid, p_base_url text, p_problem_base text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp SET plan_cache_mode = force_custom_plan AS $$
    SELECT longhaul.document_of(s, t.name, t.collection, t.log_for_clients, p_base_url, p_problem_base)
      FROM longhaul.status_batch(ARRAY[p_job_id], ARRAY(SELECT j.client FROM longhaul.job j WHERE j.id = p_job_id), false) s
      JOIN longhaul.job_type t ON t.type_id = s.type_id
     WHERE s.status >= 3
$$;
COMMENT ON FUNCTION longhaul.job_document(uuid, text, text) IS 'An ended job''s document, as GET shows it and webhooks tell it';

-- Those of the jobs that somebody may want to be told of, with particulars. Internal: a function of its own because its
-- plan must be made for the ids at hand, so that it opens only the days they are of; that of make_deliveries not.
CREATE FUNCTION longhaul.jobs_to_tell(p_job_ids uuid[], OUT ids uuid[], OUT clients text[], OUT traces text[])
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp
SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    SELECT array_agg(j.id), array_agg(j.client), array_agg(j.traceparent) INTO ids, clients, traces
      FROM longhaul.job j
     WHERE j.id = ANY (p_job_ids)
       -- Not EXISTS: the planner might read all webhooks for it.
       AND ((SELECT true FROM longhaul.webhook w
              WHERE w.client = j.client AND w.deleted_at IS NULL AND w.disabled_at IS NULL LIMIT 1)
            OR (SELECT true FROM longhaul.job_webhook k WHERE k.job_id = j.id LIMIT 1));
END
$$;
COMMENT ON FUNCTION longhaul.jobs_to_tell(uuid[]) IS 'Internal: jobs that somebody may want to be told of';

-- Makes the deliveries of jobs that have ended (p_ids, p_clients and p_traces run in parallel), for all who want
-- to be told. Internal. Writes: webhook_delivery, webhook_queue. Locks: nothing.
CREATE FUNCTION longhaul.make_deliveries(p_ids uuid[], p_clients text[], p_traces text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_nestloop = on
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
BEGIN
    WITH ended AS MATERIALIZED (
        SELECT s AS job, s.job_id, s.type_id, s.version, s.ended_at, p_clients[s.ord] AS client, p_traces[s.ord] AS trace,
               (ARRAY['job.completed', 'job.failed', 'job.canceled'])[s.status - 2] AS event, y.name, y.collection,
               y.log_for_clients
          FROM longhaul.status_batch(p_ids, p_clients, false) s
          JOIN longhaul.job_type y ON y.type_id = s.type_id
         WHERE s.status >= 3
    ), told AS (
        SELECT e.*, w.id AS webhook_id, longhaul.webhook_lane(w.id) AS lane, NULL::text AS url, w.base_url, w.problem_base
          FROM ended e
         CROSS JOIN LATERAL (SELECT * FROM longhaul.webhook x
                              WHERE x.client = e.client AND x.deleted_at IS NULL AND x.disabled_at IS NULL
                                AND (x.type_ids IS NULL OR e.type_id = ANY (x.type_ids)) AND e.event = ANY (x.events)
                              OFFSET 0) w
        UNION ALL
        SELECT e.*, NULL, md5(e.client || ' ' || lower(substring(k.url FROM '^[A-Za-z]+://[^/?#]*')))::uuid, k.url,
               k.base_url, k.problem_base
          FROM ended e
         CROSS JOIN LATERAL (SELECT * FROM longhaul.job_webhook x WHERE x.job_id = e.job_id OFFSET 0) k
    ), made AS MATERIALIZED (
        SELECT longhaul.uuid_v7() AS id, t.*,
               format('{"type":"%s","timestamp":"%s","version":"%s","data":%s}', t.event, longhaul.rfc3339(t.ended_at),
                      to_hex(t.version),
                      longhaul.document_of(t.job, t.name, t.collection, t.log_for_clients, t.base_url, t.problem_base)) AS payload
          FROM told t
    ), d AS (
        INSERT INTO longhaul.webhook_delivery (id, webhook_id, client, lane, event, job_id, version, url, traceparent, payload)
        SELECT m.id, m.webhook_id, m.client, m.lane, m.event, m.job_id, m.version, m.url, m.trace, m.payload FROM made m
    )
    INSERT INTO longhaul.webhook_queue (delivery_id, lane, due_at)
    SELECT m.id, m.lane, clock_timestamp() FROM made m;
END
$$;
COMMENT ON FUNCTION longhaul.make_deliveries(uuid[], text[], text[]) IS 'Internal: makes the deliveries of ended jobs';

-- Called by whatever ends jobs, in its transaction, once their outcomes are there. Where nobody has a
-- webhook it costs a look at two empty tables. Workers are not notified: they look for deliveries after their
-- own finishes, and every second. Internal. Writes: webhook_delivery, webhook_queue.
CREATE FUNCTION longhaul.announce(p_job_ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_tell record;
BEGIN
    IF EXISTS (SELECT FROM longhaul.webhook w WHERE w.deleted_at IS NULL AND w.disabled_at IS NULL)
       OR EXISTS (SELECT FROM longhaul.job_webhook k WHERE k.job_id = ANY (p_job_ids)) THEN
        SELECT * INTO v_tell FROM longhaul.jobs_to_tell(p_job_ids);
        IF v_tell.ids IS NOT NULL THEN
            PERFORM longhaul.make_deliveries(v_tell.ids, v_tell.clients, v_tell.traces);
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.announce(uuid[]) IS 'Internal: makes the deliveries of jobs that have just ended';

-- Forgets what belongs to jobs that are removed: the URLs they were submitted with, and the ended deliveries to
-- those. One that is pending goes on: the job may be kept for a shorter time than its endpoint is away.
-- Internal. Writes: job_webhook, webhook_delivery, webhook_try.
CREATE FUNCTION longhaul.forget_webhooks(p_job_ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET enable_seqscan = off SET enable_indexscan = on SET jit = off AS $$
DECLARE
    v_ids uuid[];
BEGIN
    IF NOT EXISTS (SELECT FROM longhaul.job_webhook k WHERE k.job_id = ANY (p_job_ids)) THEN
        RETURN;
    END IF;
    DELETE FROM longhaul.job_webhook k WHERE k.job_id = ANY (p_job_ids);
    WITH d AS (
        DELETE FROM longhaul.webhook_delivery d WHERE d.job_id = ANY (p_job_ids) AND d.webhook_id IS NULL AND d.status <> 1
        RETURNING d.id
    )
    SELECT array_agg(d.id) INTO v_ids FROM d;
    DELETE FROM longhaul.webhook_try t WHERE t.delivery_id = ANY (v_ids);
END
$$;
COMMENT ON FUNCTION longhaul.forget_webhooks(uuid[]) IS 'Internal: forgets the webhooks of jobs that are removed';

-- ---------------------------------------------------------------------------------------------
-- What API processes call for the client that owns them. Another client's are not found.
-- ---------------------------------------------------------------------------------------------

-- Waiting deliveries of an endpoint that is gone or disabled: dropped, in one go. One that is being tried
-- is left to end by itself: its report, or the next claim, sees that there is nothing more to do. So this
-- waits for nobody. Returns how many. Internal.
-- Writes: webhook_queue, webhook_delivery. Locks: the rows, SKIP LOCKED.
CREATE FUNCTION longhaul.drop_deliveries(p_webhook_id uuid) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_ids uuid[];
BEGIN
    WITH q AS (
        DELETE FROM longhaul.webhook_queue x
         WHERE x.ctid = ANY (ARRAY(SELECT y.ctid FROM longhaul.webhook_queue y
                                    WHERE y.lane = longhaul.webhook_lane(p_webhook_id) AND y.boot IS NULL FOR UPDATE SKIP LOCKED))
        RETURNING x.delivery_id
    )
    SELECT array_agg(q.delivery_id) INTO v_ids FROM q;
    UPDATE longhaul.webhook_delivery d SET status = 4, ended_at = clock_timestamp() WHERE d.id = ANY (v_ids);
    RETURN coalesce(cardinality(v_ids), 0);
END
$$;
COMMENT ON FUNCTION longhaul.drop_deliveries(uuid) IS 'Internal: drops what waits for an endpoint';

-- Subscribes an endpoint. The same id again for the same client (a request that nginx sent twice) is answered as
-- the first one was, and the newer secret counts.
--   p_id          UUIDv7
--   p_type_ids    NULL = of jobs of all types
--   p_secret      32 random bytes
--   p_max         how many a client may have
-- Returns 1 subscribed, 0 the client has too many.
-- Writes: webhook, webhook_secret. Locks: an advisory lock of the client.
CREATE FUNCTION longhaul.webhook_create(
    p_id uuid, p_client text, p_url text, p_type_ids integer[], p_events text[], p_description text, p_base_url text,
    p_problem_base text, p_secret bytea, p_max integer DEFAULT 100)
RETURNS smallint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('longhaul.webhooks'), hashtext(p_client));
    IF EXISTS (SELECT FROM longhaul.webhook w WHERE w.id = p_id AND w.client = p_client AND w.deleted_at IS NULL) THEN
        UPDATE longhaul.webhook_secret s SET secret = p_secret
         WHERE s.client = p_client AND s.webhook_id = p_id AND s.expires_at IS NULL;
        RETURN 1;
    END IF;
    IF (SELECT count(*) FROM longhaul.webhook w WHERE w.client = p_client AND w.deleted_at IS NULL) >= p_max THEN
        RETURN 0;
    END IF;
    INSERT INTO longhaul.webhook (id, client, url, type_ids, events, description, base_url, problem_base)
    VALUES (p_id, p_client, p_url, p_type_ids, p_events, p_description, p_base_url, p_problem_base);
    INSERT INTO longhaul.webhook_secret (client, webhook_id, secret) VALUES (p_client, p_id, p_secret);
    RETURN 1;
END
$$;
COMMENT ON FUNCTION longhaul.webhook_create(uuid, text, text, integer[], text[], text, text, text, bytea, integer)
    IS 'Subscribes an endpoint for a client';

-- One webhook of a client as its document shows it. types and events are joined by commas; types NULL = all.
-- STABLE; no row = there is none.
CREATE FUNCTION longhaul.webhook_get(
    p_client text, p_id uuid,
    OUT id uuid, OUT url text, OUT types text, OUT events text, OUT description text, OUT created_at timestamptz,
    OUT disabled_at timestamptz, OUT disabled_reason text)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT w.id, w.url,
           CASE WHEN w.type_ids IS NOT NULL THEN
               coalesce((SELECT string_agg(t.name, ',' ORDER BY t.name) FROM longhaul.job_type t
                          WHERE t.type_id = ANY (w.type_ids)), '') END,
           array_to_string(w.events, ','), w.description, w.created_at, w.disabled_at, w.disabled_reason
      FROM longhaul.webhook w WHERE w.id = p_id AND w.client = p_client AND w.deleted_at IS NULL
$$;
COMMENT ON FUNCTION longhaul.webhook_get(text, uuid) IS 'One webhook of a client';

-- A page of a client's webhooks, newest first: keyset by id. p_before NULL = from the newest.
CREATE FUNCTION longhaul.webhook_list(
    p_client text, p_before uuid, p_limit integer,
    OUT id uuid, OUT url text, OUT types text, OUT events text, OUT description text, OUT created_at timestamptz,
    OUT disabled_at timestamptz, OUT disabled_reason text)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT g.*
      FROM (SELECT w.id FROM longhaul.webhook w
             WHERE w.client = p_client AND w.deleted_at IS NULL
               AND w.id < coalesce(p_before, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
             ORDER BY w.id DESC LIMIT p_limit) p
     CROSS JOIN LATERAL longhaul.webhook_get(p_client, p.id) g
     ORDER BY g.id DESC
$$;
COMMENT ON FUNCTION longhaul.webhook_list(text, uuid, integer) IS 'A page of a client''s webhooks, newest first';

-- Removes a webhook: it is gone for the client, its secrets at once, what waits for it too; maintain() removes
-- its deliveries bit by bit. A delivery that is under way finds its report refused, or is dropped afterwards.
-- Returns 1 removed, 0 there is none. Writes: webhook, webhook_secret, webhook_queue, webhook_delivery.
-- Locks: the webhook's row; what waits for it, SKIP LOCKED.
CREATE FUNCTION longhaul.webhook_delete(p_client text, p_id uuid) RETURNS smallint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET enable_seqscan = off SET jit = off AS $$
BEGIN
    UPDATE longhaul.webhook w SET deleted_at = clock_timestamp()
     WHERE w.id = p_id AND w.client = p_client AND w.deleted_at IS NULL;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    DELETE FROM longhaul.webhook_secret s WHERE s.client = p_client AND s.webhook_id = p_id;
    PERFORM longhaul.drop_deliveries(p_id);
    DELETE FROM longhaul.webhook_queue x
     WHERE x.ctid = ANY (ARRAY(SELECT y.ctid FROM longhaul.webhook_queue y
                                WHERE y.lane = longhaul.webhook_lane(p_id) AND y.boot IS NOT NULL FOR UPDATE SKIP LOCKED));
    RETURN 1;
END
$$;
COMMENT ON FUNCTION longhaul.webhook_delete(text, uuid) IS 'Removes a client''s webhook';

-- Enables a webhook again; what was dropped stays so. Returns 1 it is enabled, 0 there is none. Writes: webhook.
CREATE FUNCTION longhaul.webhook_enable(p_client text, p_id uuid) RETURNS smallint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    UPDATE longhaul.webhook w SET disabled_at = NULL, disabled_reason = NULL
     WHERE w.id = p_id AND w.client = p_client AND w.deleted_at IS NULL;
    RETURN CASE WHEN FOUND THEN 1 ELSE 0 END;
END
$$;
COMMENT ON FUNCTION longhaul.webhook_enable(text, uuid) IS 'Enables a client''s webhook again';

-- Gives a webhook (p_id NULL: the client's URLs of single jobs) a new secret. The one before signs beside it for
-- p_overlap_ms more; of older ones that still do, the newest is kept too, three in all.
-- Returns 1 done, 0 there is none. Writes: webhook_secret. Locks: an advisory lock of the client.
CREATE FUNCTION longhaul.webhook_rotate(p_client text, p_id uuid, p_secret bytea, p_overlap_ms bigint) RETURNS smallint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_until timestamptz := clock_timestamp() + p_overlap_ms * interval '1 ms';
    v_older bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('longhaul.webhooks'), hashtext(p_client));
    IF p_id IS NOT NULL AND NOT EXISTS (SELECT FROM longhaul.webhook w
                                         WHERE w.id = p_id AND w.client = p_client AND w.deleted_at IS NULL) THEN
        RETURN 0;
    END IF;
    v_older := ARRAY(SELECT s.id FROM longhaul.webhook_secret s
                      WHERE s.client = p_client AND s.webhook_id IS NOT DISTINCT FROM p_id
                        AND (s.expires_at IS NULL OR s.expires_at > clock_timestamp())
                      ORDER BY s.id DESC LIMIT CASE WHEN p_overlap_ms > 0 THEN 2 ELSE 0 END);
    DELETE FROM longhaul.webhook_secret s
     WHERE s.client = p_client AND s.webhook_id IS NOT DISTINCT FROM p_id AND s.id <> ALL (v_older);
    UPDATE longhaul.webhook_secret s SET expires_at = least(s.expires_at, v_until) WHERE s.id = ANY (v_older);
    INSERT INTO longhaul.webhook_secret (client, webhook_id, secret) VALUES (p_client, p_id, p_secret);
    RETURN 1;
END
$$;
COMMENT ON FUNCTION longhaul.webhook_rotate(text, uuid, bytea, bigint) IS 'Gives a client''s webhook a new secret';

-- Queues a test event for a webhook, as delivery p_delivery_id (UUIDv7; the same again is ignored).
-- Returns 1 queued, 0 there is no such webhook, 2 it is disabled.
-- Writes: webhook_delivery, webhook_queue. Notifies the workers.
CREATE FUNCTION longhaul.webhook_ping(p_client text, p_id uuid, p_delivery_id uuid) RETURNS smallint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_disabled timestamptz;
BEGIN
    SELECT w.disabled_at INTO v_disabled FROM longhaul.webhook w
     WHERE w.id = p_id AND w.client = p_client AND w.deleted_at IS NULL;
    IF NOT FOUND THEN
        RETURN 0;
    ELSIF v_disabled IS NOT NULL THEN
        RETURN 2;
    END IF;
    INSERT INTO longhaul.webhook_delivery (id, webhook_id, client, lane, event, payload)
    VALUES (p_delivery_id, p_id, p_client, longhaul.webhook_lane(p_id), 'ping',
            format('{"type":"ping","timestamp":"%s","data":{"webhookId":"%s"}}', longhaul.rfc3339(clock_timestamp()), p_id))
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        INSERT INTO longhaul.webhook_queue (delivery_id, lane, due_at)
        VALUES (p_delivery_id, longhaul.webhook_lane(p_id), clock_timestamp());
        PERFORM pg_notify('longhaul_webhooks', '');
    END IF;
    RETURN 1;
END
$$;
COMMENT ON FUNCTION longhaul.webhook_ping(text, uuid, uuid) IS 'Queues a test event for a webhook';

-- A page of deliveries, newest first: those of a webhook (p_webhook_id), or all that tell of a job (p_job_id,
-- p_type_id; 0 = of any type). p_before: keyset by id, NULL = from the newest.
--   next_try_at  of a pending one that waits; NULL = it is being tried, or has ended
--   tries        the newest 50, as a JSON array
-- If the webhook or the job is there but nothing was or is to be delivered (below p_before), one row with
-- delivery_id NULL; no row = there is none of this client.
CREATE FUNCTION longhaul.webhook_deliveries(
    p_client text, p_webhook_id uuid, p_job_id uuid, p_type_id integer, p_before uuid, p_limit integer,
    OUT delivery_id uuid, OUT event text, OUT job_id uuid, OUT status smallint, OUT created_at timestamptz,
    OUT next_try_at timestamptz, OUT tries text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp
SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_high uuid := coalesce(p_before, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
    v_ids  uuid[];
BEGIN
    IF p_webhook_id IS NOT NULL THEN
        IF NOT EXISTS (SELECT FROM longhaul.webhook w
                        WHERE w.id = p_webhook_id AND w.client = p_client AND w.deleted_at IS NULL) THEN
            RETURN;
        END IF;
        v_ids := ARRAY(SELECT d.id FROM longhaul.webhook_delivery d
                        WHERE d.webhook_id = p_webhook_id AND d.id < v_high ORDER BY d.id DESC LIMIT p_limit);
    ELSE
        IF NOT EXISTS (SELECT FROM (SELECT * FROM longhaul.job x WHERE x.id = p_job_id OFFSET 0) j
                        WHERE j.client = p_client AND (p_type_id = 0 OR j.type_id = p_type_id)) THEN
            RETURN;
        END IF;
        v_ids := ARRAY(SELECT d.id FROM longhaul.webhook_delivery d
                        WHERE d.job_id = p_job_id AND d.client = p_client AND d.id < v_high ORDER BY d.id DESC LIMIT p_limit);
    END IF;
    IF cardinality(v_ids) = 0 THEN
        RETURN NEXT;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT d.id, d.event, d.job_id, d.status, d.created_at,
           (SELECT q.due_at FROM longhaul.webhook_queue q WHERE q.delivery_id = d.id AND q.boot IS NULL),
           coalesce((SELECT json_agg(json_strip_nulls(json_build_object(
                                'attempt', t.attempt, 'time', longhaul.rfc3339(t.started_at), 'durationMs', t.duration_ms,
                                'statusCode', t.status_code, 'error', t.error)) ORDER BY t.attempt)::text
                       FROM (SELECT * FROM longhaul.webhook_try x WHERE x.delivery_id = d.id
                              ORDER BY x.attempt DESC LIMIT 50) t), '[]')
      FROM longhaul.webhook_delivery d WHERE d.id = ANY (v_ids) ORDER BY d.id DESC;
END
$$;
COMMENT ON FUNCTION longhaul.webhook_deliveries(text, uuid, uuid, integer, uuid, integer) IS 'A page of deliveries, newest first';

-- Queues an ended delivery of a webhook (p_webhook_id) or of those that tell of a job (p_job_id) once more:
-- its attempts start anew, its tries go on counting. Returns 1 queued, 0 there is none, 2 it is pending
-- already, 3 its webhook is disabled.
-- Writes: webhook_delivery, webhook_queue. Locks: the delivery's row. Notifies the workers.
CREATE FUNCTION longhaul.webhook_redeliver(p_client text, p_webhook_id uuid, p_job_id uuid, p_delivery_id uuid) RETURNS smallint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_lane     uuid;
    v_webhook  uuid;
    v_status   smallint;
    v_disabled timestamptz;
BEGIN
    SELECT d.lane, d.webhook_id, d.status INTO v_lane, v_webhook, v_status FROM longhaul.webhook_delivery d
     WHERE d.id = p_delivery_id AND d.client = p_client
       AND (d.webhook_id = p_webhook_id OR p_webhook_id IS NULL AND d.job_id = p_job_id) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    IF v_webhook IS NOT NULL THEN
        SELECT w.disabled_at INTO v_disabled FROM longhaul.webhook w WHERE w.id = v_webhook AND w.deleted_at IS NULL;
        IF NOT FOUND THEN
            RETURN 0;
        END IF;
    END IF;
    IF v_status = 1 THEN
        RETURN 2;
    ELSIF v_disabled IS NOT NULL THEN
        RETURN 3;
    END IF;
    UPDATE longhaul.webhook_delivery d SET status = 1, ended_at = NULL WHERE d.id = p_delivery_id;
    INSERT INTO longhaul.webhook_queue (delivery_id, lane, due_at) VALUES (p_delivery_id, v_lane, clock_timestamp());
    PERFORM pg_notify('longhaul_webhooks', '');
    RETURN 1;
END
$$;
COMMENT ON FUNCTION longhaul.webhook_redeliver(text, uuid, uuid, uuid) IS 'Queues an ended delivery once more';
