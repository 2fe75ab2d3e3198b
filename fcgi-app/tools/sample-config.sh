#!/bin/sh
# sample-config.sh BUILD: prints the sample configuration, put together from the option tables of the
# programs. Sections that both have come once.
set -eu
build=$1
cat <<'EOF'
# longhaul.conf: one file for longhaul-api and longhaul-worker; each reads its own sections.
#
# Every option is here with its default, commented out. Comments stand on lines of their own. What a
# program makes of its configuration: longhaul-api -t -c FILE (errors come as file:line: message).
EOF
"$build/longhaul-api" --sample
"$build/longhaul-worker" --sample |
	awk '/^\[(database|log|webhook)\]/ { skip = 1; next }
		 /^#?\[/ && skip { skip = 0; print "" }
		 /^# / && skip { held = held $0 "\n"; next }
		 skip { held = ""; next }
		 { print }'
cat <<'EOF'

# Which types this host serves. The worker wants one at least.

[type noop]
handler = noop
slots = 4

# [type accounts.bulk-import]
# handler = bulk-import
# slots = 2
# database = host=/run/postgresql dbname=longhaul user=longhaul_import

# [type reports.monthly]
# handler = exec
# command = /usr/local/lib/reports/monthly --format csv
# timeout_ms = 600000
EOF
