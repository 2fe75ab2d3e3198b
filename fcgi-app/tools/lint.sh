#!/bin/bash
# All static checks; `make lint` calls it with CPPFLAGS and O (the build folder). Goes through all of
# them; the last line says how many found nothing; exits 1 if one found something.
set -u
cd "$(dirname "$0")/../.." || exit 1
passed=0
failed=0
eval "flags=($CPPFLAGS)"
mapfile -t sources < <(find fcgi-app -name '*.c' | sort)
mapfile -t tests < <(find tests/unit -name '*.c' | sort)

stage() {
	echo "lint: $1"
	shift
	if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# tidy CHECKS FILES…: prints findings only; the counts of what was suppressed in system headers are of
# no interest. CHECKS is added to those of .clang-tidy.
tidy() {
	local checks=$1
	shift
	printf '%s\0' "$@" |
		xargs -0 -P "$(nproc)" -n 4 bash -c \
			"clang-tidy --quiet --warnings-as-errors='*' --checks='$checks' "'"$@" -- '"${flags[*]@Q}"' -std=c11 -Itests/unit 2>&1' bash |
		grep -vE '^[0-9]+ warnings? (and [0-9]+ errors? )?generated'
	return $((PIPESTATUS[1] != 0))
}

stage 'clang-tidy' tidy '' "${sources[@]}"
# The tests run under the sanitizers: following all their paths as well would take long and find nothing.
stage 'clang-tidy of the tests' tidy '-clang-analyzer-*' "${tests[@]}"
stage 'cppcheck' cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
	--inline-suppr --suppress=missingIncludeSystem --suppress=unknownMacro --suppress=uninitStructMember -j "$(nproc)" \
	-Ifcgi-app -Ifcgi-app/include -D_GNU_SOURCE '-DLONGHAUL_VERSION="x"' '-DLONGHAUL_SOURCES="fcgi-app"' '-DLONGHAUL_LIBEXECDIR="x"' fcgi-app
stage 'source rooms' fcgi-app/tools/check-rooms.sh
stage 'options against help and sample' fcgi-app/tools/check-options.sh "$O"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
