#!/usr/bin/env bash
# demo.sh start|stop|psql: the whole of longhaul on this machine, private and on loopback only.
#
# start  a PostgreSQL cluster of its own, two API processes, a worker and nginx on 127.0.0.1:8202
#        (PORT= changes it); then imports 100,000 accounts over HTTP and leaves all running
# stop   ends them, by their pid files
# psql   opens the demo's database
#
# LONGHAUL_BUILD is the folder with the programs (default: build); the demo lives in its subfolder
# demo: data, logs, a pid file per process, and `env`, a file to source. Run by root, everything runs
# as the user behind sudo, else as postgres or nobody: PostgreSQL refuses to be root.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=demo-lib.sh
. "$here/demo-lib.sh"
# shellcheck source-path=SCRIPTDIR source=demo-show.sh
. "$here/demo-show.sh"

build=${LONGHAUL_BUILD:-$top/build}
demo=$build/demo
port=${PORT:-8202}
api_processes=2

# ---- stop ---------------------------------------------------------------------------------------

# Ends what runs, in the order in which nobody is left without what it needs. Says nothing if
# nothing runs. Returns 0 if something was ended.
stop_all()
{
	local found=1 file

	[ -d "$demo/" ] || return 1
	end_process nginx nginx TERM && found=0
	for file in "$demo"/api-*.pid; do
		[ -e "$file" ] || continue
		end_process "$(basename "$file" .pid)" longhaul-api TERM && found=0
	done
	end_process worker longhaul-worker TERM && found=0
	find_postgres
	end_process postgres postgres INT && found=0
	remove_run_folder
	return $found
}

# Somebody may have restarted PostgreSQL to see what happens: its own pid file knows the new process.
find_postgres()
{
	local pid

	process_of postgres postgres >/dev/null && return
	pid=$(head -n 1 "$demo/data/postmaster.pid" 2>/dev/null) || return 0
	printf '%s\n' "$pid" >"$demo/postgres.pid"
}

# ---- start --------------------------------------------------------------------------------------

check_tools()
{
	local tool missing=''

	case $port in
	'' | *[!0-9]*) die "PORT=$port is not a number." ;;
	esac
	if [ "$port" -lt 1 ] || [ "$port" -gt 65535 ]; then
		die "PORT=$port is not between 1 and 65535."
	fi
	for tool in longhaul-api longhaul-worker longhaul-runner longhaul-courier; do
		[ -x "$build/$tool" ] || die "$build/$tool is missing: run \`make\` first."
	done
	PATH=$PATH:/usr/sbin:/sbin
	pgbin=$(find_pgbin) || missing="$missing postgresql"
	for tool in nginx psql curl awk setpriv; do
		command -v $tool >/dev/null || missing="$missing $tool"
	done
	[ -z "$missing" ] || die "Missing:$missing. \`make deps\` installs what is needed."
}

start_postgres()
{
	as_user "$pgbin/initdb" -D "$demo/data" -U longhaul -A trust -E UTF8 --locale=C --no-sync >"$demo/log/initdb.log" 2>&1 ||
		die "initdb failed." "$demo/log/initdb.log"
	as_user tee -a "$demo/data/postgresql.conf" >/dev/null <<-CONF

		# the demo's
		listen_addresses = ''
		unix_socket_directories = '$run'
		port = 5432
		max_connections = 100
		shared_buffers = 128MB
		max_wal_size = 2GB
		log_min_messages = warning
	CONF
	start_process postgres postgres "$pgbin/postgres" -D "$demo/data"
	wait_for 30 postgres "$pgbin/pg_isready" -q -h "$run" -p 5432
	createdb longhaul
	"$top/sql/longhaul-migrate" >"$demo/log/migrate.log" 2>&1 ||
		die "The migrations failed." "$demo/log/migrate.log"
	psql -qX -v ON_ERROR_STOP=1 -f - >"$demo/log/setup.log" 2>&1 <<-'SQL' || die "The set-up of the database failed." "$demo/log/setup.log"
		-- The programs log in with nothing but what they need.
		CREATE ROLE demo_api    LOGIN IN ROLE longhaul_api;
		CREATE ROLE demo_worker LOGIN IN ROLE longhaul_worker;
		CREATE ROLE demo_import LOGIN IN ROLE longhaul_import;

		INSERT INTO longhaul.job_type (name, submit_path, collection, media_types, max_input_bytes, poll_min_ms, description)
		VALUES ('accounts.bulk-import', '/accounts/bulk-import', 'import-jobs',
		        '{application/x-ndjson,application/json,text/csv}', 1073741824, 250, 'Imports accounts'),
		       ('noop', '/noop', 'noops', '{*/*}', 1073741824, 1000, 'Reads its input and succeeds'),
		       ('reports.word-count', '/reports/word-count', 'word-counts', '{text/*}', 104857600, 1000,
		        'Counts lines, words and bytes: any command can be a job type');
	SQL
}

