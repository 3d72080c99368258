"""Worlds that share on two levels: members and leaders that stop, die and come back; jobs that go to other groups."""
import os
import signal
import unittest

from world import PYTHON, WorldTest, wait_for


class TwoLevels(WorldTest):
    """Groups are node0-2, node3-5, node6-8; the first of each leads."""
    nodes = 9
    config = "[balance]\nround_seconds = 0.25\nsuspect_seconds = 2\nanswer_seconds = 3\nmigrate = false\ntwo_level_above = 3\n"

    def up(self):
        super().up()
        wait_for(lambda: self.known_by("node8") == self.known_by("node1") == [3, 3, 3], "all groups to be known everywhere")

    def at(self, node, *arguments):
        return self.json("--at", node, *arguments)

    def known_by(self, node):
        """Members of each group, as that node has heard of them."""
        return [group.get("members", 0) for group in self.at(node, "nodes", "--groups")]

    def wait_excluded(self, who, *observers):
        for node in observers:
            wait_for(lambda: self.at(node, "status")["excluded"] == who, f"{node} to exclude {who}")

    def wait_rounds(self, *nodes):
        """Rounds, summaries and their spreading go on."""
        for node in nodes:
            before = self.at(node, "status")
            wait_for(lambda: (now := self.at(node, "status"))["rounds"] > before["rounds"] + 2
                     and now["spreads"] > before["spreads"] + 2, f"rounds at {node}")

    def run_at(self, at, node):
        return self.drover("--at", at, "run", "--node", node, "--", "echo", node, check=0).stdout.decode().strip()


class GroupsTest(TwoLevels):
    def test_what_is_known(self):
        for node, group, leads in (("node0", 0, True), ("node1", 0, False), ("node3", 1, True), ("node8", 2, False)):
            status = self.at(node, "status")
            self.assertEqual((status["levels"], status["groups"], status["group"], status["leads_group"]), (2, 3, group, leads))
        nodes = self.at("node4", "nodes")
        self.assertEqual([node["second_hand"] for node in nodes], [True] * 3 + [False] * 3 + [True] * 3)
        self.assertTrue(all(node["age_ms"] >= 0 and not node["stale"] for node in nodes), nodes)
        self.assertTrue(all(node["age_ms"] < 5000 for node in nodes), nodes)
        self.assertEqual([group["leader"] for group in self.at("node4", "nodes", "--groups")], ["node0", "node3", "node6"])
        text = self.drover("--at", "node4", "nodes", check=0).stdout.decode()
        self.assertEqual(text.count(" s old)"), 6, text)

    def test_killed_member_is_excluded(self):
        os.kill(self.droverd_pid("node4"), signal.SIGKILL)
        self.wait_excluded(["node4"], "node0", "node3", "node5", "node8")
        self.wait_rounds("node0", "node3", "node5", "node8")
        wait_for(lambda: self.known_by("node8") == [3, 2, 3], "its group to be told as smaller")
        self.assertEqual(self.run_at("node8", "node5"), "node5")
        self.drover("down", check=0)

    def test_killed_leader_is_followed_by_the_next_of_its_group(self):
        os.kill(self.droverd_pid("node3"), signal.SIGKILL)
        self.wait_excluded(["node3"], "node0", "node4", "node5", "node8")
        self.wait_rounds("node0", "node4", "node5", "node8")
        self.assertTrue(self.at("node4", "status")["leads_group"])
        wait_for(lambda: self.known_by("node1") == [3, 2, 3], "its group to be told as smaller")
        self.assertEqual([group["leader"] for group in self.at("node8", "nodes", "--groups")], ["node0", "node4", "node6"])
        self.assertEqual(self.run_at("node8", "node4"), "node4")
        self.drover("down", check=0)

    def stop_and_continue(self, node, *observers):
        pid = self.droverd_pid(node)
        os.kill(pid, signal.SIGSTOP)
        self.wait_excluded([node], *observers)
        self.wait_rounds(*observers)
        os.kill(pid, signal.SIGCONT)
        self.wait_excluded([], node, *observers)
        self.wait_rounds(node, *observers)
        wait_for(lambda: self.known_by(observers[-1]) == [3, 3, 3], "it to be told of again")
        self.assertEqual(self.run_at(observers[-1], node), node)
        self.assertEqual(self.run_at(node, observers[-1]), observers[-1])

    def test_stopped_member_is_excluded_and_comes_back(self):
        self.stop_and_continue("node7", "node6", "node8", "node0", "node4")

    def test_stopped_leader_is_excluded_and_comes_back(self):
        self.stop_and_continue("node3", "node4", "node5", "node0", "node8")
        wait_for(lambda: self.at("node3", "status")["leads_group"], "node3 to lead again")
        wait_for(lambda: not self.at("node4", "status")["leads_group"], "node4 to follow again")

    def test_first_leader_too(self):
        self.stop_and_continue("node0", "node1", "node2", "node3", "node8")
        wait_for(lambda: self.at("node0", "status")["leads_group"], "node0 to lead again")

    def test_a_member_and_a_leader_at_once(self):
        pids = [self.droverd_pid(node) for node in ("node0", "node5")]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        self.wait_excluded(["node0", "node5"], "node1", "node3", "node8")
        self.wait_rounds("node1", "node4", "node8")
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        self.wait_excluded([], "node0", "node1", "node5", "node8")
        self.wait_rounds("node0", "node5", "node8")


