"""--retries: jobs that fail, or whose node is lost, are started anew, and never more than one attempt of a job counts."""
import contextlib
import os
import pathlib
import signal
import subprocess
import time
import unittest

from world import PYTHON, WorldTest, children, command_name, wait_for

FIRST_OF_SECOND = 100_000_001  # epoch (docs/migration.md)
TICKS = """import os, sys, time
attempt, trace, go = os.environ["DROVER_ATTEMPT"], sys.argv[1], sys.argv[2]
print("begin", attempt, flush=True)
while not os.path.exists(go):
    with open(trace, "a") as file:
        file.write(attempt + "\\n")
    time.sleep(0.05)
print("end", attempt)
"""


class RetryTest(WorldTest):
    config = WorldTest.config + "lost_seconds = 1\n"

    def ended(self, number):
        return self.wait_state(number, "ended", "failed", "lost")

    def assert_ended(self, number, exit_code, attempt):
        job = self.ended(number)
        self.assertEqual((job["state"], job["exit"], job["attempt"]), ("ended", exit_code, attempt), job)
        return job

    def of(self, event, number):
        return [one for one in self.events(event) if one["job"] == number]

    @contextlib.contextmanager
    def no_world(self):
        """Between the end of a world and the next."""
        generation = self.json("status")["generation"]
        ranks = [self.droverd_pid(node) for node in ("node0", "node1")]
        supervisor = int((self.runtime / "up.pid").read_text().split()[0])
        mpirun, = [pid for pid in children(supervisor) if command_name(pid) == "mpirun"]
        os.kill(supervisor, signal.SIGSTOP)
        try:
            os.kill(mpirun, signal.SIGKILL)
            wait_for(lambda: not any(command_name(pid) for pid in ranks), "the ranks to end")
            yield
        finally:
            os.kill(supervisor, signal.SIGCONT)
        self.wait_new_world(generation)

    def init_of(self, go):
        """The shepherd of the job that has this argument."""
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if str(go).encode() in path.read_bytes().split(b"\0"):
                    status = (path.parent / "status").read_text().split("\n")
                    parent = next(int(line.split()[1]) for line in status if line.startswith("PPid:"))
                    if command_name(parent) == "drover-shepherd":
                        return parent
        self.fail(f"no shepherd has a job with {go}")

    def test_failures(self):
        data = self.directory / "data"
        data.write_text("input\n")
        sh = lambda script, *options: self.submit("sh", "-c", script, options=options)
        third = sh("echo attempt $DROVER_ATTEMPT; [ $DROVER_ATTEMPT = 3 ]", "--retries", 5)
        used_up = sh("cat; echo err >&2; exit 7", "--retries", 1, "-i", data, "-O", self.directory / "out", "-e", self.directory / "out")
        after = sh("true", "--after", f"{used_up}:any")
        array = int(self.drover("submit", "--array", "1-2", "--retries", "1", "--", "sh", "-c", "[ $DROVER_ATTEMPT = 2 ] || kill -SEGV $$",
                                check=0).stdout)
        killed = self.submit("sleep", "1000", options=("--retries", "5"))
        limited = self.submit("sleep", "1000", options=("--retries", "5", "--time-limit", "1"))
        waits = sh("exit 1", "--retries", 500)
        no_program = self.drover("submit", "--retries", "3", "--", "/no/such/program")
        self.assertIn("no such program", no_program.stderr.decode())

        ran = self.popen("run", "--retries", "2", "--", "sh", "-c", "echo out $DROVER_ATTEMPT; exit $((3 - DROVER_ATTEMPT))",
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        piped = self.drover("run", "--retries", "2", "--", "sh", "-c", "cat; exit 3", stdin=b"typed\n", check=3)
        self.assertEqual(piped.stdout, b"typed\n")
        self.assertIn("input can't be read again", piped.stderr.decode())
        out, err = ran.communicate(timeout=180)
        self.assertEqual((ran.returncode, out), (0, b"out 1\nout 2\nout 3\n"), err)
        self.assertIn("attempt 2 of 3 begins in 1 s, after exit code 2", err.decode())

        self.wait_state(killed, "running")
        self.drover("kill", killed, check=0)
        self.assert_ended(killed, 128 + signal.SIGTERM, 1)
        wait_for(lambda: len(self.of("retrying", waits)) > 1, "another attempt")
        self.drover("kill", waits)
        self.assertIn(self.ended(waits)["state"], ("failed", "ended"))
        self.assertEqual(self.drover("wait", used_up).returncode, 7)
        job = self.assert_ended(used_up, 7, 2)
        self.assertEqual((job["attempts"], job["last_failure"]), (2, "exit code 7"))
        self.assertEqual(sorted((self.directory / "out").read_text().split()), ["err", "err", "input", "input"])
        self.assert_ended(after, 0, 1)
        self.assertGreater(self.of("starting", after)[0]["time_ns"], self.of("ended", used_up)[0]["time_ns"])
        self.assert_ended(third, 0, 3)
        self.assertEqual(self.log_of(third), "attempt 1\nattempt 2\nattempt 3\n")
        self.assertEqual([(e["attempt"], e["attempts"], e["pause_s"], e["why"]) for e in self.of("retrying", third)],
                         [(2, 6, 1, "exit code 1"), (3, 6, 2, "exit code 1")])
        self.assertRegex(self.drover("show", third, check=0).stdout.decode(), "attempt +3 of 6, after exit code 1")
        self.assertIn("attempt 3 of 6", self.drover("history", third, check=0).stdout.decode())
        self.assert_ended(limited, 128 + signal.SIGTERM, 1)
        self.assertEqual(self.ended(array)["tasks"]["succeeded"], 2)
        self.assertEqual(self.drover("wait", array).returncode, 0)

    def start_ticking(self, *options):
        """A job, with its trace and the file whose being there ends it."""
        trace, go = (self.directory / f"{name}{len(list(self.directory.iterdir()))}" for name in ("trace", "go"))
        number = self.submit(PYTHON, "-c", TICKS, trace, go, options=("--retries", "1", *options))
        wait_for(trace.exists, "the job to get going")
        return number, trace, go

    def assert_only_second(self, number, trace):
        """The first attempt is ended, with its shepherd, and the second goes on alone."""
        wait_for(lambda: self.of("outdated", number), f"attempt 1 of job {number} to be ended")
        wait_for(lambda: all(int(path.suffix[1:]) >= FIRST_OF_SECOND for path in self.runtime.glob(f"*/job-{number}.*")), "its shepherd to go")
        steps = lambda: trace.read_text().split("\n")
        first = steps().count("1")
        second = steps().count("2")
        wait_for(lambda: steps().count("2") > second + 5, "the second attempt to go on")
        self.assertEqual(steps().count("1"), first)

    def finish(self, number, go):
        go.touch()
        job = self.assert_ended(number, 0, 2)
        self.assertEqual(self.log_of(number), "begin 1\nbegin 2\nend 2\n")
        return job

    def test_lost_nodes_that_come_back(self):
        elsewhere = self.start_ticking()
        stays = self.start_ticking("--node", "node1")
        imaged = self.start_ticking("--checkpoint-every", "1")
        self.drover("migrate", elsewhere[0], "node1", check=0)
        self.drover("migrate", imaged[0], "node1", check=0)
        wait_for(lambda: self.of("checkpoint", imaged[0]), "an image")
        stopped = self.droverd_pid("node1")
        os.kill(stopped, signal.SIGSTOP)
        try:
            wait_for(lambda: len(self.of("started", elsewhere[0])) == 2, "its second attempt")
            job = self.wait_state(elsewhere[0], "running")
            self.assertNotEqual(job["node"], "node1")
            self.assertEqual((job["attempt"], job["last_failure"]), (2, "node1 did not answer any more"))
            wait_for(lambda: "2" in elsewhere[1].read_text(), "the second attempt to get going")
            wait_for(lambda: "node1 does not take jobs" in self.job(stays[0])["why"], "the other one to wait for its node")
            self.assertIn("attempt 2 of 2", self.drover("ps", check=0).stdout.decode())
            wait_for(lambda: len(self.of("started", imaged[0])) == 2, "the one with an image to go on from it")
        finally:
            os.kill(stopped, signal.SIGCONT)
        for number, trace, go in elsewhere, stays:
            self.assert_only_second(number, trace)
            self.finish(number, go)
        self.assertEqual(self.job(stays[0])["node"], "node1")
        imaged[2].touch()
        self.assert_ended(imaged[0], 0, 2)
        self.assertEqual(self.log_of(imaged[0]), "begin 1\nend 1\n")  # its program has begun once
        self.assertEqual(self.of("retrying", imaged[0])[0]["image"], str(self.state / "jobs" / str(imaged[0]) / "checkpoint"))

    def test_lost_droverd_and_new_worlds(self):
        elsewhere = self.start_ticking()
        stays = self.start_ticking("--node", "node2")
        gone = self.start_ticking("--node", "node0")
        late = self.submit("sh", "-c", "echo $DROVER_ATTEMPT; [ $DROVER_ATTEMPT = 4 ]", options=("--retries", "9"))
        go, both = self.directory / "both-go", self.directory / "both"
        one_file = self.submit("sh", "-c", f"echo out1; echo err1 >&2; until [ -e {go} ]; do sleep 0.05; done; echo out2; echo err2 >&2",
                               options=("-O", both, "-e", both))
        self.drover("migrate", elsewhere[0], "node2")
        os.kill(self.droverd_pid("node2"), signal.SIGKILL)  # its shepherds and jobs live on
        wait_for(lambda: "2" in elsewhere[1].read_text(), "a second attempt elsewhere")
        wait_for(lambda: self.of("retrying", stays[0]), "the other one to be given up")
        wait_for(lambda: len(self.of("retrying", late)) == 3, "the pause before the last attempt")
        # Of this one nothing is left in the new world.
        with self.no_world():
            os.kill(self.init_of(gone[2]), signal.SIGKILL)
        go.touch()
        self.assertEqual(self.ended(one_file)["exit"], 0)
        self.assertEqual(sorted(both.read_text().split()), ["err1", "err2", "out1", "out2"])
        for number, trace, go in elsewhere, stays:
            self.assert_only_second(number, trace)
            self.finish(number, go)
        self.assertEqual(self.job(stays[0])["node"], "node2")
        self.assert_ended(late, 0, 4)
        self.assertEqual(self.log_of(late), "1\n2\n3\n4\n")
        wait_for(lambda: "2" in gone[1].read_text(), "what the new world has not found to be started anew")
        self.finish(gone[0], gone[2])
        self.assertEqual(self.job(gone[0])["last_failure"], "no node has it any more")

    def checkpoints(self, number):
        return [event for event in self.of("checkpoint", number) if event["ok"]]

    def test_which_image(self):
        """One that lost its place goes on from the newest, with no gap in its output; after a failure of its own nobody does from one of before."""
        trace, go = self.directory / "fails-trace", self.directory / "fails-go"
        script = TICKS.replace("os.path.exists(go)", "(attempt == '1' and os.path.exists(go + '1'))").replace('print("end", attempt)', "sys.exit(1)")
        fails = self.submit(PYTHON, "-c", script, trace, go, options=("--retries", "2", "--checkpoint-every", "1000"))
        wait_for(trace.exists, "the job to get going")
        self.drover("checkpoint", fails, check=0)
        pathlib.Path(f"{go}1").touch()
        wait_for(lambda: "2" in trace.read_text(), "its second attempt")
        os.kill(self.init_of(go), signal.SIGKILL)
        wait_for(lambda: "3" in trace.read_text(), "its third attempt to begin anew")
        self.assertEqual([(event["image"], event["why"]) for event in self.of("retrying", fails)],
                         [("", "exit code 1"), ("", "its shepherd died")])
        self.drover("kill", "-s", "KILL", fails, check=0)
        self.ended(fails)

        # Its pipe is full, and nobody reads it: what was in it must come once, from the image or from before.
        last = str(190_000 + os.getpid() % 10_000)  # found by it: another test's would be, too
        run = self.popen("run", "--retries", "1", "--", "seq", last, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
        number = wait_for(lambda: next((job["job"] for job in self.json("ps") if job["state"] == "running"), 0), "the job to run")
        self.wait_blocked(children(self.init_of(last))[0])
        self.drover("checkpoint", number, check=0)
        os.kill(self.init_of(last), signal.SIGKILL)
        out, err = run.communicate(timeout=180)
        self.assertEqual(run.returncode, 0, err)
        self.assertEqual(self.of("retrying", number)[0]["image"], str(self.state / "jobs" / str(number) / "checkpoint"))
        self.assertEqual(out.decode(), "".join(f"{n}\n" for n in range(1, int(last) + 1)))

    def test_silent_node_of_a_new_world(self):
        """A node that is excluded soon after a new world has begun, and has told of its job before: nobody takes that for lost."""
        number = self.submit("sleep", "1000", options=("--node", "node1"))
        with self.no_world():
            pass
        wait_for(lambda: (self.job(number) or {}).get("error") == "", "its shepherd to be found")
        begin_ns = self.events("up")[-1]["time_ns"]
        stopped = self.droverd_pid("node1")
        os.kill(stopped, signal.SIGSTOP)
        try:
            wait_for(lambda: self.job(number)["error"] == "node1 does not answer", "it to be excluded")
            self.assertLess(time.time_ns(), begin_ns + 20_000_000_000, "too late to show anything")
            wait_for(lambda: time.time_ns() > begin_ns + 22_000_000_000, "the time in which a shepherd has to tell of itself")
            self.assertEqual(self.job(number)["state"], "running")
        finally:
            os.kill(stopped, signal.SIGCONT)
        wait_for(lambda: self.job(number)["error"] == "", "the node to return")
        self.drover("kill", number, check=0)
        self.assertEqual(self.wait_state(number, "ended")["signal"], signal.SIGTERM)


if __name__ == "__main__":
    unittest.main()
