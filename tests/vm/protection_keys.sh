#!/bin/bash
# Memory protection keys where the processor has them: protection_keys.sh MOVE-PROGRAM TRACEE DROVER-CKPT. As root.
move=$1 tracee=$2 ckpt=$3
run=$(dirname "$0")/../tracees/run.sh
failures=0
try() {  # try NAME COMMAND...
  local name=$1
  shift
  if "$@"; then echo "passed: $name"; else
    echo "FAILED: $name"
    failures=$((failures + 1))
  fi
}
try "there are keys here" grep -qE 'protection_keys +yes' <("$ckpt" features)
for who in root nobody; do
  try "moved as $who" "$run" "$move" "$tracee" $who 5
  try "left running as $who" "$run" "$move" "$tracee" $who "3;--leave-running;--one-worker"
  try "killed dumpers as $who" "$run" "$move" "$tracee" $who "1;--kill;60"
done
dir=$(mktemp -d /tmp/drover-test-XXXXXX) && cd "$dir" || exit 1
setsid "$tracee" </dev/null >out 2>&1 &
until grep -q ready out; do sleep 0.05; done
try "dumped by the tool" "$ckpt" dump $! image
try "shown" grep -qE 'protection key 7, for execution only' <("$ckpt" show image)
try "shown as JSON" grep -q '"protection_keys"' <("$ckpt" show image --output json)
exit $((failures != 0))
