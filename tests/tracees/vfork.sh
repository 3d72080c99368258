#!/bin/bash
# Parents in vfork(2): vfork.sh DROVER-CKPT VFORK-PARENTS WHO. One whose child can't be carried is refused by name, and the
# tree goes on. A dump that is killed while it exchanges the wait for another is not noticed.
ckpt=$1 tracee=$2 who=$3
if [ "$who" != "$(id -un)" ]; then
  [ "$(id -u)" -eq 0 ] || { echo "SKIPPED: needs root to become $who"; exit 77; }
  exec setpriv --reuid "$who" --regid "$(id -g "$who")" --clear-groups "$0" "$@"
fi
dir=$(mktemp -d /tmp/drover-test-XXXXXX) && cd "$dir" || exit 1
fail() {
  echo "FAILED: $1; kept $dir"
  pkill -KILL -s "$pid"
  exit 1
}
start() {  # KIND
  rm -f out
  # shellcheck disable=SC2016 # expanded by the inner shell
  setsid bash -c 'for fd in /proc/self/fd/*; do fd=${fd##*/}; [ "$fd" -gt 2 ] && eval "exec $fd>&-"; done 2>/dev/null
    exec "$0" "$1"' "$tracee" "$1" </dev/null >out 2>&1 &
  pid=$!
  for _ in $(seq 500); do grep -qs ready out && return; sleep 0.02; done
  fail "the program did not start: $(cat out)"
}
end() {  # WHAT-HAPPENED
  kill -USR1 "$pid"
  timeout 60 tail -f --pid "$pid" /dev/null || fail "$1: the program does not end"
  wait "$pid"
  local code=$?
  if [ $code -ne 0 ] || ! grep -qx passed out; then fail "$1: the program ended with $code: $(cat out)"; fi
}

start 7
refused=$("$ckpt" dump "$pid" image 2>&1)
code=$?
[[ $code -eq 1 && $refused =~ "waits in vfork() for process "[0-9]+", which wants a signal at its parent's end" ]] ||
  fail "dumped: $code, $refused"
[ -e image ] && fail "an image was left"
end "refused"

# One that is not killed shows how long it takes.
export DROVER_KILLED_DUMPS=1
start 0
begin=${EPOCHREALTIME/./}
"$ckpt" dump "$pid" image --leave-running || fail "not dumped"
took=$((${EPOCHREALTIME/./} - begin))
end "dumped"
# For 0.1 s it waits.
from=100000 spread=$((took > 112000 ? took - 102000 : 10000)) killed=0
for round in $(seq 40); do
  start $((round % 2 * 5))
  setsid "$ckpt" dump "$pid" image --leave-running >dump.out 2>&1 &
  dumper=$!
  us=$((from + RANDOM % spread))
  sleep "$(printf 0.%06d "$us")"
  kill -KILL -- "-$dumper" 2>/dev/null
  wait "$dumper" 2>/dev/null
  [ $? -eq 137 ] && killed=$((killed + 1))
  end "killed after $us us"
done
echo "$killed of 40 dumps killed"
[ "$killed" -ge 5 ] || fail "dumps ended before they were killed"
cd / && rm -rf "$dir"
