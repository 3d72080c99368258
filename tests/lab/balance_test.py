"""Four virtual hosts, real mpirun between them: what starts on one host spreads, and a busy host sheds running jobs."""
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
HOG = "import os\nn = 0\nwhile not os.path.exists('stop'):\n  for _ in range(200000): n += 1\nprint('done')\n"


class Balance(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="drover-balance-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.env = dict(os.environ, DROVER_LAB="balance", DROVER_STATE_DIR=str(self.directory / "state"))
        for name in ("DROVER_NODE", "DROVER_RUNTIME_DIR", "DROVER_CONFIG", "DROVER_INSTANCE"):
            self.env.pop(name, None)
        self.addCleanup(self.lab, "down")
        self.lab("up", 4, "--quota", 50, check=True)
        for line in self.lab("env", check=True).stdout.splitlines():
            for word in shlex.split(line):
                if "=" in word:
                    name, value = word.split("=", 1)
                    self.env[name] = value
        self.env["DROVER_STATE_DIR"] = str(self.directory / "state")
        self.addCleanup(self.drover, "down", "--kill-jobs", check=False)
        self.drover("up", "--hostfile", self.env["LAB_HOSTFILE"], "--agent", self.env["LAB_AGENT"], "--net", self.env["LAB_NET"])

    def lab(self, *arguments, check=False):
        return subprocess.run([LAB, *map(str, arguments)], env=self.env, capture_output=True, text=True, timeout=DEADLINE, check=check)

    def drover(self, *arguments, check=True):
        result = subprocess.run([BIN / "drover", *map(str, arguments)], env=self.env, capture_output=True, text=True,
                                timeout=DEADLINE, cwd=self.directory)
        if check:
            self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def jobs(self):
        reply = json.loads(self.drover("ps", "--all", "--output", "json"))
        return reply["jobs"] if isinstance(reply, dict) else reply

    def wait_for(self, condition, what):
        end = time.monotonic() + DEADLINE
        while not condition():
            self.assertLess(time.monotonic(), end, f"waited for {what}; jobs: {self.drover('ps')}")
            time.sleep(0.1)

    def places(self):
        return sorted({job["node"] for job in self.jobs() if job["state"] == "running"})

    def test_arrivals_spread_and_a_busy_host_sheds(self):
        nodes = json.loads(self.drover("nodes", "--output", "json"))
        nodes = nodes["nodes"] if isinstance(nodes, dict) else nodes
        self.assertEqual([node["node"] for node in nodes], ["lab1", "lab2", "lab3", "lab4"])
        for _ in range(4):
            self.drover("submit", "--", "python3", "-c", HOG)
        self.wait_for(lambda: len(self.places()) == 4, "arrivals at lab1 to spread over four hosts")
        (self.directory / "stop").touch()
        self.drover("wait", 1, 2, 3, 4)
        (self.directory / "stop").unlink()

        for _ in range(4):
            self.drover("submit", "--node", "lab1", "--", "python3", "-c", HOG)
        self.wait_for(lambda: sum(job["moves"] for job in self.jobs()) >= 2, "lab1 to shed running jobs")
        busy = next(job for job in self.jobs() if job["moves"] > 0)
        self.assertIn("FREE", busy["why"])
        self.drover("migrate", 8, "lab1" if self.jobs()[-1]["node"] != "lab1" else "lab2")
        (self.directory / "stop").touch()
        self.drover("wait", 5, 6, 7, 8)
        for number in range(1, 9):
            self.assertEqual(self.drover("logs", number), "done\n")
        self.assertEqual(self.lab("exec", "lab3", "--", BIN / "drover", "ps").returncode, 0)


if __name__ == "__main__":
    unittest.main()
