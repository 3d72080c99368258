"""Real programs moved many times: the right result, every byte of output and input once and in order."""
import hashlib
import os
import pathlib
import signal
import subprocess
import time
import unittest

from world import PYTHON, WorldTest, wait_for

COMPUTE = """
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* Fills `mib` MiB with pseudo-random words, computes until `stop` exists, then sums everything up. */
int main(int argc, char** argv) {
  unsigned long x = 88172645463325252UL, rounds = 0;
  size_t bytes = (size_t)atol(argv[1]) << 20;
  unsigned long* words = malloc(bytes + 8);
  (void)argc;
  for (size_t i = 0; i < bytes / 8; i++) { x ^= x << 13; x ^= x >> 7; x ^= x << 17; words[i] = x; }
  printf("ready\\n"); fflush(stdout);
  while (access(argv[2], F_OK) != 0) { for (int i = 0; i < 1000000; i++) { x ^= x << 13; x ^= x >> 7; x ^= x << 17; } rounds++; }
  unsigned long sum = 0, y = 88172645463325252UL;
  for (size_t i = 0; i < bytes / 8; i++) { y ^= y << 13; y ^= y >> 7; y ^= y << 17; sum += words[i] != y; }
  for (unsigned long r = 0; r < rounds; r++) for (int i = 0; i < 1000000; i++) { y ^= y << 13; y ^= y >> 7; y ^= y << 17; }
  printf("%lu wrong words, state %s\\n", sum, x == y ? "right" : "wrong");
  return sum != 0 || x != y;
}
"""


