-- pg_dump | psql into an empty database gives the same database, and it works.
\! createdb -T template_longhaul dumped
\setenv PGDATABASE dumped
\connect dumped
BEGIN;
SELECT t.type('test') AS test, t.worker(1) AS w1, t.worker(2) AS w2 \gset
SELECT longhaul.make_partitions((now() AT TIME ZONE 'UTC')::date - 5, (now() AT TIME ZONE 'UTC')::date) \gset
SELECT count(t.submit('test', t.id(clock_timestamp() - n * interval '2 hours'), p_key => 'k' || n)) FROM generate_series(0, 11) n \gset
SELECT t.finish(1, job_id, fence, 1, p_result => 'abc') AS a FROM t.start(1, 'test') \gset
SELECT t.finish(1, job_id, fence, 3) AS b FROM t.start(1, 'test') \gset
SELECT t.finish(1, job_id, fence, 5) AS c FROM t.start(1, 'test') \gset
SELECT count(*) AS d FROM t.start(2, 'test') \gset
SELECT longhaul.cancel_job(min(job_id::text)::uuid, 'alice') AS e FROM longhaul.lease WHERE boot = t.boot(2) \gset
SELECT longhaul.create_api_key('alice') AS key \gset
INSERT INTO longhaul.account (email, name, imported_by) VALUES ('a@example.com', 'A', t.id());
SELECT longhaul.watch(ARRAY[t.id()], 1) AS f \gset
COMMIT;
SELECT seq AS last_seq FROM longhaul.job ORDER BY seq DESC LIMIT 1 \gset

\! createdb restored
\! pg_dump -d dumped >"$SCRATCH/dump.sql" 2>"$SCRATCH/dump.log"; echo $? >"$SCRATCH/dump.status"
\! psql -X -q -v ON_ERROR_STOP=1 -d restored -f "$SCRATCH/dump.sql" >"$SCRATCH/restore.log" 2>&1; echo $? >"$SCRATCH/restore.status"
\! pg_dump -d restored >"$SCRATCH/dump2.sql" 2>>"$SCRATCH/dump.log"
\! sed '/^\\\(un\)\?restrict/d' "$SCRATCH/dump.sql" >"$SCRATCH/dump.1"; sed '/^\\\(un\)\?restrict/d' "$SCRATCH/dump2.sql" >"$SCRATCH/dump.2"
\set dumped `cat "$SCRATCH/dump.status" "$SCRATCH/dump.log"`
\set restored `cat "$SCRATCH/restore.status"; grep -v '^SET\|^ *set_config\|^ *setval\|^-*$\|row)' "$SCRATCH/restore.log" | grep -i error`
\set same `cmp "$SCRATCH/dump.1" "$SCRATCH/dump.2" >/dev/null && echo same; wc -l <"$SCRATCH/dump.1" | awk '$1 > 2000 { print "long" }'`
\setenv PGDATABASE restored
\set migrated `"$MIGRATE" && echo nothing`

\connect restored
SELECT no_plan();
SELECT is(:'dumped'::text, '0', 'pg_dump has nothing to say');
SELECT is(:'restored'::text, '0', 'nor has psql');
SELECT is(:'same'::text, E'same\nlong', 'a dump of the copy is the same, data and all');
SELECT is(:'migrated'::text, 'nothing', 'there is nothing to migrate');

SELECT is((SELECT array_agg(n || ' ' || s ORDER BY s) FROM (SELECT count(*) AS n, status || coalesce(' ' || host, '') AS s FROM longhaul.jobs GROUP BY 2) x), '{"1 Completed host1","1 InProgress host2","10 Queued"}', 'the jobs stand as they did');
SELECT is((t.submit('test', p_key => 'k3')).code, 2::smallint, 'idempotency keys hold');
SELECT cmp_ok((SELECT seq FROM t.submit('test')), '>', :last_seq::bigint, 'the numbers of the queue go on');
SELECT is(longhaul.client_of_key(sha256(:'key'::bytea)), 'alice'::text, 'API keys are good');
SELECT t.die(1), t.die(2), longhaul.rescue() AS rescued \gset
SELECT is(:rescued, 1, 'what ran is rescued');
SELECT t.worker(3) AS w3 \gset
SELECT is((SELECT count(*) FROM t.claim(3, 'test', 100)), 10::bigint, 'what waits can be claimed');
SELECT is((SELECT sum(t.finish(3, job_id, fence, 1)) FROM longhaul.lease WHERE boot = t.boot(3)), 10::bigint, 'and finished');
SELECT is((SELECT array_agg(longhaul.maintain()) FROM generate_series(1, 3)), '{t,t,t}', 'days are dropped');
SELECT is(longhaul.make_partitions((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + 4), 6, 'and made');
SELECT is(t.as_role('longhaul_api', 'SELECT FROM longhaul.job') || t.as_role('longhaul_api', 'SELECT * FROM longhaul.api_types()') || t.as_role('longhaul_dba', 'SELECT * FROM longhaul.jobs'), '42501',
    'the roles have what they had');
SELECT is_empty($$ SELECT p.oid::regprocedure FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                    WHERE p.pronamespace = 'longhaul'::regnamespace AND a.grantee = 0 $$, 'and PUBLIC has nothing');

SELECT * FROM finish();
\connect longhaul
\setenv PGDATABASE
\! dropdb dumped; dropdb restored
