#!/usr/bin/env python3
"""The lab itself: hosts are apart, reach each other, keep to their quota, and leave nothing behind. Exit 77: skipped."""
import os
import pathlib
import subprocess
import sys
import time
import unittest

LAB = pathlib.Path(__file__).resolve().parent / "lab"
NAME = "labtest"
SKIP = 77


def lab(*arguments, **options):
    return subprocess.run([LAB, *arguments], capture_output=True, text=True, timeout=120, env=dict(os.environ, DROVER_LAB=NAME), **options)


def traces():
    """What a lab could leave behind."""
    found = [line for line in pathlib.Path("/proc/mounts").read_text().splitlines() if NAME in line]
    found += [entry.name for entry in pathlib.Path("/sys/class/net").iterdir() if NAME in entry.name]
    found += [str(path) for path in pathlib.Path("/sys/fs/cgroup").glob(f"**/drover-lab-{NAME}-*")]
    found += [str(path) for path in pathlib.Path("/run/drover-lab").glob(NAME)]
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"drover-lab:{NAME}" in (entry / "cmdline").read_text(errors="replace"):
                found.append(entry.name)
        except OSError:
            pass
    return found


class Lab(unittest.TestCase):
    def setUp(self):
        lab("down")
        self.addCleanup(lab, "down")

    def up(self, *arguments):
        result = lab("up", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_hosts_are_apart_and_reach_each_other(self):
        self.up("3")
        for number in (1, 2, 3):
            self.assertEqual(lab("exec", f"lab{number}", "--", "hostname").stdout, f"lab{number}\n")
            pids = [p for p in lab("exec", f"lab{number}", "--", "ls", "/proc").stdout.split() if p.isdigit()]
            self.assertLessEqual(len(pids), 3, pids)
        server = "import socket;s=socket.create_server(('',7000));c,_=s.accept();c.sendall(b'hello')"
        listening = subprocess.Popen([LAB, "exec", "lab2", "--", "python3", "-c", server], env=dict(os.environ, DROVER_LAB=NAME))
        client = ("import socket,time\nwhile True:\n try: s=socket.create_connection(('lab2',7000)); break\n"
                  " except ConnectionRefusedError: time.sleep(0.05)\nprint(s.recv(9).decode())")
        self.assertEqual(lab("exec", "lab3", "--", "python3", "-c", client).stdout, "hello\n")
        listening.wait(60)
        lab("exec", "lab2", "--", "sh", "-c", "touch $DROVER_RUNTIME_DIR/mine")
        self.assertEqual(lab("exec", "lab3", "--", "sh", "-c", "ls $DROVER_RUNTIME_DIR").stdout, "")

    def test_mpirun_reaches_every_host(self):
        self.up("3")
        result = lab("mpirun", "-n", "3", "hostname")
        self.assertEqual(sorted(result.stdout.split()), ["lab1", "lab2", "lab3"], result.stderr)

    def test_exit_code_and_arguments(self):
        self.up("1")
        self.assertEqual(lab("exec", "lab1", "--", "sh", "-c", "exit 7").returncode, 7)
        self.assertEqual(lab("agent", "lab1", "echo", "a;", "echo b").stdout, "a\nb\n")

    def test_quota(self):
        self.up("2", "--quota", "20,100")
        burn = "import time\nend=time.monotonic()+1.5\nwhile time.monotonic()<end: pass\nprint(time.process_time())"
        used = float(lab("exec", "lab1", "--", "python3", "-c", burn).stdout)
        self.assertLess(used, 0.6)

    def test_orphans_are_reaped(self):
        self.up("1")
        lab("exec", "lab1", "--", "sh", "-c", "(sleep 0.1 &) ; exit 0")
        time.sleep(0.5)
        states = lab("exec", "lab1", "--", "sh", "-c", "cat /proc/[0-9]*/stat").stdout.splitlines()
        self.assertFalse([s for s in states if ") Z " in s], states)

    def test_power(self):
        """A host without power tells nobody, and comes back empty."""
        self.up("2", "--second-net", "--own-tmp")
        lab("exec", "lab2", "--", "touch", "/tmp/mine")
        listen = "import socket;s=socket.create_server(('',7000));print('listens',flush=True);c,_=s.accept();c.recv(9)"
        env = dict(os.environ, DROVER_LAB=NAME)
        server = subprocess.Popen([LAB, "exec", "lab2", "--", "python3", "-c", listen], env=env, stdout=subprocess.PIPE, text=True)
        self.addCleanup(server.communicate)
        self.addCleanup(server.kill)
        self.assertEqual(server.stdout.readline(), "listens\n")
        connect = ("import socket,sys\ns=socket.create_connection(('lab2',7000))\nprint('connected',flush=True)\nsys.stdin.read()\n"
                   "s.setblocking(False)\ntry: print('end' if s.recv(9)==b'' else 'data')\nexcept BlockingIOError: print('no word')\n")
        client = subprocess.Popen([LAB, "exec", "lab1", "--", "python3", "-c", connect], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(client.kill)
        self.assertEqual(client.stdout.readline(), "connected\n")
        off = lab("power", "lab2", "off")
        self.assertEqual(off.returncode, 0, off.stderr)
        server.wait(60)
        self.assertEqual(client.communicate("")[0], "no word\n")
        self.assertIn("no such host", lab("exec", "lab2", "--", "true").stderr)
        self.assertIn("off already", lab("power", "lab2", "off").stderr)
        on = lab("power", "lab2", "on")
        self.assertEqual(on.returncode, 0, on.stderr)
        self.assertEqual(lab("exec", "lab2", "--", "sh", "-c", "hostname; ls /tmp; ip -br -4 addr show eth1 | grep -c 192.168.77.2/").stdout, "lab2\n1\n")
        self.assertIn("ConnectionRefusedError", lab("exec", "lab1", "--", "python3", "-c", connect).stderr)  # it is there, and nobody listens

    def test_nothing_is_left_behind(self):
        self.up("2", "--quota", "50")
        subprocess.Popen([LAB, "exec", "lab1", "--", "sleep", "600"], env=dict(os.environ, DROVER_LAB=NAME))
        time.sleep(0.3)
        self.assertTrue(traces())
        self.assertEqual(lab("down").returncode, 0)
        self.assertEqual(traces(), [])

    def test_nothing_is_left_behind_after_a_crash(self):
        for delay in (0.1, 0.25, 0.4):
            crashing = subprocess.Popen([LAB, "up", "4", "--quota", "50"], env=dict(os.environ, DROVER_LAB=NAME),
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(delay)
            crashing.kill()
            crashing.wait()
            result = lab("down")
            self.assertEqual(result.returncode, 0, result.stderr)
            end = time.monotonic() + 20
            while traces() and time.monotonic() < end:  # a host that was being made ends now
                lab("down")
                time.sleep(0.1)
            self.assertEqual(traces(), [])

    def test_errors(self):
        self.assertIn("no such host", lab("exec", "lab9", "--", "true").stderr)
        self.assertEqual(lab("up").returncode, 1)
        self.assertEqual(lab("up", "2", "--quota", "x").returncode, 1)
        self.up("1")
        self.assertIn("up already", lab("up", "2").stderr)


if __name__ == "__main__":
    probe = subprocess.run(["unshare", "--net", "--pid", "--mount", "--uts", "--fork", "--mount-proc", "true"], capture_output=True, check=False)
    if os.geteuid() != 0 or probe.returncode != 0:
        print("skipped: the lab needs root and the right to make namespaces")
        sys.exit(SKIP)
    unittest.main()
