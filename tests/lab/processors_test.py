"""A node whose processor lacks something is no place for what runs on the others: nobody gives it a running job, and by hand it is refused.

What a host's processor has is read from /proc/cpuinfo; one host has another file there.
"""
import pathlib
import re
import time
import unittest

from lab_world import LabWorld

HOG = "import os\nn = 0\nwhile not os.path.exists('stop'):\n  for _ in range(200000): n += 1\nprint('done')\n"


class Processors(LabWorld):
    hosts = 3
    lab_options = ("--quota", 50)

    def prepare_hosts(self):
        text = pathlib.Path("/proc/cpuinfo").read_text()
        self.instruction = next(name for name in ("avx2", "ssse3", "sse4_1", "fpu") if re.search(rf"\b{name}\b", text))
        lesser = self.directory / "cpuinfo"
        lesser.write_text(re.sub(rf"\b{self.instruction}\b ?", "", text))
        self.lab("exec", "lab2", "--", "mount", "--bind", lesser, "/proc/cpuinfo", check=True)

    def nodes_of(self, jobs):
        return [job["node"] for job in self.jobs() if job["job"] in jobs]

    def moved_to(self):
        return [event["to"] for event in self.logged() if event["event"] == "migrated" and event["ok"]]

    def test_jobs_go_only_to_where_they_can_go_on(self):
        for _ in range(5):
            self.drover("submit", "--node", "lab1", "--", "python3", "-c", HOG)
        self.wait_for(lambda: "lab3" in self.nodes_of({1, 2, 3, 4, 5}), "lab1 to shed a job")
        end = time.monotonic() + 6  # rounds, in which lab2 asks for one
        while time.monotonic() < end:
            self.assertNotIn("lab2", self.nodes_of({1, 2, 3, 4, 5}))
            time.sleep(0.2)
        refused = self.refusal_of(1, "lab2")
        self.assertIn(f"the processor of lab2 lacks {self.instruction}, which the program may use", refused)
        self.assertNotIn("lab2", self.moved_to())

        # What has begun on the lesser one goes anywhere.
        for _ in range(3):
            self.drover("submit", "--node", "lab2", "--", "python3", "-c", HOG)
        self.run_drover("migrate", 6, "lab3")  # it may have gone by itself
        self.wait_for(lambda: self.nodes_of({6}) != ["lab2"], "a job of lab2's to move")
        (self.directory / "stop").touch()
        self.drover("wait", *range(1, 9))
        for number in range(1, 9):
            self.assertEqual(self.drover("logs", number), "done\n")

    def refusal_of(self, job, node):
        result = self.run_drover("migrate", job, node)
        self.assertNotEqual(result.returncode, 0)
        return result.stderr


if __name__ == "__main__":
    unittest.main()
