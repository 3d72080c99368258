"""Which jobs a command is for, and what is shown of them, against a fake droverd."""
import json
import re
import shutil
import time
import unittest

from cluster import ClusterTest, wait_for


class Jobs(ClusterTest):
    def setUp(self):
        super().setUp()
        self.start_fake()

    def submit(self, *arguments):
        return int(self.drover("submit", *arguments, check=0).stdout)

    def ended(self, *arguments, code=0):
        job = self.submit(*arguments)
        self.drover("wait", job, check=code)
        return job

    def tell(self, job, **facts):
        (self.state / "jobs" / str(job) / "told").write_text(json.dumps(facts))

    def quiet(self, *arguments):
        """The ids, or names, that a command prints with --output quiet."""
        return self.drover(*arguments, "-o", "quiet", check=0).stdout.decode().split()

    def operations(self):
        """What droverd was asked since the last call."""
        path = self.state / "requests"
        asked = path.read_text().split()
        path.write_text("")
        return asked

    def exit_status(self, job):
        path = self.state / "jobs" / str(job) / "exit"
        return wait_for(lambda: path.exists() and path.read_text(), "the job's end")

    def some_jobs(self):
        """1 ended, 2 and 4 run, 3 failed and 5 is moving; 5 is of another node."""
        self.ended("--name", "make-a", "true")
        for name in ("make-b", "xz", "make-c", "sort"):
            self.submit("--name", name, "sleep", "60")
        self.tell(3, state="failed", error="its program is gone")
        self.tell(5, state="moving", origin="node1")

    def test_ps_shows_the_jobs_selected(self):
        self.some_jobs()
        for words, ids in ((["ps"], "2 4 5"), (["ps", "-a"], "1 2 3 4 5"), (["ps", "all"], "2 4 5"), (["ps", "last"], "4"),
                           (["ps", "5,1"], "1 5"), (["ps", "2-4", "1"], "1 2 3 4"), (["ps", "--name", "make-*"], "2 4"),
                           (["ps", "-a", "--name", "make-[ab]"], "1 2"), (["ps", "--state", "failed,ended"], "1 3"),
                           (["ps", "--state", "failed", "--state", "moving"], "3 5"), (["ps", "--state", "moving", "4-5"], "5"),
                           (["ps", "last", "--name", "xz"], "")):
            self.assertEqual(self.quiet(*words), ids.split(), words)
        self.assert_error(self.drover("ps", "1", "99"), 1, "job 99: no such job", "ps --all")
        self.assert_error(self.drover("ps", "1", "70-80"), 1, "jobs 70-80: no such job", "ps --all")
        self.assertEqual([job["job"] for job in json.loads(self.drover("ps", "last", "1", "-o", "json", check=0).stdout)], [1, 4])

    def test_last_needs_a_job(self):
        for command in ("ps", "wait", "kill", "logs", "show", "history"):
            self.assert_error(self.drover(command, "last"), 1, "last: no job was submitted at node0")

    def test_numbers_are_not_asked_for(self):
        job, other = self.submit("sleep", "60"), self.submit("sleep", "60")
        self.operations()
        self.drover("kill", f"{job},{other}", check=0)
        self.assertEqual(self.operations(), ["kill", "kill"])
        self.drover("wait", job, other, check=143)
        self.drover("logs", job, check=0)
        self.assertEqual(self.operations(), ["wait", "logs"])
        self.drover("wait", f"{job}-{other}", check=143)
        self.assertEqual(self.operations(), ["ps", "wait"])

    def test_wait_for_jobs_selected(self):
        job, other = self.submit("sh", "-c", "exit 3"), self.submit("--name", "slow", "sh", "-c", "sleep 0.3; exit 4")
        self.drover("wait", "--name", "slow", check=4)
        self.drover("wait", "last", check=4)
        self.drover("wait", f"{job}-{other}", check=4)
        self.drover("wait", other, job, other, job, check=3)
        self.assertEqual(self.drover("wait", "-o", "quiet", f"{other},{job}").stdout.split(), [b"%d" % other, b"%d" % job])
        self.drover("wait", "all", check=0)
        self.drover("wait", check=0)
        self.assertEqual(json.loads(self.drover("wait", "-o", "json", check=0).stdout), [])

    def test_kill_goes_on_after_a_job_that_can_not_be_killed(self):
        over, job = self.ended("true"), self.submit("sleep", "60")
        result = self.drover("kill", 99, over, job)
        self.assertEqual((result.returncode, result.stderr.decode().count("drover: job ")), (1, 2), result.stderr)
        self.assertIn(f"job {over} has ended already", result.stderr.decode())
        self.assertEqual(self.exit_status(job), "143")

    def test_kill_by_name_and_all(self):
        job, other = self.submit("--name", "make-a", "sleep", "60"), self.submit("sleep", "60")
        self.drover("kill", "--name", "make-*", check=0)
        self.assertEqual(self.exit_status(job), "143")
        self.assertEqual(self.quiet("ps"), [str(other)])
        self.assert_error(self.drover("kill", "--name", "make-*"), 1, "--name 'make-*': no such job")
        self.drover("kill", "-s", "INT", "all", check=0)
        self.assertEqual(self.exit_status(other), "130")
        self.drover("kill", "all", check=0)

    def test_logs_of_one_job(self):
        job, other = self.ended("sh", "-c", "echo a"), self.ended("--name", "b", "sh", "-c", "echo b")
        self.assertEqual(self.drover("logs", "last", check=0).stdout, b"b\n")
        self.assertEqual(self.drover("logs", "--name", "sh", check=0).stdout, b"a\n")
        self.assert_error(self.drover("logs", f"{job}-{other}"), 2, f"2 jobs ({job}, {other})", "give one")
        self.assert_error(self.drover("logs", "--name", "nothing"), 1, "--name nothing: no such job")

    def test_quiet(self):
        self.assertEqual(self.quiet("nodes"), ["node0", "far0", "far1"])
        self.assertEqual(self.quiet("nodes", "--groups"), ["0", "1"])
        self.assertEqual(self.quiet("submit", "true"), ["1"])

    def test_show(self):
        job = self.ended("--name", "greet", "sh", "-c", "echo $HOME; kill $$", code=143)
        second = 1_700_000_000 * 10**9
        self.tell(job, submitted_ns=second, started_ns=second + 10**9, ended_ns=second + 91 * 10**9, pid=4242, epoch=3, moves=2,
                  frozen_ms=12.5, cpu_seconds=30.5, memory_kib=2048, pinned="uses a terminal", why="placed: node1 was BUSY")
        events = [{"time_ns": second + 5 * 10**8, "node": "node1", "event": "ended", "job": job, "place": "node0"},
                  {"time_ns": second, "node": "node0", "event": "submitted", "job": job, "spec": {"env": ["SECRET=1"]}},
                  {"time_ns": second, "node": "node0", "event": "started", "job": 77}]
        (self.state / "events").write_text("".join(json.dumps(event) + "\n" for event in events))
        text = self.drover("show", job, check=0, env={"TZ": "UTC"}).stdout.decode()
        for name, value in {"job": job, "name": "greet", "state": "ended by signal 15 (TERM)", "command": "sh -c 'echo $HOME; kill $$'",
                            "origin": "node0", "node": "node0", "why there": "placed: node1 was BUSY", "pinned": "uses a terminal",
                            "submitted": "2023-11-14 22:13:20", "started": "2023-11-14 22:13:21", "ended": "2023-11-14 22:14:51",
                            "time run": "90.0 s", "cpu": "30.5 s", "memory": "2.0 MiB at most", "moves": "2, frozen 12.5 ms in all",
                            "epoch": 3, "pid": 4242}.items():
            self.assertRegex(text, rf"(?m)^{name} +{re.escape(str(value))}$")
        rows = [line.split() for line in text[text.index("TIME "):].splitlines()]
        self.assertEqual([row[3] for row in rows[1:]], ["started", "submitted", "ended"])
        self.assertEqual(rows[3], ["2023-11-14", "22:13:20.500", "node1", "ended", 'place="node0"'])
        self.assertNotIn("SECRET", text)
        shown = json.loads(self.drover("show", "last", "-o", "json", check=0).stdout)
        self.assertEqual([event["event"] for event in shown[0]["history"]], ["started", "submitted", "ended"])
        self.assertEqual((shown[0]["pid"], shown[0]["history"][1]["spec"]), (4242, {"env": ["SECRET=1"]}))
        self.assert_error(self.drover("show", 99), 1, "job 99: no such job")
        self.assert_error(self.drover("show", "--state", "lost"), 1, "--state lost: no such job")

    def test_show_of_jobs_that_run_or_failed(self):
        job, failed = self.submit("sleep", "60"), self.ended("true")
        self.tell(failed, state="failed", exit=None, error="no node took it", started_ns=0)
        text = self.drover("show", "1-2", check=0).stdout.decode()
        for line in ("state +running", "ended +-", "pinned +no", "state +failed", "error +no node took it", "started +-"):
            self.assertRegex(text, rf"(?m)^{line}$")
        self.assertEqual(self.quiet("show", failed, job), [str(failed), str(job)])

    def test_history(self):
        second = 1_700_000_000 * 10**9
        for number, name in enumerate(("one", "two", "three", "four")):
            job = self.ended("--name", name, "sh", "-c", f"exit {number}", code=number)
            self.tell(job, started_ns=second, ended_ns=second + (4 - number) * 3600 * 10**9, moves=number, frozen_ms=2.5,
                      cpu_seconds=1.5, memory_kib=4096, node="node9")
        running = self.submit("sleep", "60")
        utc = {"TZ": "UTC"}
        rows = [line.split() for line in self.drover("history", check=0, env=utc).stdout.decode().splitlines()]
        self.assertEqual([row[0] for row in rows], ["JOB", "4", "3", "2", "1"])
        self.assertEqual(rows[1], "4 exit 3 node0 node9 2023-11-14 22:13:20 2023-11-14 23:13:20 1:00:00 1.5 s 4.0 MiB 3 2.5 ms four sh -c".split()
                         + ["'exit", "3'"])
        self.assertEqual(self.quiet("history", "--limit", 2), ["2", "1"])
        self.assertEqual(self.quiet("history", "--name", "t*"), ["3", "2"])
        self.assertEqual(self.quiet("history", f"2-{running}"), ["4", "3", "2"])
        since = lambda text: self.drover("history", "-o", "quiet", "--since", text, check=0, env=utc).stdout.decode().split()
        self.assertEqual(since("2023-11-15"), ["3", "2", "1"])
        self.assertEqual(since("2023-11-15 01:13:20"), ["2", "1"])
        self.assertEqual(since("2h"), [])
        self.tell(1, ended_ns=int((time.time() - 3600) * 1e9))
        self.assertEqual((since("2h"), since("30m")), (["1"], []))
        lines = self.drover("history", "-o", "json", check=0).stdout.splitlines()
        self.assertEqual([json.loads(line)["job"] for line in lines], [4, 3, 2, 1])
        self.assert_error(self.drover("history", running), 1, str(running), "no such job has ended")

    def test_history_shows_fifty(self):
        job = self.ended("true")
        for number in range(job + 1, 61):
            shutil.copytree(self.state / "jobs" / str(job), self.state / "jobs" / str(number))
        self.assertEqual(len(self.quiet("history")), 50)
        self.assertEqual(len(self.quiet("history", "--limit", 0)), 60)


class JobsThatEndMeanwhile(ClusterTest):
    def test_kill_all_takes_no_offence(self):
        self.start_fake(FAKE_DROVERD_LATE="1")
        job = int(self.drover("submit", "true", check=0).stdout)
        self.drover("wait", job, check=0)
        self.drover("kill", "all", check=0)
        self.assertEqual((self.state / "requests").read_text().split()[-2:], ["ps", "kill"])
        self.assert_error(self.drover("kill", "1-9"), 1, f"job {job} has ended already")


if __name__ == "__main__":
    unittest.main()
