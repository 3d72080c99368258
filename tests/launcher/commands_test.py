"""Each command and each error of the launcher, against a fake droverd."""
import json
import os
import socket
import struct
import subprocess
import unittest

from cluster import ClusterTest, wait_for


class WithoutACluster(ClusterTest):
    def test_every_command_says_that_none_is_up(self):
        for command in (["ps"], ["nodes"], ["status"], ["ping"], ["logs", "1"], ["wait", "1"], ["kill", "1"], ["migrate", "1", "x"],
                        ["events"], ["submit", "true"], ["down"]):
            self.assert_error(self.drover(*command), 1, "no droverd", "drover up")
        self.assert_error(self.drover("run", "true"), 125, "no droverd", "drover up")

    def test_mistakes_in_what_was_typed(self):
        for command in (["frobnicate"], ["ps", "--wrong"], ["kill"], ["kill", "x"], ["kill", "-s", "NOSIG", "1"], ["logs"], ["run"],
                        ["submit"], ["ps", "-o", "xml"], ["up"], ["up", "-n", "0"], ["up", "-n", "2", "--hostfile", "f"],
                        ["down", "--kill-jobs", "--leave-jobs"], ["submit", "--env", "NOVALUE", "true"], []):
            self.assert_error(self.drover(*command), 2)

    def test_what_is_no_job_number(self):
        for command in (["wait", "all"], ["wait", "1", "all"], ["kill", "all"], ["logs", "all"], ["migrate", "all", "node1"]):
            self.assert_error(self.drover(*command), 2, "'all' is no job number; see drover ps")
        self.assert_error(self.drover("wait", "1.5"), 2, "'1.5' is no job number")

    def test_version_and_help(self):
        self.assertRegex(self.drover("version", check=0).stdout.decode(), r"^drover \d+\.\d+\.\d+\n$")
        for command in ([], ["run"], ["up"], ["submit"]):
            self.assertIn("Usage", self.drover(*command, "--help", check=0).stdout.decode())

    def test_a_socket_without_a_droverd_behind_it(self):
        (self.runtime / "node0").mkdir(parents=True)
        left_over = socket.socket(socket.AF_UNIX)
        left_over.bind(str(self.runtime / "node0" / "control"))
        left_over.close()
        self.assert_error(self.drover("ps"), 1, "drover up")

    def test_a_droverd_that_speaks_nonsense(self):
        (self.runtime / "node0").mkdir(parents=True)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(self.runtime / "node0" / "control"))
            server.listen()
            answers = [b"HTTP/1.1 400 Bad Request\r\n\r\n", struct.pack("<IHHII", 0x46565244, 1, 2, 3, 0) + b"{x}",
                       struct.pack("<IHHII", 0x46565244, 1, 2, 0xffffffff, 0), b"",
                       struct.pack("<IHHII", 0x46565244, 1, 2, 11, 0) + b'{"ok":true}']
            for answer in answers:
                client = self.popen("ps", stderr=subprocess.PIPE)
                connection, _ = server.accept()
                connection.recv(4096)
                connection.sendall(answer)
                connection.close()
                text = client.communicate(timeout=60)[1].decode()
                self.assertEqual((client.returncode, text.count("\n")), (1, 1), text)


