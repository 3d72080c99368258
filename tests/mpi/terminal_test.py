"""Jobs with a terminal: moved while somebody types, left and found again, looked at by several."""
import contextlib
import os
import signal
import threading
import time
import unittest

from terminals import Terminal
from world import PYTHON, USER, WorldTest, children, command_name, wait_for

DETACH = "\x1cd"  # ctrl-\ d


class TerminalTest(WorldTest):
    def terminal(self, *arguments, **options):
        env = dict(self.env, TERM="xterm", PS1="$ ")
        terminal = Terminal([*self.prefix, self.bin / "drover", *map(str, arguments)], env=env, cwd=self.directory, **options)
        self.addCleanup(terminal.clean_up)
        return terminal

    def run_in_terminal(self, *command, **options):
        return self.terminal("run", "-t", "--", *command, **options)

    def shell(self, **options):
        """Never echoes what the tests wait for: they type it with quotes in between."""
        terminal = self.run_in_terminal("bash", "--norc", "--noprofile", "-i", **options)
        terminal.wait("$ ")
        return terminal, self.newest_job()

    def newest_job(self):
        return max(job["job"] for job in self.json("ps", "--all"))

    def foreground(self, number):
        """The names of the processes in the foreground of a job's terminal."""
        names = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as file:
                    name, fields = file.read().split("(", 1)[1].rsplit(")", 1)
                group, foreground = fields.split()[2], fields.split()[5]
                with open(f"/proc/{pid}/environ", "rb") as file:
                    ours = f"DROVER_RUNTIME_DIR={self.directory}/run".encode() in file.read()
            except OSError:
                continue
            if ours and group == foreground:
                names.append(name)
        return names

    def end_world(self):
        generation = self.json("status")["generation"]
        supervisor = int((self.runtime / "up.pid").read_text().split()[0])
        for pid in children(supervisor):
            if command_name(pid) == "mpirun":
                os.kill(pid, signal.SIGKILL)
        return generation

    def move(self, number, times=1):
        for _ in range(times):
            here = self.job(number)["node"]
            self.drover("migrate", number, f"node{(int(here[-1]) + 1) % 3}", check=0)

    def test_a_shell(self):
        """Its terminal, window, job control and end; and the same after moves."""
        terminal, number = self.shell(rows=30, columns=100)
        for times in (0, 2):
            self.move(number, times)
            terminal.ask("tty; stty si''ze", "/dev/pts/0\r\n")
            terminal.ask("stty size; ec''ho $TERM", "30 100\r\nxterm\r\n")
            at = terminal.ask("sleep 1000; ec''ho st''atus $?", "sleep")
            wait_for(lambda: "sleep" in self.foreground(number), "the sleep")
            terminal.type("\x03")  # ctrl-c
            terminal.wait("^C", at)
            terminal.ask("ec''ho st''atus $?", "status 130\r\n")
            terminal.type("sleep 1001\r")
            wait_for(lambda: "sleep" in self.foreground(number), "the sleep")
            terminal.type("\x1a")  # ctrl-z
            at = terminal.wait("Stopped")
            self.move(number, times)
            terminal.ask("fg", "sleep 1001")
            wait_for(lambda: "sleep" in self.foreground(number), "the sleep")
            terminal.type("\x03")
            terminal.ask("ec''ho st''atus $?", "status 130\r\n")
        terminal.ask("trap 'ec''ho si''ze $(stty size)' WINCH; ec''ho re''ady", "ready\r\n")
        terminal.resize(41, 99)
        terminal.wait("size 41 99\r\n")
        terminal.type("exit 7\r")
        self.assertEqual(terminal.wait_end(), 7)
        self.assertTrue(terminal.is_as_before())

    def test_python_goes_on(self):
        terminal = self.run_in_terminal(PYTHON, "-q")
        terminal.wait(">>> ")
        number = self.newest_job()
        terminal.ask("words = []", ">>> ")
        for i in range(3):
            self.move(number)
            terminal.ask(f"words.append('w' + str({i})); print('+'.join(words))", "+".join(f"w{j}" for j in range(i + 1)) + "\r\n")
        terminal.ask("import sys, os; print(os.ttyname(0), sys.stdin.isatty())", "/dev/pts/0 True\r\n")
        terminal.type("\x04")  # ctrl-d
        self.assertEqual(terminal.wait_end(), 0)

    def test_an_editor_moved_while_typing(self):
        terminal = self.run_in_terminal("vim", "-u", "NONE", "-N", "-n", "text")
        terminal.wait("\x1b[?1049h")
        wait_for(terminal.is_raw, "raw mode here")
        number = self.newest_job()
        wait_for(lambda: "vim" in self.foreground(number), "the editor")
        lines = [f"line {i} with some text" for i in range(60)]
        terminal.type("i")
        with self.moving(number, 3):
            for line in lines:
                for key in line + "\r":
                    terminal.type(key)
                    time.sleep(0.0005)
        terminal.type("\x1b:wq\r")
        self.assertEqual(terminal.wait_end(), 0)
        self.assertEqual((self.directory / "text").read_text(), "".join(f"{line}\n" for line in lines) + "\n")
        self.assertEqual(self.wait_state(number, "ended")["moves"], 3)
        self.assertTrue(terminal.is_as_before())

    def moving(self, number, times):
        """In the background; when that is over it has been done."""
        @contextlib.contextmanager
        def during():
            failed = []

            def work():
                try:
                    self.move(number, times)
                except Exception as error:
                    failed.append(error)
            thread = threading.Thread(target=work)
            thread.start()
            yield
            thread.join()
            self.assertEqual(failed, [])
        return during()

    def test_every_byte_once_over_moves_and_worlds(self):
        """Output and input, both more than a terminal holds."""
        program = ("import os, tty\ntty.setraw(0)\nos.write(1, b'ready\\n')\nn = 0\nwhile n < 20000:\n"
                   "  keys = os.read(0, 500)\n  n += len(keys)\n  while keys: keys = keys[os.write(1, keys):]\n")
        terminal = self.run_in_terminal(PYTHON, "-c", program)
        start = terminal.wait("ready\n")
        number = self.newest_job()
        sent = "".join(f"{i:05} typed\n" for i in range(2000))[:20000]
        with self.moving(number, 4):
            for at in range(0, 10000, 100):
                terminal.type(sent[at:at + 100])
        generation = self.end_world()
        for at in range(10000, 20000, 100):
            terminal.type(sent[at:at + 100])
        self.wait_new_world(generation)
        self.assertEqual(terminal.wait_end(), 0)
        wait_for(lambda: len(terminal.shown) - start >= len(sent), "all that was typed to come back")
        self.assertEqual(terminal.shown[start:].decode(), sent)

    def test_leave_and_come_back(self):
        terminal, number = self.shell()
        terminal.ask("mark=re''mem; ec''ho m''ark", "mark\r\n")
        terminal.type(DETACH)
        self.assertEqual(terminal.wait_end(), 0)
        terminal.wait(f"drover: detached; drover attach {number}\r\n")
        self.assertTrue(terminal.is_as_before())
        self.assertEqual(self.job(number)["viewers"], 0)
        self.move(number)
        for word in (number, "last"):
            again = self.terminal("attach", word, rows=20, columns=70)
            again.wait("mark\r\n")  # what was shown before
            wait_for(again.is_raw, "raw mode here")
            again.ask("ec''ho $mark", "remem\r\n")
            again.ask("until [ \"$(stty size)\" = '20 70' ]; do sleep 0.02; done; ec''ho right si''ze", "right size\r\n")
            again.type(DETACH)
            self.assertEqual(again.wait_end(), 0)
        # One that was left is there still after a new world, however long that takes.
        generation = self.end_world()
        self.wait_new_world(generation)
        wait_for(lambda: (self.job(number) or {}).get("state") == "running", "the job")
        again = self.terminal("attach", number, "--detach-keys", "ctrl-p,q")
        wait_for(again.is_raw, "raw mode here")
        again.ask("ec''ho again $mark", "again remem\r\n")
        again.type("\x10q")
        self.assertEqual(again.wait_end(), 0)
        last = self.terminal("attach", number)
        wait_for(last.is_raw, "raw mode here")
        last.type("exit 9\r")
        self.assertEqual(last.wait_end(), 9)
        over = self.terminal("attach", number)
        self.assertEqual(over.wait_end(), 9)
        over.wait(f"job {number} has ended already")

    def test_several_look_at_one(self):
        first, number = self.shell(rows=30, columns=100)
        first.ask("trap 'ec''ho si''ze $(stty size)' WINCH; ec''ho re''ady", "ready\r\n")
        second = self.terminal("attach", number, rows=40, columns=90)
        first.wait("size 30 90\r\n")
        second.wait("size 30 90\r\n")
        second.ask("ec''ho from the sec''ond", "from the second\r\n")
        first.wait("from the second\r\n")
        first.ask("ec''ho from the fi''rst", "from the first\r\n")
        second.wait("from the first\r\n")
        self.assertEqual(self.job(number)["viewers"], 2)
        at = len(second.shown)
        first.close()  # that others look on keeps the job
        self.assertEqual(first.wait_end(), 128 + signal.SIGHUP)
        second.wait("size 40 90\r\n", at)
        second.close()  # and nobody does now
        self.assertEqual(second.wait_end(), 128 + signal.SIGHUP)
        job = self.wait_state(number, "ended")
        self.assertEqual(job["signal"], signal.SIGHUP, job)

    def test_a_full_screen_is_shown_to_who_comes_later(self):
        started = self.drover("run", "-t", "-d", "--", "vim", "-u", "NONE", "-N", "-n", "text", check=0)
        number = int(started.stdout)
        wait_for(lambda: "vim" in self.foreground(number), "the editor")
        terminal = self.terminal("attach", number, rows=12, columns=60)
        terminal.wait("\x1b[?1049h")
        terminal.type("ihello\x1b")
        terminal.wait("hello")
        terminal.type(DETACH)
        self.assertEqual(terminal.wait_end(), 0)
        terminal.wait("\x1b[?1049l")  # the screen is given back
        again = self.terminal("attach", number, rows=12, columns=60)
        again.wait("\x1b[?1049h")
        again.wait("hello")
        self.assertNotIn(b"\x1b[>c", again.shown)  # a question that was answered long ago
        again.type(":q!\r")
        self.assertEqual(again.wait_end(), 0)

    def test_whoever_ends_the_launcher_hangs_up(self):
        silent = self.begin_silent()
        for signo in (signal.SIGTERM, signal.SIGHUP):
            terminal = self.run_in_terminal("sleep", "1000")
            wait_for(terminal.is_raw, "raw mode here")
            number = self.newest_job()
            terminal.process.send_signal(signo)
            self.assertEqual(terminal.wait_end(), 128 + signo)
            self.assertTrue(terminal.is_as_before())
            self.assertEqual(self.wait_state(number, "ended")["signal"], signal.SIGHUP)
        terminal = self.run_in_terminal("sleep", "1000")
        wait_for(terminal.is_raw, "raw mode here")
        terminal.type("\x03")
        self.assertEqual(terminal.wait_end(), 128 + signal.SIGINT)
        self.assertTrue(terminal.is_as_before())
        if silent:
            self.assertEqual(self.wait_state(silent, "ended")["signal"], signal.SIGHUP)

    def begin_silent(self):
        """A launcher that ends without a word: it may come back for 15 s, which is waited for once, as the caller."""
        if USER:
            return None
        killed = self.run_in_terminal("sleep", "1000")
        wait_for(killed.is_raw, "raw mode here")
        killed.process.kill()
        return self.newest_job()

    def test_what_can_not_be(self):
        self.assertIn(b"stdin is not a terminal", self.drover("run", "-t", "true", check=2).stderr)
        self.assertIn(b"stdin is not a terminal", self.drover("attach", "1", check=2).stderr)
        self.assertIn(b"--terminal", self.drover("run", "-d", "true", check=2).stderr)
        number = self.submit("sleep", "1000")
        for arguments, code, text in ((("attach", number), 125, "has no terminal"), (("attach", 4711), 125, "no job 4711"),
                                      (("attach",), 2, "no job given"), (("attach", number, "--detach-keys", "x,"), 2, "is no key"),
                                      (("run", "-t", "no-such-program"), 127, "no-such-program"), (("run", "-t", "echo", "fine"), 0, "fine")):
            terminal = self.terminal(*arguments)
            self.assertEqual(terminal.wait_end(), code, terminal.shown)
            terminal.wait(text)
            self.assertTrue(terminal.is_as_before())


if __name__ == "__main__":
    unittest.main()
