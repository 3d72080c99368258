#!/bin/bash
# drover-ckpt from the command line: dump, show, verify, restore in a new PID namespace, exit codes, refusals by name, damaged
# images.
# shellcheck source=tests/tracees/tool_common.sh
. "${0%/*}/tool_common.sh"

flip() {  # flip AT: the file flipped is the image, but for this byte
  local byte
  byte=$(od -An -tu1 -j "$1" -N 1 image)
  # shellcheck disable=SC2059 # the byte is the format
  cp image flipped && printf "\\$(printf %o $((byte ^ 255)))" | dd of=flipped bs=1 seek="$1" conv=notrunc status=none
  ! cmp -s image flipped || { echo "FAILED: byte $1 of the image is not flipped"; failures=$((failures + 1)); }
}

expect 2 'PID' "$ckpt" dump
expect 2 'subcommand' "$ckpt"
expect 1 'there is no process' "$ckpt" dump 4194300 image
expect 1 'No such file' "$ckpt" restore missing
expect 1 'not a Drover image' "$ckpt" verify "$0"
expect 0 '"pagemap_scan"' "$ckpt" features --output json

start 'import select; open("ready", "w").close(); select.poll().poll(20000)'
expect 0 'thread [0-9]+ in poll: about (19[0-9]{3}|20000)[.][0-9]+ ms left, estimated' "$ckpt" dump "$(cat pid)" image --leave-running --timing
kill "$(cat pid)"
# A call that is issued again with the rest of its time needs its tracer until it returns; no command waits for that but
# one that dumps the tree again.
not_yet() { [ -e waited ] && { echo "FAILED: $1 waited for the call"; failures=$((failures + 1)); }; }
took_four_seconds() {
  for _ in $(seq 5000); do [ -s waited ] && break; sleep 0.02; done
  awk -v took="$(($(date +%s%N) - begin))" '{ exit !($1 >= 4 && $1 <= took / 1e9 + 1) }' waited ||
    { echo "FAILED: a wait of 4 s took $(cat waited)"; failures=$((failures + 1)); }
  touch go  # it would end in the midst of the next one, and in its file
  for _ in $(seq 6000); do grep -qsx end out && break; sleep 0.01; done
  rm -f waited go
}
waiting='import select, time; begin = time.time(); open("ready", "w").close(); select.epoll().poll(4); open("waited", "w").write(str(time.time() - begin))'
begin=$(date +%s%N)
start "$waiting"
expect 0 '^$' "$ckpt" dump "$(cat pid)" image --leave-running
not_yet 'dump --leave-running'
expect 0 '^$' "$ckpt" dump "$(cat pid)" image --leave-running
took_four_seconds
begin=$(date +%s%N)
start "$waiting"
expect 0 '^$' "$ckpt" dump "$(cat pid)" image
expect 0 '^$' "$ckpt" restore --detach image
not_yet 'restore --detach'
took_four_seconds
start 'pass'
expect 0 '^$' "$ckpt" dump "$(cat pid)" image --leave-running
if [ "$(id -u)" -eq 0 ]; then # others get a namespace of their own anyway
  expect 1 'process id [0-9]+ is taken here [(]--new-pid-namespace' "$ckpt" restore image
fi
expect 0 '^$' "$ckpt" dump "$(cat pid)" image
expect 0 'sound' "$ckpt" verify image
expect 0 '"program": "/usr/bin/python3' "$ckpt" show image --output json
expect 0 'fd 1 file .*/out' "$ckpt" show image
for at in 3000 $(($(stat -c %s image) - 3000)); do # what the program is, and near the end the contents of its pages
  flip "$at"
  expect 1 'checksum' "$ckpt" restore --new-pid-namespace flipped
