#!/usr/bin/env python3
"""drover-ckpt with programs that live in a terminal: an interactive shell with jobs, and a program in the shell's session.
Each is dumped while its terminal is held by one process, and restored in a terminal held by another.
Run as terminal_test.py DROVER-CKPT USER by root."""

import fcntl
import os
import pwd
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

CKPT = os.path.abspath(sys.argv[1])
USER = sys.argv[2] if sys.argv[2] != "root" else None
PATIENCE = 30


class Terminal:
    """A program in a terminal of its own, like a window of a terminal emulator."""

    def __init__(self, *command, rows=24, columns=80):
        self.master, slave = os.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.name = os.ttyname(slave)
        if USER:
            os.chown(self.name, pwd.getpwnam(USER).pw_uid, -1)
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            for fd in range(3):
                os.dup2(slave, fd)
            os.closerange(3, 65536)
            if USER:
                user = pwd.getpwnam(USER)
                os.setgroups([])
                os.setgid(user.pw_gid)
                os.setuid(user.pw_uid)
            sanitizers = {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}
            own = {"PATH": os.environ["PATH"], "PS1": "$ ", "TERM": "dumb", "HISTFILE": "/dev/null"}
            os.execvpe(command[0], command, own | sanitizers)
        os.close(slave)
        self.text = ""

    def type(self, keys):
        os.write(self.master, keys.encode())

    def expect(self, pattern):
        """Waits until the pattern has been shown; what came after it is left for the next one."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.text)):
            ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"no {pattern!r} within {PATIENCE} s in {self.text!r}")
            try:
                more = os.read(self.master, 4096).decode(errors="replace")
            except OSError:
                more = ""
            if not more:
                raise AssertionError(f"no {pattern!r} in {self.text!r}")
            self.text += more
        self.text = self.text[found.end():]
        return found

    def wait_until(self, what, condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not {what} within {PATIENCE} s: {self.text!r}")
            time.sleep(0.01)

    def wait_lent(self):
        """Until a restored tree has it: keys are passed on as they are."""
        self.wait_until("lent", lambda: not termios.tcgetattr(self.master)[3] & termios.ISIG)

    def wait(self):
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
        os.close(self.master)


def stat_of(pid):
    """From the state on: proc(5)."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()


def foreground_runs(shell, name):
    try:
        group = stat_of(shell)[5]
        with open(f"/proc/{group}/comm") as file:
            return file.read().strip() == name and stat_of(group)[0] != "T"
    except FileNotFoundError:
        return False


def wait_busy(terminal, shell):
    """Until the shell has given its terminal to a program, and that runs. Before exec it ignores keys as the shell does; and `fg`
    gives the terminal away before it sends SIGCONT, which takes back a stop that has come too early."""
    terminal.wait_until("busy", lambda: foreground_runs(shell, "sleep"))


class TerminalTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="drover-test-")
        os.chmod(self.directory, 0o777)
        self.image = os.path.join(self.directory, "image")
        self.addCleanup(shutil.rmtree, self.directory)

    def open(self, *command, **size):
        terminal = Terminal(*command, **size)
        self.addCleanup(terminal.close)
        return terminal

    def dump(self, pid):
        tool = self.open(CKPT, "dump", str(pid), self.image)
        code = tool.wait()
        self.assertEqual(code, 0, os.read(tool.master, 4096) if code else "")

    def restore(self, *options, **size):
        return self.open(CKPT, "restore", *options, self.image, **size)

    def shell_of(self, restore):
        """The shell that has been restored, below PID 1 of its namespace."""
        init = subprocess.check_output(["pgrep", "-P", str(restore.pid), "drover-ckpt"], text=True)
        return int(subprocess.check_output(["pgrep", "-P", init.strip(), "bash"]))

    def test_shell_with_jobs(self):
        shell = self.open("bash", "--norc", "--noprofile", "-i", rows=31, columns=77)
        shell.expect(r"\$ ")
        shell.type("variable=kept; sleep 1000 & sleep 2000\n")
        shell.expect(r"\[1\] (\d+)")
        wait_busy(shell, shell.pid)
        shell.type("\x1a")
        shell.expect(r"Stopped")
        self.dump(shell.pid)
        shell.wait()
        for rows in (31, 40):  # the second move is of a shell that has been moved
            again = self.restore("--new-pid-namespace", rows=rows, columns=77)
            again.type("echo $variable; tty; stty size; jobs\n")
            again.expect(r"kept\s+" + shell.name + rf"\s+{rows} 77\s")
            again.expect(r"\[1\]-  Running +sleep 1000 &")
            again.expect(r"\[2\]\+  Stopped +sleep 2000")
            inside = self.shell_of(again)
            again.type("fg\n")
            again.expect(r"sleep 2000\s")
            wait_busy(again, inside)
            again.type("\x1a")
            again.expect(r"Stopped")
            if rows == 31:
                self.dump(inside)
                again.wait()
        again.type("fg\n")
        again.expect(r"sleep 2000\s")
        wait_busy(again, self.shell_of(again))
        again.type("\x03")
        again.expect(r"\$ ")
        again.type("kill %1; wait; exit 3\n")
        self.assertEqual(again.wait(), 3)

    def test_program_of_a_shell(self):
        shell = self.open("bash", "--norc", "--noprofile", "-i")
        shell.expect(r"\$ ")
        shell.type("python3 -c 'import sys, os\nfor line in sys.stdin: print(\"got\", line.strip(), os.ttyname(0), flush=True)'\n")
        shell.type("one\n")
        shell.expect(r"got one")
        program = int(subprocess.check_output(["pgrep", "-P", str(shell.pid), "python3"]))
        self.dump(program)
        shell.expect("Killed")
        again = self.restore("--new-pid-namespace")
        again.type("two\n")
        again.expect(r"got two " + shell.name + r"\s")
        again.type("\x04")
        self.assertEqual(again.wait(), 0)

    def test_interrupt_key(self):
        shell = self.open("sh", "-c", 'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 0.1; done')
        shell.expect("ready")
        self.dump(shell.pid)
        again = self.restore("--new-pid-namespace")
        again.wait_lent()
        again.type("\x03")
        again.expect("caught")
        self.assertEqual(again.wait(), 9)

    def test_hang_up(self):
        marker = os.path.join(self.directory, "marker")
        shell = self.open("sh", "-c", f'trap "echo hup >{marker}; exit 1" HUP; echo ready; while :; do sleep 0.1; done')
        shell.expect("ready")
        self.dump(shell.pid)
        again = self.restore("--new-pid-namespace")
        again.wait_lent()
        os.kill(again.pid, signal.SIGHUP)
        self.assertEqual(again.wait(), 1)
        again.wait_until("hung up", lambda: os.path.exists(marker))

    def test_detached(self):
        shell = self.open("sh", "-c", "echo ready; sleep 100; true")
        shell.expect("ready")
        self.dump(shell.pid)
        again = self.restore("--detach", "--new-pid-namespace")
        again.expect(r"can't restore: nobody holds the other side of its terminal /dev/pts/\d+ here")
        code = again.wait()
        self.assertEqual(code, 1)


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("SKIPPED: needs root to set the stage (both as root and as nobody)")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1], verbosity=2)
