-- How long jobs take: what estimates are made from.

CREATE TABLE longhaul.type_history (
    type_id    integer NOT NULL REFERENCES longhaul.job_type ON DELETE CASCADE,
    bucket     smallint NOT NULL CHECK (bucket BETWEEN 0 AND 127),
    jobs       bigint NOT NULL,
    input_size double precision NOT NULL,
    ran_ms     double precision NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (type_id, bucket)
) WITH (fillfactor = 50);
COMMENT ON TABLE longhaul.type_history IS 'How long completed jobs of a type ran, by the size of their input: what estimates are made from; forget_history() empties it';
COMMENT ON COLUMN longhaul.type_history.type_id IS 'job_type.type_id';
COMMENT ON COLUMN longhaul.type_history.bucket IS 'class of input sizes, two to each doubling: 0 = empty, n = from 2^((n-1)/2) bytes';
COMMENT ON COLUMN longhaul.type_history.jobs IS 'jobs seen so far';
COMMENT ON COLUMN longhaul.type_history.input_size IS 'typical input size of the class, bytes';
COMMENT ON COLUMN longhaul.type_history.ran_ms IS 'how long its jobs typically run: medians of what workers saw, recent ones weigh more';
COMMENT ON COLUMN longhaul.type_history.updated_at IS 'when a worker last reported';

-- How far the history moves towards a report of p_jobs jobs when it has seen p_before: by their share of the last
-- 100 jobs, a fifth at least, so that it follows when jobs have become slower. Internal.
CREATE FUNCTION longhaul.share_of_report(p_jobs bigint, p_before bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT least(1, greatest(0.2, p_jobs / least(p_before + p_jobs, 100)::double precision))
$$;
COMMENT ON FUNCTION longhaul.share_of_report(bigint, bigint) IS 'Internal: weight of a report in the history';

-- Takes what a worker saw since its last report into the history: parallel arrays, one element for each
-- type and class of input sizes; medians, so that a few stray jobs don't count.
-- Commits without waiting for the disk. Writes: type_history. Locks: its rows, in their order.
CREATE FUNCTION longhaul.report_history(
    p_type_ids integer[], p_buckets smallint[], p_jobs integer[], p_input_sizes double precision[], p_ran_ms double precision[])
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO longhaul.type_history AS h (type_id, bucket, jobs, input_size, ran_ms)
    SELECT u.type_id, u.bucket, u.jobs, u.input_size, u.ran_ms
      FROM unnest(p_type_ids, p_buckets, p_jobs, p_input_sizes, p_ran_ms) AS u(type_id, bucket, jobs, input_size, ran_ms)
      JOIN longhaul.job_type t ON t.type_id = u.type_id -- one that is deleted has no use for it
     WHERE u.jobs > 0 ORDER BY u.type_id, u.bucket
    ON CONFLICT (type_id, bucket) DO UPDATE
       SET jobs = h.jobs + excluded.jobs, updated_at = now(),
           input_size = h.input_size + (excluded.input_size - h.input_size) * longhaul.share_of_report(excluded.jobs, h.jobs),
           ran_ms = h.ran_ms + (excluded.ran_ms - h.ran_ms) * longhaul.share_of_report(excluded.jobs, h.jobs);
END
$$;
COMMENT ON FUNCTION longhaul.report_history(integer[], smallint[], integer[], double precision[], double precision[]) IS 'Adds to the history of how long jobs take';

-- The history of all types, in the order of their sizes.
CREATE FUNCTION longhaul.history(OUT type_id integer, OUT input_size double precision, OUT ran_ms double precision)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
    SELECT h.type_id, h.input_size, h.ran_ms FROM longhaul.type_history h ORDER BY h.type_id, h.input_size
$$;
COMMENT ON FUNCTION longhaul.history() IS 'How long jobs take, by type and size of their input';

-- Forgets how long jobs of a type took: after a change that has made them much faster or slower, estimates
-- follow sooner. Returns how many rows it removed. Writes: type_history, audit.
CREATE FUNCTION longhaul.forget_history(p_type text) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, longhaul, pg_temp AS $$
DECLARE
    v_rows integer;
BEGIN
    DELETE FROM longhaul.type_history h USING longhaul.job_type t WHERE t.type_id = h.type_id AND t.name = p_type;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    PERFORM longhaul.audit_note('forget_history', p_type, jsonb_build_object('rows', v_rows));
    RETURN v_rows;
END
$$;
COMMENT ON FUNCTION longhaul.forget_history(text) IS 'Forgets how long jobs of a type took';

REVOKE ALL ON FUNCTION longhaul.report_history(integer[], smallint[], integer[], double precision[], double precision[]),
    longhaul.history(), longhaul.forget_history(text), longhaul.share_of_report(bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION longhaul.report_history(integer[], smallint[], integer[], double precision[], double precision[])
    TO longhaul_worker;
GRANT EXECUTE ON FUNCTION longhaul.history() TO longhaul_api, longhaul_dba;
GRANT EXECUTE ON FUNCTION longhaul.forget_history(text) TO longhaul_dba;
GRANT SELECT ON longhaul.type_history TO longhaul_dba;
