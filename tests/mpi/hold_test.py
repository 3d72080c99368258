"""Holding jobs and letting them go on: those that run, those that wait, and what may come in between."""
import os
import pathlib
import signal
import subprocess
import time
import unittest

from world import PYTHON, WorldTest, command_name, host_pids, tracer_of, wait_for

# Two processes: one counts, the other would see it stop. Ends when `stop` is there.
COUNTER = """
import os, signal, sys, time
seen = []
for name in ("SIGTERM", "SIGUSR1", "SIGCONT"):
    signal.signal(getattr(signal, name), lambda number, frame: seen.append(signal.Signals(number).name))
parent = os.getpid()
child = os.fork()
if child == 0:
    step = 0
    while not os.path.exists("stop"):
        step += 1
        open(f"new.{os.getpid()}", "w").write(str(step))
        os.rename(f"new.{os.getpid()}", "count")
        time.sleep(0.002)
    os._exit(0)
while True:
    pid, status = os.waitpid(child, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        break
    seen.append("STOPPED")
print(*seen, flush=True)
"""
SLEEPER = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(0.01)\n"


def is_traced(pid):
    try:
        return "\nState:\tt" in pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


class HoldTest(WorldTest):
    nodes = 2
    config = "[balance]\nround_seconds = 0.25\nsuspect_seconds = 60\nanswer_seconds = 3\npolicy = \"none\"\n"

    def mark(self):
        return f"mark-{self.directory.name}"

    def count(self):
        try:
            return int((self.directory / "count").read_text())
        except (OSError, ValueError):
            return 0

    def counter(self, *options):
        number = self.submit(PYTHON, "-c", COUNTER, self.mark(), options=options)
        wait_for(lambda: self.count() > 0, "the job to count")
        return number

    def refused(self, text, *command):
        result = self.drover(*command)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn(text, result.stderr.decode())

    def test_stands_still_and_notices_nothing(self):
        number = self.counter("--node", "node0")
        self.refused(f"job {number} is not held", "release", number)
        self.drover("hold", number, "--reason", "wrong input", check=0)
        pids = host_pids(self.mark())
        self.assertEqual([is_traced(pid) for pid in pids], [True, True])
        before = self.count()
        job = self.job(number)
        self.assertEqual((job["state"], job["hold_reason"]), ("held", "wrong input"))
        self.assertEqual(job["why"], f"held (wrong input): drover release {number} lets it go on")
        self.assertIn(job["why"], self.drover("ps", check=0).stdout.decode())
        self.assertRegex(self.drover("show", number, check=0).stdout.decode(), r"why there +held \(wrong input\):")
        self.refused(f"job {number} is held already", "hold", number)
        self.refused(f"it is held; drover release {number} first", "migrate", number, "node1")
        drained = self.drover("drain", "node0", check=1)
        self.assertIn(f"it is held; drover release {number} first", drained.stdout.decode())
        self.drover("undrain", "node0", check=0)
        self.drover("kill", "-s", "TERM", number, check=0)
        self.drover("kill", "-s", "USR1", number, check=0)
        self.assertEqual(self.count(), before)
        self.drover("release", "--state", "held", check=0)
        self.assertEqual((self.job(number)["state"], self.job(number)["hold_reason"]), ("running", ""))
        wait_for(lambda: self.count() > before, "the job to go on")
        # Again, and after a move, whose worker may still be there.
        self.drover("hold", "all", check=0)
        self.drover("hold", "all", check=0)
        self.drover("release", number, check=0)
        self.drover("migrate", number, "node1", check=0)
        self.drover("hold", number, check=0)
        self.assertEqual(self.job(number)["state"], "held")
        self.drover("release", "all", check=0)
        (self.directory / "stop").touch()
        self.drover("wait", number, check=0)
        self.assertEqual(set(self.log_of(number).split()), {"SIGTERM", "SIGUSR1"})
        told = [event["event"] for event in self.events() if event["event"] in ("held", "released")]
        self.assertEqual(told, ["held", "released"] * 3)
        self.assertEqual([event["reason"] for event in self.events("held")], ["wrong input", "", ""])
        self.refused(f"job {number} has ended already", "hold", number)
        self.refused("no such job", "hold", "99-100")
        self.assertEqual(self.drover("hold").returncode, 2)

    def test_ends(self):
        """By SIGKILL, from outside, and by Ctrl-C at its launcher."""
        held_s = {}
        for end in ("drover", "outside", "tracer and job"):
            number = self.counter("--no-namespace") if end == "drover" else self.counter()
            self.drover("hold", number, check=0)
            pids = host_pids(self.mark())
            if end == "drover":
                self.drover("kill", "-s", "KILL", number, check=0)
            elif end == "outside":
                os.kill(min(pids), signal.SIGKILL)
            else:
                self.drover("down", "--kill-jobs", check=0)
                self.up()
            job = self.wait_state(number, "ended")
            self.assertEqual(job["signal"], signal.SIGKILL, end)
            wait_for(lambda: not any(map(is_traced, pids)), "all of it to be gone")
            (self.directory / "count").unlink()
            held_s[number] = job["held_s"]
        wait_for(lambda: time.time_ns() > job["ended_ns"] + 2_000_000_000, "more than a second")
        self.assertEqual({number: self.job(number)["held_s"] for number in held_s}, held_s)  # of two of them by the new world
        run = self.popen("run", "--name", "sleeper", "--", PYTHON, "-c", SLEEPER, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(run.stdout.readline(), b"ready\n")
        number = next(job["job"] for job in self.json("ps"))
        self.drover("hold", "--name", "sleeper", check=0)
        self.assertIsNone(run.poll())
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=90)
        self.assertEqual(run.returncode, 130)
        self.assertEqual(self.job(number)["signal"], signal.SIGINT)

    def test_new_world_and_lost_tracer(self):
        number = self.counter("--node", "node1")
        self.drover("hold", number, check=0)
        generation = self.json("status")["generation"]
        os.kill(self.mpirun_pid(), signal.SIGKILL)
        self.wait_new_world(generation)
        wait_for(lambda: (self.job(number) or {}).get("error") == "", "its shepherd to be found")
        self.assertEqual(self.job(number)["state"], "held")
        before = self.count()
        self.drover("release", number, check=0)
        wait_for(lambda: self.count() > before, "the job to go on")
        self.drover("hold", number, check=0)
        before = self.count()
        tracer = tracer_of(host_pids(self.mark())[0])
        self.assertEqual(command_name(tracer), "drover-hold")
        os.kill(tracer, signal.SIGKILL)
        self.wait_state(number, "running")
        wait_for(lambda: self.count() > before, "the job to go on by itself")
        self.assertEqual(self.events("released")[-1]["reason"], "what held it has ended")
        (self.directory / "stop").touch()
        self.drover("wait", number, check=0)

    def test_during_a_move(self):
        number = self.counter("--node", "node0")
        self.arm("node1", "destination.restore", "delay=1500")
        move = self.popen("migrate", number, "node1", stdout=subprocess.DEVNULL)
        self.wait_state(number, "moving")
        self.drover("hold", number, check=0)
        self.assertEqual(move.wait(timeout=90), 0)
        job = self.job(number)
        self.assertEqual((job["state"], job["node"]), ("held", "node1"))
        # Its time limit waits with it, and the signal that it sends ends the job in the end.
        (self.directory / "count").unlink()
        short = self.submit(PYTHON, "-c", SLEEPER, options=("--time-limit", "2"))
        self.drover("hold", short, check=0)
        started = self.job(short)["started_ns"]
        wait_for(lambda: time.time_ns() > started + 4_000_000_000, "more than its time")
        self.assertEqual(self.job(short)["state"], "held")
        self.drover("release", short, check=0)
        self.assertIn("time limit", self.wait_state(short, "ended")["error"])
        self.drover("kill", "-s", "KILL", number, check=0)


