"""Arrays: a job for each index, at most so many at a time, over new worlds, cancelled, and waited for as one."""
import json
import os
import signal
import unittest

from world import WorldTest, wait_for


class Arrays(WorldTest):
    nodes = 2
    config = "[balance]\nround_seconds = 0.25\nsuspect_seconds = 60\njobs_per_pu = 2\nmigrate = false\n"

    def array(self, indices, *command, options=()):
        return self.submit(*command, options=["--array", indices, *options])

    def tasks(self, array):
        """Of those that have been made, by index."""
        return {job["index"]: job for job in self.json("ps", "--all") if job["array"] == array}

    def wait_over(self, array):
        self.drover("wait", array)  # whose exit code is the array's
        return self.wait_state(array, "ended")

    def states(self, array):
        return [job["state"] for job in self.tasks(array).values()]

    def test_each_index_has_a_job_with_its_own_files_and_environment(self):
        array = self.array("1-3,10-20:5", "sh", "-c", 'echo "$DROVER_ARRAY_ID $DROVER_ARRAY_INDEX $DROVER_JOB_ID ${DROVER_ARRAY_ITEM-none}"',
                           options=["-O", "out-%a-%j", "--name", "each"])
        self.assertEqual(self.drover("wait", array).returncode, 0)
        tasks = self.tasks(array)
        self.assertEqual(sorted(tasks), [1, 2, 3, 10, 15, 20])
        for index, task in tasks.items():
            self.assertEqual((self.directory / f"out-{index}-{task['job']}").read_text(), f"{array} {index} {task['job']} none\n")
        over = self.job(array)
        self.assertEqual((over["state"], over["exit"]), ("ended", 0))
        self.assertEqual({key: over["tasks"][key] for key in ("count", "begun", "succeeded", "failed")},
                         {"count": 6, "begun": 6, "succeeded": 6, "failed": 0})
        self.assertIn("each[15]", self.drover("ps", "--all", check=0).stdout.decode())
        self.assertEqual(self.json("ps", "last")[0]["job"], array)  # not the last of its tasks

    def test_a_task_that_fails_makes_the_array_fail(self):
        array = self.array("0-5", "sh", "-c", 'until [ -e go ]; do sleep 0.05; done; exit $((DROVER_ARRAY_INDEX == 4))')
        after_any = self.submit("true", options=["--after", f"{array}:any"])
        after_ok = self.submit("true", options=["--after", array])
        (self.directory / "go").touch()
        self.assertEqual(self.drover("wait", array).returncode, 1)
        self.assertEqual(self.job(array)["tasks"]["failed"], 1)
        self.assertEqual({index: job["exit"] for index, job in self.tasks(array).items()}, {i: int(i == 4) for i in range(6)})
        self.assertEqual(self.drover("wait", after_any).returncode, 0)
        self.wait_state(after_ok, "failed")
        self.assertIn("1 of them failed", self.drover("ps", "--all", array, check=0).stdout.decode())

    def test_programs_that_are_not_there_do_not_hold_it_up(self):
        array = self.array("1-40", "/nowhere/program")
        self.assertEqual(self.drover("wait", array).returncode, 1)
        self.assertEqual(self.job(array)["tasks"]["failed"], 40)
        self.assertEqual(set(self.states(array)), {"failed"})

    def test_at_most_so_many_at_a_time(self):
        # Each counts who runs beside it.
        work = 'mkdir "run-$DROVER_ARRAY_INDEX"; ls -d run-* | wc -l; sleep 0.2; rmdir "run-$DROVER_ARRAY_INDEX"'
        array = self.array("1-12%3", "sh", "-c", work, options=["-O", "beside-%a"])
        self.assertIn("3 at a time", self.job(array)["why"])
        self.assertEqual(self.drover("wait", array).returncode, 0)
        beside = [int((self.directory / f"beside-{index}").read_text()) for index in range(1, 13)]
        self.assertLessEqual(max(beside), 3)
        self.assertGreater(max(beside), 1)  # they do run beside each other

    def test_items(self):
        (self.directory / "lines").write_text("a b\n\n'q' $HOME\n")
        (self.directory / "list").write_text(json.dumps(["x y", 7, {"a": [1]}]))
        for option, items in ("--each-line", ["a b", "", "'q' $HOME"]), ("--each-json", ["x y", "7", '{"a":[1]}']):
            array = self.submit("sh", "-c", 'printf "%s|" "$DROVER_ARRAY_INDEX" "$DROVER_ARRAY_ITEM"',
                                options=[option, option.removeprefix("--each-").replace("line", "lines").replace("json", "list"), "--at-most", "2"])
            self.assertEqual(self.drover("wait", array).returncode, 0)
            self.assertEqual([self.log_of(task["job"]) for _, task in sorted(self.tasks(array).items())],
                             [f"{number}|{item}|" for number, item in enumerate(items, 1)])

    def test_cancelled(self):
        array = self.array("1-1000", "sleep", "1000")
        wait_for(lambda: self.states(array).count("running") >= 2, "some to run")
        self.assertLess(len(self.states(array)), 100)  # not made before they can run
        self.drover("kill", array, check=0)
        over = self.wait_over(array)
        self.assertEqual(over["exit"], 1)
        self.assertIn("cancelled by signal 15", over["error"])
        self.assertNotIn("running", self.states(array))
        made = len(self.tasks(array))
        self.assertEqual(self.drover("wait", self.submit("true")).returncode, 0)
        self.assertEqual(len(self.tasks(array)), made)  # no more of them
        self.assertEqual(self.json("ps"), [])

    def test_one_task_is_a_job_of_its_own(self):
        array = self.array("1-3", "sleep", "1000")
        wait_for(lambda: self.states(array).count("running") == 3, "all to run")
        second = self.tasks(array)[2]["job"]
        self.drover("kill", second, check=0)
        self.assertEqual(self.wait_state(second, "ended")["signal"], signal.SIGTERM)
        self.assertEqual(self.job(array)["state"], "running")
        for command, *more in ["logs"], ["migrate", "node1"]:
            self.assertIn("is an array", self.drover(command, array, *more, check=1).stderr.decode())
        self.drover("kill", "-s", "KILL", array, check=0)
        self.wait_over(array)

    def test_goes_on_in_a_new_world(self):
        work = 'until [ -e go ]; do sleep 0.05; done; echo "$KEPT $DROVER_ARRAY_INDEX" >>done'
        array = self.array("1-30", "sh", "-c", work, options=["--env", "KEPT=as it was", "-O", "/dev/null", "-e", "/dev/null"])
        wait_for(lambda: self.states(array).count("running") >= 2, "some to run")
        before = self.json("status")["generation"]
        os.kill(self.mpirun_pid(), signal.SIGKILL)
        self.wait_new_world(before)
        (self.directory / "go").touch()
        self.assertEqual(self.drover("wait", array).returncode, 0)
        self.assertEqual(sorted((self.directory / "done").read_text().splitlines()), sorted(f"as it was {index}" for index in range(1, 31)))
        self.assertEqual(self.job(array)["tasks"]["succeeded"], 30)

    def test_what_makes_no_sense(self):
        for options, text in (["--array", "5-1"], "--array 5-1"), (["--array", "1,1"], "ascending"), (["--array", "1-9%0"], "at most 20"), \
                (["--array", "x"], "must be indices"), (["--array", "1-3", "--each-line", "/dev/null"], "give one of them"), \
                (["--each-line", "/dev/null"], "nothing in it"), (["--each-json", "/dev/null"], "must be a list"), \
                (["--at-most", "3"], "--at-most is for arrays"), (["--array", "1-3", "-O", "same"], "put %a"):
            refused = self.drover("submit", *options, "--", "true", check=2)
            self.assertIn(text, refused.stderr.decode(), options)
        too_many = self.drover("submit", "--array", "0-1000000", "--", "true", check=2)
        self.assertIn("at most 1000000 tasks", too_many.stderr.decode())
        self.assertEqual(self.json("ps", "--all"), [])

    def test_script_says_that_it_is_one(self):
        script = "#!/bin/sh\n#DROVER --stdout=part-%a\n#DROVER --array=2-4%2\necho $DROVER_ARRAY_INDEX\n"
        array = int(self.drover("submit", stdin=script.encode(), check=0).stdout)
        self.assertEqual(self.drover("wait", array).returncode, 0)
        self.assertEqual([(self.directory / f"part-{index}").read_text() for index in (2, 3, 4)], ["2\n", "3\n", "4\n"])

    def test_many_are_told_in_parts(self):
        array = self.array("1-2500", "true", options=["-O", "/dev/null", "-e", "/dev/null"])
        self.assertEqual(self.drover("wait", array).returncode, 0)
        jobs = self.json("ps", "--all")
        self.assertEqual(len(jobs), 2501)
        self.assertEqual(len({job["job"] for job in jobs}), 2501)
        self.assertEqual({job["exit"] for job in jobs}, {0})


if __name__ == "__main__":
    unittest.main()