class LateTest(TwoLevels):
    """Whoever is late holds up its own group only, and nobody for ever."""
    config = TwoLevels.config.replace("suspect_seconds = 2", "suspect_seconds = 600")

    def spreads(self, node):
        return self.at(node, "status")["spreads"]

    def wait_spreads(self, *nodes):
        for node in nodes:
            before = self.spreads(node)
            wait_for(lambda: self.spreads(node) > before + 2, f"summaries to come to {node}")

    def test_stopped_member(self):
        pid = self.droverd_pid("node5")
        os.kill(pid, signal.SIGSTOP)
        self.wait_rounds("node0", "node1", "node6", "node8")
        before = self.at("node3", "status")
        wait_for(lambda: (now := self.at("node3", "status"))["summary_rounds"] > before["summary_rounds"] + 2, "rounds of leaders")
        wait_for(lambda: self.at("node3", "status")["late_rounds"] > 0, "a late round in its group")
        wait_for(lambda: self.known_by("node8") == [3, 2, 3], "its group to be told without it")
        os.kill(pid, signal.SIGCONT)
        self.wait_rounds("node3", "node5")
        wait_for(lambda: self.known_by("node8") == [3, 3, 3], "its group to be told with it")

    def test_stopped_leader(self):
        pid = self.droverd_pid("node3")
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: self.at("node0", "status")["late_summary_rounds"] > 0, "a late round of leaders")
        self.wait_rounds("node0", "node1", "node6", "node8")
        os.kill(pid, signal.SIGCONT)
        self.wait_rounds("node3", "node4", "node5")
        before = self.at("node0", "status")
        wait_for(lambda: self.at("node0", "status")["summary_rounds"] > before["summary_rounds"] + 2, "rounds of leaders again")


class AcrossTest(TwoLevels):
    """Jobs find places in other groups."""
    nodes = 6  # node0-2, node3-5
    config = "[balance]\nround_seconds = 0.25\nsuspect_seconds = 60\nmin_residence_seconds = 0.5\nsafety = 1\ntwo_level_above = 3\n"
    HOG = "import os, time\nwhile not os.path.exists('stop'):\n  for _ in range(100000): pass\n"

    def up(self):
        WorldTest.up(self)
        wait_for(lambda: self.known_by("node0") == self.known_by("node5") == [3, 3], "both groups to be known everywhere")

    def test_arrivals_go_to_other_groups(self):
        numbers = [self.submit(PYTHON, "-c", self.HOG) for _ in range(6)]
        places = {event["place"] for event in self.events("started")}
        self.assertTrue(places & {"node3", "node4", "node5"}, places)
        (self.directory / "stop").touch()
        self.drover("wait", *numbers, check=0)

    def test_free_nodes_pull_from_other_groups(self):
        numbers = [self.submit(PYTHON, "-c", self.HOG, options=("--node", "node0")) for _ in range(6)]
        wait_for(lambda: [event for event in self.events("migrated") if event["ok"] and event["to"] in ("node3", "node4", "node5")],
                 "a migration to another group")
        (self.directory / "stop").touch()
        self.drover("wait", *numbers, check=0)


if __name__ == "__main__":
    unittest.main()
