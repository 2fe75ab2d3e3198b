# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by demo.sh: processes, users and places. Uses its $demo and $build; sets $user, $run, $bin.

say()
{
	printf '%s\n' "$*"
}

# die MESSAGE [LOGFILE]: ends with the message and the end of a log.
die()
{
	{
		printf '%s\n' "$1"
		if [ $# -gt 1 ] && [ -s "$2" ]; then
			printf 'The end of %s:\n' "$2"
			tail -n 15 "$2" | sed 's/^/  /'
		fi
	} >&2
	exit 1
}

# What is done when the start doesn't get to its end.
failed()
{
	local code=$?

	trap - EXIT INT TERM
	stop_all || true
	[ $code -eq 0 ] || printf 'The demo did not start; what was running has been ended. Logs: %s/log\n' "$demo" >&2
	exit $code
}

# The folder of initdb and postgres: Debian keeps it out of the PATH.
find_pgbin()
{
	local found

	found=$(find /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -t/ -k5 -n | tail -n 1)
	[ -n "$found" ] || found=$(command -v initdb) || return 1
	dirname "$found"
}

# ---- who ----------------------------------------------------------------------------------------

# Sets $user to whom everything runs as; empty = the caller.
choose_user()
{
	user=
	[ "$(id -u)" -eq 0 ] || return 0
	if [ -n "${SUDO_UID:-}" ] && [ "$SUDO_UID" -ne 0 ] && id -un "$SUDO_UID" >/dev/null 2>&1; then
		user=$(id -un "$SUDO_UID")
	elif id postgres >/dev/null 2>&1; then
		user=postgres
	else
		user=nobody
	fi
}

# Runs a command as that user; in place of the shell when it is the last one of a background job.
as_user()
{
	if [ -n "$user" ]; then
		HOME=/ setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups -- "$@"
	else
		"$@"
	fi
}

# ---- where --------------------------------------------------------------------------------------

# Makes $demo anew, a short folder for sockets ($run), and finds the programs ($bin). If the user may
# not reach the checkout (a home that others can't enter), all lies under /var/tmp with a link to it.
make_place()
{
	local far

	choose_user
	remove_place
	mkdir -p "$demo"
	[ -z "$user" ] || chown "$user:" "$demo"
	if ! as_user test -w "$demo" || ! as_user test -x "$build/longhaul-api"; then
		rmdir "$demo"
		far=$(mktemp -d /var/tmp/longhaul-demo.XXXXXX)
		chown "$user:" "$far"
		chmod 755 "$far"
		ln -s "$far" "$demo"
	fi
	# The real path: the user may not reach the link.
	demo=$(cd "$demo" && pwd -P)
	# Socket paths have at most 107 bytes, wherever the checkout lies.
	run=$(as_user mktemp -d /tmp/longhaul.XXXXXX)
	as_user ln -s "$run" "$demo/run"
	as_user mkdir "$demo/log" "$demo/tmp"
	bin=$build
	if ! as_user test -x "$build/longhaul-api"; then
		bin=$demo/bin
		mkdir "$bin"
		cp "$build/longhaul-api" "$build/longhaul-worker" "$build/longhaul-runner" "$build/longhaul-courier" "$bin"
		chmod -R a+rX "$bin"
	fi
}

# Removes an earlier demo's folder, wherever it is.
remove_place()
{
	local far

	remove_run_folder
	if [ -L "$demo" ]; then
		far=$(readlink "$demo")
		case $far in
		/var/tmp/longhaul-demo.*) rm -rf -- "$far" ;;
		esac
		rm -f "$demo"
	fi
	rm -rf -- "$demo"
}

remove_run_folder()
{
	local far

	far=$(readlink "$demo/run" 2>/dev/null) || return 0
	case $far in
	/tmp/longhaul.*) rm -rf -- "$far" ;;
	esac
	rm -f -- "$demo/run"
}

# ---- processes ----------------------------------------------------------------------------------

# start_process NAME PROGRAM COMMAND…: in the background, with a log and a pid file.
start_process()
{
	local name=$1 program=$2

	shift 2
	(
		cd "$demo" || exit
		if [ -n "$user" ]; then
			HOME=/ exec setsid setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups -- "$@"
		fi
		exec setsid "$@"
	) </dev/null >>"$demo/log/$name.log" 2>&1 &
	# As the user: nginx writes its own over it.
	printf '%s\n' $! | as_user tee "$demo/$name.pid" >/dev/null
	disown
	# Until it is what it shall be, the pid belongs to the shell.
	wait_for 5 "$name" process_of "$name" "$program" >/dev/null
}

# process_of NAME PROGRAM: prints the pid in NAME's pid file if that process is still ours: it runs that
# program, in our folder. A pid may have gone to another process meanwhile.
process_of()
{
	local pid comm place mine

	pid=$(cat "$demo/$1.pid" 2>/dev/null) || return 1
	case $pid in
	'' | *[!0-9]*) return 1 ;;
	esac
	comm=$(cat "/proc/$pid/comm" 2>/dev/null) || return 1
	[ "$comm" = "$2" ] || return 1
	place=$(readlink "/proc/$pid/cwd" 2>/dev/null) || return 1
	mine=$(cd "$demo" && pwd -P)
	case $place in
	"$mine" | "$mine"/*) printf '%s\n' "$pid" ;;
	*) return 1 ;;
	esac
}

# end_process NAME PROGRAM SIGNAL: ends it, by force if it takes longer than 10 s, and removes its pid file.
# Returns 1 if it wasn't running.
end_process()
{
	local pid n

	if ! pid=$(process_of "$1" "$2"); then
		rm -f "$demo/$1.pid"
		return 1
	fi
	kill -s "$3" "$pid" 2>/dev/null || true
	for n in $(seq 200); do
		process_of "$1" "$2" >/dev/null || break
		[ "$n" -ne 200 ] || kill -s KILL "$pid" 2>/dev/null || true
		sleep 0.05
	done
	rm -f "$demo/$1.pid"
}

# wait_for SECONDS NAME COMMAND…: until the command succeeds; dies if the process NAME ends before or the
# time is over.
wait_for()
{
	local seconds=$1 name=$2 end pid

	shift 2
	end=$((SECONDS + seconds))
	until "$@"; do
		pid=$(cat "$demo/$name.pid" 2>/dev/null || true)
		if [ -z "$pid" ] || [ ! -d "/proc/$pid" ]; then
			die "$name has ended." "$demo/log/$name.log"
		fi
		[ $SECONDS -le $end ] || die "$name is not ready after $seconds s." "$demo/log/$name.log"
		sleep 0.05
	done
}

# Whether something listens on that port of 127.0.0.1.
answers()
{
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}
