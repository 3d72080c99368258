#!/usr/bin/env python3
"""balance: a batch of jobs with heavy-tailed lengths on four hosts, one of them slow: Drover against GNU parallel with one slot a host,
against no balancing, and against what the simulator predicts. As root; the lab of tests/lab makes the hosts.

usage: balance.py [--runs N] [--jobs N] [--quota PCT,PCT,..] [--seed S]      needs $DROVER_BIN and, beside this file's binary, `burn`

A job's work is counted in rounds of a loop, so it is the same wherever it runs. Its slowdown is the time from the start of the batch (all
jobs are submitted at once) to its end over what it would take alone on a fast host. JSON on standard output, a table on standard error.
"""
import argparse
import json
import os
import pathlib
import random
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
LAB = HERE.parent.parent / "lab" / "lab"
BIN = pathlib.Path(os.environ.get("DROVER_BIN", HERE.parent.parent.parent / "build/release/bin"))
HOSTS = 4


class Bench:
    lab_name = "balance"

    def __init__(self, options):
        self.options = options
        self.quotas = [int(quota) / 100 for quota in options.quota.split(",")]
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="drover-balance-"))
        self.burn = self.directory / "burn"
        subprocess.run(["cc", "-O2", "-o", self.burn, HERE / "burn.c"], check=True)
        self.env = dict(os.environ, DROVER_LAB=self.lab_name, DROVER_STATE_DIR=str(self.directory / "state"))
        for name in ("DROVER_NODE", "DROVER_RUNTIME_DIR", "DROVER_CONFIG", "DROVER_INSTANCE"):
            self.env.pop(name, None)
        # The policies are measured, not the queue: every job starts at once.
        (self.directory / "drover.toml").write_text("[balance]\njobs_per_pu = 10000\n")
        self.env["DROVER_CONFIG"] = str(self.directory / "drover.toml")

    def lab_command(self, *arguments):
        return [str(LAB), *map(str, arguments)]

    def lab(self, *arguments, **more):
        return subprocess.run(self.lab_command(*arguments), env=self.env, capture_output=True, text=True, check=True, **more)

    def drover(self, *arguments):
        return subprocess.run([BIN / "drover", *map(str, arguments)], env=self.env, capture_output=True, text=True, check=True,
                              cwd=self.directory).stdout

    def up(self):
        self.lab("up", HOSTS, "--quota", self.options.quota)
        for line in self.lab("env").stdout.splitlines():
            for word in shlex.split(line):
                if "=" in word:
                    name, value = word.split("=", 1)
                    self.env[name] = value

    def world_up(self):
        self.drover("up", "--hostfile", self.env["LAB_HOSTFILE"], "--agent", self.env["LAB_AGENT"], "--net", self.env["LAB_NET"])
        time.sleep(3)  # the first rounds

    def down(self):
        subprocess.run([LAB, "down"], env=self.env, capture_output=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def works(self, seed):
        """Seconds of a whole PU: bounded Pareto, alpha 1, from 0.4 to 30."""
        draw = random.Random(seed)
        least, most = 0.4, 30.0
        return [least / (1 - draw.random() * (1 - least / most)) for _ in range(self.options.jobs)]

    def measure_rounds(self):
        """Rounds of the loop in a second of CPU: in a host, while the others rest."""
        return float(self.lab("exec", "lab1", "--", self.burn, 1).stdout)

    def command(self, index, work, results):
        return [str(self.burn), str(int(work * self.rounds)), str(results / str(index))]

    def collect(self, results, begin, works):
        ends = [float((results / str(index)).read_text()) - begin for index in range(len(works))]
        alone = [work / max(self.quotas) for work in works]
        return {"makespan": max(ends), "mean_slowdown": statistics.mean(end / least for end, least in zip(ends, alone))}

    def fresh(self, name):
        results = self.directory / name
        shutil.rmtree(results, ignore_errors=True)
        results.mkdir()
        return results

    def run_drover(self, works):
        results = self.fresh("drover")
        self.world_up()
        try:
            begin = time.time()
            for index, work in enumerate(works):
                self.drover("submit", "--", *self.command(index, work, results))
            submitted = time.time() - begin
            self.drover("wait", *range(self.first, self.first + len(works)))
            jobs = json.loads(self.drover("ps", "--all", "--output", "json"))
            jobs = jobs["jobs"] if isinstance(jobs, dict) else jobs
        finally:
            self.drover("down", "--kill-jobs")
        self.first += len(works)
        moved = [job for job in jobs[-len(works):] if job["moves"] > 0]
        frozen = [job["frozen_ms"] / job["moves"] for job in moved if job["frozen_ms"] > 0]
        more = {"moves": sum(job["moves"] for job in moved), "frozen_s": statistics.mean(frozen) / 1e3 if frozen else 0.0,
                "submitting_s": submitted}
        return self.collect(results, begin, works) | more

    def run_parallel(self, works):
        results = self.fresh("parallel")
        lines = [shlex.join(self.command(index, work, results)) for index, work in enumerate(works)]
        begin = time.time()
        subprocess.run(["parallel", "--will-cite", "-j", str(HOSTS), f"{LAB} exec lab{{%}} -- sh -c {{}}"], input="\n".join(lines), text=True,
                       env=self.env, check=True)
        return self.collect(results, begin, works)

    def run_unbalanced(self, works):
        """As people do without anything: an equal part of the jobs on each host, all at once."""
        results = self.fresh("unbalanced")
        begin = time.time()
        children = []
        for host in range(HOSTS):
            commands = " & ".join(shlex.join(self.command(index, works[index], results)) for index in range(host, len(works), HOSTS))
            children.append(subprocess.Popen([LAB, "exec", f"lab{host + 1}", "--", "sh", "-c", commands + " & wait"], env=self.env))
        for child in children:
            if child.wait() != 0:
                raise RuntimeError("a host's part has failed")
        return self.collect(results, begin, works)

    def predict(self, works, cost):
        trace = self.directory / "trace"
        trace.write_text("".join(f"0 {work} 0\n" for work in works))
        figures = json.loads(self.drover("simulate", "--output", "json", "--batch", "--nodes", HOSTS, "--speeds", ",".join(map(str, self.quotas)),
                                         "--trace", trace, "--cost", cost))
        return {"makespan": figures["makespan"], "mean_slowdown": figures["mean_slowdown"] * max(self.quotas),
                "makespan_lower_bound": figures["makespan_lower_bound"]}

    def run(self):
        self.first = 1
        self.rounds = self.measure_rounds()
        runs = []
        for number in range(self.options.runs):
            works = self.works(self.options.seed + number)
            one = {"drover": self.run_drover(works), "parallel": self.run_parallel(works), "unbalanced": self.run_unbalanced(works)}
            one["predicted"] = self.predict(works, one["drover"]["frozen_s"])
            runs.append(one)
            print(f"run {number + 1}: " + ", ".join(f"{name} {figures['makespan']:.1f} s, {figures['mean_slowdown']:.1f} x"
                                                   for name, figures in one.items()), file=sys.stderr)
        medians = {name: {figure: statistics.median(run[name][figure] for run in runs) for figure in ("makespan", "mean_slowdown")}
                   for name in ("drover", "parallel", "unbalanced", "predicted")}
        of_predicted = {figure: value / medians["predicted"][figure] for figure, value in medians["drover"].items()}
        return {"quotas": self.quotas, "jobs": self.options.jobs, "medians": medians, "of_predicted": of_predicted, "runs": runs}


def print_table(medians):
    print(f"{'':12} {'makespan':>10} {'mean slowdown':>14}   (medians)", file=sys.stderr)
    for name, figures in medians.items():
        print(f"{name:12} {figures['makespan']:>8.1f} s {figures['mean_slowdown']:>12.1f} x", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description="Drover against GNU parallel and against nothing, on four hosts of the lab")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=60)
    parser.add_argument("--quota", default="40,40,40,20", help="percent of a CPU of each host")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if len(options.quota.split(",")) != HOSTS:
        parser.error(f"--quota: there are {HOSTS} hosts")
    if os.geteuid() != 0:
        sys.exit("balance: needs root, for virtual hosts")
    for program in ("parallel", "cc"):
        if shutil.which(program) is None:
            sys.exit(f"balance: needs {program}")
    bench = Bench(options)
    try:
        bench.up()
        figures = bench.run()
    finally:
        bench.down()
    print_table(figures["medians"])
    print("Drover over what the simulator predicts: makespan {makespan:.2f}, mean slowdown {mean_slowdown:.2f}".format(**figures["of_predicted"]),
          file=sys.stderr)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
