-- What the catalog says: everything is documented, and the roles may do what they need and no more.
BEGIN;
SELECT no_plan();

-- ---- comments ----------------------------------------------------------------------------------
-- The days to come get the same as those that the migration made.
SELECT ok(longhaul.make_partitions('2030-01-01', '2030-01-01') = 6, 'a day has six partitions');

SELECT is_empty($$
    SELECT c.oid::regclass FROM pg_class c
     WHERE c.relnamespace = 'longhaul'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
       AND coalesce(obj_description(c.oid, 'pg_class'), '') = ''
$$, 'every table and view has a comment');

SELECT is_empty($$
    SELECT c.oid::regclass || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
     WHERE c.relnamespace = 'longhaul'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
       AND a.attnum > 0 AND NOT a.attisdropped
       AND coalesce(col_description(c.oid, a.attnum), '') = ''
$$, 'every column of a table or view has a comment');

SELECT is_empty($$
    SELECT p.oid::regprocedure FROM pg_proc p
     WHERE p.pronamespace = 'longhaul'::regnamespace AND coalesce(obj_description(p.oid, 'pg_proc'), '') = ''
$$, 'every function has a comment');

SELECT is_empty($$
    SELECT t.typname FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
     WHERE t.typnamespace = 'longhaul'::regnamespace AND (t.typtype = 'd' OR t.typtype = 'e' OR c.relkind = 'c')
       AND coalesce(obj_description(t.oid, 'pg_type'), '') = ''
$$, 'every type has a comment');

SELECT isnt(obj_description('longhaul'::regnamespace, 'pg_namespace'), NULL, 'the schema has a comment');

-- ---- rights: what nobody has ----------------------------------------------------------------------
SELECT is_empty($$
    SELECT p.oid::regprocedure FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
     WHERE p.pronamespace = 'longhaul'::regnamespace AND a.grantee = 0
$$, 'PUBLIC may execute no function, not even one made later');

SELECT is_empty($$
    SELECT c.oid::regclass FROM pg_class c, aclexplode(c.relacl) a
     WHERE c.relnamespace = 'longhaul'::regnamespace AND a.grantee = 0
$$, 'PUBLIC has no right on a table');

SELECT is_empty($$
    SELECT 1 FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'longhaul' AND a.grantee = 0
$$, 'PUBLIC has no right on the schema');

-- pg_temp last: otherwise a caller's temporary objects would be found first.
SELECT is_empty($$
    SELECT p.oid::regprocedure FROM pg_proc p
     WHERE p.pronamespace = 'longhaul'::regnamespace AND p.prosecdef
       AND 'search_path=pg_catalog, longhaul, pg_temp' <> ALL (coalesce(p.proconfig, '{}'))
$$, 'every SECURITY DEFINER function has a fixed search_path, pg_temp last');

-- ---- rights: the functions of each role -------------------------------------------------------------
CREATE FUNCTION pg_temp.may_execute(p_role name) RETURNS SETOF name LANGUAGE sql AS $$
    SELECT p.proname FROM pg_proc p
     WHERE p.pronamespace = 'longhaul'::regnamespace AND has_function_privilege(p_role, p.oid, 'EXECUTE')
$$;

SELECT bag_eq($$ SELECT pg_temp.may_execute('longhaul_api') $$, $$ SELECT unnest('{
    api_types, client_of_key, schema_version, queue_state, submit_batch, input_open, input_chunk_put, wake,
    status_batch, result_chunk_get, list_jobs, watch, changed_batch, feed_changes, feed_open, feed_page, cancel_job, delete_job, retry_job,
    webhook_create, webhook_get, webhook_list, webhook_delete, webhook_enable, webhook_rotate, webhook_ping,
    webhook_deliveries, webhook_redeliver,
    history, client_statistics, metrics, wal_position, client_log, client_attempts}'::name[]) $$,
    'longhaul_api may execute what the API calls');

SELECT bag_eq($$ SELECT pg_temp.may_execute('longhaul_worker') $$, $$ SELECT unnest('{
    schema_version, worker_start, worker_stop, worker_beat, worker_types, queue_horizon, claim, release_unheld,
    progress_batch, input_chunk_get, result_chunk_put, finish_batch, notify_waiters, rescue, promote_due,
    maintain, schedule_tick, expire_unstarted, webhook_claim, webhook_next_due, webhook_release_unheld, webhook_finish_batch,
    report_history, tally_fold}'::name[]) $$,
    'longhaul_worker may execute what the workers call');

