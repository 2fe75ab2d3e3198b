#!/bin/sh
# manual-config.sh BUILD: prints longhaul.conf(5), put together from its frame and the option tables of the
# programs. Sections that both have come once.
set -eu
build=$1
frame=$(dirname "$0")/../man/longhaul.conf.5.in
sed '/^@OPTIONS@$/,$d' "$frame"
{
	"$build/longhaul-api" --manual
	"$build/longhaul-worker" --manual
	"$build/longhaul-runner" --manual
} | awk '/^\.Ss / { skip = seen[$0]++ } !skip'
sed '1,/^@OPTIONS@$/d' "$frame"
