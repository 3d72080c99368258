#!/usr/bin/env python3
"""A droverd for tests of the launcher alone: it speaks runtime/control/PROTOCOL.md, and runs jobs on its own host, unmoved.

Each job is a process pair that survives this program's death, its streams being files in STATE/jobs/ID; so a test may kill -9 a
fake droverd and let the next one adopt the job, as the real ones do. Rank and world size come from mpirun's environment.
What the tests ask of it besides: FAKE_DROVERD_EXIT=CODE ends it at once; FAKE_DROVERD_LINGER=1 makes it ignore `down`;
FAKE_DROVERD_LATE=1 makes it list ended jobs as running. What a test writes into STATE/jobs/ID/told (a JSON object) replaces
what is told of that job; STATE/events holds more events; STATE/requests has the `op` of each request.
"""
import ctypes
import json
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

MAGIC, VERSION = 0x46565244, 1
REQUEST, REPLY, ITEM, DATA, ACK, END = range(1, 7)
HEADER, STREAM = struct.Struct("<IHHII"), struct.Struct("<B7xQ")
WINDOW = 256 * 1024
POLL = 0.01


class Refused(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Link:
    """One launcher's connection."""

    def __init__(self, sock):
        self.sock, self.buffer, self.lock = sock, b"", threading.Lock()

    def send(self, kind, payload):
        with self.lock:
            self.sock.sendall(HEADER.pack(MAGIC, VERSION, kind, len(payload), 0) + payload)

    def send_json(self, kind, value):
        self.send(kind, json.dumps(value).encode())

    def receive(self):
        while len(self.buffer) < HEADER.size or len(self.buffer) < HEADER.size + HEADER.unpack_from(self.buffer)[3]:
            more = self.sock.recv(65536)
            if not more:
                return None, b""
            self.buffer += more
        _, _, kind, length, _ = HEADER.unpack_from(self.buffer)
        payload = self.buffer[HEADER.size:HEADER.size + length]
        self.buffer = self.buffer[HEADER.size + length:]
        return kind, payload


class Job:
    """STATE/jobs/ID: spec, in, in.end, out, err, pid, exit."""

    def __init__(self, directory):
        self.directory, self.id = directory, int(directory.name)

    def read(self, name):
        try:
            return (self.directory / name).read_text()
        except FileNotFoundError:
            return None

    def exit_status(self):
        text = self.read("exit")
        return int(text) if text else None

    def describe(self, node):
        spec, status = json.loads(self.read("spec")), self.exit_status()
        told = json.loads(self.read("told") or "{}")
        return {"job": self.id, "name": spec["name"], "state": "running" if status is None else "ended", "origin": node,
                "node": node, "argv": spec["argv"], "submitted_ns": 1, "started_ns": int(time.time() * 1e9) - 10**9,
                "ended_ns": 0 if status is None else int(time.time() * 1e9), "exit": status,
                "signal": max(0, (status or 0) - 128), "error": "", "pid": 2, "cpu_seconds": 0.5, "memory_kib": 2000,
                "moves": 0, "frozen_ms": 0.0, "epoch": 1, "why": "placed: the only node", "pinned": "", **told}


def shepherd(directory):
    """Runs one job: feeds it the file `in` as that grows, and leaves its exit status behind."""
    spec = json.loads((directory / "spec").read_text())

    def open_for(name, path):
        return open(path, "wb") if path else open(directory / name, "wb")

    child = subprocess.Popen(spec["argv"], cwd=spec["cwd"], env=dict(e.split("=", 1) for e in spec["env"]),
                             stdin=subprocess.PIPE, stdout=open_for("out", spec["stdout"]), stderr=open_for("err", spec["stderr"]),
                             start_new_session=True)
    (directory / "pid.new").write_text(str(child.pid))
    (directory / "pid.new").rename(directory / "pid")  # whoever sees it can read it

    def feed():
        sent = 0
        with open(directory / "in", "rb") as source:
            while child.poll() is None:
                done = (directory / "in.end").exists()
                piece = source.read(65536)
                if piece:
                    try:
                        child.stdin.write(piece)
                        child.stdin.flush()
                    except BrokenPipeError:
                        return
                    sent += len(piece)
                elif done:
                    child.stdin.close()
                    return
                else:
                    time.sleep(POLL)

    threading.Thread(target=feed, daemon=True).start()
    status = child.wait()
    try:
        (directory / "exit.new").write_text(str(128 - status if status < 0 else status))
        (directory / "exit.new").rename(directory / "exit")
    except FileNotFoundError:
        pass  # the test is over and has removed its directory
    os._exit(0)


class Droverd:
    def __init__(self):
        self.rank, self.world = int(os.environ.get("OMPI_COMM_WORLD_RANK", 0)), int(os.environ.get("OMPI_COMM_WORLD_SIZE", 1))
        self.node = f"node{self.rank}"
        instance = os.environ.get("DROVER_INSTANCE", "default")
        self.runtime = pathlib.Path(os.environ["DROVER_RUNTIME_DIR"], instance, self.node)
        self.jobs = pathlib.Path(os.environ["DROVER_STATE_DIR"], instance, "jobs")
        self.runtime.mkdir(parents=True, exist_ok=True)
        self.jobs.mkdir(parents=True, exist_ok=True)

    def wait_for_world(self):
        """As MPI_Init does: no rank says that the world is up before all of it is."""
        nodes = [self.runtime.parent / f"node{rank}" for rank in range(self.world)]
        while not all(is_alive(node / "pid") for node in nodes):
            time.sleep(POLL)

    def serve(self):
        path = self.runtime / "control"
        path.unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path) + ".new")
        server.listen(64)
        os.rename(str(path) + ".new", path)
        wakeup, signalled = socket.socketpair()  # a signal between Python's check for one and accept() would wait for the next link
        signalled.setblocking(False)
        signal.set_wakeup_fd(signalled.fileno())
        while True:
            if server not in select.select([server, wakeup], [], [])[0]:
                wakeup.recv(64)
                continue
            sock, _ = server.accept()
            threading.Thread(target=self.talk, args=(Link(sock),), daemon=True).start()

    def talk(self, link):
        kind, payload = link.receive()
        if kind != REQUEST:
            return
        request = json.loads(payload)
        with open(self.jobs.parent / "requests", "a") as requests:
            requests.write(request["op"] + "\n")
        try:
            handler = getattr(self, "on_" + request["op"], None)
            if handler is None:
                raise Refused("bad-request", f"op {request['op']}: not known")
            answer = handler(link, request)
            if answer is not None:
                link.send_json(REPLY, {"ok": True, **answer})
        except Refused as refusal:
            link.send_json(REPLY, {"ok": False, "code": refusal.code, "error": str(refusal)})
        except (BrokenPipeError, ConnectionResetError):
            pass

    def find(self, number):
        directory = self.jobs / str(number)
        if not directory.exists():
            raise Refused("no-such-job", f"job {number}: no such job; see: drover ps --all")
        return Job(directory)

    def all_jobs(self):
        return [Job(d) for d in sorted(self.jobs.iterdir(), key=lambda d: int(d.name))]

    def start(self, spec):
        if spec.get("script"):
            return self.start_script(spec)
        program = spec["argv"][0]
        if "/" not in program:
            paths = dict(e.split("=", 1) for e in spec["env"]).get("PATH", "").split(":")
            program = next((f"{p}/{program}" for p in paths if os.path.exists(f"{p}/{program}")), program)
        if not os.path.exists(program):
            raise Refused("not-found", f"{spec['argv'][0]}: no such program on {self.node}; give its path")
        if not os.access(program, os.X_OK):
            raise Refused("not-executable", f"{program}: not executable on {self.node}; chmod +x it")
        if not os.path.isdir(spec["cwd"]):
            raise Refused("failed", f"{spec['cwd']}: no such directory on {self.node}; use --cwd")
        return self.start_in(self.new_directory(), spec)

    def start_script(self, spec):
        directory = self.new_directory()
        text = spec["script"]
        (directory / "script").write_bytes(bytes.fromhex(text["hex"]) if isinstance(text, dict) else text.encode())
        (directory / "script").chmod(0o700)
        return self.start_in(directory, {**spec, "argv": [str(directory / "script"), *spec["argv"][1:]]})

    def new_directory(self):
        for number in range(1, 10**6):
            directory = self.jobs / str(number)
            try:
                directory.mkdir()
                return directory
            except FileExistsError:
                pass

    def start_in(self, directory, spec):
        (directory / "spec").write_text(json.dumps(spec))
        (directory / "in").write_bytes(open(spec["stdin"], "rb").read() if spec["stdin"] else b"")
        if not spec["attached"] or spec["stdin"]:
            (directory / "in.end").touch()
        subprocess.Popen([sys.executable, __file__, "--shepherd", str(directory)], start_new_session=True,
                         stdin=subprocess.DEVNULL)
        while not (directory / "pid").exists():
            time.sleep(POLL)
        return Job(directory)

    def on_status(self, link, request):
        return {"node": self.node, "rank": self.rank, "world": self.world, "ready": True, "version": "0.1.0", "pid": os.getpid(),
                "generation": int(os.environ.get("DROVER_GENERATION", 0)), "excluded": []}

    def on_submit(self, link, request):
        return {"job": self.start(request["spec"]).id, "node": self.node}

    def on_run(self, link, request):
        job = self.start(request["spec"])
        link.send_json(REPLY, {"ok": True, "job": job.id, "node": self.node})
        return self.stream(link, job, [0, 0])

    def on_attach(self, link, request):
        job = self.find(request["job"])
        link.send_json(REPLY, {"ok": True, "job": job.id, "stdin": (job.directory / "in").stat().st_size})
        return self.stream(link, job, request["received"])

    def stream(self, link, job, received):
        acked = list(received)
        gone = threading.Event()

        def take():
            with open(job.directory / "in", "ab", buffering=0) as sink:
                while True:
                    kind, payload = link.receive()
                    if kind is None:
                        gone.set()
                        return
                    if kind == REQUEST:
                        self.signal(job, json.loads(payload)["signal"])
                        continue
                    stream, offset = STREAM.unpack_from(payload)
                    if kind == ACK:
                        acked[stream - 1] = offset
                    elif kind == DATA:
                        assert offset <= sink.tell() and len(payload) - STREAM.size <= 65536
                        sink.write(payload[STREAM.size + sink.tell() - offset:])
                        time.sleep(float(os.environ.get("FAKE_DROVERD_SLOW", 0)))
                        link.send(ACK, STREAM.pack(0, sink.tell()))
                    elif kind == END:
                        assert offset == sink.tell()
                        (job.directory / "in.end").touch()

        threading.Thread(target=take, daemon=True).start()
        files = [open(job.directory / name, "rb") for name in ("out", "err")]
        sent = list(received)
        for file, offset in zip(files, received):
            file.seek(offset)
        while not gone.is_set():
            ended, idle = job.exit_status() is not None, True
            for i, file in enumerate(files):
                piece = file.read(min(65536, WINDOW - (sent[i] - acked[i])))
                if piece:
                    link.send(DATA, STREAM.pack(i + 1, sent[i]) + piece)
                    sent[i] += len(piece)
                    idle = False
            at_end = all(sent[i] == os.fstat(f.fileno()).st_size for i, f in enumerate(files))
            if ended and at_end:
                for i in range(2):
                    link.send(END, STREAM.pack(i + 1, sent[i]))
                return {"job": job.id, "exit": job.exit_status()}
            if idle:
                time.sleep(POLL)
        return None

    def signal(self, job, number):
        if job.exit_status() is None:
            os.killpg(int(job.read("pid")), number)

    def on_ps(self, link, request):
        jobs = [job.describe(self.node) for job in self.all_jobs()]
        if os.environ.get("FAKE_DROVERD_LATE"):
            jobs = [{**job, "state": "running"} for job in jobs]
        return {"jobs": [j for j in jobs if request["all"] or j["state"] not in ("ended", "failed", "lost")]}

    def on_past(self, link, request):
        return {"jobs": []}

    def on_nodes(self, link, request):
        factor = {"value": 0.5, "known": True}
        own = {}
        if request.get("own_load"):
            factor.update({"low": 0.25, "high": 0.75, "weight": 6, "from": "calibrated 2025-01-02"})
            own = {"detail": {"cpu": {"user": 0.25}, "pressure": {"io": {"some": {"avg10": 1.5}}}}}
        # In two groups: of the other one node is known at second hand, the other not at all.
        far = {"rank": 100, "host": "there", "state": "FREE", "stale": False, "age_ms": 2100, "second_hand": True, "jobs": 3, "foreign_jobs": 1,
               "pus": 2, "allowed_pus": "0-1", "memory_kib": 1 << 20, "own": {"run_queue": 0.25, "cpu_share": 0.25}, "foreign": {}, "factors": {}}
        unknown = {**far, "state": "UNKNOWN", "stale": True, "age_ms": -1, "jobs": 0, "foreign_jobs": 0}
        groups = [{"group": 0, "first": "node0", "nodes": self.world, "age_ms": 100, "leader": "node0", "members": self.world, "free": 1,
                   "busy": 0, "jobs": 0, "demand": 0.5, "capacity": 2}, {"group": 1, "first": "far0", "nodes": 2, "age_ms": -1}]
        return {"groups": groups,
                "nodes": [{"node": f"node{i}", "rank": i, "host": "here", "state": "FREE", "stale": False, "round": 1, "age_ms": 0,
                           "pus": 2, "cores": 2, "packages": 1, "memory_kib": 1 << 20, "allowed_pus": "0-1", "shared_host": True,
                           "jobs": 0, "foreign_jobs": 0, "own": {"run_queue": 0.5, "cpu_share": 0.5}, "foreign": {},
                           "speed": 1.25, "factors": {"run_queue": factor}, **own} for i in range(self.world)]
                + [{"node": "far0", **far}, {"node": "far1", **unknown}]}

    def on_logs(self, link, request):
        job, offset = self.find(request["job"]), request["from"]
        with open(job.directory / ("out" if request["stream"] == "stdout" else "err"), "rb") as file:
            file.seek(offset)
            while True:
                ended = job.exit_status() is not None
                piece = file.read(65536)
                if piece:
                    link.send(DATA, STREAM.pack(1, offset) + piece)
                    offset += len(piece)
                elif ended or not request["follow"]:
                    break
                else:
                    time.sleep(POLL)
        link.send(END, STREAM.pack(1, offset))
        return {}

    def on_wait(self, link, request):
        jobs = [self.find(number) for number in request["jobs"]]
        while any(job.exit_status() is None for job in jobs):
            time.sleep(POLL)
        return {"jobs": [job.describe(self.node) for job in jobs]}

    def on_kill(self, link, request):
        job = self.find(request["job"])
        if job.exit_status() is not None:
            raise Refused("refused", f"job {job.id} has ended already")
        self.signal(job, request["signal"])
        return {}

    def on_migrate(self, link, request):
        self.find(request["job"])
        if request["node"] not in [f"node{i}" for i in range(self.world)]:
            raise Refused("no-such-node", f"node {request['node']}: no such node; see: drover nodes")
        raise Refused("refused", f"job {request['job']}: can't be moved: this droverd is a fake; it runs on")

    def on_events(self, link, request):
        for job in self.all_jobs():
            link.send_json(ITEM, {"time_ns": 1_700_000_000_000_000_000, "node": self.node, "event": "started", "job": job.id})
        if (self.jobs.parent / "events").exists():
            for line in (self.jobs.parent / "events").read_text().splitlines():
                link.send(ITEM, line.encode())
        return {}

    def on_ping(self, link, request):
        return {"round_trip_us": {f"node{i}": 100.0 + i for i in range(self.world) if i != self.rank}}

    def on_down(self, link, request):
        running = [job for job in self.all_jobs() if job.exit_status() is None]
        if running and request["mode"] == "refuse":
            raise Refused("conflict", f"{len(running)} jobs are running; use --kill-jobs or --leave-jobs")
        if request["mode"] == "kill":
            for job in running:
                self.signal(job, signal.SIGKILL)
        link.send_json(REPLY, {"ok": True, "jobs": len(running)})
        if not os.environ.get("FAKE_DROVERD_LINGER"):  # every rank leaves: here, by a signal to each fake of this instance
            pids = [int(file.read_text()) for file in self.runtime.parent.glob("*/pid")]
            for pid in sorted(pids, key=lambda pid: pid == os.getpid()):  # itself last: it ends at once
                os.kill(pid, signal.SIGUSR1)
        return None


def is_alive(pid_file):
    try:
        os.kill(int(pid_file.read_text()), 0)
        return True
    except (OSError, ValueError):
        return False


def leave(runtime):
    for name in ("pid", "control"):
        (runtime / name).unlink(missing_ok=True)
    os._exit(0)  # its folder is left to `drover down`


def main():
    if sys.argv[1:2] == ["--shepherd"]:
        return shepherd(pathlib.Path(sys.argv[2]))
    if "FAKE_DROVERD_EXIT" in os.environ:
        print("droverd: this fake was told to fail", file=sys.stderr)
        sys.exit(int(os.environ["FAKE_DROVERD_EXIT"]))
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: real ranks die with their mpirun, too
    droverd = Droverd()
    signal.signal(signal.SIGUSR1, lambda *_: leave(droverd.runtime))
    (droverd.runtime / "pid").write_text(str(os.getpid()))
    droverd.wait_for_world()
    droverd.serve()


if __name__ == "__main__":
    main()