SELECT bag_eq($$ SELECT pg_temp.may_execute('longhaul_import') $$,
    $$ SELECT unnest('{import_begin, import_finish, sql_function, sql_begin, sql_finish, report_progress}'::name[]) $$,
    'longhaul_import may begin and finish imports and the jobs of handler sql');

SELECT bag_eq($$ SELECT pg_temp.may_execute('longhaul_dba') $$, $$ SELECT unnest('{
    uuid_at, uuid_time, status_word, schema_version, queue_state, submit, wake, cancel_job, cancel_jobs, delete_job, retry_job, retry_jobs, release_host, rows_estimated, type_standing, jobs_ahead,
    create_api_key, rescue, maintain, make_partitions, cron_next, schedule_next, schedule_run, pause_type, resume_type, job_document, webhook_lane, webhook_delete, webhook_enable, webhook_ping,
    webhook_redeliver, sql_function, report_progress,
    history, forget_history, queue_turn, job_log, tally_fold, client_statistics, metrics, audit_note, wal_position,
    drain_host, resume_host, admin_status, admin_hosts, admin_host_drain, admin_host_resume, admin_host_release, admin_clients,
    admin_client_create, admin_client_enable, admin_keys, admin_key_create, admin_key_revoke, admin_types, admin_type,
    admin_type_add, admin_type_set, admin_type_remove, admin_pause, admin_resume, admin_jobs, admin_job, admin_job_cancel,
    admin_job_retry, admin_jobs_cancel, admin_jobs_retry, admin_purge, admin_schedules, admin_schedule_enable, admin_audit}'::name[]) $$,
    'longhaul_dba may submit, cancel, retry, and look after the database');

SELECT bag_eq($$ SELECT pg_temp.may_execute('longhaul_submit') $$, $$ SELECT unnest('{submit, wake}'::name[]) $$, 'longhaul_submit may submit');

-- ---- rights: the tables -------------------------------------------------------------------------
CREATE FUNCTION pg_temp.table_rights(p_role name, p_rights text) RETURNS SETOF name LANGUAGE sql AS $$
    SELECT c.relname FROM pg_class c
     WHERE c.relnamespace = 'longhaul'::regnamespace AND c.relkind IN ('r', 'p', 'v')
       AND (has_table_privilege(p_role, c.oid, p_rights) OR has_any_column_privilege(p_role, c.oid, p_rights))
$$;

SELECT is_empty($$ SELECT pg_temp.table_rights('longhaul_api', 'SELECT, INSERT, UPDATE, REFERENCES') $$,
    'longhaul_api has no right on any table');
SELECT is_empty($$ SELECT pg_temp.table_rights('longhaul_worker', 'SELECT, INSERT, UPDATE, REFERENCES') $$,
    'longhaul_worker has no right on any table');
SELECT is_empty($$ SELECT pg_temp.table_rights('longhaul_import', 'SELECT, UPDATE, REFERENCES') $$,
    'longhaul_import may read and change no table');
SELECT bag_eq($$ SELECT pg_temp.table_rights('longhaul_import', 'INSERT') $$,
    $$ SELECT ('account_staging_' || i)::name FROM generate_series(0, 31) i $$,
    'longhaul_import may fill the staging tables');
SELECT bag_eq($$ SELECT pg_temp.table_rights('longhaul_dba', 'INSERT, UPDATE') $$,
    $$ VALUES ('job_type'::name), ('client'), ('api_key'), ('schedule') $$, 'longhaul_dba may change types, clients, keys and schedules');
