"""What runs on a host beside Drover's jobs is seen, and its owner's rule is kept: others' jobs come only when they may, and leave.

The hosts share one kernel, so a host's foreign load is what its cgroup shows. It is made of busy loops that are started in the host, not
through Drover, and that end when a file appears.
"""
import json
import subprocess
import time
import unittest

from lab_world import BIN, LAB, LabWorld

HOG = "import os\nn = m = 0\nwhile not os.path.exists('stop'):\n  for _ in range(200000): n += 1; m -= 1\nprint('done', n + m)\n"
LOOP = "i=0; while [ ! -e {} ]; do i=$((i+1)); done"
FEW_MOVES = 4  # of one job: out, perhaps on or back, and what ordinary balancing does


class OwnerWorld(LabWorld):
    lab_options = ("--quota", 50)

    def inside(self, host, *command):
        return subprocess.run([LAB, "exec", host, "--", *map(str, command)], env=self.env, cwd=self.directory, capture_output=True, text=True,
                              timeout=60, check=True).stdout

    def begin_foreign_load(self, host, loops=2):
        end = self.directory / f"end-{host}"
        end.unlink(missing_ok=True)
        for _ in range(loops):  # `lab down` ends them too
            loop = subprocess.Popen([LAB, "exec", host, "--", "sh", "-c", LOOP.format(end)], env=self.env)
            self.addCleanup(loop.wait)
            self.addCleanup(end.touch)

    def end_foreign_load(self, host):
        (self.directory / f"end-{host}").touch()

    def submit(self, count=1, node=None, inside=None):
        where = ["--node", node] if node else []
        command = ["submit", *where, "--", "python3", "-c", HOG]
        for _ in range(count):
            self.inside(inside, BIN / "drover", *command) if inside else self.drover(*command)

    def node(self, name):
        nodes = json.loads(self.drover("nodes", "--output", "json"))
        return next(node for node in (nodes["nodes"] if isinstance(nodes, dict) else nodes) if node["node"] == name)

    def foreign_load(self, name):
        return self.node(name)["foreign"]["run_queue"]

    def places(self, origin="lab1", settled=True):
        """{job: node} of one origin's jobs that are not over; None while one of them has no place, or is on its way."""
        jobs = [job for job in self.jobs() if job["origin"] == origin and job["state"] != "ended"]
        if settled and any(job["state"] != "running" for job in jobs):
            return None
        return {job["job"]: job["node"] for job in jobs}

    def wait_for_places(self, condition, what, origin="lab1"):
        self.wait_for(lambda: (places := self.places(origin)) and condition(list(places.values())), what)

    def came_to(self, node, since_ns):
        """Jobs of others that were placed on `node`, or moved to it, after `since_ns`."""
        jobs = {job["job"]: job["origin"] for job in self.jobs()}
        came = []
        for event in self.logged():
            if event["time_ns"] < since_ns or jobs.get(event.get("job")) == node:
                continue
            if event["event"] == "migrated" and event["ok"] and event["to"] == node:
                came.append(event)
            if event["event"] == "started" and event["place"] == node:
                came.append(event)
        return came

    def check_end(self):
        """All jobs end with the right output, none moved often, and every decision comes out the same again."""
        (self.directory / "stop").touch()
        numbers = [job["job"] for job in self.jobs()]
        self.drover("wait", *numbers)
        for job in self.jobs():
            self.assertEqual(self.drover("logs", job["job"]), "done 0\n")
            self.assertLessEqual(job["moves"], FEW_MOVES, job)
        paths = list(self.directory.glob("state/**/events/*.jsonl"))
        self.assertEqual(len(paths), self.hosts)
        self.assertRegex(self.drover("replay", *paths), r"^[1-9]\d* decisions, 0 come out otherwise$")


