#!/bin/bash
# Programs without their main thread, by drover-ckpt: main_thread_ended.sh DROVER-CKPT USER TRACEE. Where it ran, in a PID
# namespace, and again from outside of that; the program checks itself. A Python program. A part of a restored tree,
# which leaves the rest where it is.
# shellcheck disable=SC2016,SC2317 # what an inner shell expands; functions that others call
export tracee=${tracee:-$3}  # also for the other user
set -- "$1" "$2"
# shellcheck source=tests/tracees/tool_common.sh
. "$(dirname "$0")/tool_common.sh"
find_program() {  # NAME: the one that works here, its main thread or others
  local process thread
  for process in $(pgrep -x "$1"); do
    for thread in /proc/"$process"/task/*; do
      [ "$(readlink "$thread/cwd")" = "$dir" ] && echo "$process" && return
    done
  done
}
wait_for() {  # COMMAND...: until it succeeds
  for _ in $(seq 3000); do "$@" && return; sleep 0.02; done
  echo "FAILED: not seen: $*"
  failures=$((failures + 1))
}
ended() { ! grep -qs '^State:.[^ZX]' /proc/"$1"/task/*/status; }  # perhaps not waited for
dump_and_restore() {  # PID NAME [OPTIONS-OF-RESTORE...]: leaves the new id in `pid`
  local name=$2
  expect 0 '^$' "$ckpt" dump "$1" image
  expect 0 "process [0-9]+ $name: .* threads \(the main one has ended\)" "$ckpt" show image
  shift 2
  expect 0 '^$' "$ckpt" restore --detach "$@" image
  pid=$(find_program "$name")
}
run() {  # OPTIONS...
  setsid bash -c 'for fd in /proc/self/fd/*; do fd=${fd##*/}; [ "$fd" -gt 2 ] && eval "exec $fd>&-"; done 2>/dev/null
    exec "$0"' "$tracee" </dev/null >out 2>&1 &
  pid=$!
  disown
  wait_for grep -qsx ready out
  for _ in 1 2 3; do dump_and_restore "$pid" gone-before "$@"; done
  kill -USR1 "$pid"
  wait_for ended "$pid"
  expect 0 '^passed$' cat out
}
run
run --new-pid-namespace

# In the foreground, and its exit code.
start "import ctypes, os, threading, time
def go_on():
    with open('/proc/thread-self/comm', 'w') as name: name.write('goes-on')
    while open('/proc/%d/stat' % os.getpid()).read().split(')')[1][1] != 'Z': time.sleep(0.01)
    open('ready', 'w').close()
    total = 0
    for i in range(20000000):
        total += i * i % 7
        if os.path.exists('go') and i > 100000: break
    print('counted', total == sum(j * j % 7 for j in range(i + 1)), flush=True)
    os._exit(7)
threading.Thread(target=go_on).start()
with open('/proc/self/comm', 'w') as name: name.write('ends')
ctypes.CDLL(None).pthread_exit(None)"
dump_and_restore "$(cat pid)" ends --new-pid-namespace
expect 0 '^$' "$ckpt" dump "$pid" image
ends 7 '^$' "$ckpt" restore image
expect 0 '^counted True$' cat out

# A child alone: its parent stays.
start "import subprocess
child = subprocess.Popen(['sleep', '1000'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)"
expect 0 '^$' "$ckpt" dump "$(cat pid)" image
"$ckpt" restore --new-pid-namespace image &
restorer=$!
there() { child=$(find_program sleep) && [ -n "$child" ]; }
wait_for there
expect 0 '^$' "$ckpt" dump "$child" part
expect 0 '^[^,]*sleep, 1 threads' sh -c "'$ckpt' show part | grep ^process"
wait_for ended "$child"
touch go
wait "$restorer"
expect 0 '^7$' echo $?
expect 0 '^$' "$ckpt" restore --detach --new-pid-namespace part
wait_for there
kill "$child"
wait_for ended "$child"
finish
