"""Jobs wait at their origin until a node has the PUs that they need: in which order they start, and what is said meanwhile."""
import json
import os
import signal
import subprocess
import unittest

from terminals import Terminal
from world import DEADLINE, USER, WorldTest, wait_for


class Queue(WorldTest):
    nodes = 2
    config = "[balance]\nround_seconds = 0.25\nsuspect_seconds = 60\njobs_per_pu = 2\nmigrate = false\n"

    def up(self):
        super().up()
        self.slots = wait_for(self.known_slots, "all nodes to have told what they have")

    def known_slots(self):
        nodes = self.json("nodes")
        return {node["node"]: node["slots"] for node in nodes} if all(node["slots"] for node in nodes) else None

    def fill(self):
        """One job on each node that takes all of its PUs."""
        return [self.submit("sleep", "1000", options=["--node", node, "--cpus", slots]) for node, slots in self.slots.items()]

    def waiting(self, number, text):
        def reached():
            job = self.job(number)
            return job if job["state"] == "queued" and text in job["why"] else None
        return wait_for(reached, f"job {number} to wait with '{text}'; it is {self.job(number)}")

    def end(self, *numbers):
        self.drover("kill", *numbers, check=0)

    def test_waits_for_a_pu_and_starts_by_priority(self):
        first, second = self.fill()
        low, high = self.submit("sleep", "1000"), self.submit("sleep", "1000", options=["--priority", "5"])
        for job in low, high:
            self.waiting(job, "no PU is free" if job == high else "")
        self.assertIn("waits", self.drover("ps", check=0).stdout.decode())
        self.end(first)
        wait_for(lambda: self.job(high)["state"] == "running" and self.job(low)["state"] == "running", "both to run where there is room")
        begun = {event["job"]: event["time_ns"] for event in self.events("starting")}
        self.assertLess(begun[high], begun[low])
        self.assertEqual(self.job(second)["state"], "running")
        self.assertEqual([event["job"] for event in self.events("queued")], [low, high])

    def test_a_big_one_waits_for_as_many_as_it_needs(self):
        node, slots = next(iter(self.slots.items()))
        small = self.submit("sleep", "1000", options=["--node", node])
        big = self.submit("sleep", "1000", options=["--node", node, "-c", slots])
        self.waiting(big, f"needs {slots} PUs; {node} has {slots - 1} free")
        passes = self.submit("sleep", "1000", options=["--node", node])  # there is room for it
        self.wait_state(passes, "running")
        self.end(small, passes)
        self.wait_state(big, "running")

    def test_what_can_never_start_is_refused(self):
        most = max(self.slots.values())
        result = self.drover("submit", "--cpus", most + 1, "--", "true", check=1)
        self.assertIn(f"needs {most + 1} PUs", result.stderr.decode())
        self.assertIn("--cpus", result.stderr.decode())
        everywhere = [option for node in self.slots for option in ("--exclude-node", node)]
        self.assertIn("--exclude-node", self.drover("submit", *everywhere, "--", "true", check=1).stderr.decode())
        self.assertIn("no node 'nowhere'", self.drover("submit", "--exclude-node", "nowhere", "--", "true", check=1).stderr.decode())
        self.assertIn("--cpus", self.drover("submit", "--cpus", "0", "--", "true", check=2).stderr.decode())

    def test_excluded_nodes(self):
        job = self.submit("sleep", "1000", options=["--exclude-node", "node0"])
        self.assertEqual(self.wait_state(job, "running")["node"], "node1")
        other = self.submit("sleep", "1000", options=["--exclude-node", "node1"])
        self.assertEqual(self.wait_state(other, "running")["node"], "node0")
        # By hand they go where they are sent, several at a time.
        self.drover("migrate", "last", "node1", check=0)
        moved = json.loads(self.drover("migrate", f"{job},{other}", "node0", "-o", "json", check=0).stdout)
        self.assertEqual([(one["job"], one["to"], one["ok"]) for one in moved], [(job, "node0", True), (other, "node0", True)])
        self.drover("migrate", f"{job}-{other}", "node0", check=0)  # they are there

    def test_memory(self):
        job = self.submit("true", options=["--mem", "900T"])
        self.waiting(job, "of memory available")
        self.drover("wait", self.submit("true", options=["--mem", "1M"]), check=0)
        self.end(job)
        self.assertIn("cancelled", self.wait_state(job, "failed")["error"])

    def test_run_waits_and_can_be_cancelled(self):
        first, _ = self.fill()
        runs = [self.popen("run", "--", "sh", "-c", f"echo {i}", stdout=subprocess.PIPE, stderr=subprocess.PIPE) for i in range(2)]
        for run in runs:
            self.assertIn(b"waits: no PU is free", run.stderr.readline())
        runs[0].send_signal(signal.SIGINT)
        self.assertEqual(runs[0].wait(DEADLINE), 130)
        self.end(first)
        out, _ = runs[1].communicate(timeout=DEADLINE)
        self.assertEqual((runs[1].returncode, out), (0, b"1\n"))
        runs[0].stdout.close(), runs[0].stderr.close()

    @unittest.skipIf(USER, "takes 15 s, and is the same for all users")
    def test_a_launcher_that_dies_cancels_what_waits(self):
        self.fill()
        run = self.popen("run", "--", "true", stderr=subprocess.PIPE)
        line = run.stderr.readline().decode()
        job = int(line.split()[2])
        run.kill()
        run.communicate(timeout=DEADLINE)
        self.assertIn("cancelled", self.wait_state(job, "failed")["error"])

    def test_a_terminal_waits_as_others_do(self):
        first, second = self.fill()
        env = dict(self.env, TERM="xterm")
        shown = []
        for _ in range(2):
            shown.append(Terminal([*self.prefix, self.bin / "drover", "run", "-t", "--", "sh", "-c", "echo ready; read x; echo got $x"],
                                  env=env, cwd=self.directory))
            self.addCleanup(shown[-1].clean_up)
            shown[-1].wait("waits: no PU is free")
        kept = int(self.drover("run", "-t", "-d", "--", "sleep", "1000", check=0).stdout.split()[-1])
        refused = Terminal([*self.prefix, self.bin / "drover", "attach", str(kept)], env=env, cwd=self.directory)
        self.addCleanup(refused.clean_up)
        refused.wait(f"job {kept} has not started")
        shown[0].type("\x03")
        self.assertEqual(shown[0].wait_end(), 130)
        self.end(first, second)
        shown[1].wait("ready")
        shown[1].type("it\r")
        shown[1].wait("got it")
        self.assertEqual(shown[1].wait_end(), 0)
        self.wait_state(kept, "running")
        self.assertEqual(self.job(kept)["viewers"], 0)

    def test_waits_on_in_a_new_world(self):
        first, _ = self.fill()
        job = self.submit("sh", "-c", 'echo "$KEPT"', options=["--env", "KEPT=as it was"])
        self.waiting(job, "no PU is free")
        self.wait_through_a_new_world(job, first)
        self.assertEqual(self.log_of(job), "as it was\n")

    def wait_through_a_new_world(self, job, first):
        """`job` waits for room that `first` has, in an old world and a new one."""
        before = self.json("status")["generation"]
        os.kill(self.mpirun_pid(), signal.SIGKILL)
        self.wait_new_world(before)
        self.wait_state(first, "running")
        self.assertEqual(self.job(job)["state"], "queued")
        self.end(first)
        self.wait_state(job, "ended")

    def test_waits_at_a_drained_origin(self):
        self.drover("drain", "node0", "--no-wait", check=0)
        full = self.submit("sleep", "1000", options=["--node", "node1", "--cpus", self.slots["node1"]])
        job = self.submit("sleep", "1000")
        self.waiting(job, "no PU is free")
        self.end(full)
        self.assertEqual(self.wait_state(job, "running")["node"], "node1")

    def test_after_others(self):
        first = self.submit("sleep", "1000")
        ok = self.submit("true", options=["--after", first])
        fails = self.submit("true", options=["--after", f"{first}:ok"])
        whatever = self.submit("echo", "went on", options=["--after", f"{first}:any,{fails}:any"])
        chained = self.submit("true", options=["--after", fails])
        self.waiting(ok, f"for the end of job {first}")
        self.waiting(whatever, f"for the end of job {first} and 1 more")
        self.end(first)
        for job in ok, fails, chained:
            self.assertIn("which it has not", self.wait_state(job, "failed")["error"])
        self.wait_state(whatever, "ended")
        self.assertEqual(self.log_of(whatever), "went on\n")
        self.drover("wait", self.submit("true", options=["--after", whatever]), check=0)
        self.assertIn("no job 999", self.drover("submit", "--after", "999", "--", "true", check=1).stderr.decode())
        elsewhere = self.drover("--at", "node1", "submit", "--after", whatever, "--", "true", check=1).stderr.decode()
        self.assertIn("was submitted at node0", elsewhere)
        self.assertIn("--after 7:maybe", self.drover("submit", "--after", "7:maybe", "--", "true", check=2).stderr.decode())

    def test_after_others_in_a_new_world(self):
        first, _ = self.fill()
        job = self.submit("echo", "then", options=["--after", f"{first}:any", "--node", "node0"])
        self.waiting(job, f"for the end of job {first}")
        self.wait_through_a_new_world(job, first)
        self.assertEqual(self.log_of(job), "then\n")

    def test_lines(self):
        (self.directory / "lines").write_text("# two commands\necho one; echo two\n\n  exit 3\n")
        jobs = [int(line) for line in self.drover("submit", "--lines", "lines", check=0).stdout.split()]
        self.assertEqual(len(jobs), 2)
        self.drover("wait", *jobs)
        self.assertEqual(self.log_of(jobs[0]), "one\ntwo\n")
        self.assertEqual([self.job(job)["exit"] for job in jobs], [0, 3])
        self.assertEqual([self.job(job)["name"] for job in jobs], ["echo", "exit"])
        for text, words in ("", ["--lines", "lines", "--", "true"]), ("no command", ["--lines", "/dev/null"]), \
                ("No such file", ["--lines", "missing"]), ("%j", ["--lines", "lines", "-O", "out"]):
            self.assertIn(text, self.drover("submit", *words, check=2).stderr.decode())

    def test_more_than_there_is_room_for(self):
        jobs = [self.submit("true") for _ in range(20)]
        self.drover("wait", *jobs, check=0)
        self.assertTrue(all(self.job(job)["exit"] == 0 for job in jobs))
        most = self.json("nodes")
        wait_for(lambda: all(node["free_slots"] == node["slots"] for node in self.json("nodes")), f"all PUs to be free: {most}")
        replayed = self.drover("replay", self.state / "events" / "node0.jsonl", check=0).stdout.decode()
        self.assertNotIn("differ", replayed.replace("0 differ", ""))

    def test_down_with_waiting_jobs(self):
        self.fill()
        job = self.submit("true")
        self.waiting(job, "no PU is free")
        self.assertIn("3", self.drover("down", check=1).stderr.decode())
        self.drover("down", "--kill-jobs", check=0)


if __name__ == "__main__":
    unittest.main()
