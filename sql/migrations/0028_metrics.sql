-- What GET /metrics of the API tells of the database.

-- Rows of a metric's name, up to two labels and its value; the API knows what they mean. Counters never go back: they are
-- sums of what was added up and what was not yet, from one snapshot, and no old minute is needed for them.
-- Bounded work, about as much as queue_state(): depths are counted up to 10,000 of a type.
CREATE FUNCTION longhaul.metrics(OUT name text, OUT label text, OUT second text, OUT value double precision)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, longhaul, pg_temp SET jit = off
AS $$
    SELECT 'schema_version', NULL, NULL, longhaul.schema_version()::double precision
    UNION ALL
    SELECT x.* FROM longhaul.queue_state() q JOIN longhaul.job_type t ON t.type_id = q.type_id
      CROSS JOIN LATERAL (VALUES ('queued', t.name, NULL, q.depth::double precision),
                                 ('oldest', t.name, NULL, coalesce(q.head_age_ms, 0) / 1000.0),
                                 ('running', t.name, NULL, q.running), ('slots', t.name, NULL, q.slots),
                                 ('paused', t.name, NULL, t.paused::integer)) x
    UNION ALL
    SELECT 'delayed', t.name, NULL, count(d.type_id)
      FROM longhaul.job_type t
      LEFT JOIN (SELECT y.type_id FROM longhaul.delayed y LIMIT 100000) d ON d.type_id = t.type_id GROUP BY t.name
    UNION ALL
    SELECT x.* FROM (
        SELECT t.name, longhaul.status_word(s.status) AS word, coalesce(sum(e.jobs), 0) AS jobs,
               coalesce(extract(epoch FROM sum(e.waited)), 0) AS waited, coalesce(extract(epoch FROM sum(e.ran)), 0) AS ran
          FROM longhaul.job_type t CROSS JOIN (VALUES (3), (4), (5)) AS s(status)
          LEFT JOIN (SELECT a.type_id, a.status, a.jobs, a.waited, a.ran FROM longhaul.tally_total a
                     UNION ALL
                     SELECT d.type_id, d.status, d.jobs, d.waited, d.ran FROM longhaul.tally_delta d) e
                 ON e.type_id = t.type_id AND e.status = s.status
         GROUP BY t.name, s.status) c
      CROSS JOIN LATERAL (VALUES ('ended', c.name, lower(c.word), c.jobs::double precision),
                                 ('waited', c.name, lower(c.word), c.waited), ('ran', c.name, lower(c.word), c.ran)) x
    UNION ALL
    SELECT e.what, e.who, NULL, sum(e.jobs)
      FROM (SELECT a.what, a.who, a.jobs FROM longhaul.event_total a
            UNION ALL SELECT d.what, d.who, d.jobs FROM longhaul.event_delta d
            UNION ALL SELECT 'webhook_try', w, 0 FROM unnest('{delivered,again,failed}'::text[]) AS w
            UNION ALL SELECT o, w.host, 0 FROM longhaul.worker w, unnest('{claimed,lease_lost,rescued}'::text[]) AS o) e
     GROUP BY e.what, e.who
    UNION ALL
    SELECT 'stale', k.host, k.kind, sum(k.refused)
      FROM (SELECT s.host, s.kind, s.refused FROM longhaul.stale_write s
            UNION ALL SELECT w.host, u, 0 FROM longhaul.worker w, unnest('{outcome,result,progress}'::text[]) AS u) k
     GROUP BY k.host, k.kind
    UNION ALL
    SELECT x.* FROM (
        SELECT w.host, count(*) FILTER (WHERE w.dead_at IS NULL AND w.stopped_at IS NULL AND w.lease_until > now()) AS live,
               bool_or(w.stopped_at IS NULL) AS wanted,
               extract(epoch FROM now() - max(w.beat_at)) AS age
          FROM longhaul.worker w GROUP BY w.host) h
      CROSS JOIN LATERAL (VALUES ('workers', h.host, NULL, h.live::double precision),
                                 ('beat_age', h.host, NULL, greatest(h.age, 0))) x
     WHERE h.live > 0 OR h.wanted
    UNION ALL
    SELECT x.* FROM (
        SELECT count(*) AS pending, coalesce(greatest(extract(epoch FROM now() - min(q.due_at) FILTER (WHERE q.boot IS NULL)), 0), 0) AS late
          FROM (SELECT y.due_at, y.boot FROM longhaul.webhook_queue y LIMIT 100000) q) p
      CROSS JOIN LATERAL (VALUES ('webhook_pending', NULL, NULL, p.pending::double precision),
                                 ('webhook_late', NULL, NULL, p.late)) x
     ORDER BY 1, 2, 3
$$;
COMMENT ON FUNCTION longhaul.metrics() IS 'What GET /metrics tells of the database';

REVOKE ALL ON FUNCTION longhaul.metrics() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION longhaul.metrics() TO longhaul_api, longhaul_dba;
