#!/usr/bin/env python3
"""even_load: is there thrashing? Four equal hosts with two jobs each, whose load goes up and down, and bursts of others' load: nothing is to
be gained by moving, so fewer than one migration per node in five minutes is what a quiet policy makes of it. As root, in the lab.

usage: even_load.py [--minutes N] [--seed S]      needs $DROVER_BIN; JSON on standard output; exit code 1 if it has thrashed
"""
import argparse
import json
import os
import random
import subprocess
import sys
import time

from balance import HERE, HOSTS, Bench

JOBS_PER_HOST = 2


class EvenLoad(Bench):
    lab_name = "even-load"

    def __init__(self, options):
        super().__init__(options)
        self.noise = self.directory / "noise"
        subprocess.run(["cc", "-O2", "-o", self.noise, HERE / "noise.c", "-lm"], check=True)

    def jobs(self):
        jobs = json.loads(self.drover("ps", "--all", "--output", "json"))
        return jobs["jobs"] if isinstance(jobs, dict) else jobs

    def run(self):
        seconds = self.options.minutes * 60
        draw = random.Random(self.options.seed)
        self.world_up()
        try:
            for job in range(HOSTS * JOBS_PER_HOST):
                self.drover("submit", "--node", f"lab{job % HOSTS + 1}", "--", self.noise, seconds + 60, job)
            time.sleep(5)
            begin, before = time.time(), sum(job["moves"] for job in self.jobs())
            bursts = []
            while time.time() - begin < seconds:
                time.sleep(min(draw.expovariate(1 / 5), seconds))
                host, length = draw.randint(1, HOSTS), draw.expovariate(1 / 0.3)
                bursts.append(subprocess.Popen(self.lab_command("exec", f"lab{host}", "--", self.burn, f"{length:.2f}"), env=self.env,
                                               stdout=subprocess.DEVNULL))
            for burst in bursts:
                burst.wait()
            jobs = self.jobs()
            took = time.time() - begin
        finally:
            self.drover("down", "--kill-jobs")
        running = sum(job["state"] == "running" for job in jobs)
        if running != HOSTS * JOBS_PER_HOST:
            raise RuntimeError(f"{running} of {HOSTS * JOBS_PER_HOST} jobs are running")
        moves = sum(job["moves"] for job in jobs) - before
        return {"minutes": took / 60, "hosts": HOSTS, "jobs": len(jobs), "bursts": len(bursts), "moves": moves,
                "moves_per_node_in_5_minutes": moves / HOSTS / (took / 300), "settling_moves": before}


def main():
    parser = argparse.ArgumentParser(description="Counts what moves under an even load with noise, on four hosts of the lab")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--quota", default="40,40,40,40", help="percent of a CPU of each host")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("even_load: needs root, for virtual hosts")
    bench = EvenLoad(options)
    try:
        bench.up()
        figures = bench.run()
    finally:
        bench.down()
    print(json.dumps(figures, indent=2))
    return figures["moves_per_node_in_5_minutes"] >= 1


if __name__ == "__main__":
    sys.exit(main())
