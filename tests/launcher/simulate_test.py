"""drover simulate: what it prints and what it refuses. It needs no droverd."""
import csv
import io
import json
import os
import pathlib
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

DROVER = os.environ.get("DROVER", "drover")
FIGURES = {"mean_response", "confidence_95", "mean_slowdown", "slowdown_confidence_95", "p99_slowdown", "utilization", "probes_per_job",
           "placements", "migrations", "announcements", "makespan", "makespan_lower_bound", "jobs"}


class Simulate(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def run_it(self, *options):
        return subprocess.run([DROVER, "simulate", *map(str, options)], capture_output=True, text=True, timeout=300)

    def figures(self, *options):
        result = self.run_it("--output", "json", "--jobs", 5000, *options)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return json.loads(result.stdout)

    def file(self, text, name="jobs.txt"):
        path = pathlib.Path(self.directory.name, name)
        path.write_text(text)
        return path

    def assert_refused(self, options, *words):
        result = self.run_it(*options)
        self.assertEqual((result.returncode, result.stdout, result.stderr.count("\n")), (2, "", 1), (options, result))
        for word in words:
            self.assertIn(word, result.stderr)

    def test_every_policy_tells_all_figures(self):
        for policy in ("central", "none", "random", "threshold", "shortest", "receiver", "symmetric", "best-of-d", "pairing", "balanced"):
            figures = self.figures("--policy", policy, "--nodes", 16, "--load", 0.7)
            self.assertLessEqual(FIGURES, figures.keys())
            self.assertEqual((figures["policy"], figures["jobs"]), (policy, 4500))  # a tenth is warm-up
            self.assertGreaterEqual(figures["p99_slowdown"], figures["mean_slowdown"])
            self.assertAlmostEqual(figures["utilization"], 0.7, delta=0.1)
            self.assertEqual(figures["makespan_lower_bound"], 0)
            self.assertGreater(figures["confidence_95"], 0)
            self.assertEqual(figures["migrations"] > 0, policy in ("receiver", "symmetric", "pairing", "balanced"), policy)
            self.assertEqual(figures["placements"] > 0, policy not in ("central", "none", "receiver", "pairing"), policy)

    def test_a_seed_repeats(self):
        self.assertEqual(self.figures("--seed", 7), self.figures("--seed", 7))
        self.assertNotEqual(self.figures("--seed", 7)["mean_response"], self.figures("--seed", 8)["mean_response"])

    def test_without_migration_nobody_moves(self):
        self.assertEqual(self.figures("--no-migration")["migrations"], 0)

    def test_table_and_csv_say_the_same(self):
        rows = list(csv.DictReader(io.StringIO(self.run_it("--output", "csv", "--jobs", 5000).stdout)))
        figures = self.figures()
        self.assertEqual(len(rows), 1)
        self.assertEqual({name: float(value) for name, value in rows[0].items() if name != "policy"},
                         {name: value for name, value in figures.items() if name != "policy"})
        table = self.run_it("--jobs", 5000).stdout
        self.assertIn(f"{figures['mean_response']:.4f}", table)

    def test_a_batch_is_bounded(self):
        figures = self.figures("--batch", "--speeds", "1,0.5", "--service", "pareto:1,1,1000")
        self.assertGreater(figures["makespan_lower_bound"], 0)
        self.assertGreaterEqual(figures["makespan"], figures["makespan_lower_bound"])

    def test_a_list_of_jobs(self):
        path = self.file("# arrival work node\n0 4 0\n1 1 0\n2 2 1\n")
        figures = self.figures("--trace", path, "--nodes", 2, "--policy", "none")
        self.assertEqual(figures["jobs"], 3)
        self.assertAlmostEqual(figures["mean_response"], 3, places=5)
        self.assertAlmostEqual(figures["makespan"], 5)
        moved = self.figures("--trace", path, "--nodes", 2, "--policy", "balanced")
        self.assertEqual(moved["placements"], 1)  # 1 is free when the second job arrives
        self.assertAlmostEqual(moved["makespan"], 4)

    def test_a_bad_list_of_jobs(self):
        for text, line, why in (("0 1\nx\n", 2, "ARRIVAL-SECONDS WORK-SECONDS"), ("0 1 5\n", 1, "see --nodes"),
                                ("1 1\n0 1\n", 2, "in order"), ("0 0\n", 1, "more than 0"), ("0 1 x\n", 1, "number")):
            path = self.file(text)
            self.assert_refused(["--trace", path, "--nodes", 2], f"{path}:{line}:", why)
        self.assert_refused(["--trace", self.file("")], "no jobs")
        self.assert_refused(["--trace", "/nonexistent/jobs"], "/nonexistent/jobs", "can't be read")
        self.assert_refused(["--trace", self.file("0 1\n"), "--nodes", 0], "number of nodes")

    def test_what_makes_no_sense(self):
        for options, *words in ((["--policy", "best"], "'best'", "best-of-d"), (["--arrivals", "often"], "'often'", "poisson"),
                                (["--service", "pareto:1"], "pareto:1", "ALPHA,MIN,MAX"), (["--speeds", "1,,2"], "1,,2", "numbers"),
                                (["--speeds", "0"], "above 0"), (["--load", "1"], "load", "less than 1"),
                                (["--load", "0"], "load", "more than 0"), (["--nodes", "0"], "nodes", "from 1"),
                                (["--jobs", "0"], "jobs", "from 1"), (["--jobs", "1000000000000"], "jobs", "100000000"),
                                (["--cost", "-1"], "cost", "negative"), (["--threshold", "0"], "threshold", "more than 0"),
                                (["--discipline", "lifo"], "--discipline", "fcfs"), (["--output", "xml"], "--output", "json"),
                                (["--load", "x"], "--load", "x"), (["--figure", "nonesuch"], "'nonesuch'", "slow-nodes"),
                                (["--output-file", "x.svg"], "--output-file", "--figure"),
                                (["--figure", "staleness", "--output-file", "/nonexistent/x.svg"], "/nonexistent/x.svg", "written")):
            self.assert_refused(options, *words)

    def test_figures_are_drawn(self):
        listed = self.run_it("--figure", "list").stdout
        for name in ("response", "staleness", "slow-nodes"):
            self.assertIn(name, listed)
        path = pathlib.Path(self.directory.name, "x.svg")
        self.assertEqual(self.run_it("--figure", "staleness", "--output-file", path).returncode, 0)
        root = xml.etree.ElementTree.parse(path).getroot()
        self.assertTrue(root.tag.endswith("svg"))
        self.assertIn("the least loaded of the table", path.read_text())
        self.assertNotIn("nan", path.read_text())


if __name__ == "__main__":
    unittest.main()