write_config()
{
	as_user tee "$demo/longhaul.conf" >/dev/null <<-CONF
		# The demo's configuration: one file for the API processes and the worker. The rest of the
		# options have their defaults; \`longhaul-api --help\` and \`longhaul-worker --help\` list them.

		[database]
		# where to connect comes from PGHOST, PGUSER … in the environment
		reconnect_max_ms = 1000

		[api]
		socket_mode = 0600

		[worker]
		progress_ms = 100
		drain_ms = 3000

		[type accounts.bulk-import]
		handler = bulk-import
		slots = 2
		database = host=$run port=5432 dbname=longhaul user=demo_import

		[type noop]
		handler = noop
		slots = 4

		[type reports.word-count]
		handler = exec
		command = /usr/bin/wc
		result_type = text/plain
		slots = 2
	CONF
}

start_programs()
{
	local n

	write_config
	for n in $(seq $api_processes); do
		PGUSER=demo_api start_process "api-$n" longhaul-api \
			"$bin/longhaul-api" -c "$demo/longhaul.conf" -o "api.listen=unix:$run/api-$n.sock"
	done
	PGUSER=demo_worker start_process worker longhaul-worker "$bin/longhaul-worker" -c "$demo/longhaul.conf"
	for n in $(seq $api_processes); do
		wait_for 15 "api-$n" test -S "$run/api-$n.sock"
	done
}

start_nginx()
{
	local n limit servers=''

	# Each parked request takes two connections, and all of them take file descriptors.
	limit=$(ulimit -Hn)
	if [ "$limit" = unlimited ] || [ "$limit" -gt 16384 ]; then
		limit=16384
	fi
	ulimit -Sn "$limit" 2>/dev/null || limit=$(ulimit -Sn)
	for n in $(seq $api_processes); do
		servers="$servers${servers:+\\n}\\tserver unix:$run/api-$n.sock max_fails=0;"
	done
	as_user mkdir -p "$demo/nginx/longhaul" "$demo/www"
	for n in "$top"/nginx/longhaul-*.conf; do
		sed -e '/^\tserver unix:.*api-2\.sock/d' -e "/^\tserver unix:.*api-1\.sock/s#.*#$servers#" \
			-e "s#^\tfastcgi_param LONGHAUL_CLIENT '';#\tfastcgi_param LONGHAUL_CLIENT \$longhaul_demo_client;#" \
			-e "s#^\talias .*#\talias $demo/ui/;#" \
			"$n" | as_user tee "$demo/nginx/longhaul/${n##*/}" >/dev/null
	done
	# Copied, because the user may not be able to read the checkout.
	cp -R "$top/nginx/ui" "$demo/ui"
	chmod -R a+rX "$demo/ui"
	sed -e "s#@DEMO@#$demo#g; s#@PORT@#$port#; s#@NGINX_WORKERS@#auto#; s#@CONNECTIONS@#$limit#; s#@NGINX_USER@##" \
		"$top/nginx/demo.conf.in" | as_user tee "$demo/nginx/nginx.conf" >/dev/null
	start_process nginx nginx "$(command -v nginx)" -e stderr -c "$demo/nginx/nginx.conf" -g 'daemon off;'
	wait_for 15 nginx answers "$port"
	wait_for 30 worker ready
}

# True when every API process reaches the database and the worker has registered.
ready()
{
	local n

	for n in $(seq $((2 * api_processes))); do
		[ "$(curl -s -o "$demo/log/readyz" -w '%{http_code}' "$base/readyz")" = 200 ] || return 1
	done
	[ "$(psql -qXAtc "SELECT count(*) FROM longhaul.worker WHERE lease_until > now()" 2>/dev/null)" = 1 ]
}

write_env()
{
	as_user tee "$demo/env" >/dev/null <<-ENV
		# Source this: . $demo/env
		export BASE_URL=$base
		export PGHOST=$run PGPORT=5432 PGUSER=longhaul PGDATABASE=longhaul
	ENV
}

start_all()
{
	check_tools
	if stop_all; then
		say "Ended the demo that was running; its data is replaced."
	fi
	if answers "$port"; then
		die "Port $port of 127.0.0.1 is taken by another program. Choose another: make demo PORT=$((port + 1))"
	fi
	trap 'failed' EXIT
	trap 'exit 130' INT TERM
	make_place
	base=http://127.0.0.1:$port
	export PGHOST=$run PGPORT=5432 PGUSER=longhaul PGDATABASE=longhaul
	unset PGPASSWORD PGSERVICE PGHOSTADDR PGOPTIONS PGSSLMODE PGTARGETSESSIONATTRS

	title "longhaul"
	step "PostgreSQL" "a private cluster in $demo/data"
	start_postgres
	step "API" "$api_processes processes"
	start_programs
	step "worker" "accounts.bulk-import, noop, reports.word-count"
	write_env
	step "nginx" "$base"
	start_nginx
	show_conversation
	trap - EXIT INT TERM
	show_rest
}

case ${1:-} in
start)
	start_all
	;;
stop)
	if stop_all; then
		say "The demo has ended. Its data and logs stay in $demo until the next one."
	else
		say "The demo was not running."
	fi
	;;
psql)
	find_postgres
	process_of postgres postgres >/dev/null || die "The demo is not running: \`make demo\` starts it."
	# shellcheck disable=SC1091
	. "$demo/env"
	shift
	exec psql "$@"
	;;
*)
	echo "usage: demo.sh start|stop|psql" >&2
	exit 2
	;;
esac
