-- Webhooks: what workers call, upkeep, what a DBA opens, and who may do what.

-- The lanes in which something is due and that have room, in turn from behind p_after_lane, with how much room
-- each has (p_per_lane less what is in flight), whose it is, and how many that client may have in all. Internal.
-- It goes from lane to lane by the index, one step each, however much waits in it; after 1,000 lanes
-- without success it goes on at a random place, so that no lane waits for ever behind thousands of idle ones.
-- Locks: an advisory lock of each lane that it returns: two workers would otherwise both take its room.
-- A lane from which another worker claims at this moment is left out.
CREATE FUNCTION longhaul.webhook_lanes(
    p_after_lane uuid, p_now timestamptz, p_limit integer, p_per_lane integer, p_per_client integer, p_clients text[],
    p_client_room integer[], OUT lanes uuid[], OUT room integer[], OUT clients text[], OUT client_room integer[])
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    c_look    CONSTANT integer := 1000;
    c_nil     CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    v_start   uuid := coalesce(p_after_lane, c_nil);
    v_at      uuid := v_start;
    v_wrapped boolean := false;
    v_lane    uuid;
    v_due     timestamptz;
    v_first   uuid;
    v_busy    bigint;
    v_client  text;
    v_share   integer;
BEGIN
    lanes := '{}';
    room := '{}';
    clients := '{}';
    client_room := '{}';
    FOR v_looked IN 1 .. 2 * c_look LOOP
        IF v_looked > c_look THEN
            EXIT WHEN cardinality(lanes) > 0;
            IF v_looked = c_look + 1 THEN
                v_start := gen_random_uuid();
                v_at := v_start;
                v_wrapped := false;
            END IF;
        END IF;
        SELECT q.lane, q.due_at, q.delivery_id INTO v_lane, v_due, v_first FROM longhaul.webhook_queue q
         WHERE q.boot IS NULL AND q.lane > v_at ORDER BY q.lane, q.due_at LIMIT 1;
        IF NOT FOUND THEN
            EXIT WHEN v_wrapped;
            v_wrapped := true;
            v_at := c_nil;
            CONTINUE;
        END IF;
        EXIT WHEN v_wrapped AND v_lane > v_start;
        v_at := v_lane;
        IF v_due <= p_now THEN
            v_client := coalesce((SELECT d.client FROM longhaul.webhook_delivery d WHERE d.id = v_first), '');
            v_share := CASE WHEN v_client = ANY (p_clients) THEN p_client_room[array_position(p_clients, v_client)]
                            ELSE p_per_client END;
            -- Each lane gives one at least: more of them than the client's share are of no use.
            CONTINUE WHEN cardinality(array_positions(clients, v_client)) >= v_share;
            -- Once to spare the lock, and once under it: a claim that held it has committed what it took.
            SELECT count(*) INTO v_busy FROM longhaul.webhook_queue q WHERE q.boot IS NOT NULL AND q.lane = v_lane;
            IF v_busy < p_per_lane AND pg_try_advisory_xact_lock(hashtext('longhaul.lane'), hashtext(v_lane::text)) THEN
                SELECT count(*) INTO v_busy FROM longhaul.webhook_queue q WHERE q.boot IS NOT NULL AND q.lane = v_lane;
            ELSE
                v_busy := p_per_lane;
            END IF;
            IF v_busy < p_per_lane THEN
                lanes := lanes || v_lane;
                room := room || p_per_lane - v_busy::integer;
                clients := clients || v_client;
                client_room := client_room || v_share;
                EXIT WHEN cardinality(lanes) = p_limit;
            END IF;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION longhaul.webhook_lanes(uuid, timestamptz, integer, integer, integer, text[], integer[]) IS 'Internal: lanes in which deliveries are due';