done
grep -qx end out && { echo "FAILED: a damaged image has been run"; failures=$((failures + 1)); }
ends 7 '^$' "$ckpt" restore --new-pid-namespace image
grep -qx end out || { echo "FAILED: the restored program did not end its work"; failures=$((failures + 1)); }
head -c 20000 image >short
expect 1 'truncated' "$ckpt" restore short
flip 30000
expect 1 'checksum' "$ckpt" verify flipped

# A child that gives back its memory, which takes its time, holds its end of a socket until then. The program waits for
# what the child ends with, whenever it is dumped.
start '
import os, socket, time
ours, theirs = socket.socketpair()
child = os.fork()
if child == 0:
    ours.close()
    much = bytearray(b"x") * (400 << 20)
    theirs.send(b"x")
    theirs.recv(1)
    os._exit(9)
theirs.close()
ours.recv(1)
open("child", "w").write(str(child))
open("ready", "w").close()
while not os.path.exists("end"): time.sleep(0.001)
os.remove("end")
ours.send(b"x")
open("left", "w").write(str(os.waitpid(child, 0)[1] >> 8) + str(ours.recv(1)))'
touch end
while readlink "/proc/$(cat child)/exe" >/dev/null; do :; done
expect 0 '^$' "$ckpt" dump "$(cat pid)" image
ends 7 '^$' "$ckpt" restore --new-pid-namespace image
[ "$(cat left)" = "9b''" ] || { echo "FAILED: after a dump while its child ended: $(cat left)"; failures=$((failures + 1)); }

# Somebody traces the program and leaves it, over and over: a dump is made, or it says why not, also where the other has
# left when we ask who it was.
start 'pass'
/usr/bin/python3 - "$(cat pid)" >tracer-out 2>&1 <<'END' &
import ctypes, os, sys, time
libc, pid = ctypes.CDLL(None, use_errno=True), int(sys.argv[1])
SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
while not os.path.exists("enough"):
    if libc.ptrace(SEIZE, pid, None, None) == 0:
        libc.ptrace(INTERRUPT, pid, None, None)
        os.waitpid(pid, 0)
        time.sleep(0.001)
        libc.ptrace(DETACH, pid, None, None)
    time.sleep(0.001)
END
tracer=$!
for _ in $(seq 200); do
  "$ckpt" dump "$(cat pid)" image --leave-running 2>said || grep -q 'is traced by another program' said || break
done
touch enough
wait "$tracer"
rm enough
grep -v 'is traced by another program' said && { echo "FAILED: $(cat said) while another tracer came and went"; failures=$((failures + 1)); }
expect 0 '^$' "$ckpt" dump "$(cat pid)" image
ends 7 '^$' "$ckpt" restore --new-pid-namespace image

# fork(2) copies the ring of an aio context, but not the context.
start 'import ctypes, os; ctypes.CDLL(None).syscall(206, 1, ctypes.byref(ctypes.c_ulong(0))); os.fork()'
expect 1 'inherited the ring' "$ckpt" dump "$(cat pid)" image
kill -0 "$(cat pid)" || { echo "FAILED: a refused program has ended"; failures=$((failures + 1)); }
kill -- -"$(cat pid)"

# A pipeline: four processes that come back with their process ids and go on with their work, here (as root) or in a namespace.
cat >tree.sh <<'END'
exec </dev/null >tree-out 2>&1
for i in 1 2 3 4 5 6; do
  echo line $i
  [ $i != 3 ] || for _ in $(seq 2000); do [ -e go ] && break; sleep 0.05; done  # a failing run leaves none behind
