"""--net and --port-range, seen from outside: hosts on two networks, and the sockets that droverd, orted and mpirun really have.

With nft a firewall on every host drops all that is not ssh or in the range; without nft that part is shown as skipped."""
import ipaddress
import shutil
import unittest

from virtual_hosts import VirtualHosts, run_tests, skip_unless_possible

FIRST, SECOND = "10.77.0.0/24", "192.168.77.0/24"
LOW, HIGH = 21000, 21063
# What docs/network.md tells an administrator to let in.
FIREWALL = """table inet drover_test {
  chain input {
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state established,related accept
    tcp dport 22 accept
    tcp dport %d-%d counter accept
    udp dport %d-%d counter accept
    counter drop
  }
}
""" % (LOW, HIGH, LOW, HIGH)


def split(address):
    """(ip, port) of what ss prints: 10.0.0.1:22, *:22, [::]:22, [::ffff:10.0.0.1]:22."""
    ip, port = address.rsplit(":", 1)
    ip = ip.strip("[]").removeprefix("::ffff:").split("%")[0]
    return ipaddress.ip_address({"*": "::"}.get(ip, ip)), int(port)


class Network(VirtualHosts):
    lab_name = "network"
    lab_options = ("--ssh", "--second-net")

    def up(self, *options, check=0, hostfile=None):
        return self.drover("worker", "up", "--hostfile", hostfile or self.hostfile, *options, check=check)

    def use_it(self):
        """Jobs on every host, and one that moves: every pair of ranks has talked then."""
        job = int(self.drover("worker", "submit", "--node", "lab2", "--", "sh", "-c", "while [ ! -e net ]; do sleep 0.05; done; exit 3", check=0).stdout)
        for host in self.names:
            self.assertEqual(self.drover("worker", "run", "--node", host, "--", "hostname", check=0).stdout, f"{host}\n")
        self.drover("worker", "migrate", job, "lab4", check=0)
        self.lab("exec", "lab3", "--as", "worker", "--", "touch", "net", check=True)
        self.drover("worker", "wait", job, check=3)
        self.lab("exec", "lab3", "--as", "worker", "--", "rm", "net", check=True)

    def assert_only_on(self, network):
        network, seen = ipaddress.ip_network(network), set()
        for host in self.names:
            for program, own, peer in self.sockets(host, "-t", "state", "established"):
                for ip in (split(own)[0], split(peer)[0]):
                    self.assertTrue(ip.is_loopback or ip in network, f"{host}: {program}: {own} {peer}")
                    if ip in network:
                        seen.add((host, program))
        self.assertEqual({host for host, program in seen if program == "droverd"}, set(self.names))
        self.assertIn(("lab3", "orted"), seen)

    def test_either_network(self):
        for network in (FIRST, SECOND):
            self.up("--net", network)
            self.use_it()
            self.assert_only_on(network)
            self.drover("worker", "down", check=0)
            self.assert_nothing_is_left()

    def test_a_network_that_this_host_is_not_on(self):
        result = self.up("--net", "172.16.0.0/16", check=1)
        self.assertEqual(result.stderr, "drover: --net 172.16.0.0/16: this host has no address in it; its networks are: "
                                        "10.77.0.0/24 (eth0), 192.168.77.0/24 (eth1)\n")
        self.assert_nothing_is_left()

    def test_a_network_that_another_host_is_not_on(self):
        self.addCleanup(self.root, "lab3", "ip", "addr", "add", "192.168.77.3/24", "dev", "eth1")
        self.root("lab3", "ip", "addr", "del", "192.168.77.3/24", "dev", "eth1", check=0)
        result = self.up("--net", SECOND, check=1)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertIn(f"lab3: --net {SECOND}: no address in it on lab3; give a network that every node is on", result.stderr)
        self.assert_nothing_is_left()

    def test_not_a_network(self):
        for text in ("banana", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/8x", "fd00::/8"):
            result = self.up("--net", text, check=1)
            self.assertEqual(result.stderr, f"drover: --net {text}: must be an IPv4 network such as 10.0.0.0/24\n")

    def assert_ports_in_range(self):
        for host in self.names:
            seen = set()
            for program, own, _ in self.sockets(host, "-t", "-l") + self.sockets(host, "-u", "-a"):
                ip, port = split(own)
                if not ip.is_loopback:  # how ranks talk to the daemon of their own host: no firewall is in between
                    self.assertTrue(LOW <= port <= HIGH, f"{host}: {program} listens on {own}")
                    seen.add(program)
            self.assertEqual(seen, {"droverd", "mpirun" if host == "lab1" else "orted"}, host)

    def test_every_port_is_in_the_range(self):
        self.up("--port-range", f"{LOW}-{HIGH}")
        self.use_it()
        self.assert_ports_in_range()
        # mpirun alone would listen on its whole part of the range: a second cluster would find none.
        other = ["DROVER_INSTANCE=other"]
        self.drover("worker", "up", "--hostfile", self.hostfile, "--port-range", f"{LOW}-{HIGH}", check=0, env=other)
        self.assert_ports_in_range()
        self.drover("worker", "down", check=0, env=other)
        self.drover("worker", "down", check=0)
        self.assert_nothing_is_left()

    @unittest.skipIf(shutil.which("nft") is None, "nft is not installed")
    def test_a_firewall_that_lets_only_the_range_through(self):
        rules = self.directory / "rules"
        rules.write_text(FIREWALL)
        for host in self.names:
            self.addCleanup(self.root, host, "nft", "flush", "ruleset")
            self.root(host, "nft", "-f", rules, check=0)
        self.up("--port-range", f"{LOW}-{HIGH}", "--net", SECOND)
        self.use_it()
        self.assert_only_on(SECOND)
        self.drover("worker", "down", check=0)
        # All hosts': a datagram between two that have both sent already counts as a reply.
        counts = "".join(self.root(host, "nft", "list", "ruleset", check=0).stdout for host in self.names)
        for protocol in ("tcp", "udp"):
            self.assertRegex(counts, rf"{protocol} dport {LOW}-{HIGH} counter packets [1-9]")
        self.assertEqual(counts.count("counter packets 0 bytes 0 drop"), len(self.names), "something of Drover's was dropped: " + counts)
        self.assert_nothing_is_left()

    @unittest.skipIf(shutil.which("nft") is None, "nft is not installed")
    def test_a_firewall_without_a_range(self):
        """The wall is real: ports of anybody's choice do not pass it, and what is said then helps."""
        rules = self.directory / "rules"
        rules.write_text(FIREWALL)
        for host in self.names:
            self.addCleanup(self.root, host, "nft", "flush", "ruleset")
            self.root(host, "nft", "-f", rules, check=0)
        result = self.up("--timeout", "15", check=1)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertIn("--port-range", result.stderr)
        for host in self.names:
            self.root(host, "nft", "flush", "ruleset", check=0)
        self.assert_nothing_is_left()


if __name__ == "__main__":
    skip_unless_possible()
    run_tests()
