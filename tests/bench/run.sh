#!/bin/sh
# Measures longhaul beside limits taken in the same run, and prints a table of ratios.
# Environment: ROUNDS=3 SECONDS_EACH=5 ONLY="submit poll drain fair idle snapshot import memory estimates"
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
LONGHAUL_BIN=${LONGHAUL_BUILD:-$here/../../build}
export LONGHAUL_BIN
exec /usr/bin/python3 "$here/bench.py"