done | sed -u s/line/LINE/ | cat -u
readlink /proc/self/ns/pid >tree-namespace
exit 5
END
tree() {  # tree OPTIONS...: of restore
  rm -f pid tree-out go
  # shellcheck disable=SC2016 # expanded by the inner shell
  setsid bash -c 'for fd in /proc/self/fd/*; do fd=${fd##*/}; [ "$fd" -gt 2 ] && eval "exec $fd>&-"; done 2>/dev/null
    echo $$ >pid; exec bash ./tree.sh' &
  for _ in $(seq 6000); do grep -qs 'LINE 3' tree-out && break; sleep 0.01; done
  local children
  children=$(pgrep -d' ' -P "$(cat pid)")
  expect 0 '^$' "$ckpt" dump "$(cat pid)" tree-image
  for child in $children; do expect 0 "process $child " "$ckpt" show tree-image; done
  ends 5 '^$' "$ckpt" restore "$@" tree-image
  [ "$(tr '\n' ' ' <tree-out)" = 'LINE 1 LINE 2 LINE 3 LINE 4 LINE 5 LINE 6 ' ] || {
    echo "FAILED: the restored pipeline wrote $(cat tree-out)"; failures=$((failures + 1)); }
}
tree --new-pid-namespace
# Without options here, if that may be.
tree
here=$([ "$(cat tree-namespace)" = "$(readlink /proc/self/ns/pid)" ] && echo yes || echo no)
may=$([ "$(id -u)" -eq 0 ] || [[ $capabilities == *sys_admin*sys_time* ]] && echo yes || echo no)
[ "$here" = "$may" ] || { echo "FAILED: restored in its own PID namespace: $here, may: $may"; failures=$((failures + 1)); }

# Names of sockets: gone, a leftover, somebody else's, taken.
listen='import socket; l = socket.socket(socket.AF_UNIX); l.bind("name"); l.listen(); l2 = socket.socket(socket.AF_UNIX); l2.bind("\0drover-tool"); t = socket.create_server(("127.0.0.1", 0)); open("port", "w").write(str(t.getsockname()[1]))'
restore_named() {  # restore_named CODE PATTERN: its output must be as long as it was
  : >out
  ends "$1" "$2" "$ckpt" restore --new-pid-namespace named-image
}
start "$listen"
expect 0 '^$' "$ckpt" dump "$(cat pid)" named-image
restore_named 7 '^$'
[ -S name ] || { echo "FAILED: the socket's name is gone"; failures=$((failures + 1)); }
rm -f name
restore_named 7 '^$'
[ -S name ] || { echo "FAILED: the socket's name was not made again"; failures=$((failures + 1)); }
rm -f name && echo text >name
restore_named 1 'name is no socket here'
held() {  # held PYTHON PATTERN: what a program has that the restored one needs
  /usr/bin/python3 -c "$1
open('holding', 'w').close()
import time; time.sleep(1000)" &
  local holder=$!
  for _ in $(seq 6000); do [ -e holding ] && break; sleep 0.01; done
  restore_named 1 "$2"
  kill "$holder"
  wait "$holder" 2>/dev/null
  rm -f holding name
}
rm -f name
held 'import socket; s = socket.socket(socket.AF_UNIX); s.bind("name")' 'name is the name of another socket here'
held 'import socket; s = socket.socket(socket.AF_UNIX); s.bind("\0drover-tool")' 'the abstract name @drover-tool can.t be had here'
held 'import socket; s = socket.create_server(("127.0.0.1", int(open("port").read())))' 'the TCP port 127.0.0.1:[0-9]* can.t be had here'

