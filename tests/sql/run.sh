#!/bin/sh
# Runs the SQL tests with pg_prove in a private, throw-away cluster.
#   run.sh [-v] [FILE.sql …]    all files without arguments; -v shows each test
# Exits with pg_prove's status. Needs pgTAP and pg_prove (fcgi-app/tools/install-deps.sh check).
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
verbose=
if [ "${1:-}" = -v ]; then
	verbose=--verbose
	shift
fi
command -v pg_prove >/dev/null || { echo "run.sh: pg_prove is not installed" >&2; exit 2; }

# shellcheck source-path=SCRIPTDIR source=cluster.sh
. "$here/cluster.sh"
trap cluster_stop EXIT
trap 'exit 130' INT TERM HUP
# Without autovacuum: an ANALYZE at some time or other would change the plans that are tested.
LONGHAUL_TEST_SETTINGS="autovacuum = off
${LONGHAUL_TEST_SETTINGS:-}"
cluster_start

# The tests that start programs of their own find them here.
MIGRATE=$here/../../sql/longhaul-migrate
MIGRATIONS=${LONGHAUL_MIGRATIONS:-$here/../../sql/migrations}
SCRATCH=$(mktemp -d /tmp/lhtap.XXXXXX)
trap 'cluster_stop; rm -rf "$SCRATCH"' EXIT
export MIGRATE MIGRATIONS SCRATCH PG_BIN

# Most tests undo what they did; those that must commit make a copy of the template.
createdb template_longhaul
PGDATABASE=template_longhaul "$MIGRATE" >"$SCRATCH/migrate.log" 2>&1 || { cat "$SCRATCH/migrate.log" >&2; exit 1; }
psql -X -q -d template_longhaul -v ON_ERROR_STOP=1 -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION pgtap' \
	-f "$here/helpers.psql"
createdb -T template_longhaul longhaul

if [ $# -eq 0 ]; then
	set -- "$here"/*.sql
fi
status=0
pg_prove $verbose --ext .sql --dbname longhaul "$@" || status=$?
exit $status
