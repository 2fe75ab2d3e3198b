#!/bin/bash
# A private PostgreSQL for tests, on a unix socket and a free port of the loopback.
#   postgres.sh start         makes and starts one; prints its folder and port
#   postgres.sh restart DIR   stops it at once (as a crash would) and starts it again
#   postgres.sh stop DIR      stops and removes it
# DIR holds socket and data. The superuser is "test", without a password.
set -eu

bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)

# The server refuses to run as root: hand over to an unprivileged user then.
as_user() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid="$owner" --regid="$(id -g "$owner")" --clear-groups "$@"
	else
		"$@"
	fi
}

free_port() {
	port=$((20000 + $$ % 20000))
	while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
	echo "$port"
}

start() {
	as_user "$bin/pg_ctl" -D "$1/data" -l "$1/log" -w -t 60 start >/dev/null
}

owner=$(id -un)
[ "$owner" != root ] || owner=$(id -un postgres 2>/dev/null || echo nobody)

case ${1:-} in
start)
	dir=$(mktemp -d /var/tmp/lhtest.XXXXXX)
	[ "$(id -u)" != 0 ] || chown "$owner" "$dir"
	cd "$dir"
	as_user "$bin/initdb" -D "$dir/data" -U test -A trust -E UTF8 --locale=C -N >"$dir/initdb.log" 2>&1 ||
		{ cat "$dir/initdb.log" >&2; exit 1; }
	for try in 1 2 3 4 5; do
		port=$(free_port)
		cat >"$dir/data/postgresql.auto.conf" <<EOF
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$dir'
fsync = off
shared_buffers = 16MB
max_connections = 40
EOF
		if start "$dir" 2>>"$dir/start.log"; then
			echo "$dir $port"
			exit 0
		fi
	done
	cat "$dir/start.log" "$dir/log" >&2
	exit 1
	;;
restart)
	cd "$2"
	as_user "$bin/pg_ctl" -D "$2/data" -m immediate -w stop >/dev/null
	start "$2"
	;;
stop)
	cd "$2"
	as_user "$bin/pg_ctl" -D "$2/data" -m immediate -w stop >/dev/null || true
	cd /
	rm -rf "$2"
	;;
*)
	echo "usage: $0 start | restart DIR | stop DIR" >&2
	exit 2
	;;
esac
