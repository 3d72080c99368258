"""Ranks that stop, die or do not fit; placement; starting a world by hand."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import unittest
import urllib.request

from world import BIN, DEADLINE, HERE, PYTHON, WorldTest, wait_for


class MembershipTest(WorldTest):
    nodes = 4

    def test_rounds_go_on_in_time_after_a_stopped_rank(self):
        wait_for(lambda: self.json("status")["rounds"] > 2, "rounds")
        late = self.json("status")["late_rounds"]
        pid = self.droverd_pid("node2")
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: self.json("status")["late_rounds"] > late, "a late round")
        os.kill(pid, signal.SIGCONT)
        # On a quiet machine it is one late round; but a machine that stalls makes late ones of its own.
        wait_for(self.in_time_for_six_rounds, "rounds in time again")

    def in_time_for_six_rounds(self):
        before = self.json("status")
        after = wait_for(lambda: (now := self.json("status"))["rounds"] >= before["rounds"] + 6 and now, "rounds to go on")
        return after["late_rounds"] == before["late_rounds"]

    def test_stopped_rank_is_excluded_and_comes_back(self):
        number = self.submit("sh", "-c", "sleep 1; echo fine", options=("--node", "node1"))
        pid = self.droverd_pid("node2")
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: self.json("status")["excluded"] == ["node2"], "node2 to be excluded")
        rounds = self.json("status")["rounds"]
        wait_for(lambda: self.json("status")["rounds"] > rounds + 2, "rounds without it")
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: self.json("status")["excluded"] == [], "node2 to be back")
        other = self.submit("echo", "there", options=("--node", "node2"))
        self.drover("wait", number, other, check=0)
        self.assertEqual(self.log_of(number) + self.log_of(other), "fine\nthere\n")

    def test_launcher_dies_with_output_that_it_has_not_written(self):
        run = self.popen("run", "--", PYTHON, "-c", "print('x' * 200_000)", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        number = wait_for(lambda: next((job["job"] for job in self.json("ps")), 0), "the job")
        self.wait_blocked(run.pid)
        run.kill()
        run.communicate(timeout=DEADLINE)
        self.assertEqual(self.wait_state(number, "ended")["exit"], 0)

    def test_killed_rank_is_excluded(self):
        number = self.submit(PYTHON, "-c", "import time; time.sleep(4); print('fine')", options=("--node", "node1"))
        os.kill(self.droverd_pid("node2"), signal.SIGKILL)
        wait_for(lambda: self.json("status")["excluded"] == ["node2"], "node2 to be excluded")
        error = self.drover("migrate", number, "node2")
        self.assertEqual(error.returncode, 1)
        self.assertIn("node2 does not answer", error.stderr.decode())
        self.drover("migrate", number, "node3", check=0)
        self.drover("wait", number, check=0)
        self.assertEqual(self.log_of(number), "fine\n")
        self.drover("down", check=0)

    def test_idle_cost_and_round_trip_are_told(self):
        trips = self.json("ping")
        trips = trips.get("round_trip_us", trips)
        self.assertEqual(sorted(trips), ["node1", "node2", "node3"])
        self.assertTrue(all(trip > 0 for trip in trips.values()))


    def test_doctor_looks_at_every_node(self):
        reply = self.json("doctor")
        self.assertEqual([node["node"] for node in reply], ["node0", "node1", "node2", "node3"])
        for node in reply:
            found = {finding["check"]: finding for finding in node["findings"]}
            wanted = {"kernel", "namespaces", "ptrace", "state directory", "MPI", "processors"} | ({"clock"} if node["node"] != "node0" else set())
            self.assertLessEqual(wanted, set(found))
            self.assertIn(str(self.state), found["state directory"]["detail"])
            self.assertIn("Open MPI", found["MPI"]["detail"])
            self.assertNotIn("shared state", found)
            if "clock" in found:  # it is one and the same
                skew, within = re.match(r"([+-][\d.]+) ms \(to within ([\d.]+) ms\)", found["clock"]["detail"]).groups()
                self.assertLessEqual(abs(float(skew)), float(within) + 0.1)
        self.assertEqual(list(self.state.glob("doctor.*")), [])
        table = self.drover("doctor", check=0).stdout.decode()
        self.assertRegex(table, r"(?m)^kernel +ok +all +Linux ")
        self.assertRegex(table, r"(?m)^clock +ok +node1")  # and others, if it comes out alike
        os.kill(self.droverd_pid("node2"), signal.SIGKILL)
        wait_for(lambda: self.json("status")["excluded"] == ["node2"], "node2 to be excluded")
        result = self.drover("doctor", check=1)
        self.assertRegex(result.stdout.decode(), r"(?m)^answer +missing +node2 +none")


class PlacementTest(WorldTest):
    nodes = 4
    config = "[balance]\nround_seconds = 0.25\nsuspect_seconds = 60\nmin_residence_seconds = 0.5\nsafety = 1\n"
    HOG = "import os, time\nwhile not os.path.exists('stop'):\n  for _ in range(100000): pass\n"

    def places(self):
        reply = self.json("ps")
        return [job["node"] for job in (reply["jobs"] if isinstance(reply, dict) else reply)]

    def test_busy_node_gives_arrivals_away(self):
        for _ in range(6):
            self.submit(PYTHON, "-c", self.HOG)
        self.assertEqual(sorted(set(self.places())), ["node0", "node1", "node2", "node3"])
        placed = [event for event in self.events("started") if event["place"] != "node0"]
        self.assertTrue(all("better place" in event["why"] for event in placed), placed)
        (self.directory / "stop").touch()
        self.drover("wait", *range(1, 7), check=0)

    def test_free_node_pulls_a_running_job(self):
        numbers = [self.submit(PYTHON, "-c", self.HOG, options=("--node", "node0")) for _ in range(4)]
        wait_for(lambda: len(self.events("migrated")) >= 2, "two migrations without being asked")
        for event in self.events("migrated"):
            self.assertTrue(event["ok"] or event["error"], event)
        moved = [event for event in self.events("migrated") if event["ok"]]
        self.assertTrue(all("FREE" in event["reason"] or "paired" in event["reason"] for event in moved), moved)
        (self.directory / "stop").touch()
        self.drover("wait", *numbers, check=0)

    def test_lost_answer_starts_it_once(self):
        """The node that was to start the job stands still before it can: the register gives the job to its origin, the order comes too late."""
        trace = self.directory / "trace"
        pid = self.droverd_pid("node1")
        self.arm("node1", "place.ordered", "stop")
        submit = self.popen("submit", "--node", "node1", "--", "sh", "-c", f"echo ran >> {trace}; sleep 1", stdout=subprocess.PIPE)
        number = int(submit.stdout.readline())
        submit.stdout.close()
        self.assertEqual(submit.wait(), 0)
        self.assertEqual(self.job(number)["node"], "node0")
        os.kill(pid, signal.SIGCONT)
        self.drover("wait", number, check=0)
        wait_for(lambda: self.json("--at", "node1", "status"), "node1 to be itself again")
        time.sleep(1)  # nothing to wait for: what must not happen is a second start
        self.assertEqual(trace.read_text(), "ran\n")

    def test_errors_of_starting(self):
        missing = self.directory / "not-there"
        result = self.drover("run", "--node", "node1", "--cwd", missing, "--", "true")
        self.assertEqual(result.returncode, 125)
        self.assertIn("can't enter the working directory", result.stderr.decode())
        self.assertEqual(self.drover("run", "--node", "node1", "--", "no-such-program").returncode, 127)
        self.assertEqual(self.drover("run", "--node", "node1", "--", "/etc/passwd").returncode, 126)
        self.assertEqual(self.drover("run", "--node", "node2", "--", "sh", "-c", "exit 5").returncode, 5)
        self.assertEqual(self.drover("run", "--node", "node2", "--", "sh", "-c", "kill -TERM $$").returncode, 143)


class StartTest(WorldTest):
    nodes = 2

    def up(self):
        pass

    def mpirun(self, *arguments, **env):
        env_file = HERE.parent.parent / "hostfiles" / "drover.env"
        command = f". {env_file}; exec mpirun {' '.join(map(str, arguments))}"
        return subprocess.Popen([*self.prefix, "bash", "-c", command], env=dict(self.env, **env), cwd=self.directory,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)

    def end(self, process):
        output = process.stdout.read().decode()
        process.stdout.close()
        process.wait()
        return output

    def test_doctor_without_a_world(self):
        (found,) = self.json("doctor")
        self.assertEqual(found["node"], "this host")
        self.assertIn("namespaces", [finding["check"] for finding in found["findings"]])
        (self.directory / "state").mkdir(exist_ok=True)
        self.env["DROVER_STATE_DIR"] = str(self.directory / "not-a-directory")
        (self.directory / "not-a-directory").touch()
        result = self.drover("doctor", check=1)
        self.assertIn("not-a-directory", result.stderr.decode() + result.stdout.decode())

    def test_by_hand(self):
        process = self.mpirun("-n", 2, self.bin / "droverd")
        wait_for(lambda: self.drover("status").returncode == 0 and self.json("status")["ready"], "the world to be ready")
        self.assertEqual(self.drover("run", "--", "echo", "hello", check=0).stdout, b"hello\n")
        self.drover("down", check=0)
        self.end(process)
        self.assertEqual(process.returncode, 0)

    def test_host_without_a_network(self):
        """In a network namespace with loopback alone."""
        alone = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
        commands = '"$0" up -n 2 && "$0" run --node node1 -- echo hello && "$0" down'
        result = subprocess.run([*alone, "sh", "-c", 'ip link set lo up && exec "$0" "$@"', "env", *self.prefix, "sh", "-c", commands, self.bin / "drover"],
                                env=self.env, cwd=self.directory, capture_output=True, text=True, timeout=2 * DEADLINE)
        self.assertEqual(result.returncode, 0, result.stderr + result.stdout)
        self.assertIn("hello\n", result.stdout)

    def test_serves_metrics_when_asked(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.drover("up", "-n", 2, "--metrics-port", port, check=0)

        def fetched():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
                    self.assertIn("version=0.0.4", reply.headers["Content-Type"])
                    return reply.read().decode()
            except OSError:  # between two worlds
                return ""

        def series(text):
            return {line.rsplit(" ", 1)[0] for line in text.splitlines()}

        def same():
            return series(fetched()) == series(self.drover("nodes", "--metrics", check=0).stdout.decode())
        self.assertIn('drover_node_up{node="node1"}', fetched())
        wait_for(same, "what is served to be what nodes --metrics prints")
        before = self.json("status")["generation"]
        os.kill(self.mpirun_pid(), signal.SIGKILL)
        self.wait_new_world(before)
        wait_for(fetched, "the new world to serve them")
        self.env["DROVER_INSTANCE"] = "second"
        refused = self.drover("up", "-n", 1, "--metrics-port", port, check=1)
        self.env["DROVER_INSTANCE"] = "t"
        self.assertIn(f"--metrics-port {port}: is taken", refused.stderr.decode())

    def test_events_allow_for_clocks_that_differ(self):
        process = self.mpirun("-n", 1, self.bin / "droverd", ":", "-n", 1, "-x", "DROVER_TEST_CLOCK_AHEAD_MS=3600000", self.bin / "droverd")
        wait_for(lambda: self.drover("status").returncode == 0 and self.json("status")["ready"], "the world to be ready")
        for node in "node1", "node0", "node1", "node0":  # who writes what in this order
            self.drover("drain", node, "--no-wait", check=0)
            self.drover("undrain", node, check=0)
        lines = self.drover("events", "-o", "json", check=0).stdout.decode().splitlines()
        events = [event for event in map(json.loads, lines) if event["event"] in ("drain", "undrain")]
        self.assertEqual([(event["node"], event["event"]) for event in events],
                         [(node, what) for node in ("node1", "node0", "node1", "node0") for what in ("drain", "undrain")])
        ahead = {event["node"]: event.get("clock_ahead_ms", 0) for event in events}
        self.assertAlmostEqual(ahead["node1"], 3600000, delta=10000)
        self.assertLess(abs(ahead["node0"]), 10000)
        shown = [line.split()[0] for line in self.drover("events", check=0).stdout.decode().splitlines() if "drain" in line]
        seconds = [int(h) * 3600 + int(m) * 60 + float(s) for h, m, s in (word.split(":") for word in shown)]
        self.assertLess((seconds[-1] - seconds[0]) % 86400, 600)  # none is an hour late
        number = self.submit("sleep", "1000", options=("--node", "node0"))
        for node in "node1", "node0":
            self.drover("migrate", number, node, check=0)
        moves = wait_for(lambda: len(self.events("migrated")) == 2 and self.events("migrated"), "both moves to be in the logs")
        frozen_ms = sum(event["frozen_ms"] for event in moves)
        self.assertLess(frozen_ms, 600_000)
        self.assertAlmostEqual(self.job(number)["frozen_ms"], frozen_ms, places=3)
        self.drover("kill", number, check=0)
        self.wait_state(number, "ended")
        self.drover("down", check=0)
        self.end(process)

    def test_told_to_end_by_a_signal(self):
        process = self.mpirun("-n", 2, self.bin / "droverd")
        wait_for(lambda: self.drover("status").returncode == 0 and self.json("status")["ready"], "the world to be ready")
        pids = [self.droverd_pid("node1"), self.droverd_pid("node0")]
        # Open MPI's threads too: one that does not block the signal would take it, and the whole process would die of it.
        for status in [path for pid in pids for path in pathlib.Path(f"/proc/{pid}/task").glob("*/status")]:
            blocked = int(next(line for line in status.read_text().splitlines() if line.startswith("SigBlk")).split()[1], 16)
            self.assertTrue(blocked >> (signal.SIGTERM - 1) & 1, status)
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        output = self.end(process)
        self.assertEqual(process.returncode, 0, output)

    def test_missing_option_is_named(self):
        process = self.mpirun("-n", 2, "env", "-u", "OMPI_MCA_orte_enable_recovery", self.bin / "droverd")
        output = self.end(process)
        self.assertIn("OMPI_MCA_orte_enable_recovery=1 is not set", output)
        self.assertIn("hostfiles/drover.env", output)

    def test_versions_that_differ_are_named(self):
        process = self.mpirun("-n", 1, self.bin / "droverd", ":", "-n", 1, "-x", "DROVER_TEST_VERSION=9.9.9", self.bin / "droverd")
        output = self.end(process)
        self.assertIn("versions differ", output)
        self.assertIn("9.9.9", output)


if __name__ == "__main__":
    unittest.main()
