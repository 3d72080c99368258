# shellcheck shell=bash disable=SC2034 # variables of those that source it
# For tests of drover-ckpt from the command line, which source it and are run as SCRIPT DROVER-CKPT [USER [CAPABILITIES]]: the
# user that is wished, a directory of its own, and what they all do. A failing run keeps its directory.
ckpt=$1
if [ "${2:-root}" != root ]; then
  [ "$(id -u)" -eq 0 ] || { echo "SKIPPED: needs root to become $2"; exit 77; }
  exec setpriv --reuid "$2" --regid "$(id -g "$2")" --clear-groups ${3:+--inh-caps "$3" --ambient-caps "$3"} "$0" "$1" root "$3"
fi
capabilities=$3
dir=$(mktemp -d /tmp/drover-test-XXXXXX) && cd "$dir" || exit 1
failures=0
expect() {  # expect CODE PATTERN COMMAND...: exit code and a pattern in what it prints
  local code=$1 pattern=$2 output got
  shift 2
  output=$("$@" 2>&1)
  got=$?
  if [ "$got" -ne "$code" ] || ! grep -qE "$pattern" <<<"$output"; then
    echo "FAILED: $* gave $got, wanted $code and /$pattern/: $output"
    failures=$((failures + 1))
  fi
}
start() {  # start CODE: a python program in a session of its own, with no descriptors but the three; it ends when
  # the file go is there
  rm -f ready go  # a child of the last program may have been late with it
  # shellcheck disable=SC2016 # expanded by the inner shell
  setsid bash -c 'for fd in /proc/self/fd/*; do fd=${fd##*/}; [ "$fd" -gt 2 ] && eval "exec $fd>&-"; done 2>/dev/null
    echo $$ >pid; exec "${program:-/usr/bin/python3}" -c "$0"' "$1
open('ready', 'w').close()
import os, sys, time
waited = 0
while not os.path.exists('go') and waited < 2000:  # a failing run leaves none behind
    waited += 1
    time.sleep(0.05)
print('end', flush=True)
sys.exit(7)" </dev/null >out 2>&1 &
  for _ in $(seq 6000); do [ -e ready ] && break; sleep 0.01; done
  rm -f ready
}
ends() {  # ends CODE PATTERN COMMAND...: a restore whose program is to go on to its end
  touch go
  expect "$@"
  rm -f go
}
finish() {
  [ "$failures" -eq 0 ] && cd / && rm -rf "$dir" && exit 0
  echo "kept $dir"
  exit 1
}
