-- Submitting.

-- The id that a submit with id p_id will really get, its partition made sure of.
-- An id whose time is before yesterday or past tomorrow (a wrong clock) keeps its random bits and
-- takes the database's time.
CREATE FUNCTION longhaul.input_open(p_id uuid) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_today timestamptz := date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
BEGIN
    IF p_id >= longhaul.uuid_at(v_today - interval '1 day') AND p_id < longhaul.uuid_at(v_today + interval '2 days') THEN
        RETURN p_id;
    END IF;
    RETURN (substr(longhaul.uuid_at(clock_timestamp())::text, 1, 13) || substr(p_id::text, 14))::uuid;
END
$$;
COMMENT ON FUNCTION longhaul.input_open(uuid) IS 'The id under which a large input is to be stored, then submitted';

-- Stores one piece of a large input. Pieces are 262144 bytes but for the last, p_seq counts from 0;
-- all in one transaction with the submit_batch that makes the job. The same piece again is ignored:
-- a request that nginx retries brings it twice.
-- Writes: input_chunk.
CREATE FUNCTION longhaul.input_chunk_put(p_job_id uuid, p_seq integer, p_data bytea) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    INSERT INTO longhaul.input_chunk (job_id, seq, data) VALUES (p_job_id, p_seq, p_data)
    ON CONFLICT (job_id, seq) DO NOTHING
$$;
COMMENT ON FUNCTION longhaul.input_chunk_put(uuid, integer, bytea) IS 'Stores one 262144-byte piece of a large input';

-- Takes idempotency keys for a batch of submits (parallel arrays, key NULL = none), in order, so that two
-- batches with the same keys wait for each other and not in a ring. Internal.
-- Returns a row per element that must not make a job: code 2 the key made job_id from the same request,
-- 3 the key belongs to another request. A function of its own: its joins must use indexes, those
-- of submit_batch must not.
-- Writes: idempotency_key. Locks: waits for an open transaction that holds one of the keys.
CREATE FUNCTION longhaul.take_keys(
    p_client text[], p_type_id integer[], p_key text[], p_job uuid[], p_fingerprint bytea[],
    OUT ord bigint, OUT code smallint, OUT job_id uuid)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp
SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    INSERT INTO longhaul.idempotency_key AS ik (client, type_id, key, job_id, fingerprint)
    SELECT u.client, u.type_id, u.key, u.id, u.fingerprint
      FROM unnest(p_client, p_type_id, p_key, p_job, p_fingerprint) AS u(client, type_id, key, id, fingerprint)
     WHERE u.key IS NOT NULL
     ORDER BY u.client, u.type_id, u.key, u.id
    ON CONFLICT ON CONSTRAINT idempotency_key_pkey DO NOTHING;
    -- A statement of its own: the one above does not see what it lost to.
    RETURN QUERY
    SELECT u.n, CASE WHEN ik.fingerprint = u.fingerprint THEN 2 ELSE 3 END::smallint, ik.job_id
      FROM unnest(p_client, p_type_id, p_key, p_job, p_fingerprint)
           WITH ORDINALITY AS u(client, type_id, key, id, fingerprint, n)
      JOIN longhaul.idempotency_key ik ON ik.client = u.client AND ik.type_id = u.type_id AND ik.key = u.key
     WHERE u.key IS NOT NULL AND ik.job_id <> u.id;
END
$$;
COMMENT ON FUNCTION longhaul.take_keys(text[], integer[], text[], uuid[], bytea[]) IS 'Internal: takes idempotency keys for a batch';

