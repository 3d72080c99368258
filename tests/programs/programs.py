"""The programs: shell lines that print the same each time, however often they are moved, and what makes their input."""

THREADS = r'''
import hashlib, queue, threading, time
work, done = queue.Queue(4), queue.Queue()
def worker():
    while (item := work.get()) is not None:
        digest = hashlib.sha256(b"%d" % item)
        for i in range(2000): digest.update(b"%d" % i)
        time.sleep(0.001)
        done.put(digest.hexdigest())
threads = [threading.Thread(target=worker) for _ in range(6)]
for thread in threads: thread.start()
for i in range(300): work.put(i)
for _ in threads: work.put(None)
for thread in threads: thread.join()
print(hashlib.sha256("".join(sorted(done.queue)).encode()).hexdigest())
'''

PERL = r'''
use strict; use warnings; use Digest::MD5 qw(md5_hex);
my %count; my $seed = 1;
for (1 .. 200000) { $seed = ($seed * 1103515245 + 12345) & 0x7fffffff; $count{"k" . $seed % 5000} += $_; }
my $text = join " ", map { "$_=$count{$_}" } sort keys %count;
$text =~ s/(\d)(\d)/$2$1/g;
pipe(my $in, my $out) or die; my $child = fork // die;
if (!$child) { close $in; print $out md5_hex($text); exit 3 }
close $out; my $answer = <$in>; waitpid $child, 0;
print md5_hex($text) eq $answer && $? >> 8 == 3 ? "$answer\n" : "wrong\n";
'''

# An interactive shell in a terminal whose other end is in the tree, too.
JOB_CONTROL = r'''
import os, pty, re, select, sys, time
pid, master = pty.fork()
if pid == 0: os.execvpe("bash", ["bash", "--norc", "-i"], {"PATH": os.environ["PATH"], "PS1": "$ ", "TERM": "dumb", "HISTFILE": "/dev/null"})
text = ""
def expect(pattern):
    global text
    until = time.monotonic() + 60
    while not (found := re.search(pattern, text)):
        if not select.select([master], [], [], max(0, until - time.monotonic()))[0]: sys.exit("no %r in %r" % (pattern, text))
        text += os.read(master, 4096).decode()
    text = text[found.end():]
    return found
def enter(line, pattern):
    os.write(master, line.encode() + b"\r")
    expect(re.escape(line) + r"[^$]*" + pattern)
def foreground():
    group = os.tcgetpgrp(master)
    try: return group != pid and open("/proc/%d/comm" % group).read().strip() == "sleep"
    except (FileNotFoundError, ProcessLookupError): return False
def wait_busy():
    until = time.monotonic() + 60
    while not foreground():
        if time.monotonic() > until: sys.exit("no program in the foreground: %r" % text)
        time.sleep(0.01)
expect(r"\$ ")
os.write(master, b"sleep 1000\r"); wait_busy(); time.sleep(0.2)
os.write(master, b"\x1a"); expect(r"\[1\]\+  Stopped +sleep 1000"); expect(r"\$ ")
enter("jobs", r"\[1\]\+  Stopped +sleep 1000\r\n\$ ")
enter("bg", r"\[1\]\+ sleep 1000 &\r\n\$ ")
enter("jobs", r"\[1\]\+  Running +sleep 1000 &\r\n\$ ")
enter("seq 30000 | sort -rn | sed -n 2p", r"29999\r\n\$ ")
os.write(master, b"fg\r"); wait_busy(); time.sleep(0.2)
os.write(master, b"\x03"); expect(r"\^C"); expect(r"\$ ")
enter("echo st''atus $?", r"status 130\r\n\$ ")
enter("(sleep 0.3; exit 4) & wait $!; echo st''atus $?", r"status 4\r\n\$ ")
os.write(master, b"exit 7\r")
print("the shell gave", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
'''

SQL = r'''
PRAGMA journal_mode = WAL;
CREATE TABLE t(k INTEGER PRIMARY KEY, v TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) INSERT INTO t SELECT i, hex(i * 7919) FROM n;
UPDATE t SET v = v || k WHERE k % 3 = 0;
DELETE FROM t WHERE k % 7 = 0;
SELECT count(*), sum(k), sum(length(v)) FROM t;
COMMIT;
BEGIN;
DELETE FROM t WHERE k % 2 = 0;
SELECT count(*) FROM t;
ROLLBACK;
CREATE INDEX i ON t(v);
SELECT count(*), min(v), max(v) FROM t;
PRAGMA integrity_check;
'''

