"""drover run: streams, signals and exit codes as if the program ran here, also when its droverd is replaced meanwhile."""
import hashlib
import os
import random
import signal
import subprocess
import time
import unittest

from cluster import ClusterTest, wait_for

LINES = "import sys\nfor i in range(%d): print(i)\n"


class Run(ClusterTest):
    def setUp(self):
        super().setUp()
        self.fake = self.start_fake()

    def jobs(self):
        return sorted((self.state / "jobs").iterdir()) if (self.state / "jobs").exists() else []

    def replace_droverd(self, pause=0.0):
        os.killpg(self.fake.pid, signal.SIGKILL)
        self.fake.wait()
        time.sleep(pause)
        self.fake = self.start_fake()

    def test_streams_are_apart(self):
        result = self.drover("run", "sh", "-c", "cat; echo err >&2", stdin=b"in\n", check=0)
        self.assertEqual((result.stdout, result.stderr), (b"in\n", b"err\n"))

    def test_arguments_pass_untouched(self):
        result = self.drover("run", "--", "printf", "%s|", "--at", "-x", "--", "a b", "", check=0)
        self.assertEqual(result.stdout, b"--at|-x|--|a b||")
        result = self.drover("run", "printf", "%s|", "--name", "-h", check=0)
        self.assertEqual(result.stdout, b"--name|-h|")

    def test_exit_codes(self):
        self.drover("run", "true", check=0)
        self.drover("run", "sh", "-c", "exit 42", check=42)
        self.drover("run", "sh", "-c", "kill -SEGV $$", check=139)
        self.assert_error(self.drover("run", "no-such-program"), 127, "no-such-program")
        self.assert_error(self.drover("run", "/etc/passwd"), 126, "/etc/passwd")
        self.assert_error(self.drover("run", "--cwd", "/nonexistent", "true"), 125, "/nonexistent")

    def test_a_program_that_does_not_read_its_input(self):
        result = self.drover("run", "true", stdin=b"x" * 5_000_000, check=0)
        self.assertEqual(result.stdout, b"")

    def test_input_goes_beyond_the_window(self):
        data = random.Random(1).randbytes(3_000_000)
        result = self.drover("run", "sha256sum", stdin=data, check=0)
        self.assertEqual(result.stdout.split()[0].decode(), hashlib.sha256(data).hexdigest())

    def test_output_goes_beyond_the_window(self):
        result = self.drover("run", "python3", "-c", LINES % 300_000, check=0)
        self.assertEqual(result.stdout, b"".join(b"%d\n" % i for i in range(300_000)))

    def test_closed_stdin(self):
        process = subprocess.run(f'"{self.drover_path}" run cat <&-', shell=True, env=self.env, capture_output=True, timeout=60)
        self.assertEqual((process.returncode, process.stdout), (0, b""))

    def test_a_stalled_reader_loses_nothing(self):
        process = self.popen("run", "python3", "-c", LINES % 300_000, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        time.sleep(1)
        self.assertIsNone(process.poll())
        output = process.communicate(timeout=60)[0]
        self.assertEqual(output, b"".join(b"%d\n" % i for i in range(300_000)))
        self.assertEqual(process.returncode, 0)

    def test_signals_pass_while_stdout_is_stalled(self):
        process = self.popen("run", "yes", stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        job = wait_for(self.jobs, "the job")[0]
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        wait_for(lambda: (job / "exit").exists(), "the job's end by SIGINT")
        process.stdout.read()
        self.assertEqual(process.wait(60), 130)

    def test_a_reader_that_leaves_ends_the_job(self):
        result = subprocess.run(["bash", "-c", f'"{self.drover_path}" run yes | head -n 2; exit ${{PIPESTATUS[0]}}'], env=self.env,
                                capture_output=True, timeout=60)
        self.assertEqual((result.returncode, result.stdout), (141, b"y\ny\n"))

    def test_signals_are_forwarded(self):
        script = "\n".join(f"trap 'echo {name}' {name}" for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2"))
        script += "\necho ready\nwhile :; do sleep 0.05; done"
        process = self.popen("run", "sh", "-c", script, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2"):
            process.send_signal(getattr(signal, "SIG" + name))
            self.assertEqual(process.stdout.readline().decode(), name + "\n")
        os.killpg(int((self.jobs()[0] / "pid").read_text()), signal.SIGKILL)
        self.assertEqual(process.wait(60), 137)
        process.stdout.close()

    def test_ctrl_z_stops_both_and_fg_continues_both(self):
        process = self.popen("run", "sh", "-c", "echo ready; sleep 0.3; echo done", stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        process.send_signal(signal.SIGTSTP)
        stopped = lambda: open(f"/proc/{process.pid}/stat").read().rsplit(")", 1)[1].split()[0] == "T"
        wait_for(stopped, "the launcher to stop")
        process.send_signal(signal.SIGCONT)
        self.assertEqual(process.communicate(timeout=60)[0], b"done\n")
        self.assertEqual(process.returncode, 0)

    def test_output_survives_a_new_world(self):
        script = "import sys,time\nfor i in range(60000):\n print(i)\n if i % 1000 == 0: sys.stdout.flush(); time.sleep(0.02)"
        process = self.popen("run", "python3", "-c", script, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, bufsize=0)
        self.assertEqual(process.stdout.readline(), b"0\n")  # by then the launcher knows of its job
        for _ in range(4):
            time.sleep(0.15)
            self.replace_droverd()
        self.assertEqual(process.communicate(timeout=60)[0], b"".join(b"%d\n" % i for i in range(1, 60000)))
        self.assertEqual(process.returncode, 0)

    def test_input_survives_a_new_world(self):
        data = random.Random(2).randbytes(4_000_000)
        self.fake.kill()
        self.fake = self.start_fake(FAKE_DROVERD_SLOW="0.005")
        process = self.popen("run", "sha256sum", stdout=subprocess.PIPE, stdin=subprocess.PIPE)
        process.stdin.write(data[:1_000_000])
        process.stdin.flush()
        for i in range(1, 4):
            self.replace_droverd(0.1)
            process.stdin.write(data[i * 1_000_000:(i + 1) * 1_000_000])
            process.stdin.flush()
        output = process.communicate(timeout=60)[0]
        self.assertEqual(output.split()[0].decode(), hashlib.sha256(data).hexdigest())

    def test_gives_up_in_the_end(self):
        process = self.popen("run", "--give-up-after", "1", "sh", "-c", "echo runs; exec sleep 60", stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(process.stdout.readline(), b"runs\n")
        self.fake.kill()
        text = process.communicate(timeout=60)[1].decode()
        self.assertEqual(process.returncode, 125, text)
        self.assertIn("no droverd on this host for 1 s", text)


if __name__ == "__main__":
    unittest.main()
