#!/bin/bash
# The Debian package: built, looked at by lintian and systemd-analyze, installed in a folder of its own
# (debootstrap), upgraded, removed and purged; what is left is compared. A line a check, as TAP has it.
#   run.sh BUILD
# Needs root for the folder; says what it skips. Packages come from where this machine's apt has them.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$(realpath -m "${1:-build}")
export LC_ALL=C
failed=0
count=0
root=

clean_up() {
	[ -n "$root" ] || return
	# debootstrap leaves them when it is interrupted
	for at in dev/pts dev proc sys run; do
		while mountpoint -q "$root/$at"; do umount -l "$root/$at" || break; done
	done
	# Never into a mount that is still there.
	grep -q " $root/" /proc/self/mounts || rm -rf --one-file-system "$root"
	root=
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

check() { # check WORDS COMMAND…: its output is shown only if it fails
	local words=$1 said
	shift
	count=$((count + 1))
	if said=$("$@" 2>&1); then
		echo "ok $count - $words"
	else
		failed=1
		echo "not ok $count - $words"
		printf '%s\n' "$said" | head -n 40 | sed 's/^/#   /'
	fi
}

skip() {
	echo "skipped: what follows, $1"
	exit $failed
}

# ---- the package itself -------------------------------------------------------------------------

make_deb() { # make_deb SUFFIX: prints where it is
	"${MAKE:-make}" --no-print-directory -s deb BUILD="$build" DEB_SUFFIX="$1" | tail -n 1
}

first=$(make_deb '') && second=$(make_deb '+next')
check 'the package is built' test -f "$first" -a -f "$second"
[ $failed = 0 ] || exit 1

tree=$(mktemp -d)
dpkg-deb -x "$first" "$tree"
units=$tree/lib/systemd/system

ui=$(sed -n 's/^[[:space:]]*alias \(.*\);/\1/p' "$tree/usr/share/longhaul/nginx/longhaul-ui.conf")
check 'the dashboard is where the file for nginx looks for it' test -f "$tree$ui/index.html"

# Units name users and programs of the package, which this machine hasn't: they are looked at in its tree.
verify_units() {
	local said
	mkdir -p "$tree/bin" "$tree/etc"
	cp /bin/kill "$tree/bin"
	cp -rn /lib/systemd/system/. "$units" # sysinit.target and the like
	# What other packages' units say is not ours.
	said=$(systemd-analyze verify --root="$tree" --man=no "$units"/longhaul-worker.service \
		"$units"/longhaul-api@1.service "$units"/longhaul-api@1.socket "$units"/longhaul.slice 2>&1 |
		grep -i longhaul)
	[ -z "$said" ] || { echo "$said"; return 1; }
}

secure_unit() { # secure_unit UNIT MOST: "exposure", 0 the best, 10 the worst
	systemd-analyze security --offline=true --no-pager --threshold="$2" "$units/$1"
}

if command -v systemd-analyze >/dev/null; then
	check 'systemd takes the units' verify_units
	check 'the API is shut in (exposure at most 1.5 of 10)' secure_unit longhaul-api@.service 15
	check 'the worker is shut in (exposure at most 2.5 of 10)' secure_unit longhaul-worker.service 25
else
	echo 'skipped: no systemd-analyze'
fi
rm -rf "$tree"

look_at_package() {
	local options=()
	[ "$(id -u)" != 0 ] || options=(--allow-root)
	lintian "${options[@]}" --fail-on error,warning --tag-display-limit 0 "$first"
}
if command -v lintian >/dev/null; then
	check 'lintian has nothing to say' look_at_package
else
	echo 'skipped: no lintian'
fi

# ---- installed ----------------------------------------------------------------------------------

[ "$(id -u)" = 0 ] || skip 'installing needs root'
command -v debootstrap >/dev/null || skip 'no debootstrap'
suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
[ -e "/usr/share/debootstrap/scripts/$suite" ] || skip "debootstrap does not know $suite"
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(ORIGIN) $(COMPONENT)' 'Created-By: Packages' |
	awk -v suite="$suite" '$2 == suite && ($3 == "Debian" || $3 == "Ubuntu") && $4 == "main" { print $1; exit }')
[ -n "$mirror" ] || skip "apt has no packages of $suite"
eval "$(apt-config shell http_proxy Acquire::http::Proxy)"
[ "${http_proxy:-DIRECT}" = DIRECT ] || export http_proxy

