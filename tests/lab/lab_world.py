"""A world over virtual hosts, made by `drover up` with the lab's own agent; ended and removed whatever happens."""
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

if os.geteuid() != 0:
    print("skipped: virtual hosts need root")
    sys.exit(77)

LAB = pathlib.Path(__file__).resolve().parent / "lab"
BIN = pathlib.Path(os.environ["DROVER_BIN"])
DEADLINE = 120


class LabWorld(unittest.TestCase):
    hosts = 4
    lab_options = ()
    config = ""  # of every node: drover.toml

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="drover-lab-world-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.env = dict(os.environ, DROVER_LAB=os.environ.get("DROVER_LAB", "world"))
        for name in ("DROVER_NODE", "DROVER_RUNTIME_DIR", "DROVER_CONFIG", "DROVER_INSTANCE"):
            self.env.pop(name, None)
        # Most tests put more jobs on a node than it has PUs.
        config = self.config if "[balance]" in self.config else "[balance]\n" + self.config
        (self.directory / "drover.toml").write_text(config.replace("[balance]\n", "[balance]\njobs_per_pu = 100\n"))
        self.env["DROVER_CONFIG"] = str(self.directory / "drover.toml")
        self.addCleanup(self.lab, "down")
        self.lab("up", self.hosts, *self.lab_options, check=True)
        for line in self.lab("env", check=True).stdout.splitlines():
            for word in shlex.split(line):
                if "=" in word:
                    name, value = word.split("=", 1)
                    self.env[name] = value
        self.env["DROVER_STATE_DIR"] = str(self.directory / "state")
        self.prepare_hosts()
        self.addCleanup(self.drover, "down", "--kill-jobs", check=False)
        self.drover("up", "--hostfile", self.env["LAB_HOSTFILE"], "--agent", self.env["LAB_AGENT"], "--net", self.env["LAB_NET"])

    def prepare_hosts(self):
        """What is to be other on a host, before the world begins."""

    def lab(self, *arguments, check=False):
        return subprocess.run([LAB, *map(str, arguments)], env=self.env, capture_output=True, text=True, timeout=DEADLINE, check=check)

    def run_drover(self, *arguments):
        return subprocess.run([BIN / "drover", *map(str, arguments)], env=self.env, capture_output=True, text=True,
                              timeout=DEADLINE, cwd=self.directory)

    def drover(self, *arguments, check=True):
        result = self.run_drover(*arguments)
        if check:
            self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def jobs(self):
        reply = json.loads(self.drover("ps", "--all", "--output", "json"))
        return reply["jobs"] if isinstance(reply, dict) else reply

    def logged(self):
        """What all nodes have logged, oldest first. What is being appended shows page by page: a line is there once its end is."""
        events = []
        for path in self.directory.glob("state/**/events/*.jsonl"):
            events += [json.loads(line) for line in path.read_text().splitlines(True) if line.endswith("\n")]
        return sorted(events, key=lambda event: event["time_ns"])

    def wait_for(self, condition, what):
        end = time.monotonic() + DEADLINE
        while not condition():
            self.assertLess(time.monotonic(), end, f"waited for {what}; jobs: {self.drover('ps')}")
            time.sleep(0.1)