class MovesTest(WorldTest):
    nodes = 4

    def move_round(self, number, times):
        for i in range(times):
            self.drover("migrate", number, f"node{(i + 1) % 4}", check=0)

    def assert_moved(self, number, times):
        job = self.wait_state(number, "ended", "failed", "lost")
        self.assertEqual((job["state"], job["exit"], job["moves"]), ("ended", 0, times), job)

    def test_python_50_moves(self):
        loop = ("import hashlib, os, sys\nd = b''; n = 0\nprint('ready', flush=True)\n"
                "while not os.path.exists('stop'):\n  for _ in range(20000): d = hashlib.sha256(d).digest(); n += 1\n"
                "e = b''\nfor _ in range(n): e = hashlib.sha256(e).digest()\nprint('right' if d == e else 'wrong')\n")
        number = self.submit(PYTHON, "-c", loop)
        wait_for(lambda: "ready" in self.log_of(number), "the program to be ready")
        self.move_round(number, 50)
        (self.directory / "stop").touch()
        self.assert_moved(number, 50)
        self.assertEqual(self.log_of(number), "ready\nright\n")

    def compute(self, mib, moves, *flags):
        source = self.directory / "compute.c"
        source.write_text(COMPUTE)
        subprocess.run(["gcc", "-O2", *flags, "-o", self.directory / "compute", source], check=True)
        number = self.submit("./compute", mib, self.directory / "stop")
        wait_for(lambda: "ready" in self.log_of(number), "the program to be ready")
        self.move_round(number, moves)
        (self.directory / "stop").touch()
        self.assert_moved(number, moves)
        self.assertEqual(self.log_of(number), "ready\n0 wrong words, state right\n")

    def test_static_c_50_moves(self):
        self.compute(1, 50, "-static")

    def test_heap_of_512_mib_10_moves(self):
        self.compute(512, 10)

    def test_200000_lines_while_moving(self):
        number = self.submit(PYTHON, "-c", "import time\nfor i in range(200000):\n  print('line', i)\n  if i % 1000 == 0: time.sleep(0.03)\n")
        wait_for(lambda: "line 1" in self.log_of(number), "the first lines")
        self.move_round(number, 20)
        self.assert_moved(number, 20)
        self.assertEqual(self.log_of(number), "".join(f"line {i}\n" for i in range(200000)))

    def test_waits_end_in_time_over_moves(self):
        """Neither early, nor later by each move, and a wait does not hinder the next move."""
        waits = {"epoll": "e = select.epoll(); e.poll(15)", "sleep": "libc.nanosleep(ctypes.byref(Timespec(15, 0)), None)",
                 "poll": "select.poll().poll(15000)"}
        numbers = {}
        for name, call in waits.items():
            numbers[name] = self.submit(PYTHON, "-c", "import ctypes, select, time\nlibc = ctypes.CDLL(None)\n"
                "class Timespec(ctypes.Structure): _fields_ = [('s', ctypes.c_long), ('ns', ctypes.c_long)]\n"
                f"print('ready', flush=True); began = time.monotonic(); {call}; print(time.monotonic() - began)", options=("--node", "node0"))
        for number in numbers.values():
            wait_for(lambda: "ready" in self.log_of(number), "the program to be ready")
        began, moves = time.monotonic(), 0
        while moves < 6 and time.monotonic() - began < 9:  # on a slow machine a round takes more than a second
            time.sleep(0.7)
            moves += 1
            for number in numbers.values():
                self.drover("migrate", number, f"node{moves % 4}", check=0)
        for name, number in numbers.items():
            self.assert_moved(number, moves)
            took = float(self.log_of(number).split()[1])
            self.assertGreaterEqual(took, 15, name)
            self.assertLess(took, 18, name)  # each late by up to a move's length once; by 0.7 s and more a move if it were lost

    def test_ends_as_soon_as_it_goes_on(self):
        """Who ends at once after a move may have ended before his shepherd hears that he runs."""
        (self.directory / "brief.c").write_text("""
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(void) {  // until it is in another PID namespace, which is to say on another node
  char first[64] = "", now[64] = "";
  readlink("/proc/self/ns/pid", first, sizeof first - 1);
  puts("ready"); fflush(stdout);
  do {
    if (readlink("/proc/self/ns/pid", now, sizeof now - 1) < 0) return 1;
  } while (strcmp(first, now) == 0);
  return 5;
}
""")
        subprocess.run(["gcc", "-O2", "-o", self.directory / "brief", self.directory / "brief.c"], check=True)
        for i in range(40):
            number = self.submit("./brief", options=("--node", f"node{i % 4}"))
            wait_for(lambda number=number: "ready" in self.log_of(number), "the program to be ready")
            self.drover("migrate", number, f"node{(i + 1) % 4}")
            job = self.wait_state(number, "ended", "failed", "lost")
            self.assertEqual((job["state"], job["exit"], job["moves"]), ("ended", 5, 1), job)

    def test_50_mib_of_input_while_moving(self):
        data = os.urandom(1 << 20) * 50
        reader = ("import hashlib, sys, time\nh = hashlib.sha256(); n = 0\n"
                  "while True:\n  b = sys.stdin.buffer.read(65536)\n  if not b: break\n  h.update(b); n += len(b); time.sleep(0.005)\n"
                  "print(n, h.hexdigest())\nsys.exit(3)\n")
        process = self.popen("run", "--", PYTHON, "-c", reader, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        import threading
        feeder = threading.Thread(target=lambda: (process.stdin.write(data), process.stdin.close()))
        feeder.start()
        wait_for(lambda: (self.job(1) or {}).get("state") == "running", "the job to run")
        self.move_round(1, 12)
        output = process.stdout.read()
        feeder.join()
        self.assertEqual(process.wait(), 3)
        process.stdout.close()
        self.assertEqual(output.decode().split(), [str(len(data)), hashlib.sha256(data).hexdigest()])
        self.assertEqual(self.job(1)["moves"], 12)

    def test_open_file_of_proc(self):
        """Each node has a mount of /proc of its own: what is there has another time everywhere."""
        number = self.submit(PYTHON, "-uc", "import os, time\nf = os.open('/proc/filesystems', os.O_RDONLY); a = os.read(f, 20); print('ready')\n"
                             "while not os.path.exists('stop'): time.sleep(0.02)\n"
                             "print(a + os.read(f, 1 << 20) == open('/proc/filesystems', 'rb').read())\n")
        wait_for(lambda: "ready" in self.log_of(number), "the program to be ready")
        self.move_round(number, 4)
        (self.directory / "stop").touch()
        self.assert_moved(number, 4)
        self.assertEqual(self.log_of(number), "ready\nTrue\n")

    def test_terminal_of_its_own(self):
        """A shell with job control in a terminal that the job has made, as script(1) or an expect script makes one."""
        number = self.submit("script", "-qec", "tty; echo ready; while [ ! -e stop ]; do sleep 0.05; done; "
                             "stty size; echo in $(tty) > /dev/tty; true", "/dev/null")
        wait_for(lambda: "ready" in self.log_of(number), "the program to be ready")
        self.move_round(number, 6)
        (self.directory / "stop").touch()
        self.assert_moved(number, 6)
        self.assertEqual(self.log_of(number).split(), ["/dev/pts/0", "ready", "0", "0", "in", "/dev/pts/0"])

    def test_server_on_a_unix_socket(self):
        """Its name must lead to it on every node, and clients connect all the time."""
        number = self.submit(PYTHON, "-uc", """if True:
            import os, socket
            server = socket.socket(socket.AF_UNIX)
            server.bind('sock')
            server.listen(5)
            def ask(text):
                client = socket.socket(socket.AF_UNIX)
                client.connect('sock')
                client.send(text)
                return client.recv(100)
            if os.fork() == 0:
                asked = 0
                while not os.path.exists('stop'):
                    assert ask(b'%d' % asked) == b'<%d>' % asked
                    asked += 1
                    if asked == 1: print('ready')
                print(asked > 10, ask(b'end'))
                os._exit(0)
            text = b''
            while text != b'end':
                connection, _ = server.accept()
                text = connection.recv(100)
                connection.send(b'<' + text + b'>')
            os.wait()
            print(server.getsockname())
            """)
        wait_for(lambda: "ready" in self.log_of(number), "the program to be ready")
        self.move_round(number, 8)
        (self.directory / "stop").touch()
        self.assert_moved(number, 8)
        self.assertEqual(self.log_of(number), "ready\nTrue b'<end>'\nsock\n")

    def test_tree_that_forks_all_the_time(self):
        """Pipelines made and ended while they are moved; an orphan that writes on after its parent has gone."""
        script = ("((while [ ! -e stop ]; do sleep 0.05; done; echo orphan saw it; touch seen) &); echo ready\n"
                  "for i in $(seq 400); do echo $i | sed s/1/x/ | tr x y; done\n"
                  "while [ ! -e seen ]; do sleep 0.05; done; echo end\n")
        number = self.submit("bash", "-c", script, options=("--node", "node0"))
        wait_for(lambda: "ready" in self.log_of(number), "the program to be ready")
        self.move_round(number, 12)
        (self.directory / "stop").touch()
        self.assert_moved(number, 12)
        lines = [str(i).replace("1", "y", 1) for i in range(1, 401)]
        self.assertEqual([line for line in self.log_of(number).splitlines() if line != "orphan saw it"], ["ready", *lines, "end"])
        self.assertEqual(self.log_of(number).count("orphan saw it"), 1)

    def test_frozen_time_is_one(self):
        """The moves' events, the origin's and ps tell the same, also when another world has brought no news of it."""
        number = self.submit("sleep", "1000", options=("--node", "node0"))
        self.move_round(number, 3)
        moved = lambda: [event["frozen_ms"] for event in self.events("migrated") if event["job"] == number]
        self.assertAlmostEqual(self.job(number)["frozen_ms"], sum(moved()), places=3)
        generation = self.json("status")["generation"]
        os.kill(self.mpirun_pid(), signal.SIGKILL)
        self.wait_new_world(generation)
        wait_for(lambda: (self.job(number) or {}).get("error") == "", "its shepherd to be found")
        self.drover("migrate", number, "node0", check=0)
        self.assertEqual(len(moved()), 4)
        self.assertGreater(min(moved()), 0)
        self.assertAlmostEqual(self.job(number)["frozen_ms"], sum(moved()), places=3)
        self.assertAlmostEqual(self.events("moved")[-1]["frozen_ns"] / 1e6, sum(moved()), places=3)
        self.drover("kill", number, check=0)

    def test_run_survives_a_new_world_and_signals(self):
        process = self.popen("run", "--node", "node2", "--", "sh", "-c", "trap 'echo term; exit 9' TERM; echo up; while :; do sleep 0.05; done",
                             stdout=subprocess.PIPE)
        self.assertEqual(process.stdout.readline(), b"up\n")
        generation = self.json("status")["generation"]
        supervisor = (self.runtime / "up.pid").read_text().split()[0]
        subprocess.run(["pkill", "-KILL", "-P", supervisor, "mpirun"], check=True)

        self.wait_new_world(generation)
        wait_for(lambda: (self.job(1) or {}).get("state") == "running", "the job to be found again")
        process.terminate()
        self.assertEqual(process.stdout.read(), b"term\n")
        self.assertEqual(process.wait(), 9)
        process.stdout.close()


if __name__ == "__main__":
    unittest.main()
