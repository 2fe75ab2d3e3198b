#!/bin/sh
# check-options.sh BUILD: every option stands in the sample configuration, and nothing else does; every
# program accepts the sample; longhaul.conf(5) has every option, --help every key of a handler, and each
# program's page its command line. Exit 1 and a line each if not.
set -eu
build=$1
top=$(cd "$(dirname "$0")/../.." && pwd)
sample=$top/fcgi-app/longhaul.conf.sample
man=$top/fcgi-app/man
bad=0

complain() {
	echo "$1"
	bad=1
}

# "section key default" of each option of a sample file; sections of a kind count by their first word.
options_in() {
	awk '/^#?\[/ { gsub(/[#\[\]]/, ""); section = $1 }
		 /^#[a-z_-]+ =/ { key = substr($1, 2); sub(/^#[a-z_-]+ = ?/, ""); print section, key, $0 }' | sort -u
}

list=$(mktemp)
trap 'rm -f "$list"' EXIT
for program in longhaul-api longhaul-worker; do
	[ -x "$build/$program" ] || continue
	help=$("$build/$program" --help)
	"$build/$program" --sample | options_in >>"$list"
	"$build/$program" --sample | options_in | while read -r section key rest; do
		case $help in
		*"
  $key ="*) ;;
		*) echo "$program --help does not name [$section] $key" && exit 1 ;;
		esac
	done || bad=1
	"$build/$program" -t -c "$sample" >/dev/null || complain "$program refuses $sample"
done
sort -u -o "$list" "$list"

# Examples of sections in the sample ([type …]) are not compared, only the commented options.
if ! options_in <"$sample" | diff "$list" - >/dev/null; then
	complain "$sample is out of date: make sample"
	options_in <"$sample" | diff "$list" - | sed 's/^/  /' || true
fi

# ---- the manual ----

"$top/fcgi-app/tools/manual-config.sh" "$build" | cmp -s - "$man/longhaul.conf.5" ||
	complain "$man/longhaul.conf.5 is out of date: make sample"
while read -r section key rest; do
	grep -qE "^\.It Va $key( |\$)" "$man/longhaul.conf.5" || complain "longhaul.conf(5) does not have [$section] $key"
done <"$list"
for key in $("$build/longhaul-runner" --manual | sed -n 's/^\.It Va \([a-z_]*\).*/\1/p' | sort -u); do
	"$build/longhaul-worker" --help | grep -qw "$key" || complain "longhaul-worker --help does not name $key of a handler"
done
for program in longhaul-api longhaul-worker; do
	for word in $("$build/$program" --help | grep -oE '^ +(-[a-zA-Z], +)?--[a-z]+' | grep -oE -- '--[a-z]+'); do
		grep -qE -- "Fl (. , )?-${word#--}( |\$)" "$man/$program.8" || grep -q -- ", -${word#--}\b" "$man/$program.8" ||
			complain "$program(8) does not have $word"
	done
done
if command -v mandoc >/dev/null; then
	mandoc -T lint -W warning "$man"/*.[1-9] || bad=1
fi
exit $bad