-- Submits a batch of jobs. The arrays run in parallel, one element a job.
--   p_id          UUIDv7; the insert is idempotent on it
--   p_run_at      NULL = now
--   p_input       NULL = already stored by input_chunk_put
--   p_key         Idempotency-Key, NULL = none
--   p_fingerprint SHA-256 of the request: tells a repeat from another request
--   p_waiter      API process to notify at the end, NULL = none
--   p_webhook     URL to tell of the job's end, NULL = none; p_base_url and p_problem_base are what the links and the
--                 problem types in that begin with. The arrays may be NULL.
--   p_start_by    the job fails if no worker has it by then, NULL = none; the array may be NULL
--   p_last        the newest turn of this client, type and priority that the caller knows of; NULL, 0 = none
--   p_turn        how many turns further this job is: the caller counts the client's jobs in the batch; NULL = 1.
--                 A job's place is p_turn turns behind the later of p_last and the queue's clock: see 0016.
--                 These arrays may be NULL too.
-- Returns a row per element: code 0 created, 1 this id exists with the same fingerprint, 2 the key
-- made an earlier job (job_id) from the same request, 3 the key belongs to another request, 4 the id
-- belongs to another request, 5 the key's job has been removed.
-- Writes: idempotency_key, job, ready, delayed, job_webhook, job_deadline. Locks: nothing shared: a caller's transaction may
-- stay open; only a submit with the same key or id waits for it (for at most lock_timeout).
CREATE FUNCTION longhaul.submit_batch(
    p_id uuid[], p_type_id integer[], p_client text[], p_priority smallint[], p_run_at timestamptz[],
    p_media_type text[], p_input bytea[], p_input_size bigint[], p_key text[], p_fingerprint bytea[],
    p_waiter bigint[], p_traceparent text[], p_request_id text[], p_webhook text[] DEFAULT NULL,
    p_base_url text[] DEFAULT NULL, p_problem_base text[] DEFAULT NULL, p_start_by timestamptz[] DEFAULT NULL,
    p_last bigint[] DEFAULT NULL, p_turn integer[] DEFAULT NULL,
    OUT ord integer, OUT code smallint, OUT job_id uuid, OUT created_at timestamptz, OUT seq bigint,
    OUT version bigint)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET lock_timeout = '250ms' SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    v_today   timestamptz := date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
    v_low     uuid := longhaul.uuid_at(v_today - interval '1 day');
    v_high    uuid := longhaul.uuid_at(v_today + interval '2 days');
    v_code    smallint[];
    v_job     uuid[] := p_id;
    v_keys    boolean := false;
    v_made    integer[];
    v_created timestamptz[];
    v_seq     bigint[];
    r         record;