class WhenFree(OwnerWorld):
    config = '[node.lab2.balance]\naccept = "when-free"\n'

    def test_foreign_jobs_leave_while_the_owner_is_there(self):
        self.submit(4)
        self.wait_for_places(lambda at: "lab2" in at, "a job of lab1 to come to lab2")
        self.submit(inside="lab2", node="lab2")
        self.wait_for_places(lambda at: at == ["lab2"], "lab2's own job to start there", origin="lab2")

        self.begin_foreign_load("lab2")
        self.wait_for_places(lambda at: "lab2" not in at, "lab1's jobs to leave lab2")
        self.wait_for(lambda: self.foreign_load("lab2") > 1, "the foreign load to be seen in full")
        since = time.time_ns()
        self.submit(3)
        self.wait_for_places(lambda at: len(at) == 7, "three more jobs to start")
        end = time.monotonic() + 8  # rounds
        while time.monotonic() < end:
            self.assertNotIn("lab2", self.places(settled=False).values())
            time.sleep(0.5)
        self.assertEqual(self.came_to("lab2", since), [])
        self.assertEqual(list(self.places("lab2").values()), ["lab2"])

        self.end_foreign_load("lab2")
        self.wait_for(lambda: self.foreign_load("lab2") < 0.25, "the foreign load to end")
        self.wait_for_places(lambda at: "lab2" in at, "a job of lab1 to come to lab2 again")
        self.check_end()


class Never(OwnerWorld):
    config = '[node.lab2.balance]\naccept = "never"\n'

    def test_no_job_of_others_comes(self):
        self.submit(7)
        self.wait_for_places(lambda at: len(at) == 7 and {"lab3", "lab4"} < set(at), "lab1's jobs to spread")
        self.submit(inside="lab2")
        self.wait_for_places(lambda at: at == ["lab2"], "a job of lab2 to start there", origin="lab2")
        end = time.monotonic() + 5
        while time.monotonic() < end:
            self.assertNotIn("lab2", self.places(settled=False).values())
            time.sleep(0.5)
        self.assertEqual(self.came_to("lab2", 0), [])
        # Its own jobs are balanced like all others.
        self.submit(4, inside="lab2", node="lab2")
        self.wait_for_places(lambda at: len(at) == 5 and set(at) > {"lab2"}, "lab2 to give jobs of its own", origin="lab2")
        self.check_end()


class BusyOrigin(OwnerWorld):
    config = '[balance]\naccept = "when-free"\n'

    def test_jobs_go_to_free_nodes_and_home_only_if_there_is_none(self):
        self.submit(4)
        self.wait_for_places(lambda at: "lab2" in at, "a job of lab1 to come to lab2")
        self.begin_foreign_load("lab1")
        self.begin_foreign_load("lab2")
        self.wait_for_places(lambda at: "lab2" not in at, "lab1's jobs to leave lab2")
        self.begin_foreign_load("lab3")
        self.begin_foreign_load("lab4")
        self.wait_for_places(lambda at: set(at) == {"lab1"}, "lab1's jobs to come home")
        for host in ("lab1", "lab2", "lab3", "lab4"):
            self.end_foreign_load(host)
        self.wait_for_places(lambda at: len(set(at)) > 1, "lab1's jobs to spread again")
        self.check_end()

    def test_jobs_that_come_and_go_are_no_foreign_load(self):
        for host in ("lab1", "lab2", "lab3", "lab4"):
            self.wait_for(lambda host=host: self.foreign_load(host) < 0.1, "the start of the world to be over")
        before = len([event for event in self.logged() if event["event"] == "owner"])
        for _ in range(40):
            self.drover("submit", "--", "python3", "-c", "for _ in range(2000000): pass")
        self.drover("wait", *range(1, 41))
        self.assertEqual([event for event in self.logged() if event["event"] == "owner"][before:], [])
        self.assertGreater(len({event["place"] for event in self.logged() if event["event"] == "started"}), 1)


class Slower(OwnerWorld):
    def test_new_jobs_prefer_hosts_without_foreign_load(self):
        self.begin_foreign_load("lab3", loops=3)
        self.wait_for(lambda: self.foreign_load("lab3") > 3, "lab3's foreign load to be seen")
        self.wait_for(lambda: self.foreign_load("lab1") < 0.5, "lab1 to have none")
        self.assertEqual(self.node("lab3")["state"], "BUSY")
        self.submit(3)
        self.wait_for_places(lambda at: sorted(at) == ["lab1", "lab2", "lab4"], "three jobs to run on the three other hosts")
        self.assertEqual(self.came_to("lab3", 0), [])
        self.check_end()


if __name__ == "__main__":
    unittest.main()
