"""What the launcher's tests share: a directory of their own with drover and a fake droverd side by side, and waiting for conditions."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
DEADLINE = 60  # generous: the machine may be busy with other things


def wait_for(condition, what):
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {DEADLINE} s for {what}")


class ClusterTest(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="drover-launcher-"))
        self.addCleanup(self.clean_up)
        bin_directory = self.directory / "bin"
        bin_directory.mkdir()
        self.drover_path = bin_directory / "drover"
        shutil.copy(os.environ["DROVER"], self.drover_path)
        self.install_droverd(f'exec "{sys.executable}" "{HERE}/fake_droverd.py" "$@"')
        self.env = dict(os.environ, DROVER_RUNTIME_DIR=str(self.directory / "run"), DROVER_STATE_DIR=str(self.directory / "state"),
                        DROVER_INSTANCE="test", HOME=str(self.directory))
        for name in ("DROVER_NODE", "DROVER_GENERATION"):
            self.env.pop(name, None)
        self.runtime = self.directory / "run" / "test"
        self.state = self.directory / "state" / "test"

    def install_droverd(self, command):
        path = self.directory / "bin" / "droverd"
        path.write_text(f"#!/bin/sh\n{command}\n")
        path.chmod(0o755)

    def clean_up(self):
        subprocess.run([self.drover_path, "down", "--kill-jobs"], env=self.env, capture_output=True, timeout=DEADLINE)
        for pid_file in list(self.runtime.glob("*/pid")) + list(self.state.glob("jobs/*/pid")):
            try:
                os.kill(int(pid_file.read_text()), signal.SIGKILL)
            except (OSError, ValueError):
                pass
        if self._outcome and any(error for _, error in getattr(self._outcome, "errors", [])):
            print(f"kept: {self.directory}; repeat with: {' '.join(sys.argv)} {self.id().split('.', 1)[1]}", file=sys.stderr)
        else:
            for _ in range(100):
                shutil.rmtree(self.directory, ignore_errors=True)
                if not self.directory.exists():
                    break
                time.sleep(0.01)  # who is just being killed has written into it

    def drover(self, *arguments, stdin=b"", env=None, check=None):
        result = subprocess.run([self.drover_path, *map(str, arguments)], input=stdin, capture_output=True, timeout=2 * DEADLINE,
                                env=dict(self.env, **(env or {})), cwd=self.directory)
        if check is not None:
            self.assertEqual(result.returncode, check, result.stderr.decode())
        return result

    def popen(self, *arguments, **options):
        return subprocess.Popen([self.drover_path, *map(str, arguments)], env=self.env, cwd=self.directory, **options)

    def assert_error(self, result, code, *words):
        """One line on stderr, `drover: ...`, that holds the words."""
        text = result.stderr.decode()
        self.assertEqual(result.returncode, code, text)
        self.assertEqual(text.count("\n"), 1, text)
        self.assertTrue(text.startswith("drover: "), text)
        for word in words:
            self.assertIn(word, text)

    def start_fake(self, **env):
        """One fake droverd without mpirun."""
        process = subprocess.Popen([self.directory / "bin" / "droverd"], env=dict(self.env, **env), start_new_session=True)
        self.addCleanup(lambda: (process.kill(), process.wait()))
        wait_for(lambda: (self.runtime / "node0" / "control").exists() and self.drover("status").returncode == 0, "a droverd")
        return process
