"""Images of jobs in files, and new jobs that go on from them."""
import os
import pathlib
import signal
import stat
import subprocess
import unittest

from world import PYTHON, WorldTest, command_name, host_pids, tracer_of, wait_for

# Counts to the number in `until`, once that is there; reads a line of its input before and one after.
PROGRAM = """
import os, sys, time
print("begins with", input(), flush=True)
steps, fd = 0, os.open("steps", os.O_WRONLY | os.O_CREAT, 0o600)
while not os.path.exists("until"):
    steps += 1
    os.pwrite(fd, b"%08d" % steps, 0)  # always of one size, or it could not be opened again
    time.sleep(0.002)
print("goes on with", input(), "after", "many" if steps > 20 else "few", flush=True)
print("complains", file=sys.stderr, flush=True)
sys.exit(7)
"""


class CheckpointTest(WorldTest):
    nodes = 2
    config = "[balance]\nround_seconds = 0.25\nsuspect_seconds = 60\nanswer_seconds = 3\npolicy = \"none\"\n"

    def steps(self):
        try:
            return int((self.directory / "steps").read_text())
        except (OSError, ValueError):
            return 0

    def refused(self, text, *command):
        result = self.drover(*command)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn(text, result.stderr.decode())

    def begin(self, *options):
        (self.directory / "in").write_text("one\ntwo\n")
        number = self.submit(PYTHON, "-c", PROGRAM, options=("--stdin", "in", *options))
        wait_for(lambda: self.steps() > 30, "the program to get on")
        return number

    def checkpoint(self, number, *file):
        return pathlib.Path(self.drover("checkpoint", number, *file, check=0).stdout.decode().strip())

    def restore(self, path, *options):
        return int(self.drover("restore", path, *options, check=0).stdout)

    def test_goes_on(self):
        number = self.begin("--node", "node1", "--name", "counts")
        image = self.checkpoint(number)
        self.assertEqual(image, self.state / "jobs" / str(number) / "checkpoint")
        self.assertEqual(stat.S_IMODE(image.stat().st_mode), 0o600)
        self.assertEqual(list(image.parent.glob("*.unfinished")), [])
        before = self.steps()
        wait_for(lambda: self.steps() > before, "the job to go on")
        self.drover("hold", number, check=0)
        held = self.checkpoint(number, "held")
        self.assertEqual((held, self.job(number)["state"]), (self.directory / "held", "held"))
        self.drover("kill", "-s", "KILL", number, check=0)
        self.wait_state(number, "ended")
        before = self.steps()
        again = [self.restore(image), self.restore("held", "--node", "node0"), self.restore(image, "--node", "node1")]
        jobs = [self.wait_state(job, "running") for job in again]
        self.assertEqual([job["name"] for job in jobs], ["counts"] * 3)
        self.assertEqual([job["node"] for job in jobs[1:]], ["node0", "node1"])
        wait_for(lambda: self.steps() != before, "them to go on")
        self.drover("migrate", again[1], "node1", check=0)
        (self.directory / "until").touch()
        for job in again:
            self.assertEqual(self.drover("wait", job).returncode, 7)
            self.assertEqual(self.log_of(job), "goes on with two after many\n")
            self.assertEqual(self.drover("logs", job, "--stderr", check=0).stdout.decode(), "complains\n")
        self.assertIn(str(held), self.drover("show", number, check=0).stdout.decode())
        self.assertEqual([event["ok"] for event in self.events("checkpoint")], [True, True])

    def test_output_is_continued(self):
        number = self.begin("--stdout", "out-%j", "--stderr", "err")
        self.drover("checkpoint", number, "image", check=0)
        self.drover("kill", "-s", "KILL", number, check=0)
        self.wait_state(number, "ended")
        held = self.restore("image", "--hold")
        self.assertEqual(self.job(held)["state"], "held")
        self.drover("down", "--leave-jobs", check=0)
        self.up()
        (self.directory / "until").touch()
        self.drover("release", held, check=0)
        self.assertEqual(self.drover("wait", held).returncode, 7)
        self.assertEqual((self.directory / f"out-{number}").read_text(), "begins with one\ngoes on with two after many\n")
        self.assertEqual((self.directory / "err").read_text(), "complains\n")

    def test_images_by_the_clock_and_files_that_grow(self):
        script = ('import os, time\nfile = open("lines", "a")\nn = 0\nwhile not os.path.exists("until"):\n'
                  '    n += 1\n    print(n, file=file, flush=True)\n    time.sleep(0.005)\nprint("wrote", n)\n')
        number = self.submit(PYTHON, "-c", script, options=("--checkpoint-every", "1"))
        wait_for(lambda: len(self.events("checkpoint")) > 1, "a second image")
        image = self.state / "jobs" / str(number) / "checkpoint"
        self.assertEqual({(event["ok"], event["path"]) for event in self.events("checkpoint")}, {(True, str(image))})
        self.assertIn(str(image), self.drover("show", number, check=0).stdout.decode())
        before = os.path.getsize(self.directory / "lines")
        wait_for(lambda: os.path.getsize(self.directory / "lines") > before, "the job to go on")
        self.drover("kill", "-s", "KILL", number, check=0)
        self.wait_state(number, "ended")
        self.refused("lines differs here from what the program had: it has grown from", "restore", image)
        again = self.restore(image, "--truncate")
        wait_for(lambda: os.path.getsize(self.directory / "lines") > before, "the new job to get on")
        (self.directory / "until").touch()
        self.assertEqual(self.drover("wait", again).returncode, 0)
        lines = (self.directory / "lines").read_text().split()
        self.assertEqual(lines, [str(n) for n in range(1, len(lines) + 1)])
        self.assertEqual(self.log_of(again), f"wrote {len(lines)}\n")

    def test_end_while_its_image_is_written(self):
        """Of one whose output waits for its reader, with whoever held it."""
        run = self.popen("run", "--", "yes", self.directory.name, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        number = wait_for(lambda: next((job["job"] for job in self.json("ps") if job["state"] == "running"), 0), "the job to run")
        yes, = [pid for pid in host_pids(self.directory.name) if command_name(pid) == "yes"]
        self.wait_blocked(yes)
        self.drover("hold", number, check=0)
        self.arm(self.job(number)["node"], "checkpoint.written", "stop")
        checkpoint = self.popen("checkpoint", number, "image", stderr=subprocess.PIPE)
        tracer = tracer_of(yes)
        wait_for(lambda: "State:\tT" in pathlib.Path(f"/proc/{tracer}/status").read_text(), "the image to be written")
        os.kill(yes, signal.SIGKILL)
        os.kill(tracer, signal.SIGKILL)
        self.assertIn("the dumping worker died", checkpoint.communicate(timeout=90)[1].decode())
        out, err = run.communicate(timeout=90)
        self.assertEqual(run.returncode, 128 + signal.SIGKILL, err)
        line = self.directory.name.encode() + b"\n"
        self.assertEqual(out[:len(out) // len(line) * len(line)], line * (len(out) // len(line)))
        self.assertEqual(list(self.directory.glob("*image*")), [])

    def test_what_can_not_be(self):
        number = self.begin()
        self.refused("can't create /nowhere/image", "checkpoint", number, "/nowhere/image")
        self.arm(self.job(number)["node"], "checkpoint.freeze", "kill")
        self.refused("the dumping worker died", "checkpoint", number, "image")
        for point in ("checkpoint.written", "checkpoint.thawed"):
            self.arm(self.job(number)["node"], point, "kill")
            self.refused("the dumping worker died", "checkpoint", number, "image")
        # Held it goes on with the worker that held it, and can be moved again.
        self.drover("hold", number, check=0)
        self.arm(self.job(number)["node"], "checkpoint.written", "kill")
        self.refused("the dumping worker died", "checkpoint", number, "image")
        self.wait_state(number, "running")
        self.drover("migrate", number, "node1" if self.job(number)["node"] == "node0" else "node0", check=0)
        before = self.steps()
        wait_for(lambda: self.steps() > before, "the job to go on")
        self.assertEqual(list(self.directory.glob("*image*")), [])
        plain = self.submit("sleep", "600", options=("--no-namespace",))
        self.refused("without namespaces", "checkpoint", plain, "image")
        self.refused("No such file", "restore", "image")
        image = self.checkpoint(number, "image")
        self.drover("kill", "-s", "KILL", number, plain, check=0)
        whole = image.read_bytes()
        middle = bytearray(whole)
        middle[len(whole) // 2] ^= 1
        for name, content in (("short", whole[:-100]), ("flipped", bytes(middle)), ("empty", b""), ("text", b"hello" * 100)):
            image.write_bytes(content)
            self.refused(f"{image} can't be used", "restore", "image")
        image.unlink()
        os.mkfifo(image)
        self.refused(f"{image} can't be used: it is no file", "restore", "image")
        image.unlink()
        image.write_bytes(whole)
        self.refused("there is no node 'node9'", "restore", "image", "--node", "node9")
        newest = max(job["job"] for job in self.json("ps", "--all"))
        self.assertEqual(newest, plain)  # none of these has made a job
        self.wait_state(number, "ended")
        self.refused("has ended already", "checkpoint", number)
        for node in ("node0", "node1"):
            self.arm(node, "start.restored", "kill")
            self.refused(f"{node} can't restore it: the restoring worker died", "restore", "image", "--node", node)
        # It can't be made where the file of its input is gone.
        os.rename(self.directory / "in", self.directory / "in.gone")
        result = self.drover("restore", "image")
        self.assertEqual(result.returncode, 1)
        self.assertIn("in", result.stderr.decode())


if __name__ == "__main__":
    unittest.main()