class WithADroverd(ClusterTest):
    def setUp(self):
        super().setUp()
        self.start_fake()

    def submit(self, *arguments):
        return int(self.drover("submit", *arguments, check=0).stdout)

    def test_submit_wait_logs(self):
        job = self.submit("--", "sh", "-c", "echo out; echo err >&2; exit 7")
        self.drover("wait", job, check=7)
        self.assertEqual(self.drover("logs", job, check=0).stdout, b"out\n")
        self.assertEqual(self.drover("logs", "-e", job, check=0).stdout, b"err\n")
        self.assertEqual(self.drover("logs", "--from", 2, job, check=0).stdout, b"t\n")

    def test_logs_follow(self):
        job = self.submit("sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.2; done")
        self.assertEqual(self.drover("logs", "-f", job, check=0).stdout, b"1\n2\n3\n")

    def test_submit_with_files_environment_and_directory(self):
        (self.directory / "input").write_bytes(b"hello\n")
        (self.directory / "sub").mkdir()
        job = self.submit("-i", "input", "-O", "output", "--env", "GREETING=hi=there", "--cwd", "sub", "--name", "greeter",
                          "--", "sh", "-c", 'cat; echo "$GREETING"; pwd; umask')
        self.drover("wait", job, check=0)
        mask = f"{os.umask(0o022):04o}"
        os.umask(int(mask, 8))
        self.assertEqual((self.directory / "output").read_text(), f"hello\nhi=there\n{self.directory}/sub\n{mask}\n")
        jobs = json.loads(self.drover("ps", "-a", "-o", "json", check=0).stdout)
        self.assertEqual(jobs[0]["name"], "greeter")
        spec = json.loads((self.state / "jobs" / str(job) / "spec").read_text())
        self.assertEqual(len(spec["limits"]), 16)
        self.assertEqual(spec["argv"][0], "sh")

    def test_ps_is_a_table_for_people_and_json_for_programs(self):
        job = self.submit("sleep", "60")
        lines = self.drover("ps", check=0).stdout.decode().splitlines()
        self.assertTrue(lines[0].split()[:4] == ["JOB", "STATE", "NODE", "ORIGIN"], lines)
        self.assertEqual(lines[1].split()[0:4], [str(job), "running", "node0", "node0"])
        self.assertNotIn("\x1b", "".join(lines))
        self.assertEqual(json.loads(self.drover("ps", "-o", "json", check=0).stdout)[0]["job"], job)
        self.drover("kill", "-s", "KILL", job, check=0)
        self.drover("wait", job, check=137)
        self.assertEqual(len(self.drover("ps", check=0).stdout.splitlines()), 1)
        self.assertIn("signal 9", self.drover("ps", "-a", check=0).stdout.decode())

    def test_kill_takes_names_and_numbers(self):
        for signal, status in (("TERM", 143), ("SIGINT", 130), ("usr1", 138), ("15", 143)):
            job = self.submit("sleep", "60")
            self.drover("kill", "-s", signal, job, check=0)
            self.drover("wait", job, check=status)

    def test_nodes_of_other_groups(self):
        text = self.drover("nodes", check=0).stdout.decode()
        self.assertRegex(text, r"(?m)^far0 +FREE \(2 s old\) +3 +1 +0.25 +25 %")
        self.assertRegex(text, r"(?m)^far1 +UNKNOWN +- +- +- +- +- +2 ")
        groups = self.drover("nodes", "--groups", check=0).stdout.decode()
        self.assertRegex(groups, r"(?m)^ +0 +node0 +node0 +1 +1 +1 +0 +0 +0.5 +2 +0 s old$")
        self.assertRegex(groups, r"(?m)^ +1 +far0 +- +2 +- +- +- +- +- +- +never heard$")
        self.assertEqual(len(json.loads(self.drover("nodes", "--groups", "-o", "json", check=0).stdout)), 2)

    def test_nodes_status_ping_events(self):
        self.assertIn("node0", self.drover("nodes", check=0).stdout.decode())
        factors = self.drover("nodes", "--factors", check=0).stdout.decode()
        self.assertRegex(factors, r"(?m)^node0 +run_queue +0.50 +0.25 +0.75 +normal$")  # the node's own watermarks
        marks = self.drover("nodes", "--watermarks", check=0).stdout.decode()
        self.assertRegex(marks, r"(?m)^node0 +run_queue +0.25 +0.75 +6 +calibrated 2025-01-02$")
        self.assertRegex(marks, r"(?m)^node0 +\(speed\) +1.25$")
        nodes = json.loads(self.drover("nodes", "--watermarks", "-o", "json", check=0).stdout)
        self.assertEqual(nodes[0]["factors"]["run_queue"]["from"], "calibrated 2025-01-02")
        detail = self.drover("nodes", "--detail", check=0).stdout.decode()
        self.assertRegex(detail, r"(?m)^node0 +pressure.io.some.avg10 +1.5$")
        self.assert_error(self.drover("nodes", "--detail", "--factors"), 2)
        self.assert_error(self.drover("nodes", "--groups", "--factors"), 2)
        self.assertIn("ready, 1 node,", self.drover("status", check=0).stdout.decode())
        self.assertTrue(json.loads(self.drover("status", "-o", "json", check=0).stdout)["ready"])
        self.drover("ping", check=0)
        job = self.submit("true")
        event = json.loads(self.drover("events", "-o", "json", check=0).stdout.splitlines()[0])
        self.assertEqual((event["event"], event["job"]), ("started", job))
        self.assertIn("started", self.drover("events", check=0).stdout.decode())

    def test_replay_of_a_log_in_use(self):
        log = self.directory / "log.jsonl"
        log.write_text('{"event": "started", "job": 1}\n{"event": "deci')
        self.assertEqual(self.drover("replay", log, check=0).stdout.decode(), "0 decisions, 0 come out otherwise\n")
        log.write_text('{"event": "started", "job": 1}\n{"event": "deci\n')
        self.assert_error(self.drover("replay", log), 2, f"{log}:2", "not an event")

    def test_errors_name_the_thing_and_the_way_out(self):
        self.assert_error(self.drover("logs", 99), 1, "job 99", "ps --all")
        self.assert_error(self.drover("kill", 99), 1, "job 99")
        self.assert_error(self.drover("wait", 99), 1, "job 99")
        job = self.submit("sleep", "60")
        self.assert_error(self.drover("migrate", job, "nowhere"), 1, "nowhere", "drover nodes")
        self.assert_error(self.drover("migrate", job, "node0"), 1, f"job {job}", "runs on")
        self.assert_error(self.drover("submit", "no-such-program"), 127, "no-such-program")
        self.assert_error(self.drover("submit", "/etc/passwd"), 126, "/etc/passwd")
        self.assert_error(self.drover("submit", "--cwd", "/nonexistent", "true"), 1, "/nonexistent")
        self.assert_error(self.drover("--at", "node7", "ps"), 1, "node7", "node0")
        self.assert_error(self.drover("--at", "../x", "ps"), 1, "../x")
        self.assert_error(self.drover("ps", env={"DROVER_NODE": "node8"}), 1, "node8")

    def test_down_refuses_while_jobs_run(self):
        job = self.submit("sleep", "60")
        self.assert_error(self.drover("down"), 1, "--kill-jobs")
        self.assertFalse((self.runtime / "down-requested").exists())
        self.drover("down", "--kill-jobs", check=0)
        wait_for(lambda: (self.state / "jobs" / str(job) / "exit").exists(), "the job's end")


if __name__ == "__main__":
    unittest.main()
