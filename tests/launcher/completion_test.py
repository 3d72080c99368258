"""Completion in the shells themselves: what bash and zsh offer for half a command line, against a fake droverd or none."""
import re
import signal
import time
import unittest

from cluster import ClusterTest, wait_for
from shells import Terminal, call_bash

BASH_COMPLETION = "/usr/share/bash-completion/bash_completion"


class CompletionTest(ClusterTest):
    def setUp(self):
        super().setUp()
        site_functions = self.directory / "site-functions"
        site_functions.mkdir()
        script = self.directory / "drover.bash"
        script.write_bytes(self.drover("completion", "bash", check=0).stdout)
        (site_functions / "_drover").write_bytes(self.drover("completion", "zsh", check=0).stdout)
        self.env["PATH"] = f"{self.drover_path.parent}:{self.env['PATH']}"
        self.env.update(SCRIPT=str(script), SITE_FUNCTIONS=str(site_functions), LC_ALL="C")
        (self.directory / "folder").mkdir()
        (self.directory / "my file").touch()

    def answer(self, *words):
        """What drover itself answers: the kind, and the candidates with their descriptions."""
        result = self.drover("__complete", *words, check=0)
        self.assertEqual(result.stderr, b"")
        kind, *lines = result.stdout.decode().splitlines() or [""]
        return kind, dict(line.split("\t") for line in lines)

    def bash(self, *words, **how):
        found, said = call_bash(self.env, self.directory, "drover", *words, **how)
        if not how:  # bash-completion's own functions mind that readline did not call
            self.assertEqual(said, "")
        return found

    def terminal(self, name, **how):
        terminal = Terminal(name, self.env, self.directory, **how)
        self.addCleanup(terminal.close)
        return terminal

    def commands(self):
        text = self.drover("--help", check=0).stdout.decode()
        return re.findall(r"^  (\w+) {2,}", text[text.index("Subcommands:"):], re.M)

    def start_jobs(self):
        """One that has ended and one that runs."""
        self.start_fake()
        self.drover("submit", "--name", "gone", "true", check=0)
        self.drover("submit", "--name", "a: b", "sleep", "1000", check=0)
        wait_for(lambda: b"gone" not in self.drover("ps").stdout, "the end of the first")


class WithoutACluster(CompletionTest):
    def test_commands_and_options_are_those_of_the_help(self):
        self.assertEqual(self.bash(""), self.commands())
        self.assertEqual(self.bash("--at", "x", "su"), ["submit"])
        for command in self.commands():
            text = self.drover(command, "--help", check=0).stdout.decode()
            text = text[text.index("Options:"):].split("\n\n")[0]
            wanted = set(re.findall(r"^  (?:-\w,)?(--[\w-]+)", text, re.M)) | {"--at"}
            self.assertEqual(set(self.bash(command, "--")), wanted, command)
        self.assertEqual(self.bash("logs", "-f", "--st"), ["--state", "--stderr"])

    def test_values_of_options(self):
        self.assertEqual(self.bash("ps", "--output", ""), ["table", "json", "quiet"])
        self.assertEqual(self.bash("ps", "--output=j"), ["json"])
        self.assertEqual(self.bash("ps", "-o", "j"), ["json"])
        self.assertEqual(self.bash("simulate", "--output", "c"), ["csv"])
        self.assertIn("INT", self.bash("kill", "-s", "I"))
        self.assertEqual(self.bash("completion", ""), ["bash", "zsh"])
        self.assertEqual(self.bash("up", "-n", ""), [])
        self.assertEqual(self.bash("submit", "--stdout", "my"), ["my file"])
        self.assertEqual(self.bash("submit", "--stdout=my"), ["my file"])
        self.assertEqual(self.bash("run", "--cwd", "fo"), ["folder"])
        self.assertEqual(self.bash("run", "--cwd", "my"), [])
        self.assertEqual(self.bash("config", "check", "my"), ["my file"])

    def test_a_program_is_completed_as_the_shell_would(self):
        for before in ("", BASH_COMPLETION):
            self.assertIn("setsid", self.bash("run", "sets", before=before))
            self.assertIn("setsid", self.bash("submit", "--stdout=x", "--pin", "--", "sets", before=before))
            self.assertEqual([name.rstrip("/") for name in self.bash("run", "--", "cat", "fold", before=before)], ["folder"])
        self.assertEqual(self.bash("run", "--", "cat", "--", "my"), ["my file"])
        self.assertEqual(self.bash("run", "./fol"), ["./folder"])

    def test_silent_and_fast(self):
        for words in (["kill", ""], ["migrate", "1", ""], ["--at", ""], ["submit", "--node", ""], ["frobnicate", ""],
                      ["kill", "--wrong=x"], ["kill", "--help="], []):
            begin = time.monotonic()
            kind, found = self.answer(*words)
            self.assertIn(kind, ("words", ""), words)
            self.assertEqual(found, {}, words)
            self.assertLess(time.monotonic() - begin, 20, words)
        self.assertEqual(self.bash("kill", ""), [])
        self.env["DROVER_INSTANCE"] = "no/name"
        self.assertEqual(self.answer("kill", ""), ("", {}))

    def test_not_in_the_help(self):
        self.assertNotIn(b"__complete", self.drover("--help", check=0).stdout)
        self.assertNotIn("__complete", self.bash("_"))

    def test_bad_shell(self):
        self.assert_error(self.drover("completion", "tcsh"), 2, "SHELL", "tcsh", "bash", "drover completion --help")
        self.assert_error(self.drover("completion"), 2, "SHELL")


