-- Who may do what. Programs reach the tables through functions only; DBAs read everything but the
-- keys and change the job types.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA longhaul FROM PUBLIC;
GRANT USAGE ON SCHEMA longhaul TO longhaul_api, longhaul_worker, longhaul_import, longhaul_submit, longhaul_dba;

GRANT EXECUTE ON FUNCTION
    longhaul.api_types(), longhaul.client_of_key(bytea), longhaul.schema_version(), longhaul.queue_state(),
    longhaul.submit_batch(uuid[], integer[], text[], smallint[], timestamptz[], text[], bytea[], bigint[], text[], bytea[],
                          bigint[], text[], text[], text[], text[], text[], timestamptz[], bigint[], integer[]),
    longhaul.input_open(uuid), longhaul.input_chunk_put(uuid, integer, bytea), longhaul.wake(integer[]),
    longhaul.status_batch(uuid[], text[], boolean), longhaul.result_chunk_get(uuid, integer, integer),
    longhaul.list_jobs(text, integer, smallint, timestamptz, uuid, integer), longhaul.watch(uuid[], bigint),
    longhaul.cancel_job(uuid, text), longhaul.delete_job(uuid, text), longhaul.retry_job(uuid, text)
TO longhaul_api;

GRANT EXECUTE ON FUNCTION
    longhaul.schema_version(), longhaul.worker_start(uuid, text, integer, text, integer), longhaul.worker_stop(uuid),
    longhaul.worker_beat(uuid, integer, integer[], integer[], integer[], double precision[], double precision[], bigint[]),
    longhaul.worker_types(text[]), longhaul.queue_horizon(integer[]),
    longhaul.claim(uuid, bigint, integer[], smallint[], bigint[], integer[], boolean),
    longhaul.release_unheld(uuid, bigint, bigint[]),
    longhaul.progress_batch(uuid, uuid[], bigint[], integer[], bigint[], bigint[], text[]),
    longhaul.input_chunk_get(uuid, integer), longhaul.result_chunk_put(uuid, uuid, bigint, integer, bytea),
    longhaul.finish_batch(uuid, uuid[], bigint[], smallint[], integer[], text[], bytea[], bigint[], text[], bigint[],
                          bigint[], bigint[], text[], text[]),
    longhaul.notify_waiters(bigint[], uuid[]), longhaul.rescue(), longhaul.promote_due(integer), longhaul.maintain()
TO longhaul_worker;

-- For applications that submit from SQL.
GRANT EXECUTE ON FUNCTION
    longhaul.submit(text, bytea, text, text, integer, timestamptz, timestamptz, text), longhaul.wake(integer[])
TO longhaul_submit;

GRANT EXECUTE ON FUNCTION longhaul.import_begin(uuid, uuid, bigint), longhaul.import_finish(uuid, uuid, bigint, integer)
TO longhaul_import;
DO $$
BEGIN
    FOR i IN 0 .. 31 LOOP
        EXECUTE format('GRANT INSERT ON longhaul.account_staging_%s TO longhaul_import', i);
    END LOOP;
END
$$;

GRANT SELECT ON ALL TABLES IN SCHEMA longhaul TO longhaul_dba;
REVOKE ALL ON longhaul.api_key FROM longhaul_dba;
GRANT SELECT (client, label, created_at, revoked_at), UPDATE (revoked_at, label) ON longhaul.api_key TO longhaul_dba;
GRANT INSERT, UPDATE ON longhaul.job_type TO longhaul_dba;
GRANT INSERT, UPDATE ON longhaul.client TO longhaul_dba;
GRANT EXECUTE ON FUNCTION
    longhaul.uuid_at(timestamptz), longhaul.uuid_time(uuid), longhaul.status_word(integer), longhaul.schema_version(),
    longhaul.rows_estimated(oid), longhaul.queue_state(), longhaul.submit(text, bytea, text, text, integer, timestamptz, timestamptz, text), longhaul.wake(integer[]),
    longhaul.create_api_key(text, text), longhaul.rescue(), longhaul.maintain(),
    longhaul.make_partitions(date, date)
TO longhaul_dba;
