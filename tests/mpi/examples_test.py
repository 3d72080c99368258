"""The examples of the manual pages and of README, typed as they are written into a shell in a terminal, with what a person would answer. In
a network namespace of its own, so that there is a network 10.0.0.0/24."""
import os
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
if "DROVER_OWN_NETWORK" not in os.environ:
    os.environ["DROVER_OWN_NETWORK"] = "1"
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    if os.geteuid() == 0:
        os.environ.setdefault("DROVER_TEST_USER", "nobody")
    prepare = ('ip link set lo up && ip link add net0 type veth peer name net1 && ip link set net0 up && ip link set net1 up && '
               'ip address add 10.0.0.1/24 dev net0 && exec "$0" "$@"')
    os.execvp("unshare", ["unshare", *user, "--net", "sh", "-c", prepare, sys.executable, *sys.argv])

from terminals import Terminal  # noqa: E402
from world import USER, WorldTest, wait_for  # noqa: E402

PAGES = sorted((ROOT / "docs" / "man").glob("*.scd"))
DETACH = "\x1cd"  # Ctrl-\ d
INTERRUPT = "\x03"

# How a command begins: what is waited for on the screen, what is typed then, and the exit code, which is else 0.
ANSWERS = [
    ("drover run -t -- vim notes.txt", ("1,1", ":q!\r", 0)),
    ("drover run -t -- vim notes ", ("1,1", DETACH, 0)),
    ("drover attach --name notes", ("1,1", DETACH, 0)),
    ("drover attach --detach-keys ctrl-p,ctrl-q 7", ("1,1", "\x10\x11", 0)),
    ("drover attach last", ("1,1", ":q!\r", 0)),
    ("drover top --once", None),
    ("drover top", ("node3", "q", 0)),
    ("drover shell -c", None),
    ("drover shell build.sh", None),
    ("drover shell", ("$ ", "exit\r", 0)),
    ("drover events -f", ("started", INTERRUPT, 130)),
    ("drover logs -f last; ", ("ended", INTERRUPT, 130)),
    ("drover calibrate --show", ("not calibrated yet", "", 1)),
    ("drover calibrate", ("busy programs 0", INTERRUPT, 130)),  # takes a minute and a half
]
JOBS = {  # of each page: how many are there before, and what they do
    "drover-attach.1": (6, "sleep 1000"),
    "drover-down.1": (0, ""),
    "drover-logs.1": (12, "echo out; echo err >&2; sleep 2"),
    "drover-run.1": (0, ""),
    "drover-shell.1": (0, ""),
    "drover-show.1": (12, "exit 3"),
    "drover-submit.1": (0, ""),
    "drover-wait.1": (12, "sleep 2"),
    "drover.1": (0, ""),
    "droverd.8": (0, ""),
}
WITHOUT_WORLD = ("drover-up.1", "drover.1", "droverd.8", "drover-calibrate.1")
NOT_COMMANDS = ("drover.toml.5",)  # tests/launcher/config_test.py reads these

TOOLS = {  # that the examples use, and that do something to others or need not be here
    # Elsewhere process ids are free; who is not root has them free in any case.
    "ssh": 'shift\n[ "$(id -u)" != 0 ] || exec unshare --pid --fork --kill-child --mount-proc "$@"\nexec "$@"',
    "sudo": 'exec "$@"',
    "poweroff": "touch poweroff-called",
    "mail": "cat > mail",
    "flac": 'cp "$2" "${2%.wav}.flac"',
    "make": "echo made",
}
PROGRAMS = {
    "simulate": "i=0\nwhile [ $i -lt 30 ]; do sleep 0.1; i=$((i+1)); done\necho simulated",
    "analyse": "wc -c",
    "fetch": "exit 0",
    "long": "sleep 0.1",
    "one": 'echo "task $DROVER_ARRAY_INDEX"',
    "build.sh": "#DROVER --name build\necho build of \"$@\"",
}


def examples(page):
    """The commands of a page, each with what belongs to it: a here-document, a line that goes on."""
    block = re.search(r"^# EXAMPLES\n+```\n(.*?)^```", page.read_text(), re.M | re.S)
    commands, end = [], None
    for line in block.group(1).splitlines() if block else []:
        if end:
            commands[-1] += "\n" + line
            end = None if line == end else end
        elif line.strip():
            commands.append(line)
            here = re.search(r"<< '(\w+)'", line)
            end = here.group(1) if here else None
    return commands


