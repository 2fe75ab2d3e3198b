-- longhaul-migrate: twice, two at once, an edited file, a dry run, without superuser's rights, in an
-- unusual session. Each in databases of its own, by the shell.
BEGIN;
SELECT no_plan();

\! createdb m_twice
\setenv PGDATABASE m_twice
\! { "$MIGRATE"; echo "status $?"; } >"$SCRATCH/first" 2>&1
\! { "$MIGRATE"; echo "status $?"; } >"$SCRATCH/second" 2>&1
\set first `grep -c '^00' "$SCRATCH/first"; tail -n 1 "$SCRATCH/first"`
\set files `ls "$MIGRATIONS"/*.sql | wc -l`
\set newest `ls "$MIGRATIONS" | tail -n 1 | sed 's/_.*//; s/^0*//'`
\set second `cat "$SCRATCH/second"`
\set versions `psql -X -At -d m_twice -c 'SELECT count(*), longhaul.schema_version() FROM longhaul.migration' | tr '|' ' '`
SELECT is(:'first'::text, :'files' || E'\nstatus 0', 'the first migration applies every file');
SELECT is(:'second'::text, 'status 0', 'the second applies none');
SELECT is(:'versions'::text, :'files' || ' ' || :'newest', 'each is recorded, and schema_version() is the newest');

\! createdb m_both
\setenv PGDATABASE m_both
\! { "$MIGRATE"; echo "status $?"; } >"$SCRATCH/a" 2>&1 & { "$MIGRATE"; echo "status $?"; } >"$SCRATCH/b" 2>&1; wait
\set both `cat "$SCRATCH/a" "$SCRATCH/b" | grep -c '^00'; grep -h '^status' "$SCRATCH/a" "$SCRATCH/b" | tr '\n' ' '`
SELECT is(:'both'::text, :'files' || E'\nstatus 0 status 0 ', 'of two at once each file is applied by one');

-- An edited file, a new file.
\! mkdir "$SCRATCH/edited" && cp "$MIGRATIONS"/*.sql "$SCRATCH/edited" && echo '-- later thought' >>"$SCRATCH/edited/0003_submit.sql"
\! echo 'CREATE TABLE longhaul.fresh ();' >"$SCRATCH/edited/0999_fresh.sql"
\! { LONGHAUL_MIGRATIONS="$SCRATCH/edited" "$MIGRATE"; echo "status $?"; } >"$SCRATCH/edit" 2>&1
\set edit `cat "$SCRATCH/edit"`
\set fresh `psql -X -At -d m_both -c "SELECT coalesce(to_regclass('longhaul.fresh')::text, 'none')"`
SELECT matches(:'edit'::text, '0003_submit has changed since it was applied', 'a file edited after it was applied is refused');
SELECT matches(:'edit'::text, 'status 1$', 'with status 1');
SELECT is(:'fresh'::text, 'none', 'and nothing behind it is applied');

-- A file that fails is undone as a whole, and the next run goes on from there.
\! mkdir "$SCRATCH/broken" && cp "$MIGRATIONS"/*.sql "$SCRATCH/broken" && echo 'CREATE TABLE longhaul.fresh (); SELECT 1/0;' >"$SCRATCH/broken/0999_fresh.sql"
\! { LONGHAUL_MIGRATIONS="$SCRATCH/broken" "$MIGRATE"; echo "status $?"; } >"$SCRATCH/broke" 2>&1
\set broke `tail -n 1 "$SCRATCH/broke"`
\set fresh `psql -X -At -d m_both -c "SELECT coalesce(to_regclass('longhaul.fresh')::text, 'none'), count(*) FROM longhaul.migration WHERE version = 999"`
SELECT is(:'broke'::text, 'status 1', 'a file that fails ends it with status 1');
SELECT is(:'fresh'::text, 'none|0', 'and leaves nothing behind');

-- -n, into an empty database.
\! createdb m_dry
\setenv PGDATABASE m_dry
\! { "$MIGRATE" -n; echo "status $?"; } >"$SCRATCH/dry" 2>&1
\set dry `grep -c '^00' "$SCRATCH/dry"; tail -n 1 "$SCRATCH/dry"`
\set schema `psql -X -At -d m_dry -c "SELECT count(*) FROM pg_namespace WHERE nspname = 'longhaul'"`
SELECT is(:'dry'::text, :'files' || E'\nstatus 0', '-n names what would be applied');
SELECT is(:'schema'::text, '0', 'and does nothing');

-- By an owner who may create in the database but is no superuser and can't create roles: they exist.
\! createuser m_owner && createdb -O m_owner m_plain
\setenv PGDATABASE m_plain
\! { PGUSER=m_owner "$MIGRATE"; echo "status $?"; } >"$SCRATCH/plain" 2>&1
\set plain `grep -v '^00' "$SCRATCH/plain"`
SELECT is(:'plain'::text, 'status 0', 'a plain owner of the database can migrate once the roles exist');

-- With settings that a careless administrator may have made, and under a name with a quote.
\! createdb m_odd && psql -X -q -d m_odd -c "ALTER DATABASE m_odd SET timezone = 'Pacific/Kiritimati'" -c "ALTER DATABASE m_odd SET datestyle = 'SQL, DMY'" -c "ALTER DATABASE m_odd SET search_path = pg_temp" -c "ALTER DATABASE m_odd SET default_transaction_isolation = 'serializable'"
\setenv PGDATABASE postgres
\! mkdir "$SCRATCH/o'dd" && cp "$MIGRATIONS"/*.sql "$SCRATCH/o'dd"
\! { LONGHAUL_MIGRATIONS="$SCRATCH/o'dd" "$MIGRATE" dbname=m_odd; echo "status $?"; } >"$SCRATCH/odd" 2>&1
\set odd `grep -v '^00' "$SCRATCH/odd"`
\set days `psql -X -At -d m_odd -c "SELECT min(day) = (now() AT TIME ZONE 'UTC')::date - 1, max(day) = (now() AT TIME ZONE 'UTC')::date + 3, count(*) FROM longhaul.partitions"`
SELECT is(:'odd'::text, 'status 0', 'odd settings of the database and a quote in the folder do no harm');
SELECT is(:'days'::text, 't|t|5', 'the partitions are those of UTC days');

\! { "$MIGRATE" a b; echo "status $?"; } >"$SCRATCH/usage" 2>&1
\set usage `tail -n 1 "$SCRATCH/usage"`
SELECT is(:'usage'::text, 'status 2', 'too many arguments: status 2');

SELECT * FROM finish();
ROLLBACK;
