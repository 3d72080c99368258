"""Holds, images in files and retries between hosts that share nothing but their files: as root and as an ordinary user.

A job counts in a file that all hosts see, and tells at its end how far it came: it has begun once and gone on, or has begun anew."""
import json
import time

from virtual_hosts import VirtualHosts, run_tests, skip_unless_possible

# Of two processes: the child counts, and its parent hears through a pipe how far it came.
COUNTER = """
import os, sys, time
name = sys.argv[1]
print("begin", os.environ["DROVER_ATTEMPT"], flush=True)
fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600)
reader, writer = os.pipe()
if os.fork() == 0:
    step = 0
    while not os.path.exists(name + ".stop"):
        step += 1
        os.pwrite(fd, b"%08d" % step, 0)  # always of one size
        time.sleep(0.005)
    os.write(writer, b"%d" % step)
    os._exit(0)
os.close(writer)
print("end", os.read(reader, 99).decode(), flush=True)
sys.exit(5)
"""
PATIENCE = 30  # seconds
# Nodes are never taken for lost on a busy machine, or soon are, after they have been.
CALM = "[balance]\nround_seconds = 0.25\nsuspect_seconds = 60\npolicy = \"none\"\n"
WATCHFUL = "[balance]\nround_seconds = 0.25\nsuspect_seconds = 5\nlost_seconds = 1\npolicy = \"none\"\njobs_per_pu = 100\n"