# A program, a library of it and what it reads, that are others by the time of the restore.
echo 'program and library' >data
cp /usr/bin/python3 program && cp "$(ldd /usr/bin/python3 | awk '$1 ~ /^libz[.]/ { print $3 }')" . || exit 1
foreign() {  # foreign OPTIONS...: of dump
  rm -f pid ready go
  # shellcheck disable=SC2016 # expanded by the inner shell
  LD_LIBRARY_PATH=$PWD setsid bash -c 'for fd in /proc/self/fd/*; do fd=${fd##*/}; [ "$fd" -gt 2 ] && eval "exec $fd>&-"; done 2>/dev/null
    echo $$ >pid; exec ./program -c "$0"' 'import os, zlib, time, sys
data = open("data", "rb", 0)
words = data.read(8)
open("ready", "w").close()
while not os.path.exists("go"): time.sleep(0.05)
words += data.read().strip()
print(zlib.decompress(zlib.compress(words)).decode(), flush=True)
sys.exit(8)' </dev/null >out 2>&1 &
  for _ in $(seq 6000); do [ -e ready ] && break; sleep 0.01; done
  rm -f ready
  expect 0 '^$' "$ckpt" dump "$@" "$(cat pid)" foreign-image
}
exchange() {  # exchange CHANGE: its files by changed copies, of another time in any case
  for file in program data libz.*; do
    cp "$file" "$file.was" && cp "$file" "$file.new" || exit 1
    case $1 in
    all) echo "no program" >"$file.new" ;;
    end) printf x | dd of="$file.new" bs=1 seek=$(($(stat -c %s "$file") - 1)) conv=notrunc status=none ;;
    build_id) perl -0777 -pi -e 's/(\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0)(.)/$1 . chr(ord($2) ^ 1)/se' "$file.new" ;;
    time) touch "$file.new" ;;
    esac
    mv "$file.new" "$file"
  done
}
back() { for file in *.was; do mv "$file" "${file%.was}"; done; }
took_along() {  # took_along OPTIONS...: of dump
  foreign "$@"
  exchange all
  ends 8 '^$' "$ckpt" restore --new-pid-namespace foreign-image
  grep -qx 'program and library' out || { echo "FAILED: the restored program wrote $(cat out)"; failures=$((failures + 1)); }
  back
}
took_along --with-program --with-file "$PWD/data"
took_along --with-file "$PWD/program" --with-file "$(echo "$PWD"/libz.*)" --with-file "$PWD/data"
foreign --with-file "$PWD/data"
exchange all
expect 1 '/(program|libz.*) differs here from what the program had .dump with --with-program' "$ckpt" restore --new-pid-namespace foreign-image
back
foreign --with-program
exchange all
expect 1 '/data differs here from what the program had' "$ckpt" restore --new-pid-namespace foreign-image
back

# Others by their time only are the same.
foreign
exchange time
ends 8 '^$' "$ckpt" restore --new-pid-namespace foreign-image
grep -qx 'program and library' out || { echo "FAILED: the program with files of another time wrote $(cat out)"; failures=$((failures + 1)); }
back
foreign --with-file "$(echo "$PWD"/libz.*)"
exchange end
expect 1 '/data differs here from what the program had' "$ckpt" restore --new-pid-namespace foreign-image
back
foreign --with-file "$PWD/data" --with-file "$PWD/program"
exchange build_id
expect 1 '/libz[^ ]* differs here from what the program had' "$ckpt" restore --new-pid-namespace foreign-image
back
foreign --with-file "$PWD/data" --with-file "$(echo "$PWD"/libz.*)"
exchange build_id
expect 1 '/program differs here from what the program had' "$ckpt" restore --new-pid-namespace foreign-image
back