class WithACluster(CompletionTest):
    def test_jobs_and_nodes(self):
        self.start_jobs()
        self.assertEqual(self.answer("kill", ""), ("words", {"2": "a: b"}))
        self.assertEqual(self.answer("logs", ""), ("words", {"1": "gone, ended", "2": "a: b"}))
        self.assertEqual(self.answer("wait", "2", "x"), ("words", {}))
        self.assertEqual(self.bash("wait", "2", ""), ["2"])
        self.assertEqual(self.bash("migrate", "2", ""), ["node0", "far0", "far1"])
        self.assertEqual(self.answer("migrate", "2", "node")[1], {"node0": "FREE, here"})
        self.assertEqual(self.bash("migrate", "2", "node0", ""), self.bash("migrate", "--"))
        self.assertEqual(self.bash("submit", "--node=f"), ["far0", "far1"])
        self.assertEqual(self.bash("--at", ""), ["node0"])
        self.assertEqual(self.bash("--at", "node0", "kill", ""), ["2"])
        self.assertEqual(self.bash("--at=nowhere", "kill", ""), [])

    def test_a_droverd_that_does_not_answer(self):
        process = self.start_fake()
        process.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        self.assertEqual(self.answer("kill", ""), ("", {}))
        self.assertLess(time.monotonic() - begin, 20)
        process.send_signal(signal.SIGCONT)

    def test_bash_at_a_terminal(self):
        self.start_jobs()
        for before in ("", BASH_COMPLETION):
            bash = Terminal("bash", self.env, self.directory, before=before)
            for line, wanted in (("drover mig", "drover migrate "), ("drover kill ", "drover kill 2 "),
                                 ("drover ps --output=j", "drover ps --output=json "), ("drover submit -O my", r"drover submit -O my\ file "),
                                 ("drover run -- cat fold", "drover run -- cat folder/"), ("drover run --node=node", "drover run --node=node0 ")):
                self.assertEqual(bash.tab(line)[1].rstrip(), wanted.rstrip(), (before, line))
            self.assertNotIn(b"drover:", bash.shown)
            bash.close()
            (self.directory / "bash-rc" / ".zshrc").unlink()
            (self.directory / "bash-rc").rmdir()

    def test_zsh_at_a_terminal(self):
        self.start_jobs()
        zsh = self.terminal("zsh")
        for line, wanted in (("drover mig", "drover migrate "), ("drover kill ", "drover kill 2 "), ("drover ps --output=j", "drover ps --output=json "),
                             ("drover submit -O my", r"drover submit -O my\ file "), ("drover run --cwd fo", "drover run --cwd folder/"),
                             ("drover run -- cat fold", "drover run -- cat folder/"), ("drover submit --pin setsi", "drover submit --pin setsid "),
                             ("drover run --node=node", "drover run --node=node0 "), ("drover ps --al", "drover ps --all ")):
            self.assertEqual(zsh.tab(line)[1].rstrip(), wanted.rstrip(), (line, zsh.shown))
        self.assertEqual(sorted(zsh.tab("drover ")[0]), sorted(self.commands()))
        self.assertEqual(zsh.tab("drover logs ")[0], ["1", "2"])
        wait_for(lambda: b"a: b" in zsh.shown, "a job's name in the list")
        self.assertEqual(zsh.tab("drover migrate 2 f")[0], ["far0", "far1"])
        self.assertNotIn(b"drover:", zsh.shown)


class ZshWithoutACluster(CompletionTest):
    def test_offers_nothing_and_says_nothing(self):
        zsh = self.terminal("zsh")
        self.assertEqual(zsh.tab("drover kill "), ([], "drover kill "))
        self.assertEqual(zsh.tab("drover sta")[1].rstrip(), "drover status")
        self.assertNotIn(b"drover:", zsh.shown)


if __name__ == "__main__":
    unittest.main()
