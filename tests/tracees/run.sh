#!/bin/sh
# Moves one tracee: run.sh MOVE-PROGRAM TRACEE WHO MOVES [ARGUMENTS...]. WHO is root or nobody. A failing run keeps its
# directory and prints the command that repeats it. 77 (skipped): not run as root, so nobody can't be played.
move=$1 tracee=$2 who=$3 moves=$4
shift 4
if [ "$(id -u)" -ne 0 ]; then
  echo "SKIPPED: needs root to set the stage (both as root and as nobody)"
  exit 77
fi
dir=$(mktemp -d /tmp/drover-test-XXXXXX) && chmod 777 "$dir"
as=
[ "$who" = nobody ] && as=--as-nobody
cd / || exit 1
# shellcheck disable=SC2046,SC2086 # MOVES may carry further options, separated by semicolons
"$move" $as --every 30 --moves $(echo "$moves" | tr ";" " ") --directory "$dir" -- "$tracee" "$@" </dev/null
code=$?
if [ "$code" -eq 0 ]; then
  rm -rf "$dir"
  exit 0
fi
cat "$dir/stderr"
echo "kept $dir; again with: $move $as --every 30 --moves $moves --directory $dir -- $tracee $*"
exit "$code"
