"""drover up over real ssh daemons, as root and as an ordinary user: a job moves between hosts, and nothing is left behind.

Whoever types drover has just logged in and has set nothing; the far side gets what ssh and the launcher give it."""
import json

from virtual_hosts import VirtualHosts, run_tests, skip_unless_possible

JOB = "echo begun; while [ ! -e go ]; do sleep 0.05; done; echo moved; exit 5"


class Ssh(VirtualHosts):
    def moves(self, user, *env):
        """A world, a job from lab1 to lab3 and back to its end, and the way down."""
        def drover(*arguments, check=0):
            return self.drover(user, *arguments, check=check, env=env).stdout
        home = self.lab("exec", "lab1", "--as", user, "--", "sh", "-c", "rm -f go; pwd").stdout.strip()
        self.assertIn("4 nodes are up; this host's first is lab1", drover("up", "--hostfile", self.hostfile))
        nodes = json.loads(drover("nodes", "--output", "json"))
        self.assertEqual([(node["node"], node["host"]) for node in nodes], [(host, host) for host in self.names])

        job = int(drover("submit", "--node", "lab1", "--", "sh", "-c", JOB))
        self.wait_for(lambda: drover("logs", job) == "begun\n", "the job's first line")
        self.assertIn("lab1 -> lab3", drover("migrate", job, "lab3"))
        owner = "60900" if user == "worker" else "0"
        runs = self.root("lab3", "sh", "-c", f"ps -e -o uid=,args= | grep -c '^ *{owner} .*while .* -e go'")
        self.assertGreaterEqual(int(runs.stdout), 1, self.root("lab3", "ps", "-e", "-o", "uid,args").stdout)
        self.lab("exec", "lab2", "--as", user, "--", "touch", f"{home}/go", check=True)
        drover("wait", job, check=5)
        self.assertEqual(drover("logs", job), "begun\nmoved\n")
        self.assertEqual(drover("run", "--node", "lab4", "--", "hostname"), "lab4\n")
        # From another host it is the same cluster.
        self.assertIn("lab3", self.drover(user, "ps", "--all", host="lab2", check=0, env=env).stdout)
        drover("down")
        self.assert_nothing_is_left()

    def test_as_root(self):
        self.moves("root")

    def test_as_an_ordinary_user(self):
        self.moves("worker")

    def test_a_login_with_other_groups(self):
        """Some logins list the main group among the supplementary ones and some do not; jobs move between them all the same."""
        uid, gid = (self.lab("exec", "lab1", "--as", "worker", "--", "id", option).stdout.strip() for option in ("-u", "-g"))
        bare = ["exec", "lab1", "--", "setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--reset-env", "--", self.drover_path]
        self.lab(*bare, "up", "--hostfile", self.hostfile, check=True)
        job = self.lab(*bare, "submit", "--node", "lab1", "--", "sh", "-c", "while :; do sleep 0.05; done", check=True).stdout.strip()
        self.wait_for(lambda: '"running"' in self.lab(*bare, "ps", "--output", "json").stdout, "the job to run")
        self.lab(*bare, "migrate", job, "lab3", check=True)
        self.lab(*bare, "down", "--kill-jobs", check=True)
        self.assert_nothing_is_left()

    def test_connections_that_ssh_keeps_open(self):
        """With ControlPersist an ssh stays behind: nobody may wait for that one."""
        config = "/run/drover-lab/ssh/home/worker/.ssh/config"
        self.addCleanup(self.root, "lab1", "rm", "-f", config)
        self.lab("exec", "lab1", "--as", "worker", "--", "sh", "-c",
                 f"printf 'ControlMaster auto\\nControlPath /tmp/ssh-%%h\\nControlPersist 2\\n' >{config}; chmod 600 {config}", check=True)
        self.drover("worker", "up", "--hostfile", self.hostfile, check=0)
        self.assertEqual(self.drover("worker", "run", "--node", "lab3", "--", "hostname", check=0).stdout, "lab3\n")
        self.drover("worker", "down", check=0)
        self.assert_nothing_is_left()

    def test_settings_reach_every_host(self):
        """Where files are is said where drover up is typed; ssh hands on nothing."""
        state, run = self.lab("exec", "lab1", "--as", "worker", "--", "sh", "-c", "mkdir -p s; echo $PWD/s").stdout.strip(), "/tmp/run"
        for name in ("DROVER_STATE_DIR", "XDG_STATE_HOME"):
            env = [f"{name}={state}", f"DROVER_RUNTIME_DIR={run}", "DROVER_INSTANCE=mine", "LD_LIBRARY_PATH=/opt/lib with space",
                   f"XDG_CONFIG_HOME={state}"]
            self.drover("worker", "up", "--hostfile", self.hostfile, check=0, env=env)
            text = self.root("lab3", "sh", "-c", "tr '\\0' '\\n' </proc/$(pgrep -x droverd)/environ").stdout.splitlines()
            for setting in env:
                if not setting.startswith("LD_"):
                    self.assertIn(setting, text)
            paths = next(line for line in text if line.startswith("LD_LIBRARY_PATH="))
            self.assertIn("/opt/lib with space", paths.split("=")[1].split(":"))
            self.assertEqual(self.drover("worker", "run", "--node", "lab2", "--", "hostname", check=0, env=env).stdout, "lab2\n")
            self.drover("worker", "down", check=0, env=env)
            self.lab("exec", "lab1", "--as", "worker", "--", "rm", "-r", "/tmp/run")  # with the log of drover up
            self.lab("exec", "lab2", "--as", "worker", "--", "sh", "-c", "rmdir /tmp/run")
            for host in self.names:  # a directory that was chosen stays
                self.root(host, "sh", "-c", "rmdir /tmp/run || true")
            self.assert_nothing_is_left()


if __name__ == "__main__":
    skip_unless_possible()
    run_tests()
