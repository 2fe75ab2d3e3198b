#!/bin/sh
# Installs the npm packages that the end-to-end tests use, as package-lock.json names them, into
# node_modules/ beside this file. Does nothing, and needs no network, when they are there already. The
# tests call it by themselves; two at a time take turns.
set -eu
cd "$(dirname "$0")"

if [ "${1:-}" != locked ]; then
	exec flock package-lock.json "./${0##*/}" locked
fi
# What is installed is noted after all else has gone well.
if cmp -s package-lock.json node_modules/.installed; then exit 0; fi

complain() {
	{
		echo "The npm packages of the end-to-end tests are not installed: $1"
		echo "Wanted are: $(sed -n '/"dependencies"/,/}/s/^[^"]*"\([^"]*\)": "\([^"]*\)".*/\1@\2/p' package.json | xargs)."
		echo "With npm able to reach its registry, run $PWD/${0##*/}"
	} >&2
	exit 1
}

command -v node >/dev/null || complain 'there is no node (make check installs it).'
command -v npm >/dev/null || complain 'there is no npm (make check installs it).'
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! npm ci --no-audit --no-fund --ignore-scripts >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	complain 'npm ci failed, as said above.'
fi
cp package-lock.json node_modules/.installed
