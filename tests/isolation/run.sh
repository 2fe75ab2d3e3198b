#!/bin/sh
# Runs the isolation tests: each specs/NAME.spec by isolationtester, in a database of its own in a private,
# throw-away cluster; its output must be expected/NAME.out. Last line: N passed, N failed.
#   run.sh [-u] [NAME …]    all without arguments; -u writes what came as what is expected
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
update=
if [ "${1:-}" = -u ]; then
	update=yes
	shift
fi

# shellcheck source-path=SCRIPTDIR source=../sql/cluster.sh
. "$here/../sql/cluster.sh"
# shellcheck disable=SC2012  # names without surprises
tester=$(ls -d /usr/lib/postgresql/*/lib/pgxs/src/test/isolation/isolationtester 2>/dev/null | sort -V | tail -n 1)
[ -n "$tester" ] || { echo "run.sh: isolationtester is not installed" >&2; exit 2; }

out=$(mktemp -d /tmp/lhiso.XXXXXX)
trap 'cluster_stop; rm -rf "$out"' EXIT
trap 'exit 130' INT TERM HUP
cluster_start

createdb template_longhaul
PGDATABASE=template_longhaul "$here/../../sql/longhaul-migrate" >"$out/migrate.log" 2>&1 || { cat "$out/migrate.log" >&2; exit 1; }
psql -X -q -d template_longhaul -v ON_ERROR_STOP=1 -f "$here/../sql/helpers.psql" -f "$here/setup.psql"

if [ $# -eq 0 ]; then
	set -- "$here"/specs/*.spec
fi
passed=0
failed=0
for name in "$@"; do
	name=$(basename "$name" .spec)
	createdb -T template_longhaul "$name"
	# A step that hangs is ended after a minute, all of it after five.
	PGISOLATIONTIMEOUT=60 timeout 300 "$tester" "dbname=$name" <"$here/specs/$name.spec" >"$out/$name.out" 2>&1 || true
	dropdb "$name"
	if [ -n "$update" ]; then
		cp "$out/$name.out" "$here/expected/$name.out"
	fi
	if diff -u "$here/expected/$name.out" "$out/$name.out" >"$out/diff" 2>&1; then
		echo "ok      $name"
		passed=$((passed + 1))
	else
		echo "FAILED  $name"
		cat "$out/diff"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
