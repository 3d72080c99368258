"""What a job is submitted with: names of its files, its environment, a script, a time limit. All in one test, since the longest of the
waits (a time limit's grace) can go on meanwhile."""
import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import struct
import subprocess
import time
import unittest

from world import DEADLINE, PYTHON, USER, WorldTest, children, command_name, wait_for

HEADER = struct.Struct("<IHHII")
GRACE_S = 10
TELLS_TERM = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (print('term', flush=True), sys.exit(5)))\nprint('ready', flush=True)\n"
SLEEPS = "while True: time.sleep(0.02)\n"


class SubmitTest(WorldTest):
    def ended(self, number, code=0):
        job = self.wait_state(number, "ended", "failed", "lost")
        self.assertEqual((job["state"], job["exit"]), ("ended", code), job)
        return job

    def submit_text(self, script, *arguments, check=0):
        return self.drover("submit", *arguments, stdin=script if isinstance(script, bytes) else script.encode(), check=check)

    def assert_error(self, result, code, *words):
        text = result.stderr.decode()
        self.assertEqual((result.returncode, text.count("\n")), (code, 1), text)
        for word in words:
            self.assertIn(word, text)

    def ask(self, request):
        """A request as another program than the launcher might send it."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(DEADLINE)
            link.connect(str(self.runtime / "node0" / "control"))
            payload = json.dumps({"version": "0.1.0", **request}).encode()
            link.sendall(HEADER.pack(0x46565244, 1, 1, len(payload), 0) + payload)
            data = b""
            while len(data) < HEADER.size or len(data) < HEADER.size + HEADER.unpack_from(data)[3]:
                piece = link.recv(65536)
                self.assertTrue(piece, "an answer")
                data += piece
            return json.loads(data[HEADER.size:])

    def new_world(self):
        generation = self.json("status")["generation"]
        supervisor = (self.runtime / "up.pid").read_text().split()[0]
        mpirun, = [pid for pid in children(supervisor) if command_name(pid) == "mpirun"]
        os.kill(mpirun, signal.SIGKILL)
        self.wait_new_world(generation)

    def test_submission(self):
        (self.directory / "out").mkdir(mode=0o777)
        (self.directory / "out").chmod(0o777)
        stubborn = self.start_stubborn()
        stopped = self.submit(PYTHON, "-c", "import os\n" + TELLS_TERM + "os.kill(os.getpid(), signal.SIGSTOP)\n" + SLEEPS,
                              options=("--time-limit", "1"))
        self.check_names()
        self.check_stopped(stopped)
        self.check_new_world(stubborn, stopped)
        movable = self.submit(PYTHON, "-c", TELLS_TERM + SLEEPS, options=("--node", "node0", "--time-limit", "4s"))
        runner = self.popen("run", "--time-limit", "1", "--", PYTHON, "-c", "import time\n" + SLEEPS, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.check_move_before_the_limit(movable)
        self.check_run(runner)
        self.check_environment()
        self.check_scripts()
        self.check_limit_that_is_not_reached()
        self.check_after_move(movable)
        self.check_kill_after_the_grace(stubborn)

    def limited_memory(self):
        """A cgroup with 64 MiB: what a job writes its process id to, to get into it."""
        for top, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
            group = pathlib.Path(top) / self.directory.name
            if os.geteuid() == 0 and (pathlib.Path(top) / ("memory.usage_in_bytes" if "bytes" in limit else "cgroup.controllers")).exists():
                group.mkdir()
                self.addCleanup(group.rmdir)
                if (group / limit).exists():
                    (group / limit).write_text(str(64 << 20))
                    shutil.chown(group / "cgroup.procs", USER or "root")
                    return group / "cgroup.procs"
        self.skipTest("needs root, to make a cgroup that limits memory")

    def test_killed_for_memory(self):
        group = self.limited_memory()
        hog = f"echo 0 > {group}; exec {PYTHON} -c 'x = bytearray(1 << 30)'"
        alone = self.submit("sh", "-c", hog, options=("--node", "node1"))
        in_shell = self.submit("sh", "-c", f"({hog}); exit $?", options=("--node", "node1"))
        killed = self.submit("sleep", "1000")
        self.assertIn("for want of memory", self.drover("run", "--", "sh", "-c", hog, check=137).stderr.decode())
        for number in alone, in_shell:
            job = self.ended(number, 137)
            self.assertEqual(job["error"], "killed by the kernel on node1 for want of memory")
        self.assertIn("for want of memory", self.drover("history", alone, check=0).stdout.decode())
        self.drover("kill", "-s", "KILL", killed, check=0)
        self.assertEqual(self.ended(killed, 137)["error"], "")

    def test_a_stalled_reader_stops_its_own_job_only(self):
        blocks = 1000  # of 64 KiB: more than all buffers on the way
        writer = f"import os\nfor i in range(1, {blocks + 1}):\n    os.write(1, b'x' * 65536)\n    open('written', 'w').write(str(i))\n"
        stalled = self.popen("run", "--node", "node1", "--", PYTHON, "-c", writer, stdout=subprocess.PIPE)
        self.addCleanup(stalled.stdout.close)
        written = lambda: int((self.directory / "written").read_text() or 0) if (self.directory / "written").exists() else 0

        def stands_still():
            before = written()
            time.sleep(1)
            return 0 < before == written()
        wait_for(stands_still, "the job to wait for its reader")
        self.assertLess(written(), blocks // 2)
        for node in ("node0", "node1"):
            self.assertEqual(self.drover("run", "--node", node, "--", "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' y", check=0).stdout, b"y" * 3000000)
        self.assertEqual(len(stalled.stdout.read()), blocks * 65536)
        self.assertEqual(stalled.wait(DEADLINE), 0)

    def start_stubborn(self):
        """Two processes that SIGTERM does not end."""
        script = "trap '' TERM\nsleep 4242.5 &\necho ready; while :; do sleep 0.05; done\n"
        number = self.submit("sh", "-c", script, options=("--node", "node1", "--time-limit", "1"))
        wait_for(lambda: self.leftovers() == 1, "its second process")
        return number

    def leftovers(self):
        count = 0
        for entry in pathlib.Path("/proc").iterdir():
            try:
                marked = f"DROVER_RUNTIME_DIR={self.directory}/run".encode() in (entry / "environ").read_bytes()
                count += marked and (entry / "cmdline").read_bytes() == b"sleep\x004242.5\0"
            except OSError:
                pass
        return count

    def check_move_before_the_limit(self, number):
        wait_for(lambda: "ready" in self.log_of(number), "the program to be ready")
        for node in ("node2", "node1"):
            self.drover("migrate", number, node, check=0)

    def check_after_move(self, number):
        job = self.ended(number, 5)
        self.assertEqual((job["moves"], self.log_of(number), job["time_limit_s"]), (2, "ready\nterm\n", 4), job)
        self.assertGreaterEqual(job["ended_ns"] - job["started_ns"], 4 * 10**9)
        self.assertEqual(job["error"], "ended by its time limit of 4 s")
        for command in (["ps", "--all"], ["show", number], ["history"]):
            self.assertIn("ended by its time limit of 4 s", self.drover(*command, check=0).stdout.decode())
        events = [event for event in self.events() if event.get("job") == number]
        self.assertEqual([(e["limit_s"], e["grace_s"]) for e in events if e["event"] == "time-limit"], [(4, GRACE_S)])
        self.assertEqual([e["reason"] for e in events if e["event"] == "ended"], ["ended by its time limit of 4 s"])

    def check_run(self, process):
        errors = process.communicate(timeout=DEADLINE)[1].decode()
        self.assertEqual(process.returncode, 143, errors)
        self.assertRegex(errors, r"^drover: job \d+: ended by its time limit of 1 s\n$")

    def check_stopped(self, number):
        self.ended(number, 5)
        self.assertEqual(self.log_of(number), "ready\nterm\n")

    def check_names(self):
        (self.directory / "out" / "in a_b").write_text("input\n")
        self.names = self.submit("sh", "-c", "cat; echo error >&2", options=("--name", "a/b", "-i", "out/in %n", "-O", "out/%%%j.%n", "-e", "out/%j.err"))
        self.ended(self.names)
        self.out = self.directory / "out" / f"%{self.names}.a_b"
        self.assertEqual(self.out.read_text(), "input\n")
        self.assertEqual((self.directory / "out" / f"{self.names}.err").read_text(), "error\n")
        self.assert_real_names()
        # The name goes no higher than its folder.
        self.ended(self.submit("echo", "x", options=("--name", "..", "-O", "out/%n")))
        self.assertEqual((self.directory / "out" / "__").read_text(), "x\n")
        self.assert_error(self.drover("submit", "-O", "none/%j", "true"), 1, f"{self.directory}/none/", "No such file or directory")
        # Under one name both go to one file, in order.
        both = self.submit("sh", "-c", "echo 1; echo 2 >&2; echo 3", options=("-O", "out/both-%j", "-e", "out/both-%j"))
        self.ended(both)
        self.assertEqual(sorted((self.directory / "out" / f"both-{both}").read_text().split()), ["1", "2", "3"])
        # A launcher of another kind may check nothing.
        spec = {"argv": ["true"], "env": [], "cwd": "/", "name": "x"}
        for pattern, words in (("%q", ("/tmp/%q", "'%q' is no pattern", "%j")), ("%a", ("/tmp/%a", "an array's task"))):
            reply = self.ask({"op": "submit", "spec": {**spec, "stdout": f"/tmp/{pattern}"}})
            self.assertEqual(reply["ok"], False)
            for word in words:
                self.assertIn(word, reply["error"])
        self.assertIn("#!/bin/sh", self.ask({"op": "submit", "spec": {**spec, "script": "true\n"}})["error"])

    def assert_real_names(self):
        self.assertEqual((self.job(self.names)["stdout"], self.job(self.names)["stdin"]), (str(self.out), f"{self.directory}/out/in a_b"))
        self.assertIn(f"{self.out}\n", self.drover("show", self.names, check=0).stdout.decode())
        self.assertEqual(self.log_of(self.names), "input\n")
        self.assertEqual(self.drover("logs", "-e", self.names, check=0).stdout, b"error\n")

    def check_environment(self):
        number = self.submit("sh", "-c", "env | grep -E '^DROVER_(JOB_ID|JOB_NAME|ORIGIN)=' | sort",
                             options=("--name", "n m", "--node", "node2", "--env", "DROVER_JOB_ID=77", "--env", "DROVER_ORIGIN=x"))
        self.ended(number)
        self.assertEqual(self.log_of(number), f"DROVER_JOB_ID={number}\nDROVER_JOB_NAME=n m\nDROVER_ORIGIN=node0\n")
        ran = self.drover("run", "--", "sh", "-c", "echo $DROVER_JOB_ID $DROVER_JOB_NAME $DROVER_ORIGIN", check=0).stdout.decode()
        self.assertRegex(ran, r"^\d+ sh node0\n$")

    def check_scripts(self):
        script = "#!/bin/sh\n#DROVER --name build --env 'GREETING=hi there' -O out/script-%j\necho \"$0|$GREETING|$#|$2\"; exit 4\n"
        number = int(self.submit_text(script, "-", "a", "b c").stdout)
        job = self.ended(number, 4)
        path = self.state / "jobs" / str(number) / "script"
        self.assertEqual((path.read_text(), stat.S_IMODE(path.stat().st_mode)), (script, 0o700))
        self.assertEqual((job["name"], job["argv"]), ("build", [str(path), "a", "b c"]))
        self.assertEqual(self.log_of(number), f"{path}|hi there|2|b c\n")
        submitted = next(e for e in self.events("submitted") if e["job"] == number)
        self.assertFalse(submitted["spec"].get("script"), "the text is in its file, not in the log")
        latin = int(self.submit_text(b"#!/bin/sh\necho caf\xe9\n").stdout)
        self.ended(latin)
        self.assertEqual(self.drover("logs", latin).stdout, b"caf\xe9\n")
        self.assertEqual(self.job(latin)["name"], "script")
        large = int(self.submit_text(b"#!/bin/sh\nexit 0\n" + b"\x01" * (2 * 2**20 - 17)).stdout)
        self.ended(large)
        self.assert_error(self.submit_text("#!/no/such/interpreter\n", check=None), 127, "interpreter", "first line")
        # Moved while the shell reads it: it reads as it goes.
        moved = int(self.submit_text("#!/bin/sh\n#DROVER --node node0\necho ready\nwhile [ ! -e out/stop ]; do sleep 0.05; done\necho end\n").stdout)
        wait_for(lambda: "ready" in self.log_of(moved), "the script to be ready")
        self.drover("migrate", moved, "node1", check=0)
        (self.directory / "out" / "stop").touch()
        self.assertEqual(self.ended(moved)["moves"], 1)
        self.assertEqual(self.log_of(moved), "ready\nend\n")

    def check_limit_that_is_not_reached(self):
        for command, code in (("exit 3", 3), ("kill -KILL $$", 137)):
            job = self.ended(self.submit("sh", "-c", command, options=("--time-limit", "1h")), code)
            self.assertEqual((job["error"], job["time_limit_s"]), ("", 3600))
        by_hand = self.submit("sleep", "60", options=("--time-limit", "1h"))
        self.drover("kill", by_hand, check=0)
        self.assertEqual(self.ended(by_hand, 143)["error"], "")

    def check_new_world(self, stubborn, stopped):
        """It knows what the last one did: names, and since when a job has been told to end."""
        writer = self.submit("sh", "-c", "echo 1; while [ ! -e out/new ]; do sleep 0.05; done; echo 2",
                             options=("--name", "w/x", "-O", "out/%n-%j", "--node", "node2"))
        out = self.directory / "out" / f"w_x-{writer}"
        wait_for(lambda: out.exists() and out.read_text() == "1\n", "the first line")
        wait_for(lambda: self.told(stubborn), "the end of the time limit")
        self.assertEqual(self.job(stubborn)["error"], "ending by its time limit of 1 s")
        self.new_world()
        self.assertLess(time.time_ns() - self.told(stubborn)[0], GRACE_S * 10**9, "the new world has not come within the grace: nothing is tested")
        (self.directory / "out" / "new").touch()
        self.ended(writer)
        self.assertEqual(out.read_text(), "1\n2\n")
        self.assertEqual((self.job(writer)["stdout"], self.log_of(writer)), (str(out), "1\n2\n"))
        self.assert_real_names()
        self.assertEqual(self.job(stopped)["error"], "ended by its time limit of 1 s")

    def told(self, number):
        return [event["time_ns"] for event in self.events("time-limit") if event["job"] == number]

    def check_kill_after_the_grace(self, number):
        job = self.ended(number, 137)
        self.assertEqual(job["error"], "ended by its time limit of 1 s")
        self.assertEqual(len(self.told(number)), 1)
        self.assertGreaterEqual(job["ended_ns"] - self.told(number)[0], GRACE_S * 10**9)
        self.assertEqual(self.leftovers(), 0)


if __name__ == "__main__":
    unittest.main()
