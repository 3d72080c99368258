#!/bin/bash
# Process ids from the command line: of a namespace's lowest, which what restores must not have itself, and of threads whose
# ids have begun anew.
# shellcheck source=tests/tracees/tool_common.sh
. "${0%/*}/tool_common.sh"

# The lowest ids of a namespace: in the new one they must be free, also of what restores, and of its threads.
low='import hashlib, os, sys, threading, time
data, ids, stop = os.urandom(int(sys.argv[1]) << 20), [], threading.Event()
digest = hashlib.sha256(data).digest()
def wait():
    ids.append(threading.get_native_id())
    stop.wait()
    ids.remove(threading.get_native_id())
threads = [threading.Thread(target=wait) for _ in range(3)]
for thread in threads: thread.start()
while len(ids) < 3: time.sleep(0.01)
as_they_were = os.getpid() == 2 and sorted(ids) == [3, 4, 5]
open("ready", "w").close()
for _ in range(2000):
    if os.path.exists("low-go"): break
    time.sleep(0.05)
stop.set()
for thread in threads: thread.join()
child = os.fork()  # and what is made later gets the next ids, not the highest
if child == 0: os._exit(0)
os.waitpid(child, 0)
sys.exit(6 if as_they_were and not ids and child < 1000 and hashlib.sha256(data).digest() == digest else 1)'
own_users=()
[ "$(id -u)" -eq 0 ] || own_users=(--map-current-user)
dump_low() {  # dump_low MIB: of its memory
  rm -f low-go
  # shellcheck disable=SC2016 # expanded by the inner shell
  LOW=$low expect 0 '^$' unshare "${own_users[@]}" -pf --mount-proc bash -c '
    for fd in /proc/self/fd/*; do fd=${fd##*/}; [ "$fd" -gt 2 ] && eval "exec $fd>&-"; done 2>/dev/null
    { setsid /usr/bin/python3 -c "$LOW" "$1" </dev/null >low-out 2>&1 & } 2>/dev/null
    while [ ! -e ready ]; do :; done
    "$0" dump 2 low-image; code=$?
    wait 2>/dev/null
    exit $code' "$ckpt" "$1"
  touch low-go
  rm -f ready
}
# On one processor, over and over: the parent of what restores gets on late then.
dump_low 8
one=$(taskset -pc $$ | sed 's/.*: //; s/[-,].*//')
for _ in $(seq 40); do expect 6 '^$' taskset -c "$one" "$ckpt" restore --new-pid-namespace low-image; done
dump_low 100
expect 6 '^$' "$ckpt" restore --new-pid-namespace low-image
# Who dumps it while it is being made waits until it has been made, and has none of its ids either.
rm -f low-go
"$ckpt" restore --new-pid-namespace low-image >low-said 2>&1 &
restorer=$!
half_made=$(/usr/bin/python3 - "$restorer" <<'END'
import sys
def read(path):
    try:
        with open("/proc/" + path) as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):  # it has ended since somebody's list had it
        return ""
def children(pid):
    return read(f"{pid}/task/{pid}/children").split()
def status(pid):
    return {line.split()[0]: line.split()[-1] for line in read(f"{pid}/status").splitlines()}
while status(sys.argv[1]).get("State:") not in (None, "(zombie)"):  # until it is found half-made, or made: on a busy machine we may be late
    for pid in [pid for init in children(sys.argv[1]) for pid in children(init)]:
        found = status(pid)
        if found.get("NSpid:") == "2" and (found["TracerPid:"] != "0" or read(f"{pid}/comm") == "python3\n"):
            sys.exit(print(pid))
END
)
expect 0 '^$' "$ckpt" dump --leave-running "$half_made" again-image
touch low-go
wait "$restorer"
code=$?
[ "$code" -eq 6 ] || { echo "FAILED: restore with a dump meanwhile gave $code: $(cat low-said)"; failures=$((failures + 1)); }

# Ids of threads that have begun anew at the low end, below that of the process.
wrapped='import os, sys, threading, time
while not os.path.exists("wrapped"): time.sleep(0.02)
ids, stop = [], threading.Event()
def wait():
    ids.append(threading.get_native_id())
    stop.wait()
threads = [threading.Thread(target=wait) for _ in range(3)]
for thread in threads: thread.start()
while len(ids) < 3: time.sleep(0.01)
open("ready", "w").close()
for _ in range(2000):
    if os.path.exists("go"): break
    time.sleep(0.05)
stop.set()
for thread in threads: thread.join()
sys.exit(5 if max(ids) < os.getpid() else 1)'
own_users=()
[ "$(id -u)" -eq 0 ] || own_users=(--map-root-user)
rm -f ready go
# shellcheck disable=SC2016 # expanded by the inner shell
WRAPPED=$wrapped expect 5 '^$' unshare "${own_users[@]}" -pf --mount-proc bash -c '
  for fd in /proc/self/fd/*; do fd=${fd##*/}; [ "$fd" -gt 2 ] && eval "exec $fd>&-"; done 2>/dev/null
  echo 20000 >/proc/sys/kernel/ns_last_pid
  { setsid /usr/bin/python3 -c "$WRAPPED" </dev/null >wrapped-out 2>&1 & } 2>/dev/null
  echo 300 >/proc/sys/kernel/ns_last_pid
  touch wrapped
  until [ -e ready ]; do :; done
  "$0" dump 20001 wrapped-image && wait 2>/dev/null
  touch go
  exec "$0" restore wrapped-image' "$ckpt"
rm -f ready go
finish
