"""The table of docs/migration.md: what dies at each named point of a migration, and which copy lives."""
import os
import json
import pathlib
import signal
import subprocess
import threading
import time
import unittest

from world import PYTHON, WorldTest, children, command_name, wait_for


class FaultTest(WorldTest):
    steps = 1500

    def start_ticker(self):
        self.trace = self.directory / "trace"
        self.number = self.submit(PYTHON, self.script("ticker.py"), self.trace, self.steps)
        wait_for(lambda: self.trace.exists() and self.trace.stat().st_size > 100, "the job to get going")

    def bystander(self):
        return self.submit("sh", "-c", "sleep 3; echo by")

    def finish(self, repeated=0):
        """The job ends well, and did each step once; `repeated`: how many steps a killed copy may have done again."""
        job = self.wait_state(self.number, "ended", "failed", "lost")
        self.assertEqual((job["state"], job["exit"]), ("ended", 0), job)
        steps = [int(line) for line in self.trace.read_text().split()]
        self.assertEqual(sorted(set(steps)), list(range(self.steps)))
        self.assertLessEqual(len(steps) - self.steps, repeated)
        if not repeated:
            self.assertEqual(steps, list(range(self.steps)))
        self.assertEqual(len(self.log_of(self.number).strip()), 64)
        return job

    def migrate(self, expect_ok, node="node1"):
        result = self.drover("migrate", self.number, node)
        self.assertEqual(result.returncode == 0, expect_ok, result.stderr.decode() + result.stdout.decode())
        return result.stderr.decode()

    def check(self, at, point, action, expect_ok, lives_on, repeated=0, said=""):
        self.start_ticker()
        other = self.bystander()
        fault = self.arm(at, point, action)
        self.assertIn(said, self.migrate(expect_ok))
        self.assertFalse(fault.exists(), f"{point} was never passed")
        self.wait_state(self.number, "running", "ended")
        self.assertEqual(self.job(self.number)["node"], lives_on)
        # And it can be moved again, there or back.
        self.migrate(True, "node2")
        self.finish(repeated)
        self.wait_state(other, "ended")
        self.assertEqual(self.log_of(other), "by\n")

    # The source's worker dies.
    def test_source_worker_before_freeze(self):
        self.check("node0", "source.freeze", "kill", False, "node0")

    def test_source_worker_frozen(self):
        self.check("node0", "source.frozen", "kill", False, "node0")

    def test_source_worker_dumped(self):
        self.check("node0", "source.dumped", "kill", False, "node0")

    def test_source_worker_after_end(self):
        self.check("node0", "source.end-sent", "kill", True, "node1")

    def test_source_worker_told_resumed(self):
        self.check("node0", "source.told-resumed", "kill", True, "node1")

    def test_source_worker_fails(self):
        self.check("node0", "source.frozen", "fail", False, "node0")

    # The destination's worker dies or fails.
    def test_destination_worker_before_restore(self):
        self.check("node1", "destination.restore", "kill", False, "node0")

    def test_destination_worker_restored(self):
        self.check("node1", "destination.restored", "kill", False, "node0")

    def test_destination_worker_fails(self):
        self.check("node1", "destination.restored", "fail", False, "node0", said="fault injected")

    def test_destination_worker_fails_after_ready(self):
        self.check("node1", "destination.ready-sent", "fail", False, "node0", said="fault injected")

    def test_destination_worker_fails_as_the_owner(self):
        self.check("node1", "destination.register-won", "fail", False, "node0", said="fault injected")

    def test_destination_worker_ready(self):
        self.check("node1", "destination.ready-sent", "kill", False, "node0")

    def test_destination_worker_register_won(self):
        self.check("node1", "destination.register-won", "kill", False, "node0")

    def test_destination_worker_resumed(self):
        self.check("node1", "destination.resumed", "kill", True, "node1")

    # A message is lost. Nobody decides on a timeout: the source asks the register then.
    def lose(self, at, message, expect_ok, lives_on, failing=None):
        self.steps = 4000  # long enough for the deadlines
        self.start_ticker()
        fault = self.arm(at, f"send.{message}", "drop", *(failing or ()))
        self.migrate(expect_ok)
        self.assertFalse(fault.exists(), f"{message} was never sent")
        self.assertEqual(self.wait_state(self.number, "running", "ended")["node"], lives_on)
        self.migrate(True, "node2")
        self.finish()

    def test_lost_offer(self):
        self.lose("node0", "MoveOffer", False, "node0")

    def test_lost_accept(self):
        self.lose("node1", "MoveAccept", False, "node0")

    def test_lost_end(self):
        self.lose("node0", "MoveEnd", True, "node1")

    def test_lost_ready(self):
        self.lose("node1", "MoveReady", True, "node1")

    def test_lost_resumed(self):
        self.lose("node1", "MoveResumed", True, "node1")

    def test_lost_failure(self):
        self.lose("node1", "MoveFailed", False, "node0", failing=("destination.restored", "kill"))

    def test_lost_handback(self):
        self.lose("node1", "MoveHandback", False, "node0", failing=("destination.ready-sent", "kill"))

    # droverd stands still and goes on.
    def stop_rank(self, node, at, point):
        self.steps = 4000
        self.start_ticker()
        worker, _ = self.stopped_at(at, point)
        pid = self.droverd_pid(node)
        os.kill(pid, signal.SIGSTOP)
        other = "node2"
        wait_for(lambda: node in json.loads(self.drover("--at", other, "status", "--output", "json").stdout)["excluded"],
                 f"{node} to be excluded")
        os.kill(worker, signal.SIGCONT)
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: self.json("--at", other, "status")["excluded"] == [], f"{node} to be back")
        self.mover.join()
        self.finish()

    def test_source_droverd_stopped_and_continued(self):
        self.stop_rank("node0", "node0", "source.dumped")

    def test_destination_droverd_stopped_and_continued(self):
        self.stop_rank("node1", "node1", "destination.restored")

    def test_destination_droverd_stopped_after_ready(self):
        self.stop_rank("node1", "node1", "destination.ready-sent")

    # Somebody else dies while a worker stands still at a point.
    def stopped_at(self, at, point):
        """Begins a move and returns when `point` has been reached, with the PID of the process that stands there."""
        fault = self.arm(at, point, "stop")
        self.result = None

        def run():
            self.result = self.drover("migrate", self.number, "node1")
        self.mover = threading.Thread(target=run)
        self.mover.start()
        self.addCleanup(self.mover.join)
        wait_for(lambda: not fault.exists(), f"{point} to be reached")
        name = "drover-dump" if at == "node0" else "drover-restore"

        def stopped():
            for entry in pathlib.Path("/proc").iterdir():
                if entry.name.isdigit() and command_name(entry.name) == name:
                    stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                    parent = int(stat[1])
                    if stat[0] == "T" and self.ours(parent):
                        return int(entry.name), parent
            return None
        return wait_for(stopped, f"a stopped {name}")

    def ours(self, pid):
        mark = f"DROVER_RUNTIME_DIR={self.directory}/run".encode()
        try:
            return mark in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False

    def test_job_ends_as_the_destination_accepts(self):
        """The order to dump comes to a shepherd that has told of the end, and its answer when the job is forgotten."""
        go = self.directory / "go"
        os.mkfifo(go)
        go.chmod(0o666)
        for _ in range(5):
            number = self.submit("sh", "-c", "echo ready; read line < go; exit 5", options=("--node", "node0"))
            wait_for(lambda number=number: "ready" in self.log_of(number), "the program to be ready")
            path = self.arm("node0", "source.accepted", "delay=500")
            process = self.popen("migrate", number, "node1", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            wait_for(lambda path=path: not path.exists() or not path.read_text(), "the destination to accept")
            go.write_text("\n")
            _, error = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 1, error)
            self.assertIn(b"ended", error)
            job = self.wait_state(number, "ended")
            self.assertEqual((job["exit"], job["moves"]), (5, 0), job)

    def test_next_dump_as_a_worker_ends(self):
        """Init hears of its last worker's end and of the order to dump again in one moment: the end is not that of the next worker."""
        self.start_ticker()
        worker, init = self.stopped_at("node1", "destination.resumed")
        self.mover.join()
        self.assertEqual(self.result.returncode, 0, self.result.stderr)
        os.kill(init, signal.SIGSTOP)
        os.kill(worker, signal.SIGCONT)
        wait_for(lambda: " Z " in pathlib.Path(f"/proc/{worker}/stat").read_text(), "the worker's end")
        back = self.popen("migrate", self.number, "node2", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_for(lambda: self.unread_bytes(init), "the order to have arrived")
        os.kill(init, signal.SIGCONT)
        said, error = back.communicate()
        self.assertEqual(back.returncode, 0, said + error)
        self.finish()

    def unread_bytes(self, pid):
        """In the unix sockets of a process."""
        sockets = {link[8:-1] for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir() if (link := os.readlink(fd)).startswith("socket:[")}
        rows = (row.split() for row in subprocess.check_output(["ss", "-xaH"], text=True).splitlines())
        return sum(int(row[2]) for row in rows if row[5] in sockets)

    def test_destination_init_after_ready(self):
        self.start_ticker()
        _, init = self.stopped_at("node1", "destination.ready-sent")
        os.kill(init, signal.SIGKILL)
        self.mover.join()
        self.assertNotEqual(self.result.returncode, 0)
        self.assertEqual(self.wait_state(self.number, "running")["node"], "node0")
        self.finish()

    def test_destination_init_after_register_won(self):
        self.start_ticker()
        _, init = self.stopped_at("node1", "destination.register-won")
        os.kill(init, signal.SIGKILL)
        self.mover.join()
        self.assertEqual(self.wait_state(self.number, "running")["node"], "node0")
        self.migrate(True, "node2")
        self.finish()

    def test_source_init_before_end(self):
        """The job's own PID 1: its death is the job's."""
        self.start_ticker()
        _, init = self.stopped_at("node0", "source.frozen")
        os.kill(init, signal.SIGKILL)
        job = self.wait_state(self.number, "ended")
        self.assertEqual(job["signal"], signal.SIGKILL)

    def test_source_init_after_end(self):
        self.start_ticker()
        _, init = self.stopped_at("node0", "source.end-sent")
        os.kill(init, signal.SIGKILL)
        self.mover.join()
        wait_for(lambda: self.job(self.number)["node"] == "node1", "the job to live at the destination")
        self.finish()

    def test_source_droverd_before_end(self):
        self.start_ticker()
        worker, _ = self.stopped_at("node0", "source.dumped")
        self.kill_world_and_wait(worker)
        self.assertEqual(self.job(self.number)["node"], "node0")
        self.finish()

    def test_world_dies_after_end(self):
        """Both ranks are gone: source and destination find each other in the register."""
        self.start_ticker()
        worker, _ = self.stopped_at("node0", "source.end-sent")
        self.kill_world_and_wait(worker)
        self.finish()

    def test_world_dies_after_ready(self):
        self.start_ticker()
        worker, _ = self.stopped_at("node1", "destination.ready-sent")
        self.kill_world_and_wait(worker)
        self.finish()

    def test_world_dies_after_register_won(self):
        self.start_ticker()
        worker, _ = self.stopped_at("node1", "destination.register-won")
        self.kill_world_and_wait(worker)
        self.assertEqual(self.job(self.number)["node"], "node1")
        self.finish()

    def kill_world_and_wait(self, worker):
        generation = self.json("status")["generation"]
        supervisor = int((self.runtime / "up.pid").read_text().split()[0])
        for pid in children(supervisor):
            if command_name(pid) in ("mpirun", "orterun"):
                os.kill(pid, signal.SIGKILL)
        self.mover.join()

        self.wait_new_world(generation)
        os.kill(worker, signal.SIGCONT)
        self.wait_state(self.number, "running", "ended")

    def test_destination_rank_after_ready(self):
        """One droverd is killed (the others go on): the destination's shepherd goes through with it, the source reads the register."""
        self.start_ticker()
        worker, _ = self.stopped_at("node1", "destination.ready-sent")
        os.kill(self.droverd_pid("node1"), signal.SIGKILL)
        wait_for(lambda: "node1" in self.json("status")["excluded"], "node1 to be excluded")
        os.kill(worker, signal.SIGCONT)
        steps = lambda: self.trace.read_text().count("\n")
        before = steps()
        wait_for(lambda: steps() > before + 5, "the job to go on")
        wait_for(lambda: steps() == self.steps, "the job to finish its work")
        self.assertEqual([int(line) for line in self.trace.read_text().split()], list(range(self.steps)))

    def test_shared_directory_away(self):
        """In doubt while the register can't be reached, and settled when it is back."""
        self.start_ticker()
        worker, _ = self.stopped_at("node1", "destination.ready-sent")
        job_dir, away = self.state / "jobs" / str(self.number), self.state / "away"
        job_dir.rename(away)
        os.kill(worker, signal.SIGCONT)
        self.wait_state(self.number, "in-doubt")
        before = self.trace.read_text()
        time.sleep(1)
        self.assertEqual(self.trace.read_text(), before, "a copy ran while in doubt")
        away.rename(job_dir)
        self.mover.join()
        self.finish()  # whoever reaches the register first: one copy, and every step once


if __name__ == "__main__":
    unittest.main()