-- Of the deliveries p_ids (their queue rows are locked), ends those whose endpoint is gone or disabled, and
-- returns the others. Internal. Writes: webhook_queue, webhook_delivery.
CREATE FUNCTION longhaul.webhook_wanted(p_ids uuid[]) RETURNS uuid[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    v_gone uuid[] := ARRAY(
        SELECT u.id FROM unnest(p_ids) AS u(id)
          LEFT JOIN longhaul.webhook_delivery d ON d.id = u.id
          LEFT JOIN longhaul.webhook w ON w.id = d.webhook_id
         WHERE d.id IS NULL OR d.webhook_id IS NOT NULL AND (w.id IS NULL OR w.deleted_at IS NOT NULL OR w.disabled_at IS NOT NULL));
BEGIN
    IF cardinality(v_gone) = 0 THEN
        RETURN p_ids;
    END IF;
    DELETE FROM longhaul.webhook_queue q WHERE q.delivery_id = ANY (v_gone);
    UPDATE longhaul.webhook_delivery d SET status = 4, ended_at = clock_timestamp() WHERE d.id = ANY (v_gone);
    RETURN ARRAY(SELECT u.id FROM unnest(p_ids) WITH ORDINALITY AS u(id, n) WHERE u.id <> ALL (v_gone) ORDER BY u.n);
END
$$;
COMMENT ON FUNCTION longhaul.webhook_wanted(uuid[]) IS 'Internal: drops claimed deliveries that nobody wants any more';

-- Clients whose jobs bring their own URLs have one secret for all of those: made on first need. Internal.
-- Two version 4 UUIDs and a third, hashed: more than 256 bits from the server's strong random source.
-- Writes: webhook_secret.
CREATE FUNCTION longhaul.webhook_own_secrets(p_ids uuid[]) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    INSERT INTO longhaul.webhook_secret (client, secret)
    SELECT c.client, sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
      FROM (SELECT DISTINCT d.client FROM longhaul.webhook_delivery d
             WHERE d.id = ANY (p_ids) AND d.webhook_id IS NULL
               AND NOT EXISTS (SELECT FROM longhaul.webhook_secret s
                                WHERE s.client = d.client AND s.webhook_id IS NULL AND s.expires_at IS NULL)) c
     ORDER BY c.client
    ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION longhaul.webhook_own_secrets(uuid[]) IS 'Internal: makes the secrets for URLs of single jobs';

-- Claims deliveries that are due for the daemon p_boot.
--   p_fence       row i of the answer has fence p_fence + i; the caller never uses a number twice
--   p_per_lane    of one lane, at most so many are in flight, over all hosts
--   p_after_lane  lanes come in turn, from behind this one: that of the last row of the claim before; NULL = any
--   p_per_client  so many rows of one client at most; of a client p_clients[i], p_client_room[i]: so that one with
--                 many endpoints that hang does not take all that the caller has room for
-- A lane in which much waits costs the others nothing: each gets its first before any gets its second.
--   attempt            this try since it was queued, from 1
--   secret1 … secret3  to sign with, the newest first; NULL = no more
--   job_id             NULL = a ping
-- No rows if the daemon's lease has been taken away. Commits without waiting for the disk.
-- Writes: webhook_queue, and of what nobody wants any more webhook_delivery; webhook_secret. Locks: the rows,
-- SKIP LOCKED; the daemon's advisory lock, shared with its other claims, against rescue; one of each lane.
CREATE FUNCTION longhaul.webhook_claim(
    p_boot uuid, p_fence bigint, p_limit integer, p_per_lane integer, p_after_lane uuid, p_per_client integer,
    p_clients text[], p_client_room integer[],
    OUT delivery_id uuid, OUT fence bigint, OUT attempt integer, OUT lane uuid, OUT url text, OUT event text,
    OUT payload text, OUT secret1 bytea, OUT secret2 bytea, OUT secret3 bytea, OUT client text, OUT job_id uuid,
    OUT created_at timestamptz, OUT traceparent text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    v_now   timestamptz := clock_timestamp();
    v_free  record;
    v_ids   uuid[];
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM pg_advisory_xact_lock_shared(hashtext('longhaul.boot'), hashtext(p_boot::text));
    IF NOT EXISTS (SELECT FROM longhaul.worker w
                    WHERE w.boot = p_boot AND w.dead_at IS NULL AND w.stopped_at IS NULL)
       OR NOT EXISTS (SELECT FROM longhaul.webhook_queue q WHERE q.boot IS NULL AND q.due_at <= v_now) THEN
        RETURN;
    END IF;
    SELECT * INTO v_free
      FROM longhaul.webhook_lanes(p_after_lane, v_now, p_limit, p_per_lane, p_per_client, p_clients, p_client_room);

    -- Of each lane the first, then the second …; handed out lane by lane, the last row's is where to go on.
    v_ids := ARRAY(
        SELECT z.delivery_id
          FROM (SELECT y.delivery_id, y.n, y.place
                  FROM (SELECT x.*, row_number() OVER (PARTITION BY x.client ORDER BY x.place, x.n) AS share
                          FROM (SELECT r.delivery_id, l.n, l.client, l.client_room,
                                       row_number() OVER (PARTITION BY l.n ORDER BY r.due_at) AS place
                                  FROM unnest(v_free.lanes, v_free.room, v_free.clients, v_free.client_room)
                                       WITH ORDINALITY AS l(lane, room, client, client_room, n)
                                 CROSS JOIN LATERAL (SELECT q.delivery_id, q.due_at FROM longhaul.webhook_queue q
                                                      WHERE q.boot IS NULL AND q.lane = l.lane AND q.due_at <= v_now
                                                      ORDER BY q.due_at LIMIT l.room FOR UPDATE SKIP LOCKED) r) x) y
                 WHERE y.share <= y.client_room
                 ORDER BY y.place, y.n LIMIT p_limit) z
         ORDER BY z.n, z.place);
    v_ids := longhaul.webhook_wanted(v_ids);
    IF cardinality(v_ids) = 0 THEN
        RETURN;
    END IF;
    PERFORM longhaul.webhook_own_secrets(v_ids);

    RETURN QUERY
    WITH q AS (
        UPDATE longhaul.webhook_queue x
           SET boot = p_boot, fence = p_fence + array_position(v_ids, x.delivery_id) - 1, attempt = x.attempt + 1,
               claimed_at = clock_timestamp()
         WHERE x.delivery_id = ANY (v_ids)
        RETURNING x.delivery_id, x.fence, x.attempt, x.lane
    )
    SELECT q.delivery_id, q.fence, q.attempt, q.lane, coalesce(d.url, w.url), d.event, d.payload, s.keys[1], s.keys[2],
           s.keys[3], d.client, d.job_id, d.created_at, d.traceparent
      FROM q
      JOIN longhaul.webhook_delivery d ON d.id = q.delivery_id
      LEFT JOIN longhaul.webhook w ON w.id = d.webhook_id
     CROSS JOIN LATERAL (SELECT ARRAY(SELECT k.secret FROM longhaul.webhook_secret k
                                       WHERE k.client = d.client AND k.webhook_id IS NOT DISTINCT FROM d.webhook_id
                                         AND (k.expires_at IS NULL OR k.expires_at > v_now)
                                       ORDER BY k.id DESC LIMIT 3) AS keys) s
     ORDER BY q.fence;
END
$$;
COMMENT ON FUNCTION longhaul.webhook_claim(uuid, bigint, integer, integer, uuid, integer, text[], integer[]) IS 'Claims deliveries that are due, fair to each endpoint';

-- Milliseconds until the next delivery comes due, at least 1; NULL = none does. What is due already does not
-- count: it waits for room in its lane, which a report makes, or for the caller's next claim.
CREATE FUNCTION longhaul.webhook_next_due() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp SET enable_seqscan = off AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    RETURN (SELECT greatest(1, ceil(extract(epoch FROM q.due_at - v_now) * 1000))::bigint
              FROM longhaul.webhook_queue q WHERE q.boot IS NULL AND q.due_at > v_now ORDER BY q.due_at LIMIT 1);
END
$$;
COMMENT ON FUNCTION longhaul.webhook_next_due() IS 'When the next delivery comes due';

-- Reports tries (parallel arrays, one element a delivery), for the holder of each claim only.
--   p_verdicts      1 delivered, 2 failed for good, 3 try again after p_retry_ms, 4 the endpoint is gone: failed,
--                   its webhook is disabled and what else waits for it dropped (a single job's URL: failed),
--                   5 released: not tried, no attempt burned
--   p_status_codes  NULL = no answer
--   p_errors        a word; NULL = none
--   p_started_ms    Unix milliseconds
-- Returns per element (ord from 1) code 1 accepted (also if this very claim's report was accepted before, and its
-- answer lost), 0 the claim is lost: nothing was written.
-- Writes: webhook_queue, webhook_delivery, webhook_try, webhook. Locks: the queue rows, in order of id, then
-- their deliveries, then the webhooks.
CREATE FUNCTION longhaul.webhook_finish_batch(
    p_boot uuid, p_ids uuid[], p_fences bigint[], p_verdicts smallint[], p_status_codes integer[], p_errors text[],
    p_durations_ms integer[], p_started_ms bigint[], p_retry_ms bigint[], OUT ord integer, OUT code smallint)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    v_held  integer[]; -- places in the arrays
    v_gone  uuid[];
    v_id    uuid;
BEGIN
    SELECT array_agg(h.n) INTO v_held
      FROM (SELECT u.n::integer AS n
              FROM (SELECT DISTINCT ON (x.id) x.id, x.fence, x.n -- should one come twice, the first counts
                      FROM unnest(p_ids, p_fences) WITH ORDINALITY AS x(id, fence, n) ORDER BY x.id, x.n) u
             CROSS JOIN LATERAL (SELECT FROM longhaul.webhook_queue q
                                  WHERE q.delivery_id = u.id AND q.boot = p_boot AND q.fence = u.fence FOR UPDATE) q) h;
    v_held := coalesce(v_held, '{}');

    WITH u AS MATERIALIZED (
        SELECT p_ids[n] AS id, p_fences[n] AS fence, p_verdicts[n] AS verdict, p_status_codes[n] AS status_code,
               p_errors[n] AS error, p_durations_ms[n] AS duration_ms, p_started_ms[n] AS started_ms
          FROM unnest(v_held) AS n WHERE p_verdicts[n] <> 5
    ), d AS (
        UPDATE longhaul.webhook_delivery x
           SET attempts = x.attempts + 1, boot = p_boot, fence = u.fence,
               status = CASE u.verdict WHEN 1 THEN 2 WHEN 3 THEN 1 ELSE 3 END,
               ended_at = CASE WHEN u.verdict <> 3 THEN clock_timestamp() END
          FROM u WHERE x.id = u.id
        RETURNING x.id, x.attempts, x.webhook_id, u.verdict, u.status_code, u.error, u.duration_ms, u.started_ms
    ), t AS (
        INSERT INTO longhaul.webhook_try (delivery_id, attempt, started_at, duration_ms, status_code, error)
        SELECT d.id, d.attempts, to_timestamp(d.started_ms / 1000.0), d.duration_ms, d.status_code, d.error FROM d
    ), e AS (
        INSERT INTO longhaul.event_delta (jobs, what, who)
        SELECT count(*), 'webhook_try', CASE d.verdict WHEN 1 THEN 'delivered' WHEN 3 THEN 'again' ELSE 'failed' END
          FROM d GROUP BY 3
    )
    SELECT array_agg(DISTINCT d.webhook_id) INTO v_gone FROM d WHERE d.verdict = 4 AND d.webhook_id IS NOT NULL;

    DELETE FROM longhaul.webhook_queue q
     WHERE q.delivery_id = ANY (ARRAY(SELECT p_ids[n] FROM unnest(v_held) AS n WHERE p_verdicts[n] NOT IN (3, 5)));
    UPDATE longhaul.webhook_queue q
       SET boot = NULL, fence = NULL, claimed_at = NULL, attempt = CASE WHEN u.verdict = 5 THEN q.attempt - 1 ELSE q.attempt END,
           due_at = CASE WHEN u.verdict = 5 THEN q.due_at ELSE clock_timestamp() + u.retry_ms * interval '1 ms' END
      FROM (SELECT p_ids[n] AS id, p_verdicts[n] AS verdict, coalesce(p_retry_ms[n], 0) AS retry_ms
              FROM unnest(v_held) AS n WHERE p_verdicts[n] IN (3, 5)) u
     WHERE q.delivery_id = u.id;

    FOR v_id IN SELECT g FROM unnest(v_gone) AS g ORDER BY g LOOP
        UPDATE longhaul.webhook w SET disabled_at = clock_timestamp(), disabled_reason = 'gone'
         WHERE w.id = v_id AND w.disabled_at IS NULL AND w.deleted_at IS NULL;
        PERFORM longhaul.drop_deliveries(v_id);
    END LOOP;

    RETURN QUERY
    SELECT u.n::integer,
           CASE WHEN u.n = ANY (v_held) OR d.id IS NOT NULL THEN 1 ELSE 0 END::smallint
      FROM unnest(p_ids, p_fences) WITH ORDINALITY AS u(id, fence, n)
      LEFT JOIN longhaul.webhook_delivery d ON d.id = u.id AND d.boot = p_boot AND d.fence = u.fence;
END
$$;
COMMENT ON FUNCTION longhaul.webhook_finish_batch(uuid, uuid[], bigint[], smallint[], integer[], text[], integer[], bigint[], bigint[])
    IS 'Reports tries of deliveries, for the holders of their claims';

-- Puts back the deliveries that a worker has claimed with fences below p_below and doesn't know of, as release_unheld()
-- does with jobs. Burns no attempt. Returns how many. Writes: webhook_queue. Locks: the daemon's advisory lock, after
-- a claim that still goes on behind a connection that broke.
CREATE FUNCTION longhaul.webhook_release_unheld(p_boot uuid, p_below bigint, p_held bigint[]) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_count integer;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('longhaul.boot'), hashtext(p_boot::text));
    UPDATE longhaul.webhook_queue q
       SET boot = NULL, fence = NULL, claimed_at = NULL, attempt = q.attempt - 1
     WHERE q.ctid = ANY (ARRAY(SELECT x.ctid FROM longhaul.webhook_queue x
                                WHERE x.boot = p_boot AND x.fence < p_below AND x.fence <> ALL (p_held) FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION longhaul.webhook_release_unheld(uuid, bigint, bigint[]) IS 'Puts back the claimed deliveries that a worker doesn''t know of';

-- Upkeep of the webhooks, a bounded step: what is left of removed ones; deliveries that ended 7 days ago, with
-- their tries; secrets that expired; the URLs of jobs whose days are gone. Internal: maintain() calls it.
-- Returns true if it left something to do. Writes: all webhook tables. Locks: the rows, SKIP LOCKED.
CREATE FUNCTION longhaul.maintain_webhooks(p_limit integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_first uuid := (SELECT longhaul.uuid_at(min(to_date(right(c.relname, 8), 'YYYYMMDD'))::timestamp AT TIME ZONE 'UTC')
                       FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'longhaul.job'::regclass);
    v_more  boolean := false;
    v_ids   uuid[];
    v_rows  integer;
    v_id    uuid;
BEGIN
    FOR v_id IN SELECT w.id FROM longhaul.webhook w WHERE w.deleted_at IS NOT NULL ORDER BY w.deleted_at LIMIT 10 LOOP
        v_ids := ARRAY(SELECT d.id FROM longhaul.webhook_delivery d WHERE d.webhook_id = v_id
                        LIMIT p_limit FOR UPDATE SKIP LOCKED);
        DELETE FROM longhaul.webhook_queue q WHERE q.delivery_id = ANY (v_ids);
        DELETE FROM longhaul.webhook_try t WHERE t.delivery_id = ANY (v_ids);
        DELETE FROM longhaul.webhook_delivery d WHERE d.id = ANY (v_ids);
        v_more := cardinality(v_ids) = p_limit OR v_more;
        -- A transaction that ended a job and has not committed yet may still bring one: it is kept for a while.
        DELETE FROM longhaul.webhook w
         WHERE w.id = v_id AND w.deleted_at < now() - interval '1 hour'
           AND NOT EXISTS (SELECT FROM longhaul.webhook_delivery d WHERE d.webhook_id = v_id);
    END LOOP;

    v_ids := ARRAY(SELECT d.id FROM longhaul.webhook_delivery d
                    WHERE d.id < longhaul.uuid_at(now() - interval '7 days')
                      AND d.status <> 1 AND d.ended_at < now() - interval '7 days'
                    ORDER BY d.id LIMIT p_limit FOR UPDATE SKIP LOCKED);
    DELETE FROM longhaul.webhook_try t WHERE t.delivery_id = ANY (v_ids);
    DELETE FROM longhaul.webhook_delivery d WHERE d.id = ANY (v_ids);
    v_more := cardinality(v_ids) = p_limit OR v_more;

    DELETE FROM longhaul.webhook_secret s WHERE s.expires_at < now();
    DELETE FROM longhaul.job_webhook k WHERE k.ctid = ANY (ARRAY(
        SELECT x.ctid FROM longhaul.job_webhook x WHERE x.job_id < v_first ORDER BY x.job_id LIMIT p_limit FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_more OR v_rows = p_limit;
END
$$;
COMMENT ON FUNCTION longhaul.maintain_webhooks(integer) IS 'Internal: upkeep of the webhooks';

-- Puts back what a daemon that is gone had claimed: to be tried at once, no attempt burned. What is being
-- reported right now is left to that, and else to rescue. Returns how many. Internal; the caller holds the
-- daemon's advisory lock. Writes: webhook_queue. Locks: the rows, SKIP LOCKED.
CREATE FUNCTION longhaul.webhook_take_back(p_boot uuid) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_count integer;
BEGIN
    UPDATE longhaul.webhook_queue q
       SET boot = NULL, fence = NULL, claimed_at = NULL, attempt = q.attempt - 1
     WHERE q.ctid = ANY (ARRAY(SELECT x.ctid FROM longhaul.webhook_queue x WHERE x.boot = p_boot FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION longhaul.webhook_take_back(uuid) IS 'Internal: puts back the deliveries of a worker that is gone';

-- ---------------------------------------------------------------------------------------------
-- What a DBA opens
-- ---------------------------------------------------------------------------------------------

CREATE VIEW longhaul.webhook_endpoints AS
SELECT w.id, w.client, w.url,
       (SELECT string_agg(t.name, ', ' ORDER BY t.name) FROM longhaul.job_type t WHERE t.type_id = ANY (w.type_ids)) AS types,
       w.events, w.description, w.created_at, w.disabled_at, w.disabled_reason,
       (SELECT count(*) FROM longhaul.webhook_queue q WHERE q.lane = longhaul.webhook_lane(w.id) AND q.boot IS NULL) AS waiting,
       (SELECT count(*) FROM longhaul.webhook_queue q WHERE q.lane = longhaul.webhook_lane(w.id) AND q.boot IS NOT NULL) AS in_flight,
       d.status_code AS last_status_code, d.error AS last_error, d.started_at AS last_try_at
  FROM longhaul.webhook w
  LEFT JOIN LATERAL (SELECT t.status_code, t.error, t.started_at
                       FROM (SELECT x.id FROM longhaul.webhook_delivery x WHERE x.webhook_id = w.id AND x.attempts > 0
                              ORDER BY x.id DESC LIMIT 20) r
                       JOIN longhaul.webhook_try t ON t.delivery_id = r.id
                      ORDER BY t.started_at DESC LIMIT 1) d ON true
 WHERE w.deleted_at IS NULL;
COMMENT ON VIEW longhaul.webhook_endpoints IS 'Subscribed webhooks (types NULL = all), what waits for each, and what came of the newest try';
COMMENT ON COLUMN longhaul.webhook_endpoints.id IS 'webhook.id';
COMMENT ON COLUMN longhaul.webhook_endpoints.client IS 'whose it is';
COMMENT ON COLUMN longhaul.webhook_endpoints.url IS 'where deliveries go';
COMMENT ON COLUMN longhaul.webhook_endpoints.types IS 'of which types; NULL = all';
COMMENT ON COLUMN longhaul.webhook_endpoints.events IS 'which events';
COMMENT ON COLUMN longhaul.webhook_endpoints.description IS 'for people';
COMMENT ON COLUMN longhaul.webhook_endpoints.created_at IS 'when it was made';
COMMENT ON COLUMN longhaul.webhook_endpoints.disabled_at IS 'since when nothing is delivered';
COMMENT ON COLUMN longhaul.webhook_endpoints.disabled_reason IS 'why';
COMMENT ON COLUMN longhaul.webhook_endpoints.waiting IS 'deliveries that wait';
COMMENT ON COLUMN longhaul.webhook_endpoints.in_flight IS 'deliveries that are being tried';
COMMENT ON COLUMN longhaul.webhook_endpoints.last_status_code IS 'what the newest try was answered';
COMMENT ON COLUMN longhaul.webhook_endpoints.last_error IS 'what went wrong with it';
COMMENT ON COLUMN longhaul.webhook_endpoints.last_try_at IS 'when it was';

CREATE VIEW longhaul.webhook_backlog AS
SELECT b.lane, d.client, d.webhook_id, coalesce(w.url, lower(substring(d.url FROM '^[A-Za-z]+://[^/?#]*'))) AS url,
       b.waiting, b.due, b.in_flight, b.next_due_at, d.created_at AS oldest_created_at
  FROM (SELECT q.lane, count(*) FILTER (WHERE q.boot IS NULL) AS waiting,
               count(*) FILTER (WHERE q.boot IS NULL AND q.due_at <= now()) AS due,
               count(*) FILTER (WHERE q.boot IS NOT NULL) AS in_flight,
               min(q.due_at) FILTER (WHERE q.boot IS NULL) AS next_due_at,
               (array_agg(q.delivery_id ORDER BY q.delivery_id))[1] AS oldest
          FROM longhaul.webhook_queue q GROUP BY q.lane) b
  JOIN longhaul.webhook_delivery d ON d.id = b.oldest
  LEFT JOIN longhaul.webhook w ON w.id = d.webhook_id;
COMMENT ON VIEW longhaul.webhook_backlog IS 'What waits to be delivered, by endpoint (of single jobs'' URLs: by client and host)';
COMMENT ON COLUMN longhaul.webhook_backlog.lane IS 'the lane: one endpoint, of single jobs one client and host';
COMMENT ON COLUMN longhaul.webhook_backlog.client IS 'whose it is';
COMMENT ON COLUMN longhaul.webhook_backlog.webhook_id IS 'webhook.id; NULL = URLs of single jobs';
COMMENT ON COLUMN longhaul.webhook_backlog.url IS 'where to; of single jobs without the path';
COMMENT ON COLUMN longhaul.webhook_backlog.waiting IS 'deliveries that wait';
COMMENT ON COLUMN longhaul.webhook_backlog.due IS 'of these, due now';
COMMENT ON COLUMN longhaul.webhook_backlog.in_flight IS 'deliveries that are being tried';
COMMENT ON COLUMN longhaul.webhook_backlog.next_due_at IS 'when the next is due';
COMMENT ON COLUMN longhaul.webhook_backlog.oldest_created_at IS 'since when the oldest waits';

-- ---------------------------------------------------------------------------------------------
-- Who may do what
-- ---------------------------------------------------------------------------------------------

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA longhaul FROM PUBLIC;

GRANT EXECUTE ON FUNCTION
    longhaul.webhook_create(uuid, text, text, integer[], text[], text, text, text, bytea, integer),
    longhaul.webhook_get(text, uuid), longhaul.webhook_list(text, uuid, integer), longhaul.webhook_delete(text, uuid),
    longhaul.webhook_enable(text, uuid), longhaul.webhook_rotate(text, uuid, bytea, bigint),
    longhaul.webhook_ping(text, uuid, uuid), longhaul.webhook_deliveries(text, uuid, uuid, integer, uuid, integer),
    longhaul.webhook_redeliver(text, uuid, uuid, uuid)
TO longhaul_api;

GRANT EXECUTE ON FUNCTION
    longhaul.webhook_claim(uuid, bigint, integer, integer, uuid, integer, text[], integer[]), longhaul.webhook_next_due(),
    longhaul.webhook_release_unheld(uuid, bigint, bigint[]),
    longhaul.webhook_finish_batch(uuid, uuid[], bigint[], smallint[], integer[], text[], integer[], bigint[], bigint[])
TO longhaul_worker;

GRANT EXECUTE ON FUNCTION
    longhaul.job_document(uuid, text, text), longhaul.webhook_lane(uuid), longhaul.webhook_delete(text, uuid), longhaul.webhook_enable(text, uuid),
    longhaul.webhook_ping(text, uuid, uuid), longhaul.webhook_redeliver(text, uuid, uuid, uuid)
TO longhaul_dba;

GRANT SELECT ON longhaul.webhook, longhaul.job_webhook, longhaul.webhook_delivery, longhaul.webhook_queue,
                longhaul.webhook_try, longhaul.webhook_endpoints, longhaul.webhook_backlog TO longhaul_dba;
GRANT SELECT (id, client, webhook_id, created_at, expires_at) ON longhaul.webhook_secret TO longhaul_dba;