class Images(VirtualHosts):
    lab_name = "images"
    hosts = 4

    def up(self, user, config):
        self.user = user
        self.shared = self.directory / "shared" / self.id()
        self.shared.mkdir(parents=True)
        self.shared.chmod(0o1777)
        (self.shared / "drover.toml").write_text(config)
        self.typed("up", "--hostfile", self.hostfile, env=[f"DROVER_CONFIG={self.shared}/drover.toml"])

    def typed(self, *arguments, host="lab1", check=0, env=()):
        return self.drover(self.user, *arguments, host=host, check=check, env=env).stdout

    def refused(self, text, *arguments, host="lab1"):
        result = self.drover(self.user, *arguments, host=host, check=1)
        self.assertIn(text, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)

    def job(self, number):
        result = self.drover(self.user, "ps", "--all", "--output", "json")
        if result.returncode != 0:  # between two worlds
            return None
        return next((job for job in json.loads(result.stdout) if job["job"] == number), None)

    def wait_state(self, number, *states, node=None):
        def reached():
            job = self.job(number)
            return job if job and job["state"] in states and node in (None, job["node"]) else None
        return self.wait_for(reached, f"job {number} to be {states}; it is {self.job(number)}")

    def events(self, name, number):
        events = map(json.loads, self.typed("events", "--output", "json").splitlines())
        return [event for event in events if event["event"] == name and event["job"] == number]

    def count(self, name):
        try:
            return int((self.shared / name).read_text())
        except (OSError, ValueError):
            return 0

    def wait_beyond(self, count, name):
        self.wait_for(lambda: self.count(name) > count, f"{name} to count beyond {count}")

    def command(self, name):
        return ["--", "/usr/bin/python3", "-c", COUNTER, self.shared / name]

    def submit(self, name, *options):
        number = int(self.typed("submit", *options, *self.command(name)))
        self.wait_beyond(20, name)
        return number

    def states(self, name):
        """{host: states of the processes there that count in `name`, sorted}; of hosts that have none, nothing."""
        found = {}
        for host in self.names:
            for line in self.root(host, "ps", "-e", "-o", "stat=,args=").stdout.splitlines():
                if line.endswith(f" {self.shared / name}") and "/usr/bin/python3" in line.split()[1]:
                    found.setdefault(host, []).append(line[0])
        return {host: "".join(sorted(states)) for host, states in found.items()}

    def assert_stands_still(self, name, host):
        """And nothing of it is anywhere else."""
        self.assertEqual(self.states(name), {host: "tt"})

    def move(self, number, node):
        """Again, while an image of the job is being written: that is refused."""
        def moved():
            result = self.drover(self.user, "migrate", number, node)
            return result.returncode == 0 or self.assertIn("an image of it is being written; try again", result.stderr)
        self.wait_for(moved, f"job {number} to move to {node}")

    def stop(self, name):
        (self.shared / f"{name}.stop").touch()

    def finish(self, number, name, *begun, beyond=0, host="lab1"):
        """It ends by itself; its output is here, with these words before the last."""
        self.stop(name)
        self.typed("wait", number, host=host, check=5)
        words = self.typed("logs", number, host=host).split()
        self.assertEqual(words[:-1], [*begun, "end"])
        self.assertGreater(int(words[-1]), beyond)
        self.assertEqual(self.states(name), {})

    def down(self):
        self.typed("down")
        self.root("lab1", "sh", "-c", "rm -rf /tmp/ompi.*")  # Open MPI leaves them where an mpirun was killed
        self.assert_nothing_is_left()

    def new_world(self):
        """In place of this one, whose mpirun dies."""
        def generation():
            status = self.drover(self.user, "status", "--output", "json")
            return json.loads(status.stdout)["generation"] if status.returncode == 0 else 0
        before = generation()
        self.root("lab1", "sh", "-c", "kill -9 $(pgrep -x mpirun)", check=0)
        self.wait_for(lambda: generation() > before, "a new world")

    def holds(self, user):
        self.up(user, CALM)
        run = self.popen("lab1", user, self.drover_path, "run", "--node", "lab2", *self.command("held"))
        self.wait_beyond(20, "held")
        number = json.loads(self.typed("ps", "--output", "json"))[0]["job"]
        self.typed("hold", number)
        before = self.count("held")
        self.assert_stands_still("held", "lab2")
        self.refused(f"drover release {number} first", "migrate", number, "lab3")
        self.assertEqual(self.count("held"), before)
        self.typed("release", number)
        self.wait_beyond(before, "held")
        self.typed("migrate", number, "lab3")
        self.typed("hold", number)
        before = self.count("held")
        self.assert_stands_still("held", "lab3")
        self.new_world()
        job = self.wait_state(number, "held", node="lab3")
        self.assert_stands_still("held", "lab3")
        self.assertEqual(self.count("held"), before)
        self.typed("release", number, host="lab4")
        self.wait_beyond(before, "held")
        self.stop("held")
        output = run.communicate(timeout=120)[0].split()
        self.assertEqual((run.returncode, output[:-1]), (5, ["begin", "1", "end"]), job)
        self.assertGreater(int(output[-1]), before)
        self.down()

    def test_holds_as_root(self):
        self.holds("root")

    def test_holds_as_an_ordinary_user(self):
        self.holds("worker")

    def goes_on_from_images(self, user):
        self.up(user, CALM)
        number = self.submit("first", "--node", "lab2", "--name", "counts")
        image = self.shared / "image"
        self.assertEqual(self.typed("checkpoint", number, image), f"{image}\n")
        owner = self.lab("exec", "lab1", "--as", user, "--", "id", "-u").stdout.strip()
        self.assertEqual(self.root("lab3", "stat", "-c", "%a %u", image, check=0).stdout, f"600 {owner}\n")
        came = self.count("first")
        self.wait_beyond(came, "first")
        # Only lab2 has its /tmp.
        self.typed("checkpoint", number, "/tmp/image")
        self.root("lab2", "test", "-s", "/tmp/image", check=0)
        self.root("lab1", "test", "-e", "/tmp/image", check=1)
        self.typed("hold", number)
        held = self.count("first")
        self.typed("checkpoint", number, self.shared / "held")
        self.typed("kill", "-s", "KILL", number)
        self.typed("wait", number, check=137)
        self.assertEqual(self.states("first"), {})
        for file, node in ((image, "lab3"), (self.shared / "held", "lab4"), (image, "lab2")):
            again = int(self.typed("restore", file, "--node", node))
            job = self.wait_state(again, "running")
            self.assertEqual((job["node"], job["name"]), (node, "counts"))
            self.wait_for(lambda node=node: list(self.states("first")) == [node], f"the job to be on {node} alone")
            # It is a job like others, and goes on with its life.
            other = "lab2" if node == "lab4" else "lab4"
            self.typed("migrate", again, other)
            self.typed("hold", again)
            self.assert_stands_still("first", other)
            self.typed("release", again)
            self.finish(again, "first", beyond=held if file.name == "held" else came)
            (self.shared / "first.stop").unlink()
        self.refused("/tmp/image", "restore", "/tmp/image", "--node", "lab2")
        self.refused("/tmp/image", "restore", "/tmp/image", "--node", "lab3", host="lab2")
        again = int(self.typed("restore", "/tmp/image", "--node", "lab2", host="lab2"))
        self.wait_state(again, "running", node="lab2")
        self.finish(again, "first", beyond=came, host="lab2")
        self.root("lab2", "rm", "/tmp/image", check=0)
        self.down()

    def test_goes_on_from_images_as_root(self):
        self.goes_on_from_images("root")

    def test_goes_on_from_images_as_an_ordinary_user(self):
        self.goes_on_from_images("worker")

    def goes_on_after_its_host(self, user):
        self.up(user, WATCHFUL)
        imaged = self.submit("imaged", "--retries", "1", "--checkpoint-every", "1")
        plain = self.submit("plain", "--retries", "1")
        held = self.submit("held", "--retries", "1", "--checkpoint-every", "1")
        single = self.submit("single")
        for number in (imaged, plain, held, single):
            self.move(number, "lab3")
        came = {name: self.count(name) for name in ("imaged", "held")}
        for number in (imaged, held):
            before = len(self.events("checkpoint", number))
            self.wait_for(lambda number=number, before=before: len(self.events("checkpoint", number)) > before, "an image of lab3")
            self.assertTrue(self.events("checkpoint", number)[-1]["ok"])
        self.typed("hold", held)
        self.assertEqual(self.states("held"), {"lab3": "tt"})
        self.addCleanup(self.lab, "power", "lab3", "on")
        self.lab("power", "lab3", "off", check=True)
        # What can't be done now is said at once, and not after the patience that a move under way is given.
        self.wait_for(lambda: (self.job(single) or {"error": ""})["error"] == "lab3 does not answer", "lab3 to be missed")
        begin = time.monotonic()
        for command in (("hold", single), ("checkpoint", single), ("migrate", single, "lab2"), ("drain", "lab3")):
            self.refused("does not answer", *command)
        self.assertLess(time.monotonic() - begin, PATIENCE)
        for number in (imaged, plain):
            self.wait_for(lambda number=number: self.events("retrying", number), f"job {number} to be lost")
            job = self.wait_state(number, "running")
            self.assertNotEqual(job["node"], "lab3")
            self.assertEqual((job["attempt"], job["last_failure"]), (2, "lab3 did not answer any more"))
        self.assertTrue(self.events("retrying", imaged)[0]["image"])
        self.assertEqual(self.events("retrying", plain)[0]["image"], "")
        self.finish(imaged, "imaged", "begin", "1", beyond=came["imaged"])
        # What was held stays so, and goes on from its image.
        self.wait_for(lambda: self.events("retrying", held), "the held one to be lost")
        self.assertEqual(self.job(held)["state"], "held")
        self.assertEqual(self.states("held"), {})
        self.typed("release", held)
        self.wait_state(held, "running")
        self.finish(held, "held", "begin", "1", beyond=came["held"])
        self.assertEqual(self.job(single)["attempt"], 1)
        # The host is back, and in the next world.
        self.lab("power", "lab3", "on", check=True)
        self.new_world()
        self.wait_state(single, "lost")
        self.assertEqual(self.typed("run", "--node", "lab3", "--", "hostname"), "lab3\n")
        self.typed("migrate", plain, "lab3")
        self.assertEqual(list(self.states("plain")), ["lab3"])
        self.finish(plain, "plain", "begin", "1", "begin", "2")
        self.down()

    def is_heard_again(self, user):
        """A host that was cut off for a while has an attempt that counts no more."""
        self.up(user, WATCHFUL)
        number = self.submit("both", "--retries", "1")
        self.typed("migrate", number, "lab3")
        self.addCleanup(self.root, "lab3", "ip", "link", "set", "eth0", "up")
        self.root("lab3", "ip", "link", "set", "eth0", "down", check=0)
        self.wait_for(lambda: self.events("retrying", number), "the job to be lost")
        there = self.wait_state(number, "running")["node"]
        self.wait_for(lambda: set(self.states("both")) == {there, "lab3"}, "two attempts")
        self.root("lab3", "ip", "link", "set", "eth0", "up", check=0)
        self.wait_for(lambda: set(self.states("both")) == {there}, "the first attempt to be ended")
        self.wait_for(lambda: self.drover(user, "run", "--node", "lab3", "--", "hostname").stdout == "lab3\n", "the host to take jobs")
        self.typed("migrate", number, "lab3")
        self.finish(number, "both", "begin", "1", "begin", "2")
        self.down()

    def test_is_heard_again_as_root(self):
        self.is_heard_again("root")

    def test_is_heard_again_as_an_ordinary_user(self):
        self.is_heard_again("worker")

    def test_goes_on_after_its_host_as_root(self):
        self.goes_on_after_its_host("root")

    def test_goes_on_after_its_host_as_an_ordinary_user(self):
        self.goes_on_after_its_host("worker")


if __name__ == "__main__":
    skip_unless_possible()
    run_tests()
