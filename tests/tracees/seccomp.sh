#!/bin/sh
# Filters of system calls as an ordinary user: seccomp.sh MOVE-PROGRAM TRACEE. The dump is refused by name, and the program goes on.
[ "$(id -u)" -eq 0 ] || { echo "SKIPPED: needs root to set the stage"; exit 77; }
dir=$(mktemp -d /tmp/drover-test-XXXXXX) && chmod 777 "$dir"
"$1" --as-nobody --moves 1 --directory "$dir" -- "$2" </dev/null >"$dir/out" 2>&1
grep -q 'refused: process 2 has a seccomp filter' "$dir/out" && rm -rf "$dir" && exit 0
cat "$dir/out"
exit 1
