#!/bin/bash
# A parent whose child of vfork() does not end is refused by name, and the tree goes on: vfork.sh DROVER-CKPT TRACEE WHO.
ckpt=$1 tracee=$2 who=$3
if [ "$who" != "$(id -un)" ]; then
  [ "$(id -u)" -eq 0 ] || { echo "SKIPPED: needs root to become $who"; exit 77; }
  exec setpriv --reuid "$who" --regid "$(id -g "$who")" --clear-groups "$0" "$@"
fi
dir=$(mktemp -d /tmp/drover-test-XXXXXX) && cd "$dir" || exit 1
# shellcheck disable=SC2016 # expanded by the inner shell
setsid bash -c 'for fd in /proc/self/fd/*; do fd=${fd##*/}; [ "$fd" -gt 2 ] && eval "exec $fd>&-"; done 2>/dev/null
  exec "$0" 20' "$tracee" </dev/null >out 2>&1 &
pid=$!
fail() {
  pkill -KILL -s "$pid"
  echo "FAILED: $1; kept $dir"
  exit 1
}
for _ in $(seq 500); do grep -qs ready out && break; sleep 0.02; done
grep -qs ready out || fail "the program did not start: $(cat out)"
refused=$("$ckpt" dump "$pid" image 2>&1)
code=$?
if [ $code -ne 1 ] || [[ ! $refused =~ "waits in vfork() for process "[0-9]+", which has neither called execve() nor ended" ]]; then
  fail "dumped: $code, $refused"
fi
[ -e image ] && fail "an image was left"
kill -USR1 "$pid"
wait "$pid"
code=$?
if [ $code -ne 0 ] || ! grep -qx passed out; then fail "the refused program ended with $code: $(cat out)"; fi
cd / && rm -rf "$dir"
