# Completion of longhaul-admin for bash: its commands and their options, as its help names them.
_longhaul_admin() {
	local current=${COMP_WORDS[COMP_CWORD]} first='' second='' word skip=
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		if [ -n "$skip" ]; then
			skip=
			continue
		fi
		case $word in
		-c | --config | -d | --conninfo) skip=yes ;;
		-*) ;;
		*) if [ -z "$first" ]; then first=$word; elif [ -z "$second" ]; then second=$word; fi ;;
		esac
	done
	local commands
	commands=$("${COMP_WORDS[0]}" --help 2>/dev/null | sed -n '3,/^$/s/^  \(.\{17\}\).*/\1/p')
	if [[ $current == -* ]]; then
		# shellcheck disable=SC2086  # one or two words
		word=$("${COMP_WORDS[0]}" $first $second --help 2>/dev/null || "${COMP_WORDS[0]}" $first --help 2>/dev/null)
		mapfile -t COMPREPLY < <(compgen -W "$(grep -o -- '--[a-z-]*' <<<"$word" | sort -u)" -- "$current")
	elif [ -z "$first" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(awk '{ print $1 }' <<<"$commands" | sort -u)" -- "$current")
	elif [ -z "$second" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(awk -v first="$first" '$1 == first { print $2 }' <<<"$commands")" -- "$current")
	fi
}
complete -F _longhaul_admin longhaul-admin
