"""Drover inside jobs of a real Slurm over virtual hosts: it finds the hosts by itself, the examples run as they are written, and nothing
outlives the allocation, also under proctrack/linuxproc, where Slurm does not see what has left its parents; as root, and as an ordinary user
under proctrack/cgroup."""
import os
import pathlib
import subprocess
import time
import unittest

from slurm_cluster import FREEZER, SlurmCluster
from virtual_hosts import DEADLINE, LAB, VirtualHosts, run_tests, skip_unless_possible

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "slurm"


class SlurmHosts(VirtualHosts):
    lab_name = "slurm"
    lab_options = ("--own-tmp",)
    proctrack, user = "linuxproc", "root"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.slurm = SlurmCluster(LAB, cls.env, cls.names, cls.directory / "slurm", cls.proctrack, cls.user)
        cls.addClassCleanup(cls.end)
        cls.slurm.start()

    @classmethod
    def end(cls):
        cls.lab("down")
        cls.slurm.remove_cgroups()

    def drop_worlds(self):
        self.slurm.run("scancel", f"--user={self.user}")
        self.slurm.wait_for(lambda: not self.slurm.run("squeue", "-h").stdout, "all of Slurm's jobs to be gone")
        for host in self.names:
            self.root(host, "sh", "-c", "for p in $(pgrep 'drover|mpirun|orted'); do kill -9 $p; done")

    def setUp(self):
        super().setUp()
        self.work = self.directory / self.id().rsplit(".", 1)[1]
        self.work.mkdir(mode=0o777)
        self.work.chmod(0o777)

    def sbatch(self, script, *options, arguments=()):
        environment = f"ALL,PATH={self.prefix}/bin:/usr/local/bin:/usr/bin:/bin,DROVER_STATE_DIR={self.work}/state"
        result = self.slurm.run("sbatch", "--parsable", f"--chdir={self.work}", f"--export={environment}", f"--output={self.work}/job.%j.out", *options, script,
                                *arguments, check=0, cwd=self.work, user=self.user)
        return result.stdout.strip()

    def wait_state(self, job, *states):
        return self.slurm.wait_for(lambda: (state := self.slurm.state_of(job)) in states and state, f"job {job} to be {states}: {self.outputs()}", 300)

    def outputs(self):
        return {path.name: path.read_text(errors="replace")[-2000:] for path in self.work.glob("job.*.out")}

    def drovers(self, host):
        """Processes of Drover's, of mpirun's, and of its jobs."""
        lines = self.root(host, "ps", "-e", "-o", "pid=,args=").stdout.splitlines()
        names = ("drover-shepherd", "droverd", "drover up", "mpirun", "orted", "sleep 12345")
        return [line for line in lines if any(name in line for name in names) and "ps -e" not in line]

    def assert_nothing_outlives_it(self, seconds):
        end = time.monotonic() + seconds
        for host in self.names:
            while (left := self.drovers(host)) and time.monotonic() < end:
                time.sleep(0.5)
            self.assertEqual(left, [], f"{host}: {self.outputs()}")

    def long_job(self):
        script = self.work / "long.sbatch"
        script.write_text("#!/bin/bash\n#SBATCH --nodes=4 --ntasks-per-node=1 --exclusive\nexport DROVER_INSTANCE=slurm-$SLURM_JOB_ID\ndrover up || exit 1\n"
                          "for host in lab1 lab2 lab3 lab4; do drover submit --node $host -- sleep 12345; done\ntouch started\n" + "drover wait all\n")
        job = self.sbatch(script)
        self.slurm.wait_for((self.work / "started").exists, f"the jobs to run: {self.outputs()}")
        for host in self.names:
            self.assertIn("sleep 12345", str(self.drovers(host)))
        return job

    def many_tasks(self):
        job = self.sbatch(EXAMPLES / "many-tasks.sbatch")
        self.wait_state(job, "COMPLETED")
        self.assertIn("ExitCode=0:0", self.slurm.run("scontrol", "show", "job", job).stdout)
        tasks = [(self.work / f"task-{index}.out").read_text().split() for index in range(1, 101)]
        self.assertEqual([words[1] for words in tasks], [str(index) for index in range(1, 101)])
        hosts = {words[3] for words in tasks}
        self.assertLessEqual(hosts, set(self.names))
        self.assertGreater(len(hosts), 1)
        self.assertIn(f"4 nodes are up, those of Slurm job {job}", self.outputs()[f"job.{job}.out"])
        self.assert_nothing_outlives_it(DEADLINE)


