#!/bin/bash
# All tests, stage by stage, with a summary; `make check` calls it.
#   check.sh [unit] [sql] [isolation] [e2e] [san] [lint] [package]     (default: all, in this order)
# Environment: BUILD (folder), MAKE. Each stage's output goes to the terminal and to
# $BUILD/check/STAGE.log; the sums, as "passed failed", to $BUILD/check/totals. A stage whose tests fail
# doesn't keep the next ones from running; a build that fails does.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$(realpath -m "${BUILD:-build}")
make=${MAKE:-make}
logs=$build/check
# Debian's own python has Debian's modules; another one in the PATH may not.
python=/usr/bin/python3
[ -x "$python" ] || python=python3

mkdir -p "$logs"
rm -f "$logs/totals"
marker=
lint=
package=
pid=
trap 'for pid in $marker $lint $package; do kill "$pid"; done' EXIT
summary=()
troubled=()
passed_all=0
failed_all=0

build() { # build TARGETS…: quiet unless it fails
	"$make" --no-print-directory -j "$(nproc)" BUILD="$build" "$@" >"$logs/build.log" 2>&1 && return
	grep -vE '^  (CC|AR|LINK) ' "$logs/build.log" | tail -n 60
	return 1
}

# The binaries of unit tests, one after the other; all of them, also after a failure.
run_units() { # run_units FOLDER
	local bad=0 t
	for t in tests/unit/test_*.c; do
		t=$(basename "$t" .c)
		echo "== $t"
		timeout 300 "$1/tests/$t" 2>&1 || { bad=1; echo "== $t failed"; }
	done
	return $bad
}

# End to end, against the programs in a folder. Nothing is timed and most of it is waiting for conditions, so
# more run side by side than there are processors; each process has servers of its own.
run_e2e() { # run_e2e FOLDER [pytest arguments]
	local bin=$1
	shift
	LONGHAUL_BIN=$bin "$python" -m pytest -q tests/e2e -n $(($(nproc) * 2)) --dist loadfile "$@"
}

# What clients do, once more, with each request and answer compared with openapi.json.
run_described() { # run_described FOLDER
	LONGHAUL_BIN=$1 LONGHAUL_VIA=proxy "$python" -m pytest -q -n $(($(nproc) * 2)) --dist loadfile tests/e2e/test_conversation.py \
		tests/e2e/test_lifecycle.py tests/e2e/test_idempotency.py tests/e2e/test_results.py tests/e2e/test_webhook_routes.py
}

stage_unit() {
	build all unit-tests && run_units "$build"
}

stage_sql() {
	tests/sql/run.sh
}

stage_isolation() {
	tests/isolation/run.sh
}

stage_e2e() {
	local bad=0
	build all || return 1
	# Here, as it may take long. Tests that need them say so if it fails.
	tests/e2e/node/install.sh || true
	run_e2e "$build" || bad=1
	run_described "$build" || bad=1
	return $bad
}

stage_san() {
	local bad=0
	build SAN=1 all unit-tests || return 1
	run_units "$build/san" || bad=1
	# What other programs make of it, and the demo's script, say nothing new here.
	run_e2e "$build/san" --ignore tests/e2e/test_demo.py \
		--ignore tests/e2e/test_eventsource.py --ignore tests/e2e/test_standardwebhooks.py --ignore tests/e2e/test_ui.py || bad=1
	return $bad
}

# It needs processors and nothing else, while the other stages wait for conditions most of the time: so it
# runs behind them, and this only waits for it.
lint_begin() {
	build all unit-tests || return
	nice -n 19 "$make" --no-print-directory BUILD="$build" lint >"$logs/lint.out" 2>&1 </dev/null &
	lint=$!
}

stage_lint() {
	[ -n "$lint" ] || lint_begin
	[ -n "$lint" ] || return 1
	wait "$lint"
	local rc=$?
	lint=
	cat "$logs/lint.out"
	return $rc
}

# Behind them, too: it compiles once more, and fetches what a small Debian system is made of.
package_begin() {
	MAKE=$make nice -n 19 tests/package/run.sh "$build" >"$logs/package.out" 2>&1 </dev/null &
	package=$!
}