refused() {  # refused PATTERN CODE
  start "$2"
  expect 1 "$1" "$ckpt" dump "$(cat pid)" refused-image
  kill -0 "$(cat pid)" 2>/dev/null || { echo "FAILED: refusing '$1' ended the program"; failures=$((failures + 1)); }
  [ -e refused-image ] && { echo "FAILED: '$1' left an image"; failures=$((failures + 1)); }
  kill "$(cat pid)"
}
refused 'a TCP socket that is connected, fd 4' 'import socket; l = socket.create_server(("127.0.0.1", 0)); c = socket.create_connection(l.getsockname()); s = l.accept()'
refused 'a connection that waits to be accepted, of a TCP socket, fd 3' 'import socket; l = socket.create_server(("127.0.0.1", 0)); c = socket.socket(); c.connect(l.getsockname()); c.close()'
refused 'a connection that sent something before it was accepted, fd 3' 'import socket; l = socket.socket(socket.AF_UNIX); l.bind("\0drover-test"); l.listen(); c = socket.socket(socket.AF_UNIX); c.connect("\0drover-test"); c.send(b"x")'
refused 'a connection that was closed before it was accepted, fd 3' 'import socket; l = socket.socket(socket.AF_UNIX); l.bind("\0drover-test"); l.listen(); c = socket.socket(socket.AF_UNIX); c.connect("\0drover-test"); c.close()'
refused 'an unread datagram from .*, which can.t be sent again, fd 3' 'import socket, subprocess; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 0)); a = [a for a in subprocess.check_output(["hostname", "-I"], text=True).split() if ":" not in a][0]; c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); c.sendto(b"x", (a, s.getsockname()[1]))'
[ "$(id -u)" -ne 0 ] || refused 'a raw socket, fd 3' 'import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'
refused 'a lease on .*/lease, fd 3' 'import fcntl; open("lease", "w").close(); f = open("lease"); fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_RDLCK)'
refused 'a file of unknown path .* by inotify, fd 3' 'import ctypes; c = ctypes.CDLL(None); f = c.inotify_init(); c.inotify_add_watch(f, b"/etc/passwd", 2)'
refused 'a pidfd of process 1, which is not in the tree' 'import os; f = os.pidfd_open(1)'
refused 'holds /proc/[0-9]+/stat, of a process that is not in the tree, fd 3' 'import os; f = open("/proc/%d/stat" % os.getppid())'
refused 'holds /proc/[0-9]+ [(]deleted[)], of a process that has ended, fd 3' 'import os
pid = os.fork()
if pid == 0: os.read(os.pipe()[0], 1)
f = os.open("/proc/%d" % pid, os.O_RDONLY)
os.kill(pid, 9)
os.waitpid(pid, 0)'
refused 'is not dumpable|may not be looked at' 'import ctypes; ctypes.CDLL(None).prctl(4, 0)'
if [ "$(id -u)" -ne 0 ]; then
  cp /usr/bin/python3 unreadable && chmod 0111 unreadable
  export program=$PWD/unreadable
  refused 'may not be looked at: Permission denied' 'pass'
  unset program
fi
ring='import ctypes, sys; ring = ctypes.CDLL(None).syscall(425, 8, ctypes.create_string_buffer(120))'
/usr/bin/python3 -c "$ring; sys.exit(ring < 0)" && refused 'holds an io_uring, fd 3' "$ring"
refused 'a named pipe that is gone, fd 3' 'import os; os.mkfifo("fifo"); f = os.open("fifo", os.O_RDWR); os.unlink("fifo")'
refused 'a POSIX message queue, fd 3' 'import ctypes; c = ctypes.CDLL(None); q = c.mq_open(b"/drover-test", 0o102, 0o600, None); c.mq_unlink(b"/drover-test")'
refused 'uses System V shared memory' 'import ctypes; c = ctypes.CDLL(None); i = c.shmget(0, 4096, 0o600); c.shmat(i, None, 0); c.shmctl(i, 0, None)'
refused 'adjusts System V semaphores' 'import ctypes; c = ctypes.CDLL(None); i = c.semget(0, 1, 0o600); c.semop(i, (ctypes.c_short * 3)(0, 1, 0o10000), 1); open("semaphores", "w").write(str(i))'
ipcrm -s "$(cat semaphores)"
refused 'its working directory is of a process, /proc/[0-9]+/task' 'import os; out = os.getcwd(); os.chdir("/proc/self/task"); open(out + "/ready", "w").close(); __import__("time").sleep(1000)'
refused 'working directory is gone with the folder' 'import os; out = os.getcwd(); os.makedirs("a/cwd"); os.chdir("a/cwd"); os.rmdir(out + "/a/cwd"); os.rmdir(out + "/a"); open(out + "/ready", "w").close(); __import__("time").sleep(1000)'

