"""What goes wrong with hosts and ssh, as somebody meets it: one line that names the host and says what to do, soon, and nothing left behind."""
import time

from virtual_hosts import VirtualHosts, run_tests, skip_unless_possible

LONGEST = 60  # seconds to a verdict on a busy machine; on an idle one 1 to 7


class SshErrors(VirtualHosts):
    hosts = 3
    lab_name = "ssherror"

    def refused(self, *words, hostfile=None, user="worker"):
        begin = time.monotonic()
        result = self.drover(user, "up", "--hostfile", hostfile or self.hostfile, check=1)
        self.assertLess(time.monotonic() - begin, LONGEST)
        self.assertEqual(result.stdout, "")
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertTrue(result.stderr.startswith("drover: "), result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assert_nothing_is_left()

    def hide(self, host, path, behind):
        """The host sees `behind` at `path`."""
        self.addCleanup(self.root, host, "umount", path)
        self.root(host, "mount", "--bind", behind, path, check=0)

    def home(self, user):
        return self.lab("exec", "lab1", "--as", user, "--", "pwd", check=True).stdout.strip()

    def test_no_sshd(self):
        self.addCleanup(self.lab, "sshd", "lab3", "start")
        self.lab("sshd", "lab3", "stop", check=True)
        self.refused("lab3", "Connection refused", "start sshd there")

    def test_several_hosts(self):
        for host in ("lab2", "lab3"):
            self.addCleanup(self.lab, "sshd", host, "start")
            self.lab("sshd", host, "stop", check=True)
        self.refused("lab2: ", "faults also on lab3")

    def test_a_key_that_is_not_accepted(self):
        for user in ("worker", "root"):
            self.hide("lab3", f"{self.home(user)}/.ssh/authorized_keys", "/dev/null")
            self.refused("lab3: ", f"{user}@lab3: Permission denied (publickey)", "ssh-copy-id lab3", user=user)

    def test_a_host_that_wants_a_password(self):
        config = self.directory / "sshd_config"
        path = f"/run/drover-lab/{self.lab_name}/ssh/lab3/sshd_config"
        config.write_text(self.root("lab3", "cat", path).stdout.replace("PasswordAuthentication no", "PasswordAuthentication yes")
                          + "AuthenticationMethods password\n")
        self.addCleanup(self.lab, "sshd", "lab3", "start")
        self.lab("sshd", "lab3", "stop", check=True)
        self.hide("lab3", path, config)
        self.addCleanup(self.lab, "sshd", "lab3", "stop")
        self.lab("sshd", "lab3", "start", check=True)
        self.refused("lab3: ", "Permission denied (password)", "without a question", "ssh-copy-id lab3")

    def test_a_host_key_that_is_not_known(self):
        known = self.root("lab1", "cat", f"{self.home('worker')}/.ssh/known_hosts").stdout.splitlines()
        file = self.directory / "known_hosts"
        file.write_text("".join(f"{line}\n" for line in known if "lab3" not in line))
        self.hide("lab1", f"{self.home('worker')}/.ssh/known_hosts", file)
        self.refused("lab3: ", "Host key verification failed", "ssh lab3")

    def test_an_unknown_name(self):
        self.refused("no-such-host: ", "Could not resolve hostname", "hostfile", hostfile=self.write_hostfile("unknown", "lab1", "lab2", "no-such-host"))

    def test_a_host_that_is_down(self):
        self.addCleanup(self.root, "lab3", "ip", "link", "set", "eth0", "up")
        self.root("lab3", "ip", "link", "set", "eth0", "down", check=0)
        self.refused("lab3: ", "is it up")

    def test_no_droverd_on_a_host(self):
        empty = self.directory / "empty"
        empty.mkdir(exist_ok=True)
        self.hide("lab3", self.prefix / "bin", empty)
        self.refused("lab3: ", f"{self.prefix}/bin/droverd: not found", "install Drover there at the same path")

    def test_no_open_mpi_on_a_host(self):
        self.hide("lab3", "/usr/bin/orted", "/dev/null")
        self.refused("lab3: ", "/usr/bin/orted: not found", "openmpi-bin")

    def test_another_version_on_a_host(self):
        """Once with a droverd that says so in time, once with one that only the world finds out."""
        droverd = self.prefix / "bin" / "droverd"
        real = self.directory / "real"
        if not real.exists():
            real.mkdir()
            for name in ("droverd", "drover-shepherd"):
                (real / name).write_bytes((self.prefix / "bin" / name).read_bytes())
                (real / name).chmod(0o755)
        other = self.directory / "other"
        other.write_text(f"#!/bin/sh\nDROVER_TEST_VERSION=9.9 exec {real}/droverd \"$@\"\n")
        other.chmod(0o755)
        self.hide("lab3", droverd, other)
        self.refused("9.9 on lab3", "install the same Drover on every node")

        other.write_text("#!/bin/sh\n[ \"$1\" != --version ] || echo droverd 9.9\nexit 1\n")
        self.refused("lab3", "install the same Drover on every node")


if __name__ == "__main__":
    skip_unless_possible()
    run_tests()