stage_package() {
	[ -n "$package" ] || package_begin
	wait "$package"
	local rc=$?
	package=
	cat "$logs/package.out"
	return $rc
}

# Sums up what the different test programs print: cmocka, pytest and lint ("N passed, M failed"), TAP,
# pg_isolation_regress. Prints "passed failed".
count() {
	awk '
		/^\[  PASSED  \] [0-9]+ test/          { passed += $4; next }
		/^\[  FAILED  \] [0-9]+ test/          { failed += $4; next }
		/^ok [0-9]+/                           { passed++; next }
		/^not ok [0-9]+/                       { failed++; next }
		/^test [^ ]+ +\.\.\. ok/               { passed++; next }
		/^test [^ ]+ +\.\.\. FAILED/           { failed++; next }
		/[0-9]+ (passed|failed|errors?)( |,|$)/ {
			line = $0
			while (match(line, /[0-9]+ (passed|failed|error)/)) {
				split(substr(line, RSTART, RLENGTH), word, " ")
				if (word[2] == "passed") passed += word[1]; else failed += word[1]
				line = substr(line, RSTART + RLENGTH)
			}
		}
		/\(Wstat: .* Failed: [0-9]+\)/          { sub(/.*Failed: /, ""); tap_failed += $0 + 0 }
		/^Files=[0-9]+, Tests=[0-9]+/          { split($2, n, /[=,]/); tap += n[2] }
		END                                    { if (passed + failed == 0) {
								passed = tap - tap_failed
								failed = tap_failed
							}
							print passed + 0, failed + 0 }' "$1"
}

run_stage() { # run_stage NAME
	local name=$1 start=$SECONDS rc passed failed follower note=
	echo "==== $name"
	# Not through a pipe: a process that a failing test has left behind would hold it open for ever.
	: >"$logs/$name.log"
	sleep infinity &
	marker=$!
	tail -n +1 -s 0.2 -f --pid=$marker "$logs/$name.log" &
	follower=$!
	"stage_$name" >>"$logs/$name.log" 2>&1 </dev/null
	rc=$?
	{ kill "$marker" && wait "$marker" "$follower"; } 2>/dev/null
	marker=
	read -r passed failed < <(count "$logs/$name.log")
	# A crash has no summary of its own.
	if [ "$rc" != 0 ] && [ "$failed" = 0 ]; then
		failed=1
		note=" (ended with $rc)"
	fi
	if [ "$rc" = 0 ] && [ "$passed" = 0 ]; then
		failed=1
		note=' (no test was run)'
	fi
	if [ "$failed" != 0 ]; then troubled+=("$name"); fi
	passed_all=$((passed_all + passed))
	failed_all=$((failed_all + failed))
	summary+=("$(printf '%-10s %6d passed %4d failed %5d s%s' "$name" "$passed" "$failed" $((SECONDS - start)) "$note")")
}

# What went wrong in a stage that failed, in a few lines: logs of servers stand far above it by now.
recap() { # recap NAME
	echo "---- $1: what failed"
	grep -nE '^(FAILED|ERROR) |^E  |^not ok|^# +Failed|^\[  FAILED  \]|^test .*FAILED|(error|warning): |^\*\*\*|^!!!' "$logs/$1.log" |
		cut -c1-400 | tail -n 40
}

[ $# -gt 0 ] || set -- unit sql isolation e2e san lint package
for name in "$@"; do
	if ! declare -F "stage_$name" >/dev/null; then
		echo "$0: no such stage: $name" >&2
		exit 2
	fi
done
case " $* " in *" lint "*) lint_begin ;; esac
case " $* " in *" package "*) package_begin ;; esac
for name in "$@"; do
	run_stage "$name"
done

for name in ${troubled[@]+"${troubled[@]}"}; do
	recap "$name"
done
echo "===="
printf '%s\n' "${summary[@]}"
echo "$passed_all $failed_all" >"$logs/totals"
[ "$failed_all" = 0 ]
