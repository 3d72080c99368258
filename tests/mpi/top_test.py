"""`drover top` as a person sees it: in tmux, by keys, in windows of several sizes, through the end of a world, and how much it writes when nothing happens."""
import os
import re
import signal
import subprocess
import time
import unittest

from terminals import Terminal
from world import WorldTest, children, command_name, wait_for

QUIET_BYTES = 600  # of one refresh in which nothing but the clock and the jobs' times go on


class Tmux:
    """One window of a tmux of the test's own."""

    def __init__(self, test, command, rows=24, columns=80, env=()):
        self.socket, self.prefix = test.directory / "tmux", test.prefix
        self.env = dict(test.env, TERM="xterm", LC_ALL="C.UTF-8")
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", columns, "-y", rows, "env", *env, *command, ";",
                  "set-option", "-g", "remain-on-exit", "on", ";", "set-option", "-g", "status", "off", ";",
                  "resize-window", "-x", columns, "-y", rows)
        self.server = int(self.tmux("display-message", "-p", "#{pid}"))
        test.addCleanup(self.end)

    def tmux(self, *arguments):
        result = subprocess.run([*self.prefix, "tmux", "-S", str(self.socket), *map(str, arguments)], env=self.env, capture_output=True,
                                text=True, timeout=60)
        assert result.returncode == 0, (arguments, result.stderr)
        return result.stdout

    def end(self):
        try:
            self.tmux("kill-server")
        except AssertionError:
            pass

    def shown(self):
        return self.tmux("capture-pane", "-p")

    def keys(self, *keys):
        for key in keys:
            self.tmux("send-keys", key)

    def wait(self, pattern):
        """Until a line of the screen matches; gives the screen."""
        def found():
            screen = self.shown()
            return screen if re.search(pattern, screen, re.M) else None
        try:
            return wait_for(found, pattern)
        except AssertionError as error:
            raise AssertionError(f"{error}; shown:\n{self.shown()}") from None

    def wait_gone(self, pattern):
        wait_for(lambda: not re.search(pattern, self.shown(), re.M), f"{pattern} to go")

    def resize(self, rows, columns):
        self.tmux("resize-window", "-x", columns, "-y", rows)

    def wait_end(self):
        """The exit status."""
        return int(wait_for(lambda: self.tmux("display-message", "-p", "#{pane_dead}#{pane_dead_status}").strip(), "the end")[1:] or 0)

    def dead(self):
        return self.tmux("display-message", "-p", "#{pane_dead}").strip() == "1"


