"""Of the jobs that have ended the newest stay in droverd's memory; the others are in the archive, and still to be had."""
import json
import os
import signal
import unittest

from terminals import Terminal
from world import WorldTest, wait_for


class Archive(WorldTest):
    nodes = 2
    config = ("[balance]\nround_seconds = 0.25\nsuspect_seconds = 60\njobs_per_pu = 4\nmigrate = false\n"
              "[jobs]\nkeep_finished = 3\n")

    def in_memory(self, origin="node0"):
        """Those that have ended, by origin."""
        return [job["job"] for job in self.json("ps", "--all") if job["origin"] == origin and job["state"] in ("ended", "failed")]

    def archived(self):
        return sorted(job for event in self.events("archived") for job in event["jobs"])

    def wait_archived(self, *jobs):
        wait_for(lambda: set(jobs) <= set(self.archived()), f"{jobs} to be archived; {self.archived()} are")

    def end_some(self, count, *options):
        """Jobs that fill what stays in memory, and end in the order of their numbers."""
        return [self.end_one(*options) for _ in range(count)]

    def end_one(self, *options, at="node0", command="true"):
        job = int(self.drover("--at", at, "submit", *options, "--", command, check=0).stdout)
        self.assertEqual(self.drover("wait", job).returncode, int(command == "false"))
        return job

    def new_world(self):
        generation = self.json("status")["generation"]
        os.kill(self.mpirun_pid(), signal.SIGKILL)
        self.wait_new_world(generation)

    def test_the_newest_stay_and_the_others_are_found(self):
        first = self.submit("sh", "-c", "echo out; echo err >&2; exit 7", options=["--name", "oldest"])
        self.assertEqual(self.drover("wait", first).returncode, 7)
        before = self.json("show", first)[0]
        rest = self.end_some(8)
        self.wait_archived(first, *rest[:5])
        wait_for(lambda: self.in_memory() == rest[5:], f"three to stay; it is {self.in_memory()}")
        self.assertEqual(self.archived(), [first, *rest[:5]])
        for node in ("node0", "node1"):
            after = self.json("--at", node, "show", first)[0]
            self.assertEqual({**after, "history": 0}, {**before, "history": 0})
            self.assertEqual([event["event"] for event in after["history"]], [event["event"] for event in before["history"]])
            self.assertEqual(self.drover("--at", node, "wait", first).returncode, 7)
            self.assertEqual(self.drover("--at", node, "wait", first, rest[7], check=0).stdout, b"")
            self.assertEqual(self.drover("--at", node, "logs", first, check=0).stdout, b"out\n")
            self.assertEqual(self.drover("--at", node, "logs", "-ef", first, check=0).stdout, b"err\n")
            self.assertEqual([job["job"] for job in self.json("--at", node, "show", f"{first}-{rest[7]}")], [first, *rest])
            for command in (["kill", first], ["hold", first], ["migrate", first, "node1"], ["checkpoint", first]):
                self.assertIn(f"job {first} has ended already", self.drover("--at", node, *command, check=1).stderr.decode())
            self.attach_says("has no terminal", node, first)
            for command in (["wait", 99], ["logs", 99], ["kill", 99], ["show", 99], ["wait", first, 99]):
                self.assertIn("no such job" if command[0] == "show" else "there is no job 99",
                              self.drover("--at", node, *command, check=1).stderr.decode())

    def history(self, *options):
        return [json.loads(line)["job"] for line in self.drover("history", *options, "-o", "json", check=0).stdout.splitlines()]

    def test_history_has_all_of_them(self):
        other = self.end_some(6, "--name", "other")
        mine = self.end_some(6, "--name", "mine")
        late = [self.end_one("--name", "mine", at="node1", command="false") for _ in range(5)]
        self.wait_archived(*other, *mine[:3], *late[:2])
        self.assertEqual(sorted(self.history("--limit", "0")), other + mine + late)
        self.assertEqual(len(self.history()), 17)
        self.assertEqual(len(self.history("--limit", "11")), 11)
        self.assertEqual(self.history("--name", "other"), other)
        self.assertEqual(len(self.history("--name", "mine", "--limit", "9")), 9)
        self.assertEqual(set(self.history("--state", "failed")), set(late))
        self.assertEqual(self.history(f"{other[1]}-{other[3]}"), other[1:4])
        self.assertEqual(len(self.history("--since", "1h")), 17)
        self.assertEqual(self.history("--since", "2099-01-01"), [])

    def test_what_is_to_start_after_one_that_is_long_over(self):
        good, bad = self.submit("true"), self.submit("false")
        self.drover("wait", good, bad)
        theirs = self.end_one(at="node1")
        for at in "node0", "node1":
            for _ in range(5):
                self.end_one(at=at)
        self.wait_archived(good, bad, theirs)
        self.assertEqual(self.drover("wait", self.submit("true", options=["--after", good, "--after", f"{bad}:any"])).returncode, 0)
        refused = self.drover("submit", "--after", bad, "--", "true")
        self.assertEqual(refused.returncode, 1)
        self.assertIn(f"was to start after job {bad} had succeeded", refused.stderr.decode())
        elsewhere = self.drover("submit", "--after", theirs, "--", "true", check=1).stderr.decode()
        self.assertIn(f"job {theirs} was submitted at node1", elsewhere)
        self.assertIn("drover --at node1 submit", elsewhere)
        self.assertIn("there is no job 999", self.drover("submit", "--after", 999, "--", "true", check=1).stderr.decode())
        # And one that waits for another besides, in a new world.
        waits = self.submit("sh", "-c", "until [ -e go ]; do sleep 0.05; done")
        last = self.submit("echo", "at last", options=["--after", good, "--after", waits])
        self.assertIn(f"for the end of job {waits}", self.job(last)["why"])
        self.new_world()
        self.wait_state(last, "queued")
        (self.directory / "go").touch()
        self.assertEqual(self.drover("wait", last).returncode, 0)
        self.assertEqual(self.log_of(last), "at last\n")

    def test_a_new_world_knows_the_same_ones(self):
        jobs = self.end_some(9)
        self.wait_archived(*jobs[:6])
        self.new_world()
        self.assertEqual(self.in_memory(), jobs[6:])
        self.assertEqual(self.drover("wait", jobs[0]).returncode, 0)
        self.assertEqual(self.history("--limit", "0"), jobs)
        more = self.end_some(4)
        self.assertGreater(more[0], jobs[-1])  # no id is given twice
        self.wait_archived(*jobs, more[0])
        self.assertEqual(self.archived(), [*jobs, more[0]])  # each once

    def test_an_array_counts_tasks_that_are_archived_already(self):
        work = 'until [ $DROVER_ARRAY_INDEX -le 12 ] || [ -e go ]; do sleep 0.05; done; exit $((DROVER_ARRAY_INDEX % 5 == 0))'
        array = self.submit("sh", "-c", work, options=["--array", "1-20%2"])
        wait_for(lambda: len(self.archived()) >= 9, "tasks to be archived")
        self.assertEqual(self.job(array)["state"], "running")
        self.new_world()
        wait_for(lambda: (self.job(array) or {}).get("tasks", {}).get("succeeded") == 10, f"their ends to be known: {self.job(array)}")
        (self.directory / "go").touch()
        self.assertEqual(self.drover("wait", array).returncode, 1)
        over = self.job(array)
        self.assertEqual({key: over["tasks"][key] for key in ("count", "begun", "succeeded", "failed")},
                         {"count": 20, "begun": 20, "succeeded": 16, "failed": 4})
        self.assertEqual(len(self.history("--limit", "0")), 21)

    def test_what_was_run_in_the_foreground_can_be_asked_for(self):
        self.assertEqual(self.drover("run", "--", "sh", "-c", "exit 3").returncode, 3)
        job = self.json("show", "last")[0]["job"]
        self.wait_archived_after(job)
        self.assertIn("its output went to its launcher", self.drover("logs", job, check=1).stderr.decode())
        self.assertEqual(self.json("show", job)[0]["exit"], 3)
        self.attach_says("has no terminal", "node1", job)
        shown = self.terminal("run", "-t", "--", "sh", "-c", "exit 4")
        self.assertEqual(shown.wait_end(), 4)
        job = self.json("show", "last")[0]["job"]
        self.wait_archived_after(job)
        for node in "node0", "node1":
            again = self.terminal("--at", node, "attach", job)
            self.assertEqual(again.wait_end(), 4, again.shown)

    def terminal(self, *arguments):
        terminal = Terminal([*self.prefix, self.bin / "drover", *map(str, arguments)], env=self.env, cwd=self.directory)
        self.addCleanup(terminal.clean_up)
        return terminal

    def attach_says(self, text, node, job):
        self.terminal("--at", node, "attach", job).wait(text)

    def wait_archived_after(self, job):
        self.end_some(4)
        self.wait_archived(job)


if __name__ == "__main__":
    unittest.main()
