"""drover shell: scripts, and a person at a terminal, with programs on several nodes."""
import os
import re
import signal
import unittest

from terminals import Terminal
from world import PYTHON, WorldTest, wait_for

PROMPT = re.compile(rb"node0 \([A-Z]+\) [^\n]* \$ $")


class ShellTest(WorldTest):
    nodes = 2

    def shell(self, line, *arguments, check=0, stdin=b""):
        result = self.drover("shell", "-c", line, *arguments, check=check, stdin=stdin)
        return result.stdout.decode()

    def interactive(self):
        terminal = Terminal([*self.prefix, self.bin / "drover", "--at", "node0", "shell"], env=dict(self.env, TERM="xterm"), cwd=self.directory)
        self.addCleanup(terminal.clean_up)
        self.prompt(terminal, 0)
        return terminal

    def prompt(self, terminal, after):
        wait_for(lambda: PROMPT.search(self.plain(terminal, after)), f"a prompt in {terminal.shown[after:]!r}")

    @staticmethod
    def plain(terminal, after):
        return re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\a]*\a|\r", b"", terminal.shown[after:])

    def enter(self, terminal, line, answer=None):
        """Types a line, waits for the answer and the next prompt; gives what was shown."""
        at = len(terminal.shown)
        terminal.type(line + "\r")
        if answer is not None:
            terminal.wait(answer, at)
        self.prompt_again(terminal, at, line)
        return self.plain(terminal, at).decode()

    def prompt_again(self, terminal, at, what):
        wait_for(lambda: b"\n" in self.plain(terminal, at) and PROMPT.search(self.plain(terminal, at)),
                 f"a prompt after {what!r}; shown: {terminal.shown[at:]!r}")

    def running(self):
        return [job for job in self.json("ps") if job["state"] == "running"]

    def test_lines(self):
        table = (
            ("echo 'a  b' \"c $((1+2))\" d\\ e", "a  b c 3 d e\n"),
            ("printf '%s\\n' b a | sort | tr a-z A-Z", "A\nB\n"),
            ("sh -c 'exit 3' || echo $?; false && echo no; true && echo yes", "3\nyes\n"),
            ("sh -c 'exit 3' | true; echo $?; true | sh -c 'exit 4'; echo $?; ! false; echo $?", "0\n4\n0\n"),
            ("sh -c 'kill -9 $$'; echo $?", "137\n"),
            ("cat <<E >out; cat < out; wc -l <out\none $0\ntwo\nE", "one drover shell\ntwo\n2\n"),
            ("sh -c 'echo o; echo e >&2' >both 2>&1; sort both; sh -c 'echo e >&2' 2>>both; wc -l <both", "e\no\n3\n"),
            ("x=1; A=2 sh -c 'echo $A $x'; export x; sh -c 'echo $A $x'; unset x; sh -c 'echo $x'", "2\n1\n\n"),
            ("cd /; pwd; sh -c pwd; cd - >/dev/null; [ $PWD != / ] && echo back", "/\n/\nback\n"),
            ("umask 027; umask; sh -c umask; ulimit -S -n 100; sh -c 'ulimit -n'", "0027\n0027\n100\n"),
            ("n=$(printf 'a b' | wc -c); echo $n; echo `echo x`", "3\nx\n"),
            ("sleep 0.2 & wait $!; echo $?; sh -c 'exit 5' & wait $!; echo $?", "0\n5\n"),
            ("for i in 1 2 3; do if [ $i = 2 ]; then continue; fi; /bin/echo $i; done | cat", "1\n3\n"),
            ("f() { echo $1 $#; return 6; }; f a b; echo $?; (exit 7); echo $?", "a 2\n6\n7\n"),
            ("touch g1 g2; echo g?; echo 'g?'; rm g*; echo g?", "g1 g2\ng?\ng?\n"),
            ("yes | head -n 1", "y\n"),
            ("head -c 300000 /dev/zero | cat | wc -c", "300000\n"),
            ("{ echo a; /bin/echo b; } > grouped; cat grouped", "a\nb\n"),
            ("exec /bin/echo the end; echo not shown", "the end\n"),
            ("trap 'echo usr' USR1; kill -USR1 $$; sh -c 'echo after'", "usr\nafter\n"),
            ("trap '' TERM; kill $$; sh -c 'echo alive'", "alive\n"),
            ("trap 'echo x' INT TERM; (trap); trap - INT; trap; trap 0", "trap -- 'echo x' INT\ntrap -- 'echo x' TERM\ntrap -- 'echo x' TERM\n"),
            ("trap 'echo outer' EXIT; (trap 'echo inner' EXIT; true); echo mid", "inner\nmid\nouter\n"),
            ("trap 'echo got' USR1; sleep 1000 & p=$!; { sleep 0.1; kill -USR1 $$; } & wait $p; echo $?; kill $p", "got\n138\n"),
            ("alias ll='echo long ' w='a word'\nll w\nunalias w\nll w\nalias echo='echo once' x=echo\nx; \\echo plain", "long a word\nlong w\nonce\nplain\n"),
        )
        for line, wanted in table:
            with self.subTest(line):
                self.assertEqual(self.shell(line), wanted)
        self.assertEqual(self.shell("echo $0 $1 $#", "zero", "one"), "zero one 1\n")
        self.assertEqual(self.shell("cat; echo end", stdin=b"from here\n"), "from here\nend\n")
        for line, status in (("exit 9", 9), ("no-such-program", 127), ("/etc/passwd", 126), ("if", 2), ("echo |", 2), ("set -e; false; exit 3", 1),
                             ("sh -c 'kill $$'", 143), ("trap 'sh -c \"exit 3\"' EXIT; exit 8", 8), ("trap 'exit 6' TERM; kill $$; exit 0", 6),
                             ("trap true EXIT; kill $$; exit 0", 143), ("trap x KILL", 1), ("echo ${none:?}; exit 3", 1), ("cat < no-such-file", 1)):
            with self.subTest(line):
                self.shell(line, check=status)
        self.assertIn(b"no-such-program: not found", self.drover("shell", "-c", "no-such-program").stderr)

    def test_scripts(self):
        script = self.directory / "script"
        script.write_text("#!/usr/bin/env drover-shell\n# counts\nfor word; do\n  /bin/echo \"$word\"\ndone | sort\nexit 4\n")
        result = self.drover("shell", script, "b c", "a", check=4)
        self.assertEqual(result.stdout, b"a\nb c\n")
        # A program does not take the rest of a script that comes on standard input.
        result = self.drover("shell", stdin=b"cat\n/bin/echo two\nexit 5\n", check=5)
        self.assertEqual(result.stdout, b"two\n")
        self.drover("shell", "no-such-file", check=127)

    def test_stages_on_several_nodes(self):
        line = "on node1 sh -c 'echo from $DROVER_JOB_NAME; sleep 1000' | on node0 cat"
        process = self.popen("shell", "-c", line, stdout=-1)
        self.assertEqual(process.stdout.readline(), b"from sh\n")
        jobs = self.running()
        self.assertEqual({job["name"]: job["node"] for job in jobs}, {"sh": "node1", "cat": "node0"})
        # Moved in the middle, the pipe goes along.
        cat = next(job["job"] for job in jobs if job["name"] == "cat")
        self.drover("migrate", cat, "node1", check=0)
        self.drover("kill", next(job["job"] for job in jobs if job["name"] == "sh"), check=0)
        self.assertEqual(process.wait(90), 0)  # the last stage's, which has seen the end of its input
        process.stdout.close()

    def test_a_node_that_takes_nothing_gives_work_away(self):
        """Where a program runs is the policy's decision, from what it knows of the nodes."""
        self.drover("drain", "node0", check=0)
        self.assertEqual(self.shell("/bin/echo a | cat; /bin/true & wait"), "a\n")
        self.assertEqual([job["node"] for job in self.json("ps", "--all")], ["node1"] * 3)

    def test_no_world(self):
        self.drover("down", "--kill-jobs", check=0)
        result = self.drover("shell", "-c", "true", check=125)
        self.assertIn(b"drover up", result.stderr)

    def test_a_person(self):
        terminal = self.interactive()
        self.enter(terminal, "ec''ho out $((6*7))", "out 42")
        # Editing: a line changed in its middle, and one from the history.
        at = len(terminal.shown)
        terminal.type("echo ac\x1b[Db\r")
        terminal.wait("abc\r\n", at)
        self.prompt_again(terminal, at, "editing")
        at = len(terminal.shown)
        terminal.type("\x1b[A\r")
        terminal.wait("abc\r\n", at)
        self.prompt_again(terminal, at, "history")
        # A command that takes two lines, and one that is given up.
        at = len(terminal.shown)
        terminal.type("echo 'x\r")
        terminal.wait("> ", at)
        self.enter(terminal, "y'", "x\r\ny\r\n")
        at = len(terminal.shown)
        terminal.type("not this\x03")
        self.prompt_again(terminal, at, "ctrl-c")
        self.enter(terminal, "echo st''atus $?", "status 130")
        # A program has the terminal.
        self.enter(terminal, "stty size; t''ty", "24 80\r\n/dev/pts/0")
        self.enter(terminal, "history 2", "history 2")
        at = len(terminal.shown)
        terminal.type("exit 5\r")
        self.assertEqual(terminal.wait_end(), 5)
        history = (self.directory / ".local/state/drover/shell_history").read_text()
        self.assertIn("echo abc\n", history)

    def test_job_control(self):
        for line in ("sleep 1000", "on node1 sleep 1000", "sleep 1000 | cat"):
            with self.subTest(line):
                self.job_control(line)

    def job_control(self, line):
        terminal = self.interactive()
        count = line.count("|") + 1

        def begin():
            at = len(terminal.shown)
            terminal.type(line + "\r")
            wait_for(lambda: len(self.running()) == count, f"{count} jobs")
            wait_for(lambda: len(self.sleeping()) == 1, "the sleep")
            self.wait_foreground(terminal)
            return at
        at = begin()
        terminal.type("\x03")
        self.prompt_again(terminal, at, "ctrl-c")
        self.enter(terminal, "echo st''atus $?", "status 130")
        at = begin()
        terminal.type("\x1a")
        terminal.wait("[1]+ Stopped", at)
        self.prompt_again(terminal, at, "ctrl-z")
        wait_for(lambda: self.sleeping() == ["T"], "the sleep to stand still")
        node = "node1" if "node1" in line else "node"
        shown = self.enter(terminal, "jobs", "Stopped")
        self.assertRegex(shown, rf"\[1\]\+ Stopped +\d+ on {node}.* sleep 1000")
        if count == 1:  # and it moves while it stands still
            job = self.running()[0]
            self.drover("migrate", job["job"], "node0" if job["node"] == "node1" else "node1", check=0)
            self.assertEqual(self.sleeping(), ["T"])
        self.enter(terminal, "bg", "sleep 1000")
        wait_for(lambda: self.sleeping() == ["S"], "the sleep to go on")
        shown = self.enter(terminal, "jobs", "Running")
        at = len(terminal.shown)
        terminal.type("fg\r")
        self.wait_foreground(terminal)
        terminal.type("\x1a")
        terminal.wait("Stopped", at)
        self.prompt_again(terminal, at, "ctrl-z")
        at = len(terminal.shown)
        terminal.type("fg %1\r")
        self.wait_foreground(terminal)
        wait_for(lambda: self.sleeping() == ["S"], "the sleep to go on")
        terminal.type("\x03")
        self.prompt_again(terminal, at, "ctrl-c")
        self.enter(terminal, "echo st''atus $?", "status 130")
        # However a Ctrl-Z meets the word that the job has the terminal again, it is not lost.
        at = begin()
        terminal.type("\x1a")
        for _ in range(5):
            terminal.wait("Stopped", at)
            self.prompt_again(terminal, at, "ctrl-z")
            wait_for(lambda: self.sleeping() == ["T"], "the sleep to stand still")
            self.enter(terminal, "bg", "sleep 1000")
            wait_for(lambda: self.sleeping() == ["S"], "the sleep to go on")
            at = len(terminal.shown)
            terminal.type("fg\r")
            self.wait_foreground(terminal)
            group = os.tcgetpgrp(terminal.master)
            for signal_number in (signal.SIGTSTP, signal.SIGWINCH):
                os.killpg(group, signal_number)
        terminal.wait("Stopped", at)
        self.prompt_again(terminal, at, "ctrl-z")
        self.enter(terminal, "kill %1")
        wait_for(lambda: not self.running(), "their end")
        self.enter(terminal, "wait", "[1]")  # told of, so that its number is free
        # In the background from the start.
        self.enter(terminal, line + " &", "[1] ")
        wait_for(lambda: len(self.running()) == count, f"{count} jobs")
        self.enter(terminal, "jobs", "Running")
        self.enter(terminal, "kill %1")
        wait_for(lambda: not self.running(), "their end")
        shown = self.enter(terminal, "wait; jobs")
        terminal.type("\x04")
        self.assertEqual(terminal.wait_end(), 0)

    def test_what_the_shell_does_itself_is_interrupted(self):
        terminal = self.interactive()
        for line in ("while true; do true; done", "for i in 1 2 3; do sleep 1000; done", "echo $(sleep 1000)", "sleep 1000 & wait",
                     "f() { sleep 1000; echo not shown; }; f", "(sleep 1000; echo not shown)", "read x"):
            with self.subTest(line):
                at = len(terminal.shown)
                terminal.type(line + "\r")
                terminal.wait("\n", at)
                if "sleep" in line:
                    wait_for(lambda: len(self.sleeping()) == 1, "the sleep")
                terminal.type("\x03")
                self.prompt_again(terminal, at, line)
                self.assertNotIn(b"\nnot shown", self.plain(terminal, at))
                if "&" in line:
                    self.enter(terminal, "kill %1")
                wait_for(lambda: not self.running(), "the end of all jobs")
        self.enter(terminal, "sleep 1000 &", "[1] ")
        wait_for(self.running, "the job")
        self.enter(terminal, "kill -9 %1")
        wait_for(lambda: not self.running(), "the end of the job")
        self.enter(terminal, "wait; echo en''ded", "ended")

    def test_an_editor_in_the_background(self):
        """It stops when it wants the terminal, as ever; and a shell within the shell does its own job control."""
        terminal = self.interactive()
        at = len(terminal.shown)
        terminal.type("vim -u NONE -N -n text\r")
        terminal.wait("\x1b[?1049h", at)
        terminal.type("\x1a")
        terminal.wait("Stopped", at)
        self.prompt_again(terminal, at, "ctrl-z")
        at = len(terminal.shown)
        terminal.type("bg\r")
        wait_for(lambda: self.stopped_again(terminal), "vim to stop")
        self.enter(terminal, "jobs", "Stopped")
        at = len(terminal.shown)
        terminal.type("fg\r")
        terminal.wait("\x1b[?1049h", at)
        terminal.type(":q!\r")
        self.prompt_again(terminal, at, "vim")
        at = len(terminal.shown)
        terminal.type("PS1='in''ner> ' bash --norc --noprofile -i\r")
        terminal.wait("inner> ", at)
        terminal.type("sleep 1000\r")
        wait_for(lambda: self.sleeping() == ["S"], "the sleep")
        terminal.type("\x1a")
        terminal.wait("Stopped", at)
        wait_for(lambda: self.sleeping() == ["T"], "the sleep to stand still")
        terminal.ask("kill -9 %1", "inner> ")
        wait_for(lambda: not self.sleeping(), "the end of the sleep")
        terminal.ask("ec''ho on", "on\r\n")
        terminal.type("exit 3\r")
        wait_for(lambda: PROMPT.search(self.plain(terminal, at)) or b"There are stopped" in self.plain(terminal, at), "bash to end, or to say why not")
        if b"There are stopped" in self.plain(terminal, at):  # it has not yet heard of the sleep's end: the second time it ends all the same
            terminal.type("exit 3\r")
        self.prompt_again(terminal, at, "bash")
        self.enter(terminal, "echo st''atus $?", "status 3")

    def stopped_again(self, terminal):
        return b"Stopped" in self.enter(terminal, "jobs").encode()

    def test_the_last_of_a_pipeline_has_the_terminal(self):
        """A pager's keys are its own, whatever it reads, and it moves and stops with its pipe."""
        terminal = self.interactive()
        at = len(terminal.shown)
        terminal.type("sh -c 'seq 20000; exec sleep 1000' | less\r")  # more than fits into a pipe
        terminal.wait("23\r\n", at)
        less = wait_for(lambda: [job["job"] for job in self.running() if job["name"] == "less"], "less")[0]
        self.drover("migrate", less, "node0" if self.job(less)["node"] == "node1" else "node1", check=0)
        terminal.type("5000g")
        terminal.wait("\n5000\r\n", at)
        terminal.type("\x1a")
        terminal.wait("Stopped", at)
        self.prompt_again(terminal, at, "ctrl-z")
        at = len(terminal.shown)
        terminal.type("fg\r")
        self.wait_foreground(terminal)
        terminal.type("19000g")
        terminal.wait("\n19000\r\n", at)
        terminal.type("q")
        self.drover("kill", next(job["job"] for job in self.running() if job["name"] == "sh"), check=0)
        self.prompt_again(terminal, at, "less")
        at = len(terminal.shown)
        terminal.type("seq 3 | vim -u NONE -N -n -\r")
        terminal.wait("\x1b[?1049h", at)
        terminal.type("Gofour\x1b:w there\r:q\r")
        self.prompt_again(terminal, at, "vim")
        self.assertEqual((self.directory / "there").read_text(), "1\n2\n3\nfour\n")
        self.enter(terminal, "echo st''atus $?", "status 0")

    def test_completion_and_traps_at_a_prompt(self):
        terminal = self.interactive()
        (self.directory / "completed file").write_text("found\n")
        for name in ("several1", "several2"):
            (self.directory / name).touch()
        self.enter(terminal, "LONG_NAME=va''lue; alias recite=ec''ho")
        self.enter(terminal, "cat compl\t", "found\r\n")
        self.enter(terminal, "recit\t$LONG_N\t", "value\r\n")
        at = len(terminal.shown)
        terminal.type("recite sev\t")
        terminal.wait("eral", at)
        terminal.type("\t")
        terminal.wait("several1  several2", at)
        self.enter(terminal, "2", "\nseveral2\r\n")
        self.enter(terminal, "trap 'ec''ho trapped' USR1")
        at = len(terminal.shown)
        terminal.type("recite unfin")
        terminal.wait("unfin", at)
        os.kill(terminal.process.pid, signal.SIGUSR1)
        terminal.wait("trapped", at)
        self.enter(terminal, "ished", "\nunfinished\r\n")
        terminal.type("trap 'ec''ho the end' EXIT; exit 4\r")
        self.assertEqual(terminal.wait_end(), 4)
        terminal.wait("\nthe end")

    def test_a_world_that_ends(self):
        terminal = self.interactive()
        self.drover("down", "--kill-jobs", check=0)
        at = len(terminal.shown)
        terminal.type("\r")
        terminal.wait("node0 (no droverd)", at)
        terminal.wait("$ ", at)
        at = len(terminal.shown)
        terminal.type("/bin/echo x\r")
        terminal.wait("drover up", at)
        self.up()
        self.enter(terminal, "/bin/echo ba''ck", "back")
        pid = self.droverd_pid("node0")
        os.kill(pid, signal.SIGSTOP)
        at = len(terminal.shown)
        terminal.type("\r")
        terminal.wait("node0 (no answer)", at)
        terminal.type("exit 6\r")
        self.assertEqual(terminal.wait_end(), 6)
        os.kill(pid, signal.SIGCONT)

    @staticmethod
    def wait_foreground(terminal):
        """What is typed before is the shell's."""
        wait_for(lambda: os.tcgetpgrp(terminal.master) != terminal.process.pid, "a job in the foreground")

    def sleeping(self):
        """The states of this test's sleeps."""
        states = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as file:
                    name, fields = file.read().split("(", 1)[1].rsplit(")", 1)
                with open(f"/proc/{pid}/environ", "rb") as file:
                    ours = f"DROVER_RUNTIME_DIR={self.directory}/run".encode() in file.read()
            except OSError:
                continue
            if ours and name == "sleep":
                states.append(fields.split()[0])
        return states

    def test_an_editor_and_python(self):
        terminal = self.interactive()
        at = len(terminal.shown)
        terminal.type("vim -u NONE -N -n text\r")
        terminal.wait("\x1b[?1049h", at)
        terminal.type("ihello\x1b")
        terminal.wait("hello", at)
        terminal.type("\x1a")
        terminal.wait("Stopped", at)
        self.assertIn(b"\x1b[?1049l", terminal.shown[at:])
        self.prompt_again(terminal, at, "ctrl-z")
        self.enter(terminal, "echo bet''ween", "between")
        at = len(terminal.shown)
        terminal.type("fg\r")
        terminal.wait("\x1b[?1049h", at)
        terminal.wait("hello", at)
        terminal.type("A again\x1b:wq\r")
        self.prompt_again(terminal, at, "vim")
        self.assertEqual((self.directory / "text").read_text(), "hello again\n")
        at = len(terminal.shown)
        terminal.type(PYTHON + " -q\r")
        terminal.wait(">>> ", at)
        terminal.ask("print(6 * 7)", "42\r\n")
        at = len(terminal.shown)
        terminal.type("\x04")
        self.prompt_again(terminal, at, "python")
        terminal.close()  # hangs up
        self.assertEqual(terminal.wait_end(), 129)


if __name__ == "__main__":
    unittest.main()
