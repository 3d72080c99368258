#!/usr/bin/env python3
"""What submission costs: an array of `true` against GNU parallel with as many slots and against xargs -P2, in the same run;
`drover run -- true`; output at full speed, and what control traffic waits meanwhile; droverd's memory when most jobs are in the
archive. JSON on standard output.

usage: DROVER_BIN=DIRECTORY submit_bench.py [--tasks 10000] [--nodes 4] [--megabytes 2000]

Run it on a quiet machine. The world is its own, in a directory under /tmp.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

BIN = pathlib.Path(os.environ["DROVER_BIN"]).resolve()
DEADLINE = 1800


class World:
    def __init__(self, nodes, config=""):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="drover-bench-"))
        (self.directory / "drover.toml").write_text("[balance]\nmigrate = false\n" + config)
        self.env = dict(os.environ, DROVER_RUNTIME_DIR=str(self.directory / "run"), DROVER_STATE_DIR=str(self.directory / "state"),
                        DROVER_CONFIG=str(self.directory / "drover.toml"), DROVER_INSTANCE="bench")
        self.drover("up", "-n", nodes)

    def drover(self, *arguments, **options):
        return subprocess.run([BIN / "drover", *map(str, arguments)], env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
                              check=True, timeout=DEADLINE, **options).stdout

    def json(self, *arguments):
        return json.loads(self.drover(*arguments, "--output", "json"))

    def end(self):
        subprocess.run([BIN / "drover", "down", "--kill-jobs"], env=self.env, capture_output=True, timeout=DEADLINE)
        shutil.rmtree(self.directory, ignore_errors=True)

    def memory_kib(self):
        status = pathlib.Path(f"/proc/{self.json('--at', 'node0', 'status')['pid']}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))


def seconds(work):
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


class Sampler:
    """Times `work` again and again beside something else."""

    def __init__(self, work, pause):
        self.work, self.pause, self.times, self.over = work, pause, [], threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.wait(self.pause):
            self.times.append(seconds(self.work) * 1e3)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def figures(self):
        return {"samples": len(self.times), "median_ms": statistics.median(self.times), "most_ms": max(self.times)} if self.times else {"samples": 0}


def shell(line):
    return seconds(lambda: subprocess.run(["bash", "-c", line], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=DEADLINE))


def array(world, tasks):
    def submit_and_wait():
        nonlocal job
        job = world.drover("submit", "--array", f"1-{tasks}", "-O", "/dev/null", "-e", "/dev/null", "--", "true").decode().strip()
        world.drover("wait", job)

    job = None
    before = world.memory_kib()
    with Sampler(lambda: world.drover("ps"), 0.5) as ps:
        took = seconds(submit_and_wait)
    after = world.memory_kib()
    over = world.json("ps", job)[0]["tasks"]
    if over["succeeded"] != tasks:
        sys.exit(f"of {tasks} tasks {over['succeeded']} have succeeded")
    return {"seconds": took, "ps_meanwhile": ps.figures(), "droverd_kib_before": before, "droverd_kib_after": after,
            "bytes_per_finished_job": (after - before) * 1024 / tasks}


def bounded(nodes, tasks):
    """What droverd's memory comes to when more and more jobs have ended than it keeps."""
    world = World(nodes, f"[jobs]\nkeep_finished = {tasks // 10}\n")
    try:
        return {"keep_finished": tasks // 10, "jobs_each_time": tasks // 2, "droverd_kib_after": [array(world, tasks // 2)["droverd_kib_after"] for _ in range(2)]}
    finally:
        world.end()


def output(world, megabytes):
    command = [BIN / "drover", "run", "--node", "node1", "--", "head", "-c", str(megabytes * 1_000_000), "/dev/zero"]
    with Sampler(lambda: world.drover("run", "--node", "node2", "--", "true"), 0.1) as others:
        took = seconds(lambda: subprocess.run(command, env=world.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=DEADLINE))
    return {"megabytes_per_second": megabytes / took, "run_true_meanwhile": others.figures()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=10000)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--megabytes", type=int, default=2000)
    options = parser.parse_args()
    world = World(options.nodes)
    try:
        slots = sum(node["slots"] for node in world.json("nodes"))
        world.drover("run", "--", "true")
        runs = [seconds(lambda: world.drover("run", "--", "true")) * 1e3 for _ in range(30)]
        figures = array(world, options.tasks)
        parallel = shell(f"seq {options.tasks} | parallel -j{slots} true '{{}}'")
        xargs = shell(f"seq {options.tasks} | xargs -P2 -n1 true")
        print(json.dumps({"tasks": options.tasks, "slots": slots, "array": figures, "parallel_seconds": parallel, "xargs_p2_seconds": xargs,
                          "of_parallel": figures["seconds"] / parallel, "of_xargs_p2": figures["seconds"] / xargs,
                          "run_true": {"median_ms": statistics.median(runs), "most_ms": max(runs)},
                          "output": output(world, options.megabytes), "bounded": bounded(options.nodes, options.tasks)}, indent=1))
    finally:
        world.end()


if __name__ == "__main__":
    main()
