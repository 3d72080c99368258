"""Four virtual hosts, real mpirun between them: what starts on one host spreads, and a busy host sheds running jobs."""
import json
import unittest

from lab_world import BIN, LabWorld

HOG = "import os\nn = 0\nwhile not os.path.exists('stop'):\n  for _ in range(200000): n += 1\nprint('done')\n"


class Balance(LabWorld):
    lab_options = ("--quota", 50)

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
        self.assertRegex(busy["why"], "FREE|paired")
        self.drover("migrate", 8, "lab1" if self.jobs()[-1]["node"] != "lab1" else "lab2")
        (self.directory / "stop").touch()
        self.drover("wait", 5, 6, 7, 8)
        for number in range(1, 9):
            self.assertEqual(self.drover("logs", number), "done\n")
        self.assertEqual(self.lab("exec", "lab3", "--", BIN / "drover", "ps").returncode, 0)


if __name__ == "__main__":
    unittest.main()