BEGIN
    IF EXISTS (SELECT FROM unnest(p_id) AS i WHERE i < v_low OR i >= v_high) THEN
        v_job := ARRAY(SELECT longhaul.input_open(u.i) FROM unnest(p_id) WITH ORDINALITY AS u(i, n) ORDER BY u.n);
    END IF;

    -- The transaction must have its id before it reads the clocks and draws numbers: the workers' trailing cursor
    -- and the streams of all changes take a transaction without one for not having done so yet.
    PERFORM pg_current_xact_id();

    IF EXISTS (SELECT FROM unnest(p_key) AS k WHERE k IS NOT NULL) THEN
        v_keys := true;
        v_code := array_fill(0::smallint, ARRAY[cardinality(p_id)]);
        FOR r IN SELECT * FROM longhaul.take_keys(p_client, p_type_id, p_key, v_job, p_fingerprint) LOOP
            v_code[r.ord] := r.code;
            IF r.code = 2 THEN
                v_job[r.ord] := r.job_id;
            END IF;
        END LOOP;
    END IF;

    WITH c AS MATERIALIZED (
        SELECT q.type_id, q.priority, pg_sequence_last_value(q.clock) AS now
          FROM longhaul.queue_clock q WHERE q.type_id = ANY (p_type_id)
    ), u AS MATERIALIZED (
        SELECT x.*, greatest(x.last, c.now, 0) + coalesce(x.turns, 1) AS turn
          FROM unnest(v_job, p_type_id, p_client, p_priority, p_run_at, p_media_type, p_input, p_input_size,
                      p_fingerprint, p_waiter, p_traceparent, p_request_id, p_last, p_turn)
               WITH ORDINALITY AS x(id, type_id, client, priority, run_at, media_type, input, input_size,
                                    fingerprint, waiter, traceparent, request_id, last, turns, n)
          LEFT JOIN c ON c.type_id = x.type_id AND c.priority = x.priority
         WHERE NOT v_keys OR v_code[x.n] = 0
         ORDER BY x.id, x.n
    ), j AS (
        INSERT INTO longhaul.job (id, type_id, client, priority, input_size, seq, arrival, created_at, run_at, fingerprint,
                                  media_type, request_id, traceparent, input)
        SELECT a.id, a.type_id, a.client, a.priority, a.input_size, (a.turn << 16) | (a.arrival & 65535), a.arrival,
               clock_timestamp(), CASE WHEN a.run_at > now() THEN a.run_at END, a.fingerprint, a.media_type, a.request_id,
               a.traceparent, a.input
          FROM (SELECT u.*, nextval('longhaul.ready_seq') AS arrival FROM u OFFSET 0) a
        ON CONFLICT DO NOTHING
        RETURNING job.id, job.type_id, job.client, job.priority, job.seq, job.run_at, job.created_at, job.fingerprint
    ), m AS MATERIALIZED (
        SELECT u.n, u.waiter, j.*
          FROM u JOIN j ON j.id = u.id AND j.fingerprint = u.fingerprint AND j.client = u.client AND j.type_id = u.type_id
    ), rd AS (
        INSERT INTO longhaul.ready (type_id, priority, gen, attempt, seq, waiter, due_at, job_id, client)
        SELECT DISTINCT ON (m.id) m.type_id, m.priority, 1, 0, m.seq, m.waiter, m.created_at, m.id, m.client FROM m WHERE m.run_at IS NULL
    ), dl AS (
        INSERT INTO longhaul.delayed (job_id, run_at, type_id, priority, gen, attempt, seq, client)
        SELECT DISTINCT ON (m.id) m.id, m.run_at, m.type_id, m.priority, 1, 0, m.seq, m.client FROM m WHERE m.run_at IS NOT NULL
    )
    SELECT array_agg(m.n::integer), array_agg(m.created_at), array_agg(m.seq) INTO v_made, v_created, v_seq FROM m;

    IF EXISTS (SELECT FROM unnest(p_webhook) AS w WHERE w IS NOT NULL) THEN
        INSERT INTO longhaul.job_webhook (job_id, url, base_url, problem_base)
        SELECT v_job[n], p_webhook[n], p_base_url[n], p_problem_base[n] FROM unnest(v_made) AS n WHERE p_webhook[n] IS NOT NULL
        ON CONFLICT DO NOTHING;
    END IF;
    IF EXISTS (SELECT FROM unnest(p_start_by) AS s WHERE s IS NOT NULL) THEN
        INSERT INTO longhaul.job_deadline (job_id, start_by)
        SELECT v_job[n], p_start_by[n] FROM unnest(v_made) AS n WHERE p_start_by[n] IS NOT NULL
        ON CONFLICT DO NOTHING;
    END IF;

    RETURN QUERY SELECT u.n, 0::smallint, v_job[u.n], u.c, u.s, 1::bigint << 32
                   FROM unnest(v_made, v_created, v_seq) AS u(n, c, s);

    IF coalesce(cardinality(v_made), 0) < cardinality(p_id) THEN
        FOR r IN
            SELECT u.n, u.id, u.type_id, u.client, u.fingerprint
              FROM unnest(v_job, p_type_id, p_client, p_fingerprint)
                   WITH ORDINALITY AS u(id, type_id, client, fingerprint, n)
             WHERE v_made IS NULL OR u.n <> ALL (v_made)
        LOOP
            ord := r.n;
            job_id := r.id;
            version := 1::bigint << 32;
            created_at := NULL;
            seq := NULL;
            code := 3;
            IF NOT v_keys OR v_code[r.n] <> 3 THEN
                SELECT j.created_at, j.seq,
                       CASE WHEN v_keys AND v_code[r.n] = 2 THEN 2
                            WHEN j.client = r.client AND j.type_id = r.type_id AND j.fingerprint = r.fingerprint THEN 1
                            ELSE 4 END
                  INTO created_at, seq, code
                  FROM longhaul.job j WHERE j.id = r.id;
                IF NOT FOUND THEN
                    code := 5;
                ELSIF v_keys AND code = 4 THEN
                    -- A key taken above for the job that wasn't made must not name another's job.
                    DELETE FROM longhaul.idempotency_key ik USING longhaul.job j
                     WHERE ik.client = r.client AND ik.type_id = r.type_id AND ik.key = p_key[r.n] AND ik.job_id = r.id
                       AND j.id = r.id
                       AND (j.client, j.type_id, j.fingerprint) <> (ik.client, ik.type_id, ik.fingerprint);
                END IF;
            END IF;
            RETURN NEXT;
        END LOOP;
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.submit_batch(uuid[], integer[], text[], smallint[], timestamptz[], text[], bytea[], bigint[],
    text[], bytea[], bigint[], text[], text[], text[], text[], text[], timestamptz[], bigint[], integer[])
    IS 'Submits jobs, one array element each; idempotent on the id';