SELECT is_empty($$
    SELECT r, c.oid::regclass FROM pg_class c, unnest('{longhaul_api,longhaul_worker,longhaul_import,longhaul_submit,longhaul_dba}'::name[]) r
     WHERE c.relnamespace = 'longhaul'::regnamespace AND c.relkind IN ('r', 'p', 'v')
       AND has_table_privilege(r, c.oid, CASE WHEN (r, c.relname) = ('longhaul_dba', 'schedule') THEN 'TRUNCATE, TRIGGER' ELSE 'DELETE, TRUNCATE, TRIGGER' END)
$$, 'nobody may delete, truncate or add triggers; but a DBA may delete schedules');
SELECT is_empty($$
    SELECT c.oid::regclass FROM pg_class c
     WHERE c.relnamespace = 'longhaul'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND c.relname NOT IN ('api_key', 'webhook_secret')
       AND NOT has_table_privilege('longhaul_dba', c.oid, 'SELECT')
$$, 'longhaul_dba may read every table and view but two, days made later too');
SELECT is_empty($$
    SELECT r, c.oid::regclass FROM pg_class c, unnest('{longhaul_api,longhaul_worker,longhaul_import,longhaul_submit,longhaul_dba}'::name[]) r
     WHERE c.relnamespace = 'longhaul'::regnamespace AND c.relkind = 'S'
       AND has_sequence_privilege(r, c.oid, 'USAGE, UPDATE')
$$, 'nobody may draw from the sequences');
SELECT is_empty($$
    SELECT r FROM unnest('{longhaul_api,longhaul_worker,longhaul_import,longhaul_submit,longhaul_dba}'::name[]) r
     WHERE NOT has_schema_privilege(r, 'longhaul', 'USAGE') OR has_schema_privilege(r, 'longhaul', 'CREATE')
$$, 'the roles may use the schema and make nothing in it');
SELECT is_empty($$
    SELECT rolname FROM pg_roles WHERE rolname LIKE 'longhaul\_%'
       AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolcanlogin OR rolbypassrls OR rolreplication)
$$, 'the roles have no attribute and can''t log in');

-- ---- rights: tried ------------------------------------------------------------------------------
SELECT is(t.as_role('longhaul_api', 'SELECT FROM longhaul.job'), '42501', 'longhaul_api can''t read jobs');
SELECT is(t.as_role('longhaul_api', 'SELECT longhaul.rescue()'), '42501', 'nor do a worker''s work');
SELECT is(t.as_role('longhaul_api', 'SELECT * FROM longhaul.jobs'), '42501', 'nor open the views');
SELECT is(t.as_role('longhaul_worker', 'SELECT longhaul.create_api_key(''x'')'), '42501', 'longhaul_worker can''t make keys');
SELECT is(t.as_role('longhaul_dba', 'SELECT sha256 FROM longhaul.api_key'), '42501', 'longhaul_dba can''t see api_key.sha256');
SELECT is(t.as_role('longhaul_dba', 'SELECT * FROM longhaul.api_key'), '42501', 'not by * either');
SELECT is(t.as_role('longhaul_dba', 'UPDATE longhaul.api_key SET sha256 = sha256(''x'')'), '42501', 'nor change it');
SELECT is(t.as_role('longhaul_dba', 'SELECT secret FROM longhaul.webhook_secret'), '42501', 'nor the secrets of webhooks');
SELECT is(t.as_role('longhaul_dba', 'SELECT client, webhook_id, created_at, expires_at FROM longhaul.webhook_secret'), '',
    'but that there are some');
SELECT is(t.as_role('longhaul_dba', 'SELECT longhaul.webhook_claim(t.boot(1), 1, 1, 1, NULL, 1, ''{}'', ''{}'')'), '42501', 'nor claim deliveries, which shows them');
SELECT is(t.as_role('longhaul_dba', 'SELECT client, label, created_at, revoked_at FROM longhaul.api_key'), '',
    'but whose the keys are');
SELECT is(t.as_role('longhaul_dba', 'UPDATE longhaul.api_key SET revoked_at = now() WHERE client = ''x'''), '',
    'and revoke them');
SELECT is(t.as_role('longhaul_dba', 'INSERT INTO longhaul.job_type (name, submit_path, collection) VALUES (''x'', ''/x'', ''x'')'), '',
    'and make a job type');
SELECT is(t.as_role('longhaul_dba', 'UPDATE longhaul.job_type SET paused = true'), '', 'and pause it');
SELECT is(t.as_role('longhaul_dba', format('SELECT FROM longhaul.%I', v)), '', 'longhaul_dba can open ' || v)
  FROM unnest('{jobs,running,waiting,queue_depth,client_depth,workers,dead_hosts,stuck,throughput,slowest,types_lately,partitions,estimates,limits,turns,audit,webhook_endpoints,webhook_backlog,schedules,ended,attempts,stale_writes}'::text[]) v;
SELECT is(t.as_role('longhaul_dba', 'SELECT longhaul.maintain(), longhaul.rescue()'), '', 'and call the upkeep');

SELECT * FROM finish();
ROLLBACK;