class WaitingTest(WorldTest):
    nodes = 1
    config = "[balance]\nround_seconds = 0.25\nsuspect_seconds = 60\njobs_per_pu = 0.001\npolicy = \"none\"\n"  # one at a time

    def test_waits_until_released(self):
        running = self.submit(PYTHON, "-c", SLEEPER)
        held = self.submit("echo", "first", options=("--hold", "--priority", "9"))
        self.assertEqual(self.job(held)["why"], f"held: drover release {held} lets it start")
        second = self.submit("echo", "second")
        self.assertEqual(self.job(second)["state"], "queued")
        self.drover("hold", second, "--reason", "first the other", check=0)
        # One that stands still leaves its PUs to others.
        self.drover("hold", running, check=0)
        third = self.submit("echo", "third")
        self.drover("wait", third, check=0)
        self.assertEqual([self.job(job)["state"] for job in (held, second, running)], ["held"] * 3)
        cancelled = self.submit("true", options=("--hold",))
        self.drover("kill", cancelled, check=0)
        self.assertEqual(self.wait_state(cancelled, "failed")["code"], "cancelled")
        self.drover("down", "--leave-jobs", check=0)
        self.up()
        wait_for(lambda: (self.job(running) or {}).get("error") == "", "its shepherd to be found")
        self.assertEqual(self.job(cancelled)["code"], "cancelled")
        self.assertEqual(self.job(second)["why"], f"held (first the other): drover release {second} lets it start")
        self.assertEqual([self.job(job)["state"] for job in (held, second, running)], ["held"] * 3)
        self.drover("release", held, second, check=0)
        self.drover("wait", held, second, check=0)
        self.assertEqual(self.log_of(held) + self.log_of(second), "first\nsecond\n")
        self.drover("kill", "-s", "KILL", running, check=0)
        self.assertEqual(self.wait_state(running, "ended")["signal"], signal.SIGKILL)

    def test_array(self):
        array = self.submit("echo", "task", options=("--array", "1-3", "--hold"))
        self.assertEqual(self.job(array)["state"], "held")
        self.drover("release", array, check=0)
        self.drover("wait", array, check=0)
        array = self.submit(PYTHON, "-c", "import os, time\nwhile not os.path.exists('stop'): time.sleep(0.01)\n",
                            options=("--array", "1-20"))
        task = wait_for(lambda: next((job for job in self.json("ps") if job["array"] == array and job["state"] == "running"), None),
                        "a task to run")
        self.drover("hold", array, "--reason", "too many", check=0)
        wait_for(lambda: {(job["state"], job["hold_reason"]) for job in self.json("ps")} == {("held", "too many")}, "all to be held")
        self.assertEqual(self.job(task["job"])["state"], "held")
        (self.directory / "stop").touch()
        self.drover("release", array, check=0)
        self.drover("wait", array, check=0)


if __name__ == "__main__":
    unittest.main()
