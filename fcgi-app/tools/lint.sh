#!/bin/bash
# All static checks; `make lint` calls it with CPPFLAGS and O (the build folder). Goes through all of
# them; the last line says how many found nothing; exits 1 if one found something.
set -u
cd "$(dirname "$0")/../.." || exit 1
passed=0
failed=0
eval "flags=($CPPFLAGS)"
mapfile -t sources < <(find fcgi-app tests/unit -name '*.c' | sort)

stage() {
	echo "lint: $1"
	shift
	if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# Prints findings only: the counts of what was suppressed in system headers are of no interest.
tidy() {
	printf '%s\0' "${sources[@]}" |
		xargs -0 -P "$(nproc)" -n 4 bash -c \
			'clang-tidy --quiet --warnings-as-errors="*" "$@" -- '"${flags[*]@Q}"' -std=c11 -Itests/unit 2>&1' bash |
		grep -vE '^[0-9]+ warnings? (and [0-9]+ errors? )?generated'
	return $((PIPESTATUS[1] != 0))
}

stage 'clang-tidy' tidy
stage 'cppcheck' cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
	--inline-suppr --suppress=missingIncludeSystem --suppress=unknownMacro --suppress=uninitStructMember -j "$(nproc)" \
	-Ifcgi-app -Ifcgi-app/include -D_GNU_SOURCE '-DLONGHAUL_VERSION="x"' '-DLONGHAUL_LIBEXECDIR="x"' fcgi-app
stage 'source rooms' fcgi-app/tools/check-rooms.sh
stage 'options against help and sample' fcgi-app/tools/check-options.sh "$O"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