-- The job type p_type, if it takes such a job; else an error that says why not. Internal.
CREATE FUNCTION longhaul.submit_check(p_type text, p_input bytea, p_media_type text, p_client text, p_priority integer)
RETURNS longhaul.job_type
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_type  longhaul.job_type;
    v_media text := lower(rtrim(split_part(p_media_type, ';', 1)));
BEGIN
    SELECT * INTO v_type FROM longhaul.job_type t WHERE t.name = p_type;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no job type "%"', p_type USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_media_type IS NULL OR NOT ARRAY[v_media, regexp_replace(v_media, '/.*', '/*'), '*/*'] && lower(v_type.media_types::text)::text[] THEN
        RAISE EXCEPTION 'job type "%" does not accept %', p_type, p_media_type USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_input IS NULL THEN
        RAISE EXCEPTION 'the input is NULL' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF length(p_input) > v_type.max_input_bytes THEN
        RAISE EXCEPTION 'the input is larger than the % bytes that job type "%" accepts', v_type.max_input_bytes, p_type
            USING ERRCODE = 'program_limit_exceeded';
    END IF;
    IF p_priority IS NULL OR p_priority NOT BETWEEN -100 AND 100 THEN
        RAISE EXCEPTION 'priority must be between -100 and 100' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF coalesce(length(p_client), 0) NOT BETWEEN 1 AND 64 THEN
        RAISE EXCEPTION 'a client''s name has 1 to 64 characters' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN v_type;
END
$$;
COMMENT ON FUNCTION longhaul.submit_check(text, bytea, text, text, integer) IS 'Internal: what submit() refuses';

-- Submits one job that submit_check() has passed. Codes as of submit_batch; with 2 and 5, job_id is the job that the
-- key made. Internal. Writes: as submit_batch, input_chunk.
CREATE FUNCTION longhaul.submit_one(
    p_type_id integer, p_input bytea, p_media_type text, p_client text, p_priority integer, p_run_at timestamptz,
    p_start_by timestamptz, p_key text, p_fingerprint bytea, p_request_id text, OUT code smallint, OUT job_id uuid)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    c_inline CONSTANT integer := 65536;
    c_chunk  CONSTANT integer := 262144;
    v_id     uuid := (substr(longhaul.uuid_at(clock_timestamp())::text, 1, 13) || '-7' ||
                      substr(gen_random_uuid()::text, 16, 21))::uuid;
    v_size   bigint := length(p_input);
BEGIN
    SELECT s.code, s.job_id INTO code, job_id
      FROM longhaul.submit_batch(ARRAY[v_id], ARRAY[p_type_id], ARRAY[p_client], ARRAY[p_priority::smallint],
                                 ARRAY[p_run_at], ARRAY[p_media_type],
                                 ARRAY[CASE WHEN v_size <= c_inline THEN p_input END], ARRAY[v_size], ARRAY[p_key],
                                 ARRAY[p_fingerprint], ARRAY[NULL::bigint], ARRAY[NULL::text], ARRAY[p_request_id],
                                 p_start_by => ARRAY[p_start_by],
                                 p_last => ARRAY[CASE WHEN p_run_at IS NULL OR p_run_at <= now()
                                                      THEN longhaul.take_turns(p_type_id, p_priority::smallint,
                                                                               p_client, 1) END]) AS s;
    -- Only of a job that was made: one that a key found has its input.
    IF code = 0 AND v_size > c_inline THEN
        FOR i IN 0 .. (v_size - 1) / c_chunk LOOP
            PERFORM longhaul.input_chunk_put(v_id, i, substr(p_input, i * c_chunk + 1, c_chunk));
        END LOOP;
    END IF;
