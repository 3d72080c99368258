#!/usr/bin/env python3
"""Programs of every day, moved at random moments: each is dumped with --leave-running and for real, restored, and dumped again, while it does
the same work round after round; then each round must have printed what it prints when nobody touches it.
Run as programs_test.py DROVER-CKPT BUILT USER [PROGRAM...], BUILT: where our own programs are. MOVES=N for more than the usual."""

import os
import pwd
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from programs import FILES, PROGRAMS, TEXT

PATIENCE = 300
CKPT, BUILT, USER = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3]
MOVES = int(os.environ.get("MOVES", "3"))
ROUNDS = "while [ ! -e stop ]; do\n{}\ndone\n"


def become_user():
    os.setsid()
    if USER != "root" and os.getuid() == 0:
        user = pwd.getpwnam(USER)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)


class Failure(Exception):
    pass


def stat_of(pid):
    """From the parent on: proc(5)."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[1:]


def ids_of(pid):
    """In each of its namespaces, its own last."""
    with open(f"/proc/{pid}/status") as file:
        return next(line.split()[1:] for line in file if line.startswith("NSpid:"))


def find_root(restorer, wanted):
    """The process with this id in its namespace, below the tool that restored it."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            at = int(pid)
            if int(ids_of(at)[-1]) != wanted:
                continue
            while at not in (0, 1, restorer):
                at = int(stat_of(at)[0])
            with open(f"/proc/{pid}/comm") as file:  # while it is made it has the tool's name
                if at == restorer and file.read() != "drover-ckpt\n":
                    return int(pid)
        except (FileNotFoundError, ProcessLookupError):
            pass
    return None


class Program:
    def __init__(self, name):
        self.name = name
        self.directory = tempfile.mkdtemp(prefix="drover-test-")
        self.environment = {name: value for name, value in os.environ.items() if name == "PATH" or name.endswith("SAN_OPTIONS")}
        self.environment |= {"BUILT": BUILT, "LC_ALL": "C.UTF-8", "HOME": self.directory, "TMPDIR": self.directory}
        for file, content in FILES.items():
            self.write(file, content)
        self.write("program.sh", ROUNDS.format(PROGRAMS[name]))
        os.symlink("/usr/bin/redis-check-rdb", self.path("redis-server"))  # Debian's binary of both; the package of that name starts one
        os.chmod(self.directory, 0o777)
        self.run(TEXT + " >text")
        self.process = None
        self.pid = 0

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, content):
        with open(self.path(name), "w") as file:
            file.write(content)

    def read(self, name):
        with open(self.path(name), errors="replace") as file:
            return file.read()

    def popen(self, command, **how):
        return subprocess.Popen(command, cwd=self.directory, env=self.environment, preexec_fn=become_user, stdin=subprocess.DEVNULL, **how)

    def run(self, line):
        process = self.popen(["bash", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        output, errors = process.communicate(timeout=PATIENCE)
        if process.returncode != 0 or errors:
            raise Failure(f"by itself it gave {process.returncode}: {output[-300:]}{errors[-300:]}")
        return output

    def tool(self, *arguments):
        process = self.popen([CKPT, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said, _ = process.communicate(timeout=PATIENCE)
        if process.returncode != 0:
            raise Failure(f"{' '.join(arguments)} gave {process.returncode}: {said}; in it: {self.members()}")

    def members(self):
        """What there is in the tree: for a failure's text."""
        return subprocess.run(["ps", "--forest", "-s", str(self.root), "-o", "pid,ppid,stat,args"], capture_output=True, text=True).stdout[-3000:]

    def start(self):
        with open(self.path("out"), "w") as out, open(self.path("errors"), "w") as errors:
            for file in (out, errors):
                os.fchmod(file.fileno(), 0o666)
            self.process = self.popen(["bash", "program.sh"], stdout=out, stderr=errors)
        self.pid = self.root = self.process.pid

    def move(self):
        self.tool("dump", str(self.root), "image")
        self.process.wait(PATIENCE)
        self.tool("verify", "image")
        # As its message says, where an id or a terminal has gone to somebody else meanwhile.
        if not self.restore() and not ("(--new-pid-namespace restores beside" in self.read("said") and self.restore("--new-pid-namespace")):
            raise Failure(f"restore gave {self.process.returncode}: {self.read('said')}")

    def restore(self, *options):
        """False: it has ended."""
        with open(self.path("said"), "w") as said:
            self.process = self.popen([CKPT, "restore", *options, "image"], stdout=said, stderr=subprocess.STDOUT)
        until = time.monotonic() + PATIENCE
        while (root := find_root(self.process.pid, self.pid)) is None:
            if self.process.poll() is not None:
                return False
            if time.monotonic() > until:
                raise Failure("restore makes no process")
            time.sleep(0.005)
        self.root = root
        return True

    def check(self):
        expected = self.run(PROGRAMS[self.name])
        self.start()
        for _ in range(MOVES):
            time.sleep(random.uniform(0, 0.5))
            self.tool("dump", "--leave-running", str(self.root), "left")
            self.tool("verify", "left")
            time.sleep(random.uniform(0, 0.5))
            self.move()
        self.write("stop", "")
        code = self.process.wait(PATIENCE)
        output, errors = self.read("out"), self.read("errors")
        rounds = output.count(expected)
        if code != 0 or errors or rounds == 0 or output != expected * rounds:
            raise Failure(f"it gave {code}; of {rounds} rounds, each {expected!r}, there came {output[-1000:]!r}, {errors[-1000:]!r}")
        return rounds

    def end(self, keep):
        if self.process and self.process.poll() is None:
            for pid in (self.root, self.process.pid):
                try:
                    os.killpg(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()
        if keep:
            print(f"kept {self.directory}")
        else:
            shutil.rmtree(self.directory)


def main():
    if os.getuid() != 0 and USER == "root":
        print("SKIPPED: needs root")
        return 77
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # nothing is left behind
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    random.seed(seed)
    print(f"moments by SEED={seed}", flush=True)
    failed = 0
    for name in sys.argv[4:] or PROGRAMS:
        began = time.monotonic()
        program = Program(name)
        good = False
        try:
            rounds = program.check()
            good = True
            print(f"{name}: {MOVES} times left running and {MOVES} times moved in {rounds} rounds, {time.monotonic() - began:.1f} s", flush=True)
        except Failure as failure:
            failed += 1
            print(f"{name}: FAILED: {failure}", flush=True)
        finally:
            program.end(keep=not good)
    return 1 if failed else 0


sys.exit(main())
