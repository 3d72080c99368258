"""Each command and each error of the launcher, against a fake droverd."""
import fcntl
import json
import os
import pty
import re
import socket
import struct
import subprocess
import termios
import unicodedata
import unittest

from cluster import ClusterTest, wait_for


class WithoutACluster(ClusterTest):
    def test_every_command_says_that_none_is_up(self):
        for command in (["ps"], ["show", "1"], ["history"], ["nodes"], ["status"], ["ping"], ["logs", "1"], ["wait", "1"], ["kill", "1"], ["migrate", "1", "x"],
                        ["events"], ["submit", "true"], ["down"]):
            self.assert_error(self.drover(*command), 1, "no droverd", "drover up")
        self.assert_error(self.drover("run", "true"), 125, "no droverd", "drover up")

    def test_mistakes_in_what_was_typed(self):
        for command in (["frobnicate"], ["ps", "--wrong"], ["kill"], ["kill", "x"], ["kill", "-s", "NOSIG", "1"], ["logs"], ["run"],
                        ["submit"], ["ps", "-o", "xml"], ["up"], ["up", "-n", "0"], ["up", "-n", "2", "--hostfile", "f"],
                        ["down", "--kill-jobs", "--leave-jobs"], ["submit", "--env", "NOVALUE", "true"], []):
            self.assert_error(self.drover(*command), 2)

    def test_what_is_no_job_number(self):
        self.assert_error(self.drover("migrate", "some", "node1"), 2, "some")
        for command in ("ps", "wait", "kill", "logs", "show", "history"):
            self.assert_error(self.drover(command, "7", "1.5"), 2, "'1.5' names no jobs", "3-9,12", "last", "drover ps")
            self.assert_error(self.drover(command, "9-3"), 2, "'9-3'", "write 3-9")
            self.assert_error(self.drover(command, "--state", "asleep"), 2, "--state", "asleep", "running")
        for command in ("kill", "logs", "show"):
            self.assert_error(self.drover(command), 2, f"{command}: no job given", "last")

    def test_what_is_no_time_limit_or_format(self):
        self.assert_error(self.drover("history", "--since", "yesterday"), 2, "'yesterday'", "2h", "2026-11-28")
        self.assert_error(self.drover("history", "--since", ""), 2, "''", "2h")
        self.assert_error(self.drover("history", "--limit", "-1"), 2, "--limit")
        for command in (["ps"], ["wait"], ["show", "1"], ["history"], ["nodes"], ["submit"], ["status"]):
            self.assert_error(self.drover(*command, "-o", "xml"), 2, "--output", "xml", "quiet")

    def test_help_shows_examples(self):
        for command in ("ps", "wait", "kill", "logs", "show", "history", "nodes", "submit"):
            self.assertRegex(self.drover(command, "--help", check=0).stdout.decode(), rf"Examples?: drover {command} ")

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
        self.assert_error(self.drover("migrate", 99, "node0"), 1, "job 99", "ps --all")
        self.assertEqual(self.drover("migrate", job, "node0", check=0).stdout.decode(), f"job {job} is on node0 already\n")
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


class OnATerminal(ClusterTest):
    def setUp(self):
        super().setUp()
        self.start_fake()
        for state in ("running", "moving", "in-doubt", "failed", "lost"):
            job = int(self.drover("submit", "--name", "schön 日本", "sh", "-c", "sleep 60 # " + "größer " * 30, check=0).stdout)
            (self.state / "jobs" / str(job) / "told").write_text(json.dumps({"state": state}))
        self.drover("submit", "sh", "-c", "kill -9 $$", check=0)
        self.drover("wait", 6, check=137)

    def on_terminal(self, *arguments, columns=0, **env):
        """What a command writes to a terminal of so many columns."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        base = {name: value for name, value in self.env.items() if name != "NO_COLOR"}
        process = subprocess.Popen([self.drover_path, *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
                                   env=dict(base, **{"TERM": "xterm", **env}))
        os.close(theirs)
        written = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the terminal's other end is closed
                break
            if not piece:
                break
            written += piece
        os.close(ours)
        self.assertEqual(process.wait(), 0, written)
        return written.decode().replace("\r\n", "\n")  # decode() fails on half a character

    def test_states_are_coloured(self):
        text = self.on_terminal("ps", "-a")
        for colour, state in ((32, "running"), (33, "moving"), (33, "in-doubt"), (31, "failed"), (31, "lost"), (31, "signal 9")):
            self.assertIn(f"\x1b[{colour}m{state}\x1b[0m", text)
        self.assertTrue(text.startswith("\x1b[1mJOB "), text)
        self.assertIn("\x1b[31msignal 9\x1b[0m", self.on_terminal("history"))

    def test_no_colours_where_none_are_wanted(self):
        text = self.on_terminal("ps", "-a", NO_COLOR="1")
        self.assertEqual(re.findall(r"\x1b\[\d+m", text), ["\x1b[1m", "\x1b[0m"])
        self.assertNotIn("\x1b", self.on_terminal("ps", "-a", TERM="dumb"))
        self.assertNotIn(b"\x1b", self.drover("ps", "-a", env={"TERM": "xterm"}, check=0).stdout)

    def test_lines_fit_the_terminal(self):
        whole = self.drover("ps", "-a", check=0).stdout.decode()
        self.assertIn("größer " * 30, whole)
        self.assertNotIn("…", whole)
        for command in (["ps", "-a"], ["history"]):
            for columns in (1, 8, 11, 40, 80, 150, 151, 152):
                lines = re.sub(r"\x1b\[\d+m", "", self.on_terminal(*command, columns=columns, LANG="C")).splitlines()
                for line in lines:
                    wide = sum(2 if unicodedata.east_asian_width(c) == "W" else 1 for c in line)
                    self.assertLessEqual(wide, columns, line)
                self.assertTrue(lines[1].endswith("…"), lines)
        self.assertIn("größer " * 30, self.on_terminal("ps", "-a", columns=1000))


if __name__ == "__main__":
    unittest.main()
