#!/bin/bash
# Memory protection keys: protection_keys.sh MOVE-PROGRAM TRACEE DROVER-CKPT, as root, on a machine that has them, and then,
# with the same disk, on one that has none.
move=$1 tracee=$2 ckpt=$3
run=$(dirname "$0")/../tracees/run.sh
image=/root/image
failures=0
try() {  # try NAME COMMAND...
  local name=$1
  shift
  if "$@"; then echo "passed: $name"; else
    echo "FAILED: $name"
    failures=$((failures + 1))
  fi
}
# shellcheck disable=SC2317 # through try
prints() {  # prints PATTERN COMMAND...
  local pattern=$1 output
  shift
  output=$("$@" 2>&1)
  grep -qE "$pattern" <<<"$output" || { echo "$output"; return 1; }
}

if ! grep -qw ospke /proc/cpuinfo; then
  try "no keys here" prints 'protection_keys +no' "$ckpt" features
  try "who uses them is refused" prints 'process [0-9]+ uses memory protection keys, which there are none of here' \
    "$ckpt" restore --new-pid-namespace "$image"
  exit $((failures != 0))
fi
try "there are keys here" prints 'protection_keys +yes' "$ckpt" features
for who in root nobody; do
  try "moved as $who" "$run" "$move" "$tracee" $who 5
  try "left running as $who" "$run" "$move" "$tracee" $who "3;--leave-running;--one-worker"
  try "killed dumpers as $who" "$run" "$move" "$tracee" $who "1;--kill;60"
done
setsid "$tracee" </dev/null >/root/out 2>&1 &
pid=$!
for _ in $(seq 600); do grep -q ready /root/out && break; sleep 0.05; done
sleep 0.5
try "dumped by the tool" "$ckpt" dump $pid "$image"
try "shown" prints 'protection key 7, for execution only' "$ckpt" show "$image"
try "shown as JSON" prints '"protection_keys"' "$ckpt" show "$image" --output json
exit $((failures != 0))
