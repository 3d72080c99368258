"""Jobs that write to files in /dev/shm move between hosts that have a /dev/shm each, and back: as root and as an ordinary user."""
import re

from virtual_hosts import VirtualHosts, run_tests, skip_unless_possible

WRITER = """
import mmap, os, time
path = '/dev/shm/drover-lab-test'
fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
os.ftruncate(fd, 100_000)
memory = mmap.mmap(fd, 100_000)
os.close(fd)
memory[90_000:90_003] = b'end'
print('ready', flush=True)
count = 0
while not os.path.exists('go'):
  count += 1
  memory[0:8] = count.to_bytes(8, 'little')
  time.sleep(0.005)
with open(path, 'rb') as file: content = file.read()
print(count > 10, int.from_bytes(content[0:8], 'little') == count, content[90_000:90_003].decode(), len(content), flush=True)
os.unlink(path)
"""
PATH = "/dev/shm/drover-lab-test"


class MemoryFiles(VirtualHosts):
    lab_name = "shm"
    hosts = 4

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # lab4 has the machine's, as lab3 has: two nodes of one host.
        for host in ("lab1", "lab2"):
            cls.lab("exec", host, "--", "mount", "-t", "tmpfs", "-o", "mode=1777", "own-shm", "/dev/shm", check=True)

    def start(self, user):
        self.user = user
        self.addCleanup(lambda: [self.root(host, "rm", "-f", PATH) for host in self.names])
        self.lab("exec", "lab1", "--as", user, "--", "rm", "-f", "go", check=True)
        self.drover(user, "up", "--hostfile", self.hostfile, check=0)
        self.job = int(self.drover(user, "submit", "--node", "lab1", "--", "/usr/bin/python3", "-c", WRITER, check=0).stdout)
        self.wait_for(lambda: self.drover(user, "logs", self.job).stdout == "ready\n", "the job to be ready")

    def move(self, host, check=0):
        return self.drover(self.user, "migrate", self.job, host, check=check)

    def holders(self):
        return [host for host in self.names if self.root(host, "test", "-e", PATH).returncode == 0]

    def end(self):
        self.lab("exec", "lab1", "--as", self.user, "--", "touch", "go", check=True)
        self.drover(self.user, "wait", self.job, check=0)
        self.assertEqual(self.drover(self.user, "logs", self.job).stdout, "ready\nTrue True end 100000\n")
        self.assertEqual(self.holders(), [])
        self.drover(self.user, "down", check=0)
        self.assert_nothing_is_left()

    def there_and_back(self, user):
        self.start(user)
        for host in ("lab2", "lab1", "lab2", "lab1"):
            self.move(host)
            self.assertEqual(self.holders(), [host])
        # Between nodes that see the same one it is used, and stays.
        for host, holders in (("lab3", ["lab3", "lab4"]), ("lab4", ["lab3", "lab4"]), ("lab3", ["lab3", "lab4"]), ("lab1", ["lab1"])):
            self.move(host)
            self.assertEqual(self.holders(), holders)
        self.end()

    def test_there_and_back_as_root(self):
        self.there_and_back("root")

    def test_there_and_back_as_an_ordinary_user(self):
        self.there_and_back("worker")

    def somebody_else_has_it(self, user):
        self.start(user)
        reader = "import sys; file = open(sys.argv[1], 'rb'); print('open', flush=True); sys.stdin.read()"
        process = self.popen("lab1", user, "/usr/bin/python3", "-c", reader, PATH)
        self.assertEqual(process.stdout.readline(), "open\n")
        self.move("lab2")
        self.assertEqual(self.holders(), ["lab1", "lab2"])
        # No job loses what it had because there is another file of the name.
        refused = self.move("lab1", check=None)
        self.assertNotEqual(refused.returncode, 0)
        self.assertRegex(refused.stderr, re.escape(PATH) + " is another file here")
        process.communicate("")
        self.root("lab1", "rm", PATH)
        self.move("lab1")
        self.assertEqual(self.holders(), ["lab1"])
        self.end()

    def test_somebody_else_has_it_as_root(self):
        self.somebody_else_has_it("root")

    def test_somebody_else_has_it_as_an_ordinary_user(self):
        self.somebody_else_has_it("worker")


if __name__ == "__main__":
    skip_unless_possible()
    run_tests()
