"""What `drover submit` makes of its options and of a script, against a fake droverd or none."""
import json
import os
import pathlib
import pty
import subprocess
import unittest

from cluster import DEADLINE, ClusterTest


class DryRun(ClusterTest):
    """Needs no droverd."""

    def spec(self, *arguments, stdin=b"", env=None):
        return json.loads(self.drover("submit", "--dry-run", "-o", "json", *arguments, stdin=stdin, env=env, check=0).stdout)

    def test_table(self):
        text = self.drover("submit", "--dry-run", "--name", "build", "--time-limit", "90m", "-O", "out-%j", "--env", "A=b c", "--", "make", "-j8",
                           "all of it", check=0).stdout.decode()
        for line in ("program +make -j8 'all of it'", "name +build", "time_limit_s +1 h 30 min", f"stdout +{self.directory}/out-%j", "env +A=b c",
                     f"cwd +{self.directory}", r"env +and \d+ variables from here"):
            self.assertRegex(text, rf"(?m)^{line}$")
        self.assertNotIn("stderr", text)

    def test_json_has_the_spec_without_the_values_of_this_environment(self):
        spec = self.spec("--env", "MINE=shown", "--pin", "sleep", "5", env={"TOKEN": "do-not-show"})
        self.assertEqual((spec["argv"], spec["pinned"], spec["env"]), (["sleep", "5"], True, ["MINE=shown"]))
        self.assertIn("TOKEN", spec["inherited_env"])
        self.assertNotIn("do-not-show", json.dumps(spec))
        self.assertNotIn("script", spec)

    def test_quiet_prints_nothing(self):
        self.assertEqual(self.drover("submit", "--dry-run", "-o", "quiet", "true", check=0).stdout, b"")

    def test_errors_of_options_show(self):
        for arguments, words in ((["--env", "X", "true"], ["--env X", "NAME=VALUE"]), (["--wrong", "true"], ["--wrong"]), ([], ["no program given"])):
            self.assert_error(self.drover("submit", "--dry-run", *arguments), 2, *words)

    def test_time_limits(self):
        for text, seconds in (("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86400), ("1:30:00", 5400), ("1-12", 129600), ("0", 0),
                              ("1h30m", 5400), ("30:00", 1800), ("1-12:30", 131400), ("1-0:0:5", 86405), ("2w", 1209600)):
            self.assertEqual(self.spec("--time-limit", text, "true")["time_limit_s"], seconds, text)
        self.assertEqual(self.spec("true")["time_limit_s"], 0)
        for text in ("x", "5x", "-5", "1.5h", "1-24", "1:60", "1:60:00", "1:2:3:4", "1-", "30m1h", "1h1h", "h", " 5", "5 ", "99999999999999999999",
                     "11000d"):
            for command in ("submit", "run"):
                self.assert_error(self.drover(command, f"--time-limit={text}", "true"), 2, f"'{text}' is no length of time", "1h30m", "1-12")

    def test_patterns(self):
        spec = self.spec("-i", "in/../%n", "-O", "/x/%%%j", "-e", "%n.%j", "true")
        self.assertEqual((spec["stdin"], spec["stdout"], spec["stderr"]), (f"{self.directory}/%n", "/x/%%%j", f"{self.directory}/%n.%j"))
        for option, name in (("-i", "--stdin"), ("-O", "--stdout"), ("-e", "--stderr")):
            for pattern in ("out-%q", "100%", "%J"):
                self.assert_error(self.drover("submit", option, pattern, "true"), 2, f"{name} {pattern}: '%", "%j (the job's id)", "%n", "%%")
            self.assert_error(self.drover("submit", option, "out-%a", "true"), 2, f"{name} out-%a", "an array's task", "this job is none")

    def test_a_percent_sign_in_the_name_of_this_directory_is_no_pattern(self):
        folder = self.directory / "50%j"
        folder.mkdir()
        result = subprocess.run([self.drover_path, "submit", "--dry-run", "-o", "json", "-O", "%j", "true"], env=self.env, cwd=folder,
                                capture_output=True, timeout=DEADLINE, check=True)
        self.assertEqual(json.loads(result.stdout)["stdout"], f"{self.directory}/50%%j/%j")


class Scripts(ClusterTest):
    spec = DryRun.spec

    def script_error(self, text, *words):
        self.assert_error(self.drover("submit", stdin=text.encode()), 2, "standard input", *words)

    def test_directives(self):
        script = (b"#!/bin/sh -e\n#DROVER --name 'my build' --time-limit 1h # two of them\n\n# a comment\n#DROVERS --wrong\n # DROVER --wrong\n"
                  b"#DROVER\n#DROVER\t--env \"A=1 \\\"2\\\"\" --env B=x\\ y -O out-%j -i in\necho hi\n#DROVER --wrong\n")
        spec = self.spec(stdin=script)
        self.assertEqual((spec["name"], spec["time_limit_s"], spec["env"], spec["stdout"], spec["stdin"]),
                         ("my build", 3600, ['A=1 "2"', "B=x y"], f"{self.directory}/out-%j", f"{self.directory}/in"))
        self.assertEqual((spec["script"].encode(), spec["argv"]), (script, ["script"]))
        self.assertRegex(self.drover("submit", "--dry-run", stdin=script, check=0).stdout.decode(), r"(?m)^program +the script \(\d+ bytes, #!/bin/sh -e\)$")

    def test_what_is_typed_wins(self):
        script = b"#!/bin/sh\n#DROVER --name a --time-limit 1h --env A=1 --env B=1\n#DROVER --name b\n"
        spec = self.spec("--time-limit", "0", "--env", "B=2", stdin=script)
        self.assertEqual((spec["name"], spec["time_limit_s"], spec["env"]), ("b", 0, ["A=1", "B=2"]))
        self.assertEqual(self.spec("--name", "c", stdin=script)["name"], "c")

    def test_arguments_follow_a_dash(self):
        for words in (["-", "a", "--name"], ["--", "-", "a", "--name"]):
            self.assertEqual(self.spec(*words, stdin=b"#!/bin/sh\n")["argv"], ["script", "a", "--name"])

    def test_a_program_takes_no_script_from_stdin(self):
        spec = self.spec("cat", stdin=b"#!/bin/sh\n#DROVER --wrong\n")
        self.assertEqual((spec["argv"], "script" in spec), (["cat"], False))

    def test_a_terminal_is_no_script(self):
        controller, terminal = pty.openpty()
        self.addCleanup(lambda: (os.close(controller), os.close(terminal)))
        result = subprocess.run([self.drover_path, "submit"], env=self.env, stdin=terminal, capture_output=True, timeout=DEADLINE)
        self.assert_error(result, 2, "no program given", "drover submit < script.sh")

    def test_errors_in_directives_have_their_line(self):
        for directive, words in (("--wrong", ["--wrong"]), ("stray", ["'stray' is no option"]), ("--time-limit 5x", ["'5x' is no length of time"]),
                                 ("-O %q", ["%q", "no pattern"]), ("--env X", ["--env X", "NAME=VALUE"]), ("--name 'x", ["a quote that is not closed"]),
                                 ("--name x\\", ["a backslash at the end"]), ("--name", ["--name"]), ("--dry-run", ["--dry-run"]), ("--help", ["--help"])):
            self.script_error(f"#!/bin/sh\n\n#DROVER --pin\n#DROVER {directive}\ntrue\n", "line 4: #DROVER", *words)

    def test_what_is_no_script(self):
        self.script_error("#!/bin/sh\n#DROVER --pin\r\n", "line 2: #DROVER", "CR LF")
        self.script_error("echo hi\n", "no script", "#!/bin/sh")
        self.script_error("#DROVER --pin\n#!/bin/sh\n", "no script")
        self.script_error("#!\n", "line 1", "names no interpreter")
        self.script_error("#!sh\n", "line 1", "'#!sh' names no interpreter", "#!/usr/bin/env")
        self.script_error("#!/bin/sh\r\necho\r\n", "line 1", "CR LF", "tr -d")
        self.script_error("#!/bin/sh\n\0", "a byte of zero")
        self.assert_error(self.drover("submit", "-"), 2, "no script")

    def test_size(self):
        head = b"#!/bin/sh\nexit 0\n"
        most = head + b"\x01" * (2 * 2**20 - len(head))  # control characters are what takes most in JSON
        self.assertEqual(bytes.fromhex(self.spec(stdin=most)["script"]["hex"]), most)
        self.assert_error(self.drover("submit", stdin=most + b"x"), 2, "standard input", "2 MiB")


class AgainstADroverd(ClusterTest):
    def setUp(self):
        super().setUp()
        self.start_fake()

    def test_a_script_runs_with_its_arguments(self):
        script = b"#!/bin/sh\n#DROVER -O 'the output'\necho \"$0 $# $2\"; echo caf\xe9\nexit 3\n"  # not UTF-8
        job = int(self.drover("submit", "-", "a", "b c", stdin=script, check=0).stdout)
        self.drover("wait", job, check=3)
        path = self.state / "jobs" / str(job) / "script"
        self.assertEqual(path.read_bytes(), script)
        self.assertEqual((self.directory / "the output").read_bytes(), f"{path} 2 b c\n".encode() + b"caf\xe9\n")

    def test_dry_run_asks_no_droverd(self):
        self.drover("submit", "--dry-run", "true", check=0)
        self.assertNotIn("submit", (self.state / "requests").read_text().split())

    def test_the_reason_of_an_end_is_shown(self):
        job = int(self.drover("submit", "sh", "-c", "kill $$", check=0).stdout)
        self.drover("wait", job, check=143)
        reason = "ended by its time limit of 15 min"
        pathlib.Path(self.state, "jobs", str(job), "told").write_text(json.dumps({"error": reason, "time_limit_s": 900, "stdout": "/x/out-1"}))
        shown = self.drover("show", job, check=0).stdout.decode()
        for line in (f"error +{reason}", "time limit +15 min", "stdout +/x/out-1", "stderr +-", r"state +ended by signal 15 \(TERM\)"):
            self.assertRegex(shown, rf"(?m)^{line}$")
        for command in (["history"], ["ps", "--all"]):
            self.assertIn(reason, self.drover(*command, check=0).stdout.decode())


if __name__ == "__main__":
    unittest.main()
