# A throw-away PostgreSQL cluster for tests; to be sourced by a shell script.
#   cluster_start    makes and starts one, and sets PGHOST, PGPORT and PGUSER to reach it as its superuser
#   cluster_stop     ends it and removes it; for a trap, so it may be called at any time
# PG_BIN is the folder of the server's programs. LONGHAUL_TEST_SETTINGS may hold lines for postgresql.conf.

# shellcheck shell=sh disable=SC2012  # names without surprises
PG_BIN=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
cluster_dir=

# The server refuses to run as root: an unprivileged user runs it then.
as_server() {
	if [ "$(id -u)" = 0 ]; then
		runuser -u "$cluster_user" -- "$@"
	else
		"$@"
	fi
}

cluster_start() {
	[ -n "$PG_BIN" ] || { echo "PostgreSQL's server is not installed" >&2; return 1; }
	# Somebody's own PGPORT and the like must not reach the server.
	for name in $(env | sed -n 's/^\(PG[A-Z]*\)=.*/\1/p'); do
		unset "$name"
	done
	# Straight below /tmp: the path of a Unix socket may have 107 bytes.
	cluster_dir=$(mktemp -d /tmp/lhsql.XXXXXX)
	cluster_user=$(id -un)
	if [ "$(id -u)" = 0 ]; then
		cluster_user=$(id -un postgres 2>/dev/null || echo nobody)
		chown "$cluster_user" "$cluster_dir"
	fi
	# 0755: whoever runs the tests reaches the socket.
	chmod 755 "$cluster_dir"
	(
		cd "$cluster_dir"
		as_server "$PG_BIN/initdb" -D "$cluster_dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync \
			>"$cluster_dir/initdb.log" 2>&1 || { cat "$cluster_dir/initdb.log" >&2; exit 1; }
		cat >>"$cluster_dir/data/postgresql.conf" <<-CONF
			listen_addresses = ''
			unix_socket_directories = '$cluster_dir'
			fsync = off
			autovacuum = off
			shared_buffers = 64MB
			max_connections = 50
			log_line_prefix = '%m [%p] %d '
			${LONGHAUL_TEST_SETTINGS:-}
		CONF
		as_server "$PG_BIN/pg_ctl" -D "$cluster_dir/data" -l "$cluster_dir/data/log" -s -w start ||
			{ cat "$cluster_dir/data/log" >&2; exit 1; }
	) || return 1
	PGHOST=$cluster_dir PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
	export PGHOST PGPORT PGUSER PGDATABASE
	unset PGPASSWORD PGSERVICE PGOPTIONS PGTZ PGDATESTYLE
}

cluster_stop() {
	[ -n "$cluster_dir" ] || return 0
	if [ -f "$cluster_dir/data/postmaster.pid" ]; then
		cluster_pid=$(head -n 1 "$cluster_dir/data/postmaster.pid")
		kill -QUIT "$cluster_pid" 2>/dev/null || true
		while kill -0 "$cluster_pid" 2>/dev/null; do sleep 0.05; done
	fi
	rm -rf "$cluster_dir"
	cluster_dir=
}