# A file in memory is put back where it is gone; where another has its name the restore is refused, and nothing stays of one that fails.
shm=/dev/shm/drover-test-$$
echo content >$shm
start "f = open('$shm', 'r+'); g = open('kept', 'w')"
expect 0 '^$' "$ckpt" dump "$(cat pid)" shm-image
rm $shm && mv kept moved
expect 1 "can't restore: .*/kept is not here" "$ckpt" restore --new-pid-namespace shm-image
[ -e $shm ] && { echo "FAILED: a restore that failed left $shm"; failures=$((failures + 1)); }
mv moved kept
echo other >$shm
expect 1 "can't restore: $shm is another file here" "$ckpt" restore --new-pid-namespace shm-image
rm $shm
ends 7 '^$' "$ckpt" restore --new-pid-namespace shm-image
[ "$(cat $shm)" = content ] || { echo "FAILED: $shm has not come back"; failures=$((failures + 1)); }
rm -f $shm

# A zombie's core file: where none can be left the restorer says so.
case $(cat /proc/sys/kernel/core_pattern) in '' | '|'* | '@'* | */*) ;; *)
  start 'import os, resource, signal
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
if os.fork() == 0: os.abort()
os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))'
  expect 0 '^$' "$ckpt" dump "$(cat pid)" core-image
  rm -f core core.*
  note='note: process [0-9]+ .python3.*. had left a core file, of which its parent will not hear'
  ends 7 '^$' "$ckpt" restore --new-pid-namespace core-image
  : >out  # as it was
  if [ "$(id -u)" -eq 0 ]; then
    echo '|/bin/false %p' >pattern
    # shellcheck disable=SC2016 # expanded by the inner shell
    ends 7 "$note: kernel.core_pattern leads elsewhere" unshare --mount sh -c 'mount --bind pattern /proc/sys/kernel/core_pattern && exec "$@"' - "$ckpt" restore core-image
  else
    # shellcheck disable=SC2016 # expanded by the inner shell
    ends 7 "$note: none can be made here" bash -c 'ulimit -c 0 && exec "$@"' - "$ckpt" restore --new-pid-namespace core-image
  fi
  for file in core core.*; do [ -e "$file" ] && { echo "FAILED: a restore left $file"; failures=$((failures + 1)); }; done
  ;;
esac

# An IPC namespace that the program has to itself goes along, into a new one.
ipc='
import ctypes, os, sys, time
c = ctypes.CDLL(None)
q = c.msgget(0x7d, 0o1600)
c.msgsnd(q, (ctypes.c_char * 20)(3, *bytes(7), *b"word"), 4, 0)
open("ready", "w").close()
while not os.path.exists("go"): time.sleep(0.05)
text = (ctypes.c_char * 20)()
sys.exit(9 if c.msgget(0x7d, 0) == q and c.msgrcv(q, text, 12, 0, 0) == 4 and text.raw[8:12] == b"word" else 1)'
if unshare -i true 2>/dev/null; then
  # shellcheck disable=SC2016 # expanded by the inner shell
  setsid unshare -i bash -c 'for fd in /proc/self/fd/*; do fd=${fd##*/}; [ "$fd" -gt 2 ] && eval "exec $fd>&-"; done 2>/dev/null
    echo $$ >pid; exec /usr/bin/python3 -c "$0"' "$ipc" </dev/null >out 2>&1 &
  for _ in $(seq 6000); do [ -e ready ] && break; sleep 0.01; done
  expect 1 'is in a IPC namespace of its own' "$ckpt" dump "$(cat pid)" ipc-image
  expect 0 '^$' nsenter -i -t "$(cat pid)" "$ckpt" dump --own-ipc "$(cat pid)" ipc-image
  ends 9 '^$' "$ckpt" restore --new-pid-namespace ipc-image
  ends 9 '^$' "$ckpt" restore ipc-image
fi

finish
