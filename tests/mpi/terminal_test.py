"""Jobs with a terminal: moved while somebody types, left and found again, looked at by several."""
import os
import shutil
import signal
import unittest

from terminals import Terminal
from world import PYTHON, WorldTest, wait_for

DETACH = "\x1cd"  # ctrl-\ d
PROMPT = "PS1='$ '; bind 'set enable-bracketed-paste off'"


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


if __name__ == "__main__":
    unittest.main()
