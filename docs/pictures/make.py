#!/usr/bin/env python3
"""Makes the pictures of the user guide anew: a world of three nodes on this machine, some jobs, and what commands show of them in tmux.

usage: make.py [BIN]     BIN is where drover and droverd are (default: build/release/bin)
"""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import terminal_svg

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parents[1] / "build" / "release" / "bin").resolve()
DEADLINE = 90
CONFIG = "[balance]\nround_seconds = 0.25\njobs_per_pu = 10\nmigrate = false\n"
BUSY = ("sh", "-c", "while :; do :; done")


def wait_for(condition, what):
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise SystemExit(f"waited {DEADLINE} s for {what}")


class Stage:
    """A world in a directory of its own, and one window of tmux."""

    def __init__(self, directory):
        self.directory, self.windows = pathlib.Path(directory), 0
        (self.directory / "drover.toml").write_text(CONFIG)
        self.env = {"HOME": directory, "PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "screen", "LC_ALL": "C.UTF-8", "PS1": "$ ",
                    "DROVER_RUNTIME_DIR": f"{directory}/run", "DROVER_STATE_DIR": f"{directory}/state", "DROVER_CONFIG": f"{directory}/drover.toml"}

    def run(self, *command):
        return subprocess.run(list(map(str, command)), env=self.env, cwd=self.directory, check=True, capture_output=True, text=True, timeout=DEADLINE).stdout

    def drover(self, *arguments):
        return self.run("drover", *arguments)

    def submit(self, name, *command, options=()):
        return int(self.drover("submit", "--name", name, *options, "--", *command))

    def jobs(self):
        return json.loads(self.drover("ps", "--output", "json"))

    def wait_running(self, *numbers):
        wait_for(lambda: {job["job"] for job in self.jobs() if job["state"] == "running"} >= set(numbers), f"jobs {numbers}")

    def tmux(self, *arguments):
        return self.run("tmux", "-S", self.directory / f"tmux{self.windows}", *arguments)

    @contextlib.contextmanager
    def window(self, columns, rows):
        self.windows += 1  # a server of its own: the last one may be ending still
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", columns, "-y", rows, "env", "PS1=$ ", "bash", "--norc", "--noprofile", ";",
                  "set-option", "-g", "status", "off", ";", "resize-window", "-x", columns, "-y", rows)
        try:
            wait_for(lambda: "$" in self.tmux("capture-pane", "-p"), "a shell")
            yield
        finally:
            self.tmux("kill-server")

    def picture(self, command, until, columns, rows, cut=True, keys=()):
        with self.window(columns, rows):
            self.tmux("send-keys", command, "Enter")
            wait_for(lambda: until in self.tmux("capture-pane", "-p").replace(command, "", 1), f"{until} of {command}")
            for key in keys:
                self.tmux("send-keys", key)
                time.sleep(1)
            text = self.tmux("capture-pane", "-e", "-N", "-p").rstrip("\n")
        if cut:  # the next prompt
            text = "\n".join(line for i, line in enumerate(text.split("\n")) if i == 0 or terminal_svg.CODE.sub("", line).strip() not in ("$", ""))
        file = HERE / f"{command.split()[1]}.svg"
        file.write_text(terminal_svg.svg(text, columns, command))
        print(file)


def begin_jobs(stage):
    simulate = stage.submit("simulate", *BUSY, options=("--node", "node0"))
    render = stage.submit("render", *BUSY, options=("--node", "node0"))
    archive = stage.submit("archive", "sleep", "1000", options=("--node", "node1", "--pin"))
    index = stage.submit("index", "sleep", "1000", options=("--node", "node2"))
    stage.submit("report", "true", options=("--after", str(index)))
    stage.wait_running(simulate, render, archive, index)
    stage.drover("migrate", render, "node1")
    time.sleep(20)  # the load is smoothed over some seconds
    stage.drover("migrate", index, "node0")


def main():
    with tempfile.TemporaryDirectory(prefix="drover-pictures-") as directory:
        stage = Stage(directory)
        try:
            stage.drover("up", "-n", 3)
            begin_jobs(stage)
            stage.picture("drover ps", "report", 132, 12)
            stage.picture("drover nodes", "node2", 100, 8)
            stage.picture("drover top", "┊", 96, 26, cut=False, keys=("Down",))
        finally:
            subprocess.run(["drover", "down", "--kill-jobs"], env=stage.env, timeout=DEADLINE, check=False, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
