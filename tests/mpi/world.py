"""A real world of droverds on this machine for tests: brought up in a directory of its own, ended whatever happens."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BIN = pathlib.Path(os.environ["DROVER_BIN"])
HERE = pathlib.Path(__file__).resolve().parent
USER = os.environ.get("DROVER_TEST_USER", "")  # run everything as this user (needs root)
if USER and os.geteuid() != 0:
    print(f"skipped: only root can run this as {USER}")
    sys.exit(77)
PYTHON = "/usr/bin/python3" if USER else sys.executable
DEADLINE = 90  # generous: the machine may be busy with other things


def wait_for(condition, what, deadline=DEADLINE):
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {deadline} s for {what}")


def children(pid):
    try:
        return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def command_name(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def host_pids(mark):
    """Of the processes that run with that word in their command line."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            pass
    return found


def tracer_of(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("TracerPid"))


class WorldTest(unittest.TestCase):
    nodes = 3
    config = "[balance]\nround_seconds = 0.25\nsuspect_seconds = 2\nanswer_seconds = 3\nmigrate = false\n"

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="drover-world-"))
        self.addCleanup(self.clean_up)
        self.bin, self.prefix = BIN, []
        if USER:
            # The build tree may lie where that user can't look.
            self.bin = self.directory / "bin"
            shutil.copytree(BIN, self.bin, ignore=shutil.ignore_patterns("*_tests"))
            for file in (*HERE.glob("*.py"), HERE.parent / "thread_sanitizer.supp"):
                shutil.copy(file, self.directory)
            self.prefix = ["setpriv", f"--reuid={USER}", "--regid=nogroup", "--clear-groups", "--"]
            shutil.chown(self.directory, USER, "nogroup")
        config = self.config
        if "jobs_per_pu" not in config:  # most tests put more jobs on a node than it has PUs
            config = config.replace("[balance]\n", "[balance]\njobs_per_pu = 100\n")
        (self.directory / "drover.toml").write_text(config)
        self.env = dict(os.environ, DROVER_RUNTIME_DIR=str(self.directory / "run"), DROVER_STATE_DIR=str(self.directory / "state"),
                        DROVER_CONFIG=str(self.directory / "drover.toml"), DROVER_INSTANCE="t", DROVER_FAULTS="1", HOME=str(self.directory))
        for name in ("DROVER_NODE", "DROVER_GENERATION", "DROVER_NODE_NAME"):
            self.env.pop(name, None)
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):  # of the presets asan and tsan
            if name in self.env:
                options = self.env[name].replace(str(HERE.parent), str(self.directory)) if USER else self.env[name]
                self.env[name] = f"{options}:log_path={self.directory}/sanitizer"
        self.runtime = self.directory / "run" / "t"
        self.state = self.directory / "state" / "t"
        self.shepherds = set()
        self.up()

    def script(self, name):
        return (self.directory if USER else HERE) / name

    def up(self):
        self.drover("up", "-n", self.nodes, check=0)

    def clean_up(self):
        result = self._outcome.result  # of this test so far: failures are recorded before the clean-up
        failed = any(test is self for test, _ in result.failures + result.errors)
        subprocess.run([*self.prefix, self.bin / "drover", "down", "--kill-jobs"], env=self.env, capture_output=True, timeout=DEADLINE)
        self.kill_leftovers()
        # A world gets over the end of any process, so a sanitizer's report need not fail the test: look for the reports themselves.
        reports = [path.read_text(errors="replace") for path in self.directory.glob("sanitizer.*")]
        failed = failed or bool(reports)
        if failed:
            print(f"kept: {self.directory}; repeat with: DROVER_BIN={BIN} {sys.executable} {sys.argv[0]} {self.id().split('.', 1)[1]}",
                  file=sys.stderr)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)
        self.assertEqual(reports, [], "sanitizer reports")

    def kill_leftovers(self):
        """Everything that still belongs to this test's directories: found by environment, ended by PID."""
        mark = f"DROVER_RUNTIME_DIR={self.directory}/run".encode()
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                pass

    def drover(self, *arguments, stdin=b"", check=None, timeout=2 * DEADLINE):
        result = subprocess.run([*self.prefix, self.bin / "drover", *map(str, arguments)], input=stdin, capture_output=True, timeout=timeout,
                                env=self.env, cwd=self.directory)
        if check is not None:
            self.assertEqual(result.returncode, check, result.stderr.decode() + result.stdout.decode())
        return result

    def popen(self, *arguments, **options):
        return subprocess.Popen([*self.prefix, self.bin / "drover", *map(str, arguments)], env=self.env, cwd=self.directory, **options)

    def json(self, *arguments):
        return json.loads(self.drover(*arguments, "--output", "json", check=0).stdout)

    def wait_new_world(self, generation):
        """One call each time: a world that is just dying may answer one and not the next."""
        def newer():
            result = self.drover("status", "--output", "json")
            return result.returncode == 0 and json.loads(result.stdout)["generation"] > generation
        wait_for(newer, "a new world")

    def submit(self, *command, options=()):
        return int(self.drover("submit", *options, "--", *command, check=0).stdout)

    def job(self, number):
        result = self.drover("ps", "--all", "--output", "json")
        if result.returncode != 0:  # between two worlds
            return None
        reply = json.loads(result.stdout)
        jobs = reply["jobs"] if isinstance(reply, dict) else reply
        return next((job for job in jobs if job["job"] == number), None)

    def wait_state(self, number, *states):
        def reached():
            job = self.job(number)
            return job if job and job["state"] in states else None
        return wait_for(reached, f"job {number} to be {' or '.join(states)}; it is {self.job(number)}")

    @staticmethod
    def wait_blocked(pid):
        """Until it has used no CPU time for a while and sleeps: what it writes to takes no more."""
        look = lambda: pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        def blocked():
            before = look()
            time.sleep(0.5)
            now = look()
            return now[0] == "S" and now[11:13] == before[11:13]
        wait_for(blocked, f"process {pid} to wait")

    def droverd_pid(self, node):
        return self.json("--at", node, "status")["pid"]

    def mpirun_pid(self):
        status = pathlib.Path(f"/proc/{self.droverd_pid('node0')}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:")))

    def arm(self, node, *points_and_actions):
        path = self.runtime / node / "fault"
        pairs = zip(points_and_actions[::2], points_and_actions[1::2])
        path.write_text("".join(f"{point} {action}\n" for point, action in pairs))
        return path

    def events(self, name=None):
        events = []
        for path in (self.state / "events").glob("*.jsonl"):
            # What is being appended shows page by page: a line is there once its end is.
            events += [json.loads(line) for line in path.read_text().splitlines(True) if line.endswith("\n")]
        events.sort(key=lambda event: event["time_ns"])
        return [event for event in events if name in (None, event["event"])]

    def log_of(self, number):
        return self.drover("logs", number, check=0).stdout.decode()
