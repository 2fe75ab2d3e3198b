#!/bin/sh
# Installs what is missing to build, run, check or measure longhaul, on Debian and its derivatives.
#   install-deps.sh [build] [run] [check] [deb] [package] [bench]      (default: build run)
# Does nothing, and says nothing, when all is there. Needs root or sudo only to install.
# Debian's packages of nginx and PostgreSQL would start a server on port 80 and create a database
# cluster; both are prevented while installing, and what was configured before is put back.
# LONGHAUL_SKIP_DEPS=1 skips everything, for those who install by other means.
set -eu

# "a|b" is satisfied by either; the first is what gets installed.
group_build='gcc libc6-dev make pkg-config|pkgconf libfcgi-dev libev-dev libjson-c-dev libpq-dev libssl-dev libinih-dev
	libcurl4-openssl-dev libc-ares-dev libsystemd-dev'
group_run='postgresql nginx-light|nginx|nginx-core|nginx-full|nginx-extras curl ca-certificates'
group_check='libcmocka-dev pgtap libtap-parser-sourcehandler-pgtap-perl python3-pytest python3-pytest-xdist
	python3-psycopg2 python3-requests pgbouncer clang-tidy cppcheck faketime openssl iproute2 nodejs npm chromium-headless-shell|chromium
	prometheus'
group_deb='debhelper dpkg-dev'
group_package='lintian debootstrap systemd mandoc'
group_bench='wrk python3 python3-psycopg2'

is_installed() {
	case $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) in
	installed) return 0 ;;
	esac
	case $1 in
	# Any version's server will do, not just the distribution's default.
	postgresql) ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 ;;
	# pgTAP is a package per server version, and a name for all of them.
	pgtap) ls /usr/share/postgresql/*/extension/pgtap.control >/dev/null 2>&1 ;;
	# These come from elsewhere as well; Debian's npm would not go with another's nodejs.
	nodejs) command -v node >/dev/null ;;
	npm) command -v npm >/dev/null ;;
	chromium) command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ;;
	*) return 1 ;;
	esac
}

# The first name of an "a|b" of which none is installed.
missing_of() {
	for name in $(echo "$1" | tr '|' ' '); do
		if is_installed "$name"; then return; fi
	done
	echo "${1%%|*}"
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

policy=/usr/sbin/policy-rc.d
no_cluster=/etc/postgresql-common/createcluster.d/zz-longhaul-no-cluster.conf
made_policy=

restore() {
	if [ -n "$made_policy" ]; then as_root rm -f "$policy"; fi
	as_root rm -f "$no_cluster"
}

# Packages may not start servers, and PostgreSQL's may not create its "main" cluster. A policy that
# the administrator has made stays as it is.
quieten() {
	trap restore EXIT
	trap 'exit 130' INT TERM HUP
	if [ ! -e "$policy" ]; then
		made_policy=yes
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
		as_root chmod 755 "$policy"
	fi
	as_root mkdir -p "${no_cluster%/*}"
	echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
}

apt_get() {
	as_root env DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none \
		apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@"
}

# True if apt knows a version of every package: the lists of a fresh machine are empty.
all_known() {
	for name in "$@"; do
		case $(apt-cache policy "$name" 2>/dev/null) in
		*'Candidate: (none)'* | '') return 1 ;;
		esac
	done
}

update_lists() {
	echo 'Fetching the package lists (apt-get update)'
	apt_get update >/dev/null
}

if [ "${LONGHAUL_SKIP_DEPS:-}" = 1 ]; then exit 0; fi
[ $# -gt 0 ] || set -- build run
wanted=
for group in "$@"; do
	case $group in
	build) wanted="$wanted $group_build" ;;
	run) wanted="$wanted $group_run" ;;
	check) wanted="$wanted $group_check" ;;
	deb) wanted="$wanted $group_deb" ;;
	package) wanted="$wanted $group_package" ;;
	bench) wanted="$wanted $group_bench" ;;
	*)
		echo "usage: $0 [build] [run] [check] [deb] [package] [bench]" >&2
		exit 2
		;;
	esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	# The build itself says what it doesn't find.
	echo "install-deps.sh knows Debian's package manager only; longhaul needs (Debian's names): $(echo $wanted)" >&2
	exit 0
fi

missing=
for entry in $wanted; do
	name=$(missing_of "$entry")
	case " $missing " in *" $name "*) ;; *) missing="$missing${name:+ $name}" ;; esac
done
if [ -z "$missing" ]; then exit 0; fi

if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
	echo "Some packages are missing. As root, run:" >&2
	echo "  $0 $*" >&2
	echo "or: apt-get install$missing" >&2
	exit 1
fi

echo "Installing:$missing"
nginx_is_new=
prometheus_is_new=
case "$missing " in *' nginx'*) nginx_is_new=yes ;; esac
case "$missing " in *' prometheus '*) prometheus_is_new=yes ;; esac
quieten
log=$(mktemp)
# shellcheck disable=SC2086  # a list of words
all_known $missing || update_lists
# shellcheck disable=SC2086
if ! apt_get install -y --no-install-recommends $missing >"$log" 2>&1; then
	# Lists that are old name files that are gone.
	update_lists
	if ! apt_get install -y --no-install-recommends $missing >"$log" 2>&1; then
		tail -n 30 "$log" >&2
		rm -f "$log"
		exit 1
	fi
fi
rm -f "$log"
# Not started now, but it would be at the next boot, on port 80.
if [ -n "$nginx_is_new" ] && [ -d /run/systemd/system ]; then
	as_root systemctl disable --quiet nginx 2>/dev/null || true
	echo 'nginx was installed and is not started at boot (systemctl enable nginx changes that).'
fi
# Only its promtool is wanted.
if [ -n "$prometheus_is_new" ] && [ -d /run/systemd/system ]; then
	as_root systemctl disable --quiet prometheus 2>/dev/null || true
fi
echo 'Installed.'
