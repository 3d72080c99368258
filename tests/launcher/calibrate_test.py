"""drover calibrate on this machine, as this user: what it stores and prints, and that nothing is left however it ends.

Nothing here looks at what was measured: that differs between machines and moments.
"""
import json
import os
import pathlib
import signal
import subprocess
import unittest
import xml.etree.ElementTree

from cluster import DEADLINE, ClusterTest, wait_for

FACTORS = {"run_queue", "cpu_share", "io_blocks", "page_ops", "interrupts", "context_switches", "memory_used", "swap_used"}
VERDICTS = {"measured", "harmless", "undecided", "impossible"}
QUICK = ["calibrate", "--quick", "--memory", "2"]


class Calibrate(ClusterTest):
    def setUp(self):
        super().setUp()
        self.env.pop("XDG_CONFIG_HOME", None)
        self.files = self.directory / "files"  # for the temporary ones
        self.files.mkdir()
        self.pids = []

    def stored(self):
        return list(self.directory.glob(".config/drover/calibration/*"))

    def start(self, *arguments):
        process = self.popen(*arguments, "--directory", self.files, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (process.kill(), process.communicate()))
        self.pids.append(process.pid)
        return process

    def load_programs(self):
        """Those of this test: they have its HOME in their environment."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                ours = f"HOME={self.directory}\0".encode() in (entry / "environ").read_bytes() + b"\0"
                if ours and (entry / "comm").read_text() == "drover-load\n":
                    found.append(entry.name)
            except OSError:  # it has ended, or is somebody else's
                continue
        return found

    def groups(self):
        names = {f"drover-calibrate-{pid}" for pid in self.pids}
        return [os.path.join(top, name) for top, folders, _ in os.walk("/sys/fs/cgroup") for name in folders if name in names]

    def assert_nothing_left(self):
        self.assertEqual(self.load_programs(), [])
        self.assertEqual(self.groups(), [])
        self.assertEqual(list(self.files.iterdir()), [])

    def interrupt(self, process, line_with, signo):
        """Sends the signal when the progress shows one of these words; returns stderr from then on."""
        for line in process.stderr:
            if any(word in line for word in line_with):
                break
        else:
            self.fail(f"ended without {line_with}")
        wait_for(self.load_programs, "a load program")
        process.send_signal(signo)
        return process.communicate(timeout=DEADLINE)[1]

    def test_quick(self):
        process = self.start(*QUICK, "--output", "json", "--plot", self.directory / "curves.svg")
        out, progress = process.communicate(timeout=10 * DEADLINE)
        self.assertEqual(process.returncode, 0, progress)
        self.assert_nothing_left()
        result = json.loads(out)
        [path] = self.stored()
        self.assertEqual(json.loads(path.read_text()), result)
        self.assertEqual(path.name, os.uname().nodename.split(".")[0] + ".json")
        self.assertEqual(result["machine"]["kernel"], os.uname().release)
        self.assertGreater(result["speed"], 0)
        self.assertEqual({factor["factor"] for factor in result["factors"]}, FACTORS)
        for factor in result["factors"]:
            self.check_factor(factor)
        by_name = {factor["factor"]: factor for factor in result["factors"]}
        for name in ("run_queue", "context_switches", "interrupts", "memory_used"):  # these can be driven anywhere
            self.assertGreaterEqual(len(by_name[name]["curve"]), 3, name)
        self.check_plot(self.directory / "curves.svg", sum(bool(factor["curve"]) for factor in result["factors"]))
        self.check_shown(result)

    def check_factor(self, factor):
        self.assertIn(factor["verdict"], VERDICTS)
        if factor["verdict"] == "measured":
            self.assertLessEqual(0, factor["low"])
            self.assertLessEqual(factor["low"], factor["high"])
        else:
            self.assertTrue(factor["reason"])
        levels = [point["level"] for point in factor["curve"]]
        self.assertEqual(levels, sorted(levels))
        for point in factor["curve"]:
            self.assertGreaterEqual(point["slowdown"], 0)
            self.assertGreaterEqual(point["value"], 0)

    def check_plot(self, path, panels):
        svg = xml.etree.ElementTree.parse(path).getroot()
        self.assertEqual(svg.tag, "{http://www.w3.org/2000/svg}svg")
        texts = [element.text for element in svg.iter("{http://www.w3.org/2000/svg}text")]
        self.assertEqual(texts.count("probe slower by %"), panels)

    def check_shown(self, result):
        shown = self.drover("calibrate", "--show", check=0).stdout.decode()
        for factor in result["factors"]:
            self.assertRegex(shown, rf"(?m)^{factor['factor']} .* {factor['verdict']} ")
        self.assertEqual(json.loads(self.drover("calibrate", "--show", "-o", "json", check=0).stdout), result)
        self.drover("calibrate", "--show", "--plot", "again.svg", check=0)
        self.assertEqual((self.directory / "again.svg").read_bytes(), (self.directory / "curves.svg").read_bytes())

    def test_interrupted_at_its_start(self):
        process = self.start("calibrate", "--memory", "2")
        rest = self.interrupt(process, ["busy programs"], signal.SIGINT)
        self.assertEqual(process.returncode, 130, rest)
        self.assertIn("nothing is stored", rest)
        self.assertEqual(self.stored(), [])
        self.assert_nothing_left()

    def test_ended_when_files_and_groups_exist(self):
        process = self.start(*QUICK)
        rest = self.interrupt(process, ["page faults/s asked for 0", "page_ops: left out"], signal.SIGTERM)
        self.assertEqual(process.returncode, 143, rest)
        self.assertEqual(self.stored(), [])
        self.assert_nothing_left()

    def test_killed(self):
        process = self.start("calibrate", "--memory", "2")
        self.interrupt(process, ["busy programs 0"], signal.SIGKILL)
        self.assertEqual(process.returncode, -signal.SIGKILL)
        wait_for(lambda: not self.load_programs(), "the load programs' end")
        self.assert_nothing_left()

    def test_an_interrupted_one_leaves_the_stored_one(self):
        folder = self.directory / ".config/drover/calibration"
        folder.mkdir(parents=True)
        (folder / "before.json").write_text("as it was")
        process = self.start("calibrate", "--memory", "2")
        self.interrupt(process, ["busy programs"], signal.SIGINT)
        self.assertEqual((folder / "before.json").read_text(), "as it was")
        self.assertEqual(len(self.stored()), 1)

    def test_mistakes(self):
        self.assert_error(self.drover("calibrate", "--low", "50", "--high", "10"), 2, "--low 50", "--high 10")
        self.assert_error(self.drover("calibrate", "--directory", "/nonexistent"), 2, "/nonexistent")
        for wrong in (["--show", "--quick"], ["--low", "0"], ["--memory", "99"], ["-o", "xml"], ["--plot"], ["extra"]):
            self.assert_error(self.drover("calibrate", *wrong), 2)

    def test_what_is_stored_is_looked_at(self):
        self.assert_error(self.drover("calibrate", "--show"), 1, "not calibrated yet", "drover calibrate")
        path = self.directory / ".config/drover/calibration" / (os.uname().nodename.split(".")[0] + ".json")
        path.parent.mkdir(parents=True)
        path.write_text("{}")
        self.assert_error(self.drover("calibrate", "--show"), 1, str(path), "drover calibrate")
        machine = {"cpu_model": "x", "pus": 1, "memory_kib": 1, "kernel": "x", "machine_id_hash": "another"}
        path.write_text(json.dumps({"version": 1, "host": "x", "date": "2025-01-02T03:04:05Z", "machine": machine, "capacity": 1, "speed": 1,
                                    "low_slowdown": 0.05, "high_slowdown": 0.25, "factors": []}))
        shown = self.drover("calibrate", "--show", check=0)
        self.assertIn("droverd will not use this: its machine id's hash is", shown.stderr.decode())
        self.assert_error(self.drover("calibrate", "--show", "--plot", "/nonexistent/x.svg"), 1, "--plot /nonexistent/x.svg")


if __name__ == "__main__":
    unittest.main()
