#!/bin/sh
# A persistent command in shell: makes letters large. What it starts must not read its stdin.
tab=$(printf '\t')
while IFS=$tab read -r verb id attempt input result media rest; do
    case $verb in
    longhaul) printf 'ready\t1\n' ;;
    job)
        printf 'progress\t%s\t0\t1\tworking\n' "$id"
        if tr '[:lower:]' '[:upper:]' <"$input" >"$result"; then
            printf 'done\t%s\ttext/plain\n' "$id"
        else
            printf 'failed\t%s\n' "$id"
        fi ;;
    esac
done
