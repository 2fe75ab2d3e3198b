# shellcheck shell=bash disable=SC2154
# Sourced by demo.sh: what is seen of the demo. Plain text when the output isn't a terminal.

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
	tty=yes bold=$'\033[1m' dim=$'\033[2m' green=$'\033[32m' cyan=$'\033[36m' plain=$'\033[0m'
else
	tty=no bold='' dim='' green='' cyan='' plain=''
fi
case ${LC_ALL:-${LC_CTYPE:-${LANG:-}}} in
*UTF-8 | *utf8) full='█' empty='░' ;;
*) full='#' empty='.' ;;
esac

title()
{
	printf '\n%s%s%s\n' "$bold" "$1" "$plain"
}

step()
{
	printf '  %s%-11s%s %s\n' "$cyan" "$1" "$plain" "$2"
}

command_line()
{
	printf '\n%s$ %s%s\n' "$green" "$1" "$plain"
}

# Lays JSON out, one member a line. Reads strings as strings, so that it holds for any document.
json_pretty()
{
	awk '
	function pad(n,   s) { s = ""; while (n-- > 0) s = s "  "; return s }
	{ text = text $0 "\n" }
	END {
		n = length(text)
		for (i = 1; i <= n; i++) {
			c = substr(text, i, 1)
			if (quoted) {
				printf "%s", c
				if (escaped) escaped = 0
				else if (c == "\\") escaped = 1
				else if (c == "\"") quoted = 0
			} else if (c == "\"") {
				quoted = 1
				printf "%s", c
			} else if (c == "{" || c == "[") {
				if (match(substr(text, i + 1), /^[ \t\r\n]*[]}]/)) {
					i += RLENGTH
					printf "%s%s", c, c == "{" ? "}" : "]"
				} else
					printf "%s\n%s", c, pad(++depth)
			} else if (c == "}" || c == "]")
				printf "\n%s%s", pad(--depth), c
			else if (c == ",")
				printf ",\n%s", pad(depth)
			else if (c == ":")
				printf ": "
			else if (c !~ /[ \t\r\n]/)
				printf "%s", c
		}
		print ""
	}'
}

# json_member NAME: the value of a member of the outermost object, unquoted; nothing if there is none.
json_member()
{
	json_pretty | sed -n "s/^  \"$1\": \"\{0,1\}\(.*[^\",]\)\"\{0,1\},\{0,1\}\$/\1/p"
}

# answer FILE: the status line and headers of the last answer in a file that curl -D wrote.
answer()
{
	tr -d '\r' <"$1" | awk '/^HTTP\// { text = "" } NF { text = text "  " $0 "\n" } END { printf "%s", text }'
}

# header FILE NAME
header()
{
	tr -d '\r' <"$1" | sed -n "s/^$2: //Ip" | tail -n 1
}

# Seconds from now until a time as the API writes it; at least the 0.1 that keep a loop from being hot.
seconds_until()
{
	awk -v then="$(date -d "$1" +%s.%N)" -v now="$(date +%s.%N)" \
		'BEGIN { s = then - now; printf "%.2f\n", s < 0.1 ? 0.1 : s }'
}

# bar PERCENT STATUS TEXT
bar()
{
	local width=40 filled n line=''

	filled=$((${1%.*} * width / 100))
	for n in $(seq $width); do
		if [ "$n" -le $filled ]; then
			line=$line$full
		else
			line=$line$empty
		fi
	done
	if [ $tty = yes ]; then
		printf '\r\033[K  %s%s%s %3d %%  %-11s %s%s%s' "$cyan" "$line" "$plain" "${1%.*}" "$2" "$dim" "$3" "$plain"
	else
		printf '  [%s] %3d %%  %-11s %s\n' "$line" "${1%.*}" "$2" "$3"
	fi
}