class TopTest(WorldTest):
    def top(self, *arguments, env=(), **options):
        return Tmux(self, [str(self.bin / "drover"), "top", *arguments], env=env, **options)

    def sleeper(self, name, node="node0"):
        number = self.submit("sleep", "1000", options=("--name", name, "--node", node))
        self.wait_state(number, "running")
        return number

    def select(self, screen, number):
        """Steps to a job, key by key; the line below the jobs says which one is selected."""
        def selected():
            found = re.search(r"^job (\d+): .*; moved", screen.shown(), re.M)
            return int(found.group(1)) if found else 0
        screen.keys("C-l")  # whatever is told there goes at any key
        now = wait_for(selected, "a job to be selected")
        while now != number:
            screen.keys("Down" if now < number else "Up")
            now = wait_for(lambda before=now: selected() not in (0, before) and selected(), "another job to be selected")

    def test_shows_and_obeys(self):
        first, second = self.sleeper("alpha"), self.sleeper("beta", "node1")
        screen = self.top()
        shown = screen.wait(rf"^ *{second} running +node1 .* beta")
        self.assertRegex(shown, r"^drover t  3 nodes: .*2 jobs")
        for node in ("node0", "node1", "node2"):
            self.assertRegex(shown, rf"(?m)^{node} +(FREE|NORMAL|BUSY) ")
        self.assertRegex(shown, rf"(?m)^ *{first} running +node0 .* alpha")
        screen.wait(rf"job {second} started on node1")
        screen.wait(r"^node0 .*┊")  # the watermarks have come
        self.move_by_key(screen, second)
        self.kill_by_key(screen, second)
        self.drain_by_key(screen, first)
        screen.keys("q")
        self.assertEqual(screen.wait_end(), 0)

    def move_by_key(self, screen, number):
        self.select(screen, number)
        screen.keys("m")
        screen.wait(rf"Move job {number} \(beta\) from node1 to")
        screen.keys("End")  # node0 or node2: the last one offered
        screen.keys("Enter")
        screen.wait(rf"^job {number}: node1 -> node2: frozen ")
        screen.wait(rf"job {number} moved node1 -> node2, frozen ")
        screen.wait(rf"^ *{number} running +node2 ")
        self.assertEqual(self.job(number)["node"], "node2")

    def kill_by_key(self, screen, number):
        self.select(screen, number)
        screen.keys("k")
        screen.wait(rf"Send job {number} \(beta\)")
        screen.keys("Escape")
        screen.wait_gone(rf"Send job {number}")
        self.assertEqual(self.job(number)["state"], "running")
        screen.keys("k")
        screen.wait(rf"Send job {number} \(beta\)")
        screen.keys("Down", "Down", "Enter")
        self.assertEqual(self.wait_state(number, "ended")["signal"], signal.SIGKILL)
        screen.wait(rf"job {number} ended by signal 9 on node2")
        screen.wait_gone(rf"^ *{number} running")

    def drain_by_key(self, screen, number):
        screen.keys("Tab")
        screen.wait("^node0 on .*of its jobs are others'")
        screen.keys("d")
        screen.wait(r"Drain node0\?")
        screen.keys("Enter")
        screen.wait(r"^node0 +DRAIN")
        wait_for(lambda: self.job(number)["node"] != "node0", "the job to leave")
        screen.wait(rf"^ *{number} running +node[12]")
        screen.keys("u")
        screen.wait(r"^node0 +(FREE|NORMAL|BUSY)")

    def test_filter_sort_help_and_sizes(self):
        for name in ("alpha", "beta", "gamma"):
            self.sleeper(name)
        screen = self.top()
        screen.wait("running .* gamma")
        screen.keys("/")
        screen.wait("^Show jobs named:")
        screen.keys("b", "e", "t")
        screen.wait_gone("alpha$")
        screen.wait("running .* beta")
        screen.keys("Escape")
        screen.wait("running .* alpha")
        screen.keys("s")
        screen.wait("by STATE")
        screen.keys("?")
        screen.wait("send the selected job a signal")
        screen.keys("x")
        screen.wait_gone("send the selected job a signal")
        for rows, columns, pattern in ((10, 40, r"^node0"), (50, 180, "WHY, COMMAND"), (5, 30, "40x10 or more, please"), (24, 80, "running .* gamma")):
            screen.resize(rows, columns)
            shown = screen.wait(pattern)
            self.assertLessEqual(max(map(len, shown.splitlines())), columns)
        screen.keys("q")
        self.assertEqual(screen.wait_end(), 0)

    def test_survives_its_droverd(self):
        number = self.sleeper("alpha")
        screen = self.top()
        screen.wait(rf"^ *{number} running")
        generation = self.json("status")["generation"]
        stopped = self.droverd_pid("node0")
        os.kill(stopped, signal.SIGSTOP)
        screen.wait("droverd has not answered for ")
        screen.keys("?")  # and still listens
        screen.wait("send the selected job a signal")
        screen.keys("x")
        # While there is no world at all: its supervisor may not make a new one yet.
        supervisor = int((self.runtime / "up.pid").read_text().split()[0])
        os.kill(supervisor, signal.SIGSTOP)
        for pid in children(supervisor):
            if command_name(pid) == "mpirun":
                os.kill(pid, signal.SIGKILL)
        os.kill(stopped, signal.SIGKILL)
        screen.wait("lost droverd, trying again")
        screen.wait(rf"^ *{number} running")  # as it was known last
        os.kill(supervisor, signal.SIGCONT)
        self.wait_new_world(generation)
        screen.wait_gone("lost droverd|has not answered")
        screen.wait(rf"^ *{number} running")
        screen.keys("q")
        self.assertEqual(screen.wait_end(), 0)

    def terminal(self, *arguments, **env):
        env = {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **env}
        terminal = Terminal([*self.prefix, self.bin / "drover", "top", *arguments], env={**self.env, **env}, cwd=self.directory)
        self.addCleanup(terminal.clean_up)
        return terminal

    def test_writes_only_what_changes(self):
        for i in range(8):
            self.sleeper(f"job{i}", f"node{i % 3}")
        terminal = self.terminal("--interval", "0.5")
        terminal.wait("job7")
        terminal.wait("┊")
        settled = time.monotonic() + 3  # all the events have come, and the first marks
        wait_for(lambda: time.monotonic() > settled, "the screen to settle")
        before, begin = len(terminal.shown), time.monotonic()
        wait_for(lambda: time.monotonic() > begin + 10, "20 refreshes")
        written = (len(terminal.shown) - before) / (time.monotonic() - begin) * 0.5
        self.assertLess(written, QUIET_BYTES, terminal.shown[before:])
        self.assertGreater(written, 0)  # the clock goes on
        self.assertNotIn(b"\x1b[2J", terminal.shown[before:])
        self.assertNotIn(b"\x1b[H\x1b[J", terminal.shown[before:])
        terminal.type("q")
        self.assertEqual(terminal.wait_end(), 0)
        self.assertTrue(terminal.is_as_before())

    def test_gives_the_terminal_back(self):
        self.sleeper("alpha")
        for how, code in (("q", 0), ("\x03", 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)):
            terminal = self.terminal()
            terminal.wait("alpha")
            self.assertTrue(terminal.is_raw())
            if isinstance(how, str):
                terminal.type(how)
            else:
                terminal.process.send_signal(how)
            self.assertEqual(terminal.wait_end(), code)
            terminal.wait("\x1b[?1049l")
            self.assertTrue(terminal.is_as_before(), how)
        hung_up = self.terminal()
        hung_up.wait("alpha")
        hung_up.close()
        self.assertEqual(hung_up.wait_end(), 129)

    def test_stops_and_goes_on(self):
        self.sleeper("alpha")
        terminal = Terminal([*self.prefix, "bash", "--norc", "--noprofile", "-i"], env=dict(self.env, TERM="xterm-256color", LC_ALL="C.UTF-8", PS1="$ "),
                            cwd=self.directory)
        self.addCleanup(terminal.clean_up)
        terminal.wait("$ ")
        at = terminal.ask(f"{self.bin}/drover top", "alpha")
        terminal.type("\x1a")  # ctrl-z
        at = terminal.wait("Stopped", at)
        at = terminal.ask("fg", "alpha")
        terminal.type("q")
        terminal.wait("$ ", at)
        terminal.type("exit 5\r")
        self.assertEqual(terminal.wait_end(), 5)

    def test_colours(self):
        self.sleeper("alpha")
        codes = re.compile(rb"\x1b\[[\d;]*(?:3[1-7]|4[1-7])[;m]")
        for env, colours in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "vt100"}, False), ({"NO_COLOR": ""}, True)):
            terminal = self.terminal(**env)
            terminal.wait("alpha")
            terminal.type("q")
            self.assertEqual(terminal.wait_end(), 0)
            self.assertEqual(bool(codes.search(terminal.shown)), colours, env)

    def test_no_such_terminal_or_node_and_no_utf8(self):
        self.sleeper("alpha")
        unknown = self.terminal(TERM="no-such-terminal")
        self.assertEqual(unknown.wait_end(), 1)
        unknown.wait("drover: top: the terminal 'no-such-terminal' ($TERM) can't be drawn on; try: drover top --once")
        nobody = self.terminal("--at", "node9")
        self.assertEqual(nobody.wait_end(), 1)
        nobody.wait("drover: node node9: no droverd of that name answers on this host")
        self.assertNotIn(b"\x1b", nobody.shown)
        plain = self.terminal(TERM="vt100", LC_ALL="C")
        plain.wait("alpha")
        plain.type("q")
        self.assertEqual(plain.wait_end(), 0)
        self.assertNotIn("█".encode(), plain.shown)

    def test_plain_when_piped(self):
        number = self.sleeper("alpha")
        for options in ((), ("--once",), ("-b",)):
            text = self.drover("top", *options, check=0).stdout.decode()
            self.assertNotIn("\x1b", text)
            self.assertRegex(text, r"(?m)^node2 +(FREE|NORMAL|BUSY)")
            self.assertRegex(text, rf"(?m)^ *{number} running +node0 .* alpha")
            self.assertIn(f"job {number} started on node0", text)
        once = self.terminal("--once")
        self.assertEqual(once.wait_end(), 0)
        once.wait("alpha")
        self.assertNotIn(b"\x1b", once.shown)
        snapshot = self.json("top")
        self.assertEqual([node["node"] for node in snapshot["nodes"]], ["node0", "node1", "node2"])
        self.assertEqual([job["job"] for job in snapshot["jobs"]], [number])
        self.assertEqual(self.drover("top", "--interval", "0", check=2).stdout, b"")


if __name__ == "__main__":
    unittest.main()
