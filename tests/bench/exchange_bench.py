#!/usr/bin/env python3
"""What a round of load sharing costs, in time and CPU, for several numbers of ranks on this machine. One JSON object on standard output.

usage: exchange_bench.py EXCHANGE_BENCH [--ranks 2,4,8,16,32] [--rounds 100] [--period-ms 100] [--two-level-above 256]

The ranks share the machine's processors, so from so many ranks as it has processors on the figures are those of an overloaded machine;
the ratio to the floor (MPI_Allgather of 64 bytes in the same run) can be compared between machines.
"""
import argparse
import json
import pathlib
import shlex
import subprocess
import sys

ENVIRONMENT = pathlib.Path(__file__).resolve().parents[2] / "hostfiles" / "drover.env"


def measure(program, ranks, options):
    command = shlex.join(["mpirun", "-n", str(ranks), program, str(options.rounds), str(options.period_ms), str(options.two_level_above)])
    result = subprocess.run(["bash", "-c", f". {shlex.quote(str(ENVIRONMENT))}; exec {command}"], capture_output=True, text=True, timeout=600)
    if result.returncode != 0:
        sys.exit(f"{command}: exit code {result.returncode}\n{result.stdout}{result.stderr}")
    return json.loads(result.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--ranks", default="2,4,8,16,32")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--period-ms", type=int, default=100)
    parser.add_argument("--two-level-above", type=int, default=256)
    options = parser.parse_args()
    print(json.dumps({"exchange": [measure(options.program, int(ranks), options) for ranks in options.ranks.split(",")]}, indent=1))


if __name__ == "__main__":
    main()