# Counts by a server, over connections that are there while it moves and over new ones, and asks it for what came of it.
REDIS = r'''
import os, socket, subprocess, sys, time
server = subprocess.Popen(["./redis-server", "--port", "0", "--unixsocket", "redis.socket", "--save", "", "--appendonly", "no", "--dir", "."],
                          stdout=subprocess.DEVNULL)
class Client:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX); self.socket.connect("redis.socket"); self.file = self.socket.makefile("rb")
    def ask(self, *words):
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in map(str.encode, words)))
        head = self.file.readline()
        return self.file.read(int(head[1:]) + 2)[:-2] if head[:1] == b"$" else head[1:-2]
while True:
    try: first = Client(); break
    except (FileNotFoundError, ConnectionRefusedError): time.sleep(0.01)
for i in range(4000):
    assert first.ask("INCR", "a") == b"%d" % (i + 1), i
    assert first.ask("SET", "k%d" % (i % 500), "v" * (i % 300)) == b"OK", i
    if i % 20 == 0:
        other = Client(); assert other.ask("GET", "a") == b"%d" % (i + 1), i
tool = subprocess.run(["redis-cli", "-s", "redis.socket", "DBSIZE"], capture_output=True, text=True, check=True)
print(first.ask("GET", "a").decode(), tool.stdout.strip())
first.socket.sendall(b"SHUTDOWN\r\n"); print("the server gave", server.wait())
'''

TEXT = r"""awk 'BEGIN { x = 1; for (i = 0; i < 200000; ++i) { x = (x * 16807) % 2147483647; print x, "line", i % 977 } }'"""

MAKE = r'''
CFLAGS = -O1
objects = $(foreach i,$(shell seq 1 24),part$(i).o)
program: $(objects) main.o
	$(CC) -o $@ $^
main.o: main.c
part%.c:
	@printf 'int part%s(int x) { for (int i = 0; i < %s; ++i) x = x * 31 + i; return x; }\n' $* $* > $@
main.c:
	@(for i in `seq 1 24`; do echo "int part$$i(int);"; done; \
	  echo '#include <stdio.h>'; echo 'int main(void) { int x = 1;'; for i in `seq 1 24`; do echo "x = part$$i(x);"; done; \
	  echo 'printf("%d", x); return puts("") < 0; }') > $@
'''

FILES = {"threads.py": THREADS, "hashes.pl": PERL, "job_control.py": JOB_CONTROL, "queries.sql": SQL, "client.py": REDIS, "Makefile": MAKE}

PROGRAMS = {
    "python": "/usr/bin/python3 threads.py",
    "perl": "perl hashes.pl",
    "bash_pipelines": "for n in 3 5 7; do seq 1 40000 | grep $n | sort | uniq -c | tail -n 3; done; cat <(seq 9 | tac) | tr '\\n' ' '; echo ${PIPESTATUS[@]}",
    "bash_job_control": "/usr/bin/python3 job_control.py",
    "make": "rm -rf build; mkdir build; make -s -C build -f ../Makefile -j2 && build/program",
    "xz": "xz -T2 -1 --block-size=1MiB -c <text | xz -dc | cksum",
    "sort": "sort --parallel=2 -S 1M -T . -k3,3n -k1,1n text | cksum",
    "sqlite3": "rm -f base*; sqlite3 base <queries.sql",
    "redis": "/usr/bin/python3 client.py",
    "awk_and_sed": "awk '{ s[$3] += $1 } END { for (k in s) print k, s[k] }' text | sort | sed -E 's/([0-9]+) ([0-9]+)/\\2:\\1/; 1~7d' | awk -F: '{ n += $1 % 1009 } END { print n, NR }'",
    "condition_variables": "$BUILT/condvars",
    "openmp": "$BUILT/openmp",
}

# Its checks are its own (--verify). By numbers of operations, not by time.
STRESS = {"cpu": "--cpu-ops 60", "vm": "--vm-bytes 16m --vm-ops 4000", "pthread": "--pthread-ops 600", "pipe": "--pipe-ops 60000", "timer": "--timer-ops 4000",
          "futex": "--futex-ops 20000", "sigq": "--sigq-ops 30000", "mmap": "--mmap-bytes 8m --mmap-ops 8", "shm": "--shm-bytes 4m --shm-ops 20",
          "fork": "--fork-ops 500"}
for name, most in STRESS.items():
    PROGRAMS[f"stress_{name}"] = f"stress-ng --verify --quiet --temp-path . --{name} 2 {most} && echo verified"