root=$(mktemp -d /var/tmp/longhaul-package.XXXXXX)
chmod 755 "$root"
mkdir -p "$build/package/cache"
# The first of alternatives, without versions.
needs=$(dpkg-deb -f "$first" Depends | tr ',' '\n' | sed 's/|.*//; s/(.*//; s/[[:space:]]//g' | paste -sd, -)
if ! debootstrap --variant=minbase --include="$needs" --cache-dir="$build/package/cache" "$suite" "$root" "$mirror" \
	>"$build/package/debootstrap.log" 2>&1; then
	tail -n 3 "$build/package/debootstrap.log"
	skip "debootstrap can't make a system here"
fi

mount -t proc proc "$root/proc" 2>/dev/null || skip "/proc can't be mounted here"

inside() {
	env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"
}

# Every file with its owner and mode, but for logs and dpkg's own records.
listing() {
	(cd "$root" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp -o -path ./var/log \
		-o -path ./var/lib/dpkg -o -path ./var/cache \) -prune -o -printf '%p %u:%g %m\n' | sort)
}

install_it() { # install_it FILE
	cp "$1" "$root/tmp/longhaul.deb"
	inside dpkg -i --force-confold /tmp/longhaul.deb
}

as_longhaul() {
	inside setpriv --reuid=longhaul --regid=longhaul --clear-groups "$@"
}

programs_work() {
	as_longhaul longhaul-api -t -c /etc/longhaul/longhaul.conf &&
		as_longhaul longhaul-worker -t -c /etc/longhaul/longhaul.conf &&
		inside longhaul-api --version && inside longhaul-migrate -h &&
		as_longhaul /usr/libexec/longhaul/longhaul-runner -t noop </dev/null
}

worker_refuses() { # a handler's own check: the runner is in its place
	inside sh -c 'printf "[type x]\nhandler = exec\ncommand = nowhere\n" >/tmp/wrong.conf'
	! as_longhaul longhaul-worker -t -c /tmp/wrong.conf
}

is_mode() { # is_mode PATH "USER:GROUP MODE"
	local is
	is=$(inside stat -c '%U:%G %a' "$1")
	[ "$is" = "$2" ] || { echo "$1: $is, not $2"; return 1; }
}

nothing_enabled() {
	! find "$root/etc/systemd" -name '*longhaul*' | grep .
}

same_as_before() { # but for the user, who stays
	diff "$build/package/before" <(listing) >"$build/package/left"
	grep -vE '^[0-9,]+[acd][0-9,]+$|^---$|\./etc/(passwd|shadow|group|gshadow)-? ' "$build/package/left" | tee /dev/stderr |
		wc -l | grep -qx 0
}

listing >"$build/package/before"
check 'it is installed' install_it "$first"
check 'a user of its own, without a shell' inside sh -c 'getent passwd longhaul | grep -q /var/lib/longhaul:/usr/sbin/nologin'
check 'nobody else reads the configuration' is_mode /etc/longhaul/longhaul.conf 'root:longhaul 640'
check "the state is the daemons' own" is_mode /var/lib/longhaul 'longhaul:longhaul 750'
check 'and so is the folder of the sockets' is_mode /run/longhaul 'longhaul:longhaul 755'
check 'the programs work' programs_work
check 'the worker finds its runner' worker_refuses
check 'nothing is enabled' nothing_enabled
check 'man pages are there' inside sh -c 'ls /usr/share/man/man8/longhaul-api.8.gz /usr/share/man/man5/longhaul.conf.5.gz'

echo '# mine' >>"$root/etc/longhaul/longhaul.conf"
inside chmod 600 /etc/longhaul/longhaul.conf
inside chown longhaul /etc/longhaul/longhaul.conf
touch "$root/var/lib/longhaul/kept"
inside systemctl enable longhaul-worker.service longhaul-api@1.socket longhaul-api@2.socket >/dev/null 2>&1
check 'it is upgraded' install_it "$second"
check 'to the second version' inside sh -c "dpkg -s longhaul | grep -q 'Version: .*+next'"
check 'the configuration stays' grep -q '^# mine' "$root/etc/longhaul/longhaul.conf"
check 'and who may read it' is_mode /etc/longhaul/longhaul.conf 'longhaul:longhaul 600'
check 'what was enabled still is' inside systemctl is-enabled longhaul-worker.service longhaul-api@2.socket

check 'it is removed' inside dpkg -r longhaul
check 'without its programs' test ! -e "$root/usr/sbin/longhaul-api"
check 'with the configuration left' test -e "$root/etc/longhaul/longhaul.conf"
check 'and the state' test -e "$root/var/lib/longhaul/kept"
check 'it is installed again' install_it "$second"
check 'with the old configuration' grep -q '^# mine' "$root/etc/longhaul/longhaul.conf"
check 'it is purged' inside dpkg -P longhaul
inside rm -f /tmp/longhaul.deb /tmp/wrong.conf
check 'nothing is left but its user' same_as_before
exit $failed