END
$$;
COMMENT ON FUNCTION longhaul.submit_one(integer, bytea, text, text, integer, timestamptz, timestamptz, text, bytea, text)
    IS 'Internal: submits one job';

-- Submits one job from SQL, inside whatever transaction the caller is in: the job exists if that commits.
--   p_type       job type name
--   p_input      the input, up to about 1 GB; large ones are stored in pieces, as over HTTP
--   p_media_type must be one that the type accepts
--   p_client     who will see the job over HTTP
--   p_run_at     not before this time
--   p_start_by   the job fails if no worker has it by then
--   p_key        idempotency key: the same again, of the same client and type, returns the job that it made; for
--                another request it is an error
-- Returns the job's id. Workers notice within their polling interval; call longhaul.wake() after the
-- commit to have it started at once.
-- Writes: job, input_chunk, ready or delayed, idempotency_key, job_deadline.
CREATE FUNCTION longhaul.submit(p_type text, p_input bytea, p_media_type text DEFAULT 'application/json',
                                p_client text DEFAULT 'sql', p_priority integer DEFAULT 0,
                                p_run_at timestamptz DEFAULT NULL, p_start_by timestamptz DEFAULT NULL,
                                p_key text DEFAULT NULL)
RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_type longhaul.job_type := longhaul.submit_check(p_type, p_input, p_media_type, p_client, p_priority);
    v_what bytea;
    v_code smallint;
    v_job  uuid;
BEGIN
    IF NOT isfinite(p_run_at) THEN
        RAISE EXCEPTION 'run_at must be a time' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT isfinite(p_start_by) OR p_start_by <= greatest(clock_timestamp(), p_run_at) THEN
        RAISE EXCEPTION 'start_by must be a time in the future, and later than run_at' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_key IS NOT NULL AND length(p_key) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'a key has 1 to 255 characters' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    v_what := sha256(p_input);
    IF p_key IS NOT NULL THEN
        v_what := sha256(v_what || convert_to(concat_ws(' ', p_media_type, p_priority, extract(epoch FROM p_run_at),
                                                        'by ' || extract(epoch FROM p_start_by)), 'UTF8'));
    END IF;
    SELECT s.code, s.job_id INTO v_code, v_job
      FROM longhaul.submit_one(v_type.type_id, p_input, p_media_type, p_client, p_priority, p_run_at, p_start_by, p_key,
                               v_what, NULL) s;
    IF v_code = 3 THEN
        RAISE EXCEPTION 'the key "%" belongs to another request', p_key USING ERRCODE = 'unique_violation';
    ELSIF v_code = 5 THEN
        RAISE EXCEPTION 'the job of the key "%" has been removed', p_key USING ERRCODE = 'no_data_found';
    ELSIF v_code NOT IN (0, 2) THEN
        RAISE EXCEPTION 'the job was not accepted (code %)', v_code;
    END IF;
    RETURN v_job;
END
$$;
COMMENT ON FUNCTION longhaul.submit(text, bytea, text, text, integer, timestamptz, timestamptz, text)
    IS 'Submits one job from SQL, in the caller''s transaction';

-- Tells idle workers that jobs of these types wait. In a transaction of its own: NOTIFY serialises commits.
-- Then it commits without waiting for the disk; what the caller wrote before in the same one still waits.
CREATE FUNCTION longhaul.wake(p_type_ids integer[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    IF pg_current_xact_id_if_assigned() IS NULL THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    PERFORM pg_notify('longhaul_wake', array_to_string(p_type_ids, ','));
END
$$;
COMMENT ON FUNCTION longhaul.wake(integer[]) IS 'Wakes idle workers for these job types';
