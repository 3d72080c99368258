"""drover up and down: real mpirun, fake droverd."""
import os
import pathlib
import signal
import subprocess
import time
import unittest

from cluster import ClusterTest, wait_for


def processes_with(text):
    """Processes whose environment or command line names `text`."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if text.encode() in (entry / "cmdline").read_bytes() and (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                found.append(int(entry.name))
        except OSError:
            pass
    return found


class World(ClusterTest):
    def status(self):
        import json
        result = self.drover("status", "-o", "json")
        return json.loads(result.stdout) if result.returncode == 0 else {}

    def up(self, *arguments, env=None):
        return self.drover("up", *(arguments or ("-n", "2")), env=env)

    def mpirun_pid(self):
        supervisor = (self.runtime / "up.pid").read_text().strip()
        children = pathlib.Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        return int(children[0]) if children else 0

    def test_up_and_down_leave_nothing_behind(self):
        self.assertIn("4 nodes are up", self.drover("up", "-n", 4, check=0).stdout.decode())
        self.assertEqual(self.status()["world"], 4)
        self.drover("down", check=0)
        self.assertEqual(sorted(p.name for p in self.runtime.iterdir()), ["up.log"])
        wait_for(lambda: not processes_with(str(self.directory)), "every process to end")
        self.assert_error(self.drover("down"), 1, "drover up")

    def test_a_second_up_is_refused_by_name(self):
        self.assertEqual(self.up().returncode, 0)
        self.assert_error(self.up(), 1, "test", "already up", "drover down")
        self.drover("down", check=0)
        self.assertEqual(self.up().returncode, 0)

    def test_a_world_that_dies_is_replaced(self):
        self.assertEqual(self.up().returncode, 0)
        before = self.status()["generation"]
        os.killpg(self.mpirun_pid(), signal.SIGKILL)
        wait_for(lambda: self.status().get("generation", 0) > before, "a new world")
        self.drover("down", check=0)
        wait_for(lambda: not processes_with(str(self.directory)), "every process to end")

    def test_generations_grow_over_ups(self):
        generations = []
        for _ in range(2):
            self.assertEqual(self.up().returncode, 0)
            generations.append(self.status()["generation"])
            self.drover("down", check=0)
        self.assertLess(generations[0], generations[1])

    def test_down_ends_an_mpirun_that_does_not_return(self):
        self.assertEqual(self.up(env={"FAKE_DROVERD_LINGER": "1"}).returncode, 0)
        self.drover("down", check=0)
        wait_for(lambda: not processes_with(str(self.directory)), "every process to end")
        self.assertIn("did not return", (self.runtime / "up.log").read_text())

    def test_a_droverd_that_fails_at_once(self):
        result = self.up(env={"FAKE_DROVERD_EXIT": "3"})
        self.assert_error(result, 1, "droverd: this fake was told to fail", "up.log")
        wait_for(lambda: not processes_with(str(self.directory)), "every process to end")
        self.assertFalse((self.runtime / "up.pid").exists())

    def test_a_host_that_cannot_be_reached(self):
        (self.directory / "hosts").write_text("host-that-is-not.invalid slots=1\n")
        self.assert_error(self.up("--hostfile", "hosts"), 1, "host-that-is-not.invalid: ssh: Could not resolve")

    def test_worlds_that_die_at_once_come_to_an_end(self):
        self.assertEqual(self.up().returncode, 0)
        self.install_droverd("echo 'droverd: broken' >&2; exit 1")
        supervisor = int((self.runtime / "up.pid").read_text())
        os.killpg(self.mpirun_pid(), signal.SIGKILL)
        wait_for(lambda: not os.path.exists(f"/proc/{supervisor}"), "the supervisor to give up")
        self.assertIn("worlds in a row", (self.runtime / "up.log").read_text())

    def test_an_up_that_is_interrupted_leaves_nothing(self):
        self.install_droverd("exec sleep 600")
        up = self.popen("up", "-n", "1", stderr=subprocess.DEVNULL)
        wait_for(lambda: (self.runtime / "up.log").exists() and processes_with(str(self.directory) + "/bin/droverd"), "mpirun")
        up.send_signal(signal.SIGINT)
        self.assertEqual(up.wait(60), 1)
        wait_for(lambda: not processes_with(str(self.directory)), "every process to end")

    def test_an_up_that_is_killed_leaves_nothing(self):
        self.install_droverd("exec sleep 600")
        up = self.popen("up", "-n", "1", stderr=subprocess.DEVNULL)
        wait_for(lambda: (self.runtime / "up.log").exists() and processes_with(str(self.directory) + "/bin/droverd"), "mpirun")
        up.kill()
        up.wait(60)
        wait_for(lambda: not processes_with(str(self.directory)), "every process to end")

    def test_hostfiles(self):
        for text, words in (("", ["no host"]), ("a b\n", ["line 1", "'b'"]), ("# c\nhost slots=x\n", ["line 2", "slots"]),
                            ("-oProxyCommand=x\n", ["line 1"]), ("h slots=0\n", ["1 to"])):
            (self.directory / "hosts").write_text(text)
            self.assert_error(self.up("--hostfile", "hosts"), 1, "hosts", *words)
        self.assert_error(self.up("--hostfile", "missing"), 1, "missing", "No such file")
        (self.directory / "hosts").write_text("# two on this machine\nlocalhost\nlocalhost slots=1\n")
        self.assertEqual(self.up("--hostfile", "hosts").returncode, 0)
        self.assertEqual(self.status()["world"], 2)

    def test_an_agent_instead_of_ssh(self):
        agent = self.directory / "agent"
        agent.write_text(f'#!/bin/sh\necho "$1" >> "{self.directory}/reached"\nshift\nexec sh -c "$*"\n')
        agent.chmod(0o755)
        # mpirun asks the agent for hosts that are not this one: any name will do.
        (self.directory / "hosts").write_text("elsewhere-a\nelsewhere-b\n")
        result = self.up("--hostfile", "hosts", "--agent", str(agent), "--timeout", "30")
        reached = (self.directory / "reached").read_text().split() if (self.directory / "reached").exists() else []
        self.assertEqual(sorted(set(reached)), ["elsewhere-a", "elsewhere-b"], result.stderr)

    def test_networks_and_ports_are_checked(self):
        self.assert_error(self.up("-n", "2", "--net", "banana"), 1, "banana")
        self.assert_error(self.up("-n", "2", "--port-range", "1-2"), 1, "1-2")
        self.assertEqual(self.up("-n", "2", "--net", "127.0.0.0/8", "--port-range", "23000-23099").returncode, 0)

    def test_mpirun_missing(self):
        self.assert_error(self.up(env={"PATH": "/nonexistent"}), 1, "mpirun", "openmpi-bin")

    def test_droverd_missing(self):
        (self.directory / "bin" / "droverd").unlink()
        self.assert_error(self.up(), 1, "droverd", "beside")


class Settings(unittest.TestCase):
    def test_drover_env_says_the_same_as_up(self):
        root = pathlib.Path(__file__).resolve().parent.parent.parent
        source = (root / "launcher/world/mpi_settings.cpp").read_text()
        base = source[source.index("base_mpi_settings()"):source.index("if (::geteuid()")]
        import re
        ours = dict(re.findall(r'\{"(OMPI_\w+)", "([^"]*)"\}', base))
        script = f". {root}/hostfiles/drover.env; env"
        env = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env={"PATH": os.environ["PATH"]}).stdout
        theirs = dict(line.split("=", 1) for line in env.splitlines() if line.startswith("OMPI_MCA_"))
        self.assertGreater(len(ours), 5)
        self.assertEqual(ours, theirs)


if __name__ == "__main__":
    unittest.main()
