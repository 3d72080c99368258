"""Draining nodes: what moves, what stays and why, what starts elsewhere, and that it lasts."""
import time
import unittest

from world import PYTHON, WorldTest, wait_for

HOG = "import os, time\nwhile not os.path.exists('stop'): time.sleep(0.01)\nprint('done')\n"


class DrainTest(WorldTest):
    nodes = 3
    config = "[balance]\nround_seconds = 0.25\nsuspect_seconds = 60\nanswer_seconds = 3\npolicy = \"none\"\n"

    def state_of(self, node):
        return next(one["state"] for one in self.json("nodes") if one["node"] == node)

    def sleepers(self, count, node, *options):
        return [self.submit(PYTHON, "-c", HOG, options=("--node", node, *options)) for _ in range(count)]

    def end_all(self, jobs):
        (self.directory / "stop").touch()
        self.drover("wait", *jobs, check=0)
        for job in jobs:
            self.assertEqual(self.log_of(job), "done\n")

    def test_everything_goes_and_nothing_comes(self):
        jobs = self.sleepers(5, "node1")
        result = self.drover("drain", "node1", "--reason", "new memory", "--timeout", "2m", check=0)
        self.assertEqual(result.stdout.decode(), "node1 is drained\n")
        places = [self.job(job)["node"] for job in jobs]
        self.assertEqual(set(places), {"node0", "node2"}, places)  # spread
        wait_for(lambda: self.state_of("node1") == "DRAINED", "node1 to be shown as drained")
        refused = self.drover("submit", "--node", "node1", "--", "true")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("node1 is draining", refused.stderr.decode())
        refused = self.drover("migrate", jobs[0], "node1")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("drover undrain", refused.stderr.decode())
        self.drover("undrain", "node1", check=0)
        wait_for(lambda: self.state_of("node1") not in ("DRAINED", "DRAINING"), "node1 to be back")
        self.drover("migrate", jobs[0], "node1", check=0)
        self.assertEqual([event["reason"] for event in self.events("drain")], ["new memory"])
        self.end_all(jobs)

    def test_arrivals_at_a_drained_origin_start_elsewhere(self):
        self.drover("drain", "node0", check=0)
        job = self.submit("sleep", "60")
        self.assertNotEqual(self.job(job)["node"], "node0")
        self.drover("kill", job, check=0)

    def test_what_stays_is_named(self):
        jobs = self.sleepers(1, "node2", "--pin") + self.sleepers(1, "node2")
        result = self.drover("drain", "node2", check=1)
        self.assertEqual(result.stdout.decode().splitlines(),
                         ["node2 takes no more jobs; 1 is still there:", f"  {jobs[0]} (python3): submitted with --pin"])
        self.assertEqual(self.state_of("node2"), "DRAINING")
        waiting = self.popen("drain", "node2", "--until-ended")
        time.sleep(0.5)
        self.assertIsNone(waiting.poll())
        self.end_all(jobs)
        self.assertEqual(waiting.wait(timeout=60), 0)

    def test_nowhere_to_go(self):
        jobs = self.sleepers(1, "node0")
        self.drover("drain", "node1", "node2", check=0)
        result = self.drover("drain", "node0", check=1)
        self.assertIn(f"  {jobs[0]} (python3): no other node takes jobs now", result.stdout.decode())
        self.drover("undrain", "node1", check=0)
        self.drover("drain", "node0", "--timeout", "1m", check=0)  # it has gone on trying
        self.assertEqual(self.job(jobs[0])["node"], "node1")
        self.end_all(jobs)

    def test_lasts_over_a_new_world(self):
        self.drover("drain", "node2", check=0)
        self.drover("down", check=0)
        self.up()
        wait_for(lambda: self.state_of("node2") == "DRAINED", "node2 to be drained still")
        self.drover("undrain", "node2", check=0)
        self.drover("down", check=0)
        self.up()
        self.assertNotIn("DRAIN", self.state_of("node2"))

    def test_errors(self):
        result = self.drover("drain", "node7")
        self.assertEqual(result.returncode, 1)
        self.assertIn("there is no node 'node7'; see drover nodes", result.stderr.decode())
        self.assertEqual(self.drover("drain").returncode, 2)
        self.assertEqual(self.drover("drain", "node1", "--timeout", "soon").returncode, 2)
        self.assertEqual(self.drover("drain", "node1", "--no-wait", "--until-ended").returncode, 2)
        self.assertEqual(self.state_of("node1"), self.state_of("node1").replace("DRAIN", ""))


if __name__ == "__main__":
    unittest.main()
