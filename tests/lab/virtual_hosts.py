"""What the tests over ssh share: virtual hosts with sshds of their own, an installed Drover that all of them see, commands run as one who
has just logged in, and a look at what is left on every host. Outside /tmp, since the hosts have a /tmp each."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
LAB = HERE / "lab"
SKIP = 77  # ctest's SKIP_RETURN_CODE
DEADLINE = 120  # generous: the machine may be busy with other things


def skip_unless_possible(*programs):
    """Ends this program, shown as skipped, where virtual hosts can't be made or a program is missing."""
    probe = subprocess.run(["unshare", "--net", "--pid", "--mount", "--uts", "--fork", "--mount-proc", "true"], capture_output=True, check=False)
    if os.geteuid() != 0 or probe.returncode != 0:
        print("skipped: the lab needs root and the right to make namespaces")
        sys.exit(SKIP)
    for program in ("/usr/sbin/sshd", "ss", *programs):
        if shutil.which(program) is None:
            print(f"skipped: {program} is not installed; see examples/install-packages.sh")
            sys.exit(SKIP)


class VirtualHosts(unittest.TestCase):
    """Hosts lab1 to labN and an installed Drover, made once for the class."""
    hosts = 4
    lab_name = "ssh"
    lab_options = ("--ssh",)

    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp(prefix="drover-ssh-", dir="/var/tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.directory.chmod(0o755)
        cls.prefix = cls.directory / "prefix"
        subprocess.run(["cmake", "--install", os.environ["DROVER_BUILD"], "--prefix", cls.prefix], check=True, stdout=subprocess.DEVNULL)
        cls.drover_path = cls.prefix / "bin" / "drover"
        cls.env = {name: value for name, value in os.environ.items() if not name.startswith(("DROVER_", "OMPI_", "XDG_", "SLURM_"))}
        cls.env["DROVER_LAB"] = cls.lab_name
        cls.lab("down")
        cls.addClassCleanup(cls.lab, "down")
        cls.lab("up", cls.hosts, *cls.lab_options, check=True)
        cls.names = [f"lab{number}" for number in range(1, cls.hosts + 1)]
        cls.hostfile = cls.write_hostfile("hosts", *cls.names)

    @classmethod
    def write_hostfile(cls, name, *hosts):
        path = cls.directory / name
        path.write_text("".join(f"{host}\n" for host in hosts))
        return path

    @classmethod
    def lab(cls, *arguments, check=False):
        # From a folder that every host has: the checkout may lie in /tmp, of which each has its own.
        result = subprocess.run([LAB, *map(str, arguments)], env=cls.env, cwd=cls.directory, capture_output=True, text=True, timeout=DEADLINE, check=False)
        if check and result.returncode != 0:
            raise AssertionError(f"lab {arguments}: {result.stderr}{result.stdout}")
        return result

    def setUp(self):
        self.addCleanup(self.drop_worlds)

    def drop_worlds(self):
        """Also after a failure no world lives on into the next test."""
        for user in ("root", "worker"):
            self.drover(user, "down", "--kill-jobs")
        for host in self.names:
            self.root(host, "sh", "-c", "for p in $(pgrep 'drover|mpirun|orted'); do kill -9 $p; done; rm -rf /tmp/*")

    def root(self, host, *command, check=None):
        result = self.lab("exec", host, "--", *command)
        if check is not None:
            self.assertEqual(result.returncode, check, f"{host}: {command}: {result.stderr}{result.stdout}")
        return result

    def drover(self, user, *arguments, host="lab1", check=None, env=()):
        """As `user` who has just logged in at `host`: nothing is set but what `env` says."""
        result = self.lab("exec", host, "--as", user, "--", "env", *env, self.drover_path, *arguments)
        if check is not None:
            self.assertEqual(result.returncode, check, f"drover {arguments}: {result.stderr}{result.stdout}")
        return result

    def popen(self, host, user, *command):
        """A command that runs beside the test, with pipes to its input and from its output."""
        process = subprocess.Popen([LAB, "exec", host, "--as", user, "--", *command], env=self.env, cwd=self.directory, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        # The whole session: the command itself is a child of what enters the host.
        self.addCleanup(lambda: process.poll() is not None or (os.killpg(process.pid, signal.SIGKILL), process.communicate()))
        return process

    def wait_for(self, condition, what):
        end = time.monotonic() + DEADLINE
        while not (value := condition()):
            self.assertLess(time.monotonic(), end, f"waited {DEADLINE} s for {what}")
            time.sleep(0.05)
        return value

    def processes(self, host):
        """Other than the host's own init and sshd, and this question itself."""
        lines = self.root(host, "ps", "-e", "-o", "pid=,args=").stdout.splitlines()
        return [line for line in lines if not any(word in line for word in ("drover-lab:", "sshd: /usr/sbin/sshd", "ps -e -o pid=,args="))]

    def files(self, host):
        """In what is the host's own; drover up's log may stay where it was typed."""
        found = self.root(host, "find", "/tmp", "/run/sshd", "/run/lock", "/dev/mqueue", "-mindepth", "1").stdout.splitlines()
        logs = ("up.log", "up.log.1")
        return [path for path in found if not (host == "lab1" and (path.endswith(logs) or path.count("/") <= 3 and "/drover-" in path))]

    def assert_nothing_is_left(self):
        for host in self.names:
            end = time.monotonic() + 20  # daemons of mpirun's on other hosts see its end some moments later
            while (left := self.processes(host) + self.files(host)) and time.monotonic() < end:
                time.sleep(0.05)
            self.assertEqual(left, [], host)

    def sockets(self, host, *options):
        """[(program, local address, peer address)] of what Drover and Open MPI have open on the host; without IPv6's brackets."""
        found = []
        for line in self.root(host, "ss", "-H", "-n", "-p", *options, check=0).stdout.splitlines():
            if 'users:(("' in line and (program := line.split('users:(("')[1].split('"')[0]) in ("droverd", "orted", "mpirun"):
                words = line.split()
                found.append((program, words[-3], words[-2]))
        return found


def run_tests():
    program = unittest.main(module="__main__", verbosity=2, exit=False)
    sys.exit(SKIP if program.result.wasSuccessful() and program.result.skipped else not program.result.wasSuccessful())