# Polls a job, each time when the API asks for it, until it has ended. Sets $document.
follow()
{
	local status percent next wait

	while :; do
		document=$(curl -sS "$1")
		status=$(json_member status <<<"$document")
		percent=$(json_member percentComplete <<<"$document")
		next=$(json_member suggestedNextPollTime <<<"$document")
		if [ -z "$next" ]; then
			bar "${percent:-100}" "$status" ""
			[ $tty = no ] || printf '\n'
			break
		fi
		wait=$(seconds_until "$next")
		bar "${percent:-0}" "$status" "next poll in $wait s"
		sleep "$wait"
	done
	[ "$status" = Completed ] || die "The job ended as $status: $document" "$demo/log/worker.log"
}

# A hundred thousand accounts, polled to their end; then a few, answered at once.
show_conversation()
{
	local url begun ended accounts=${ACCOUNTS:-100000}

	title "A large import: accepted with 202, then polled"
	awk -v n="$accounts" 'BEGIN { for (i = 1; i <= n; i++)
		printf "{\"email\":\"user%06d@example.com\",\"name\":\"User %d\",\"externalId\":\"crm-%d\"}\n", i, i, i }' \
		>"$demo/accounts.ndjson"
	command_line "curl -i $base/v1/accounts/bulk-import -H 'Content-Type: application/x-ndjson' --data-binary @accounts.ndjson"
	begun=$(date +%s.%N)
	curl -sS -D "$demo/log/headers" -o "$demo/log/body" -H 'Content-Type: application/x-ndjson' \
		--data-binary "@$demo/accounts.ndjson" "$base/v1/accounts/bulk-import" || die "curl failed."
	answer "$demo/log/headers"
	printf '\n'
	json_pretty <"$demo/log/body" | sed 's/^/  /'
	url=$(header "$demo/log/headers" Location)
	[ -n "$url" ] || die "The import was not accepted." "$demo/log/api-1.log"

	command_line "curl $url   # each time at suggestedNextPollTime"
	follow "$url"
	ended=$(date +%s.%N)
	json_pretty <<<"$document" | sed 's/^/  /'
	command_line "curl $url/results"
	curl -sS "$url/results" | sed 's/^/  /'
	printf '  %s%s accounts in %s s, from the first byte sent to the last poll%s\n' "$dim" "$accounts" \
		"$(awk "BEGIN { printf \"%.1f\", $ended - $begun }")" "$plain"

	title "A small import: answered at once with 200"
	small_import
	answer "$demo/log/headers"
	printf '\n'
	sed 's/^/  /' "$demo/log/body"
}

# Sends three accounts, and shows the command. By default a submit waits 50 ms for the result; on a busy
# machine that may not be enough, and the client has to be more patient.
small_import()
{
	local n=1 more='' shown='' prefer=()

	while :; do
		curl -sS -D "$demo/log/headers" -o "$demo/log/body" -H 'Content-Type: text/csv' "${prefer[@]}" \
			--data-binary "email,name"$'\n'"ann$more@example.com,Ann"$'\n'"bob$more@example.com,Bob"$'\n'"zoë$more@example.com,Zoë"$'\n' \
			"$base/v1/accounts/bulk-import" || die "curl failed."
		if [ "$(answer "$demo/log/headers" | awk 'NR == 1 { print $2 }')" = 200 ] || [ $n -eq 4 ]; then
			break
		fi
		# Others, so that they are new.
		n=$((n + 1)) more=$((n + 1))
		if [ $n -eq 4 ]; then
			prefer=(-H 'Prefer: wait=10')
			shown="-H 'Prefer: wait=10' "
		fi
	done
	command_line "curl -i $base/v1/accounts/bulk-import -H 'Content-Type: text/csv' $shown--data-binary \$'email,name\nann$more@example.com,Ann\n…'"
}

show_rest()
{
	title "All of it is running"
	step "dashboard" "$base/ui/"
	step "API" "$base/v1/jobs    $base/readyz"
	step "logs" "$demo/log"
	step "try" "curl -i $base/v1/reports/word-count -H 'Content-Type: text/plain' -d 'three little words'"
	step "look" ". $demo/env; psql -c 'SELECT id, type, status, ran_for FROM longhaul.jobs ORDER BY id DESC LIMIT 5'"
	step "database" "make psql"
	step "end" "make stop"
	printf '\n'
}