class Slurm(SlurmHosts):
    def test_many_tasks(self):
        self.many_tasks()

    def test_lines(self):
        (self.work / "commands.txt").write_text("".join(f"echo {number}; hostname >&2\n" for number in range(10)))
        job = self.sbatch(EXAMPLES / "lines.sbatch", arguments=["commands.txt"])
        self.wait_state(job, "COMPLETED")
        self.assertEqual(sorted(path.read_text() for path in self.work.glob("line-*.out")), sorted(f"{number}\n" for number in range(10)))
        hosts = {path.read_text().strip() for path in self.work.glob("line-*.err")}
        self.assertLessEqual(hosts, set(self.names))
        self.assertEqual(len((self.work / "history.json").read_text().splitlines()), 10)

    def test_job_array(self):
        job = self.sbatch(EXAMPLES / "array.sbatch", "--array=1-3")
        self.slurm.wait_for(lambda: not self.slurm.run("squeue", "-h").stdout, "the array to end", 300)
        parts = {path.name: path.read_text() for path in self.work.glob("part-*.out")}
        self.assertEqual(parts, {f"part-{one}-{task}.out": f"{one} {task}\n" for one in (1, 2, 3) for task in range(1, 11)}, f"{job}: {self.outputs()}")

    def test_interactive(self):
        command = ["salloc", "--nodes=2", "--ntasks-per-node=1", "--exclusive", "-Q", EXAMPLES / "interactive.sh"]
        environment = dict(self.slurm.environment, PATH=f"{self.prefix}/bin:{os.environ['PATH']}", DROVER_STATE_DIR=str(self.work / "state"), SHELL="/bin/sh")
        result = subprocess.run([LAB, "exec", "lab1", "--", *map(str, command)], env=environment, cwd=self.work, input="drover run -- hostname; exit 7\n",
                                capture_output=True, text=True, timeout=300)
        self.assertIn("2 nodes are up", result.stdout, result.stderr)
        self.assertTrue(set(result.stdout.split()) & set(self.names), result.stdout)
        self.assertEqual(result.returncode, 7, result.stderr)
        self.assert_nothing_outlives_it(DEADLINE)

    def test_nothing_outlives_the_allocation(self):
        """One whose script forgets to end its world, and one that is cancelled; both at once, since each takes a minute to be sure."""
        script = self.work / "forgets.sbatch"
        script.write_text("#!/bin/bash\n#SBATCH --nodes=2 --ntasks-per-node=1\nexport DROVER_INSTANCE=slurm-$SLURM_JOB_ID\ndrover up || exit 1\n"
                          "for i in 1 2; do drover submit -- sleep 12345; done\n")
        forgets = self.sbatch(script)
        self.wait_state(forgets, "COMPLETED")
        job = self.long_job()
        self.slurm.run("scancel", job, check=0)
        self.wait_state(job, "CANCELLED")
        self.assert_nothing_outlives_it(3 * DEADLINE)


class SlurmOfAnOrdinaryUser(SlurmHosts):
    lab_options = ("--ssh",)
    proctrack, user = "cgroup", "worker"

    @classmethod
    def setUpClass(cls):
        if not FREEZER.is_dir():
            raise unittest.SkipTest("no cgroups of version 1 here, which is what this Slurm can be given a part of")
        super().setUpClass()

    def test_many_tasks(self):
        self.many_tasks()

    def cgroups(self, host):
        """Of the jobs that run there."""
        pids = self.root(host, "pgrep", "-f", "^sleep 12345").stdout.split()
        lines = "".join(self.root(host, "cat", f"/proc/{pid}/cgroup").stdout for pid in pids).splitlines()
        return [line.split(":")[2] for line in lines if line.split(":")[1] == "freezer"]

    def test_jobs_stay_in_the_allocations_cgroup(self):
        job = self.long_job()

        def inside(host):
            return [path.startswith(f"/slurm_{host}/") and f"/job_{job}/" in path for path in self.cgroups(host)]
        for host in self.names:
            self.assertEqual(inside(host), [True], self.cgroups(host))
        settings = [f"PATH={self.prefix}/bin:/usr/bin:/bin", f"DROVER_STATE_DIR={self.work}/state", f"DROVER_INSTANCE=slurm-{job}"]
        self.slurm.run("env", *settings, "drover", "migrate", "1", "lab2", user=self.user, check=0)
        self.assertEqual((inside("lab1"), inside("lab2")), ([], [True, True]), (self.cgroups("lab1"), self.cgroups("lab2")))
        self.slurm.run("scancel", job, check=0)
        self.wait_state(job, "CANCELLED")
        self.assert_nothing_outlives_it(DEADLINE)


if __name__ == "__main__":
    skip_unless_possible("munged", "slurmctld", "slurmd", "sbatch")
    run_tests()
