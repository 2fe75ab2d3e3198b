#!/bin/sh
# The rules that keep the rooms of the source apart. Prints each breach as file:line; exit 1 if any.
#   common/   knows neither api nor worker nor runner
#   api/      alone speaks FastCGI; nobody includes another room's headers
#   libpq     is known to the database files of common, to the handlers with transactions of their own, and to admin/pg.c
#   courier/  alone reads what strangers answer: it knows neither the database nor secrets
#   libcurl   is known to the courier, the check of webhooks' URLs and the handlers; c-ares to the courier
#   sql/      alone names tables: C calls functions of schema longhaul
set -eu
cd "$(dirname "$0")/../.."
bad=0

breach() { # breach "rule" "matches"
	if [ -n "$2" ]; then
		bad=1
		printf '%s\n' "$2" | sed "s|\$|   <- $1|"
	fi
}

includes() { # includes PATTERN FILES…: the #include lines that match
	pattern=$1
	shift
	[ -e "$1" ] || return 0
	grep -nHE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]($pattern)" "$@" || true
}

src=fcgi-app
files() { find "$@" -name '*.[ch]' 2>/dev/null | sort; }
db_files="$src/common/db"
not_db() { files $src | grep -vE "^($db_files|$src/common/pgarray|$src/handlers/(job_db|bulk_import|import_|sql)|$src/admin/pg\.c)"; }

# shellcheck disable=SC2046  # lists of files without spaces
{
	breach 'only api includes FastCGI headers' "$(includes 'fcgi' $(files $src | grep -v "^$src/api/"))"
	breach 'only the database files include libpq' "$(includes 'libpq|postgres_ext|pg_' $(not_db))"
	breach 'common knows no other room' "$(includes '(\.\./)?(api|worker|runner|handlers|courier|admin)/' $(files $src/common))"
	breach 'api knows no other room than common' "$(includes '(\.\./)?(worker|runner|handlers|courier)/' $(files $src/api))"
	breach 'worker knows no other room than common' "$(includes '(\.\./)?(api|runner|handlers|courier)/' $(files $src/worker))"
	breach 'admin knows no other room than common' \
		"$(includes '(\.\./)?(api|worker|runner|handlers|courier)/' $(files $src/admin))"
	breach 'runner and handlers know neither api nor worker' \
		"$(includes '(\.\./)?(api|worker|courier)/' $(files $src/runner $src/handlers))"
	breach 'courier knows no other room than common' \
		"$(includes '(\.\./)?(api|worker|runner|handlers)/' $(files $src/courier))"
	breach 'courier knows neither the database nor secrets' \
		"$(includes '(common/)?(db|pgarray|webhook_sign)|openssl/' $(files $src/courier))"
	breach 'only the courier, the check of URLs and handlers include libcurl' \
		"$(includes 'curl/' $(files $src | grep -vE "^$src/(courier/|handlers/|common/webhook_url)"))"
	breach 'only the courier includes c-ares' "$(includes 'ares' $(files $src | grep -v "^$src/courier/"))"
	breach 'handlers know the runner through <longhaul/handler.h>' "$(includes '(\.\./)?runner/' $(files $src/handlers))"
}

# Tables and views come from the migrations themselves, so that a new one is covered at once.
tables=$(sed -nE 's/^[[:space:]]*CREATE (UNLOGGED )?(TABLE|VIEW|OR REPLACE VIEW)( IF NOT EXISTS)? longhaul\.([a-z_]+).*/\4/p' \
	sql/migrations/*.sql 2>/dev/null | sort -u | paste -sd '|' -)
if [ -n "$tables" ]; then
	# A schema-qualified name that isn't called, or SQL's words for reading and writing a table.
	# shellcheck disable=SC2046
	breach 'tables are named under sql/ only' \
		"$(grep -nHE "longhaul\.($tables)([^a-z_(]|\$)" $(files $src) || true)"
fi
# shellcheck disable=SC2046
breach 'C calls functions, it does not read or write tables' \
	"$(grep -nHE '"[^"]*\b(INSERT INTO|DELETE FROM|UPDATE [a-z_.]+ SET|TRUNCATE|LOCK TABLE)\b' $(files $src) || true)"

exit $bad