class ExamplesTest(WorldTest):
    nodes = 4
    config = "[balance]\nround_seconds = 0.25\n"

    def up(self):
        for name in ("DROVER_INSTANCE", "DROVER_STATE_DIR", "DROVER_CONFIG", "DROVER_FAULTS"):
            del self.env[name]
        tools = self.directory / "tools"
        tools.mkdir()
        for directory, programs in ((tools, TOOLS), (self.directory, PROGRAMS)):
            for name, text in programs.items():
                (directory / name).write_text(f"#!/bin/sh\n{text}\n")
                (directory / name).chmod(0o755)
        self.env.update(PATH=f"{tools}:{self.bin}:{os.environ['PATH']}", TERM="xterm", LC_ALL="C.UTF-8", SHELL="/bin/bash")
        config = self.directory / ".config" / "drover"
        config.mkdir(parents=True)
        (self.directory / "drover.toml").rename(config / "drover.toml")
        (self.directory / "my.toml").write_text("[balance]\nround_seconds = 1\n")
        for name in ("hosts", "my-hosts"):
            (self.directory / name).write_text("localhost slots=4\n")
        (self.directory / "dir").mkdir()
        for name in ("dir/file", "a.wav", "b.wav"):
            (self.directory / name).write_text("something\n" * 1000)
        (self.directory / "big.tar").write_bytes(os.urandom(8 << 20))  # takes seconds to pack
        for name in ("notes", "notes.txt"):
            (self.directory / name).write_text("short\n")
        (self.directory / "commands").write_text("echo one\necho two\n")
        (self.directory / "hostfiles").symlink_to(ROOT / "hostfiles") if not USER else self.copy_hostfiles()
        (self.directory / ".zfunc").mkdir()
        subprocess.run("gzip -c dir/file > data.gz; xz -c dir/file > data.xz", shell=True, cwd=self.directory, check=True)
        if USER:
            subprocess.run(["chown", "-R", f"{USER}:nogroup", self.directory], check=True)

    def copy_hostfiles(self):
        (self.directory / "hostfiles").mkdir()
        for file in (ROOT / "hostfiles").iterdir():
            (self.directory / "hostfiles" / file.name).write_bytes(file.read_bytes())

    def shell(self):
        """A bash whose prompt tells the last exit code, and the number of the command that is asked for."""
        env = dict(self.env, PS1="<$? \\#> ", PS2="", HISTFILE="")
        terminal = Terminal([*self.prefix, "bash", "--norc", "--noprofile", "-i"], env=env, cwd=self.directory, rows=40, columns=200)
        self.addCleanup(terminal.clean_up)
        return terminal

    def type_all(self, commands, before=lambda command: None):
        terminal = self.shell()
        at = terminal.wait(" 1> ")
        for number, command in enumerate(commands, 2):
            before(command)
            terminal.type(command.replace("\n", "\r") + "\r")
            answer = next((answer for start, answer in ANSWERS if command.startswith(start)), None)
            if answer:
                text, keys, code = answer
                terminal.wait(text, at + len(command) + 2)  # past its echo
                terminal.type(keys)
            end = terminal.wait(f" {number}> ", at)
            shown = terminal.shown[at:end].decode(errors="replace")
            got = int(shown.rsplit("<", 1)[1].split()[0])
            self.assertEqual(got, code if answer else 0, f"{command}: {shown}")
            for sign in ("Traceback", "terminate called", "Segmentation"):
                self.assertNotIn(sign, shown)
            at = end

    def page(self, name):
        commands = examples(ROOT / "docs" / "man" / f"{name}.scd")
        self.assertTrue(commands)
        if name not in WITHOUT_WORLD:
            self.drover("up", "-n", self.nodes, check=0)
        count, work = JOBS.get(name, (12, "sleep 1000"))
        if name not in WITHOUT_WORLD:
            for i in range(1, count + 1):
                self.drover("submit", "--name", f"make-{i}", "--", "sh", "-c", work, check=0)
        if name == "drover-ckpt.1":
            self.start_simulation()
        if name == "drover-release.1":
            self.drover("hold", "7,8", check=0)
        if name == "drover-restore.1":
            self.drover("checkpoint", 7, "monday.image", check=0)

        def before(command):
            if name == "drover-up.1":  # these are three ways
                self.drover("down")
            if name == "drover-down.1" and "--leave-jobs" in command:  # and these are two
                self.drover("up", "-n", self.nodes, check=0)
            if name == "droverd.8" and command == "drover status":
                wait_for(lambda: self.drover("status").returncode == 0, "the world")
            if name == "drover-ckpt.1" and "| ssh" in command:
                self.start_simulation()
        self.type_all(commands, before)

    def start_simulation(self):
        """As a child of nobody who would let it lie dead, with its process id taken."""
        subprocess.run([*self.prefix, "setsid", "sh", "-c", "./simulate > simulated < /dev/null 2>&1 &"], cwd=self.directory, env=self.env, check=True)

    def test_readme(self):
        block = re.search(r"^## Using it\n+```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
        finish = self.directory / "finish"

        def before(command):
            if command.startswith("drover up --hostfile"):  # instead of the nodes that the line before has started
                self.drover("down", check=0)
            if command.startswith("drover submit -O"):
                for i in range(1, 8):  # so that there is a job 7
                    self.drover("submit", "--", "sh", "-c", "until [ -e finish ]; do sleep 0.1; done", check=0)
            if command.startswith("drover logs -f last"):
                finish.touch()
            if command.startswith("drover down"):
                self.drover("wait", "all")
        self.type_all([line for line in block.group(1).splitlines() if line], before)
        self.assertEqual((self.directory / "dir.tar.xz").read_bytes()[:6], b"\xfd7zXZ\0")

    def test_a_page_without_examples_is_told_of(self):
        self.assertEqual([page.name for page in PAGES if not examples(page)], [])


for page in PAGES:
    if page.stem not in NOT_COMMANDS:
        setattr(ExamplesTest, "test_" + page.stem.replace("-", "_").replace(".", "_"), lambda self, name=page.stem: self.page(name))

if __name__ == "__main__":
    unittest.main()
