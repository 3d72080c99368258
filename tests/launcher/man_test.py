"""The manual pages say what the programs do: a page for each command, each page's options those of --help, no warnings from the formatters."""
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

PAGES = pathlib.Path(__file__).resolve().parents[2] / "docs" / "man"
DROVER = os.environ["DROVER"]
CKPT = os.environ["DROVER_CKPT"]
SCDOC_HABIT = "WARNING: skipping paragraph macro: PP"  # a paragraph more than needed, which nobody sees
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "EXAMPLES", "SEE ALSO"]
OPTION = re.compile(r"(?<![\w-])--?[a-zA-Z][\w-]*")


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def help_of(*command):
    result = run(*command, "--help")
    assert result.returncode == 0, result.stderr
    return result.stdout


def part(text, title):
    """The lines below "Title:"; empty if there is none."""
    found = re.search(rf"^{title}: ?\n((?:  .*\n?)+)", text, re.M)
    return found.group(1) if found else ""


def subcommands(*command):
    return re.findall(r"^  (\w[\w-]*)  +", part(help_of(*command), "Subcommands"), re.M)


def options_of_help(*command):
    names = set()
    for head in re.findall(r"^  (-\S+)", part(help_of(*command), "Options"), re.M):
        names.update(head.split(","))
    return names


def section(text, title):
    found = re.search(rf"^# {title}\n(.*?)(?=^# |\Z)", text, re.M | re.S)
    return found.group(1) if found else ""


def options_of_page(text):
    """Those that OPTIONS has a paragraph of."""
    names = set()
    for head in re.findall(r"^(\*-.*)$", section(text, "OPTIONS"), re.M):
        names.update(OPTION.findall(head))
    return names


def source(name):
    return (PAGES / f"{name}.scd").read_text()


class ManTest(unittest.TestCase):
    def test_every_command_has_a_page_and_every_page_a_command(self):
        commands = {f"drover-{command}.1" for command in subcommands(DROVER)}
        others = {"drover.1", "drover.toml.5", "droverd.8", "drover-ckpt.1"}
        self.assertGreater(len(commands), 15)
        self.assertEqual({file.stem for file in PAGES.glob("*.scd")}, commands | others)
        listed = set(re.findall(r"^\*(drover-\w+)\*\(1\)$", section(source("drover.1"), "COMMANDS"), re.M))
        self.assertEqual({f"{name}.1" for name in listed}, commands)

    def test_options_are_those_of_the_help(self):
        self.assertEqual(options_of_page(source("drover.1")), options_of_help(DROVER))
        for command in subcommands(DROVER):
            wanted = options_of_help(DROVER, command)
            for child in subcommands(DROVER, command):
                wanted |= options_of_help(DROVER, command, child)
            self.assertIn("--help", wanted)
            self.assertEqual(options_of_page(source(f"drover-{command}.1")), wanted, command)
        text = source("drover-ckpt.1")
        self.assertEqual(set(re.findall(r"^## (\w+)$", section(text, "OPTIONS"), re.M)) - {"All"}, set(subcommands(CKPT)))
        for command in subcommands(CKPT):
            below = re.search(rf"^## {command}\n(.*?)(?=^#|\Z)", text, re.M | re.S).group(1)
            self.assertEqual(options_of_page(f"# OPTIONS\n{below}"), options_of_help(CKPT, command), command)

    def test_no_page_names_an_option_that_does_not_exist(self):
        known = {"--version", "--help"} | options_of_help(DROVER)  # droverd's own, and those of every command
        for program in (DROVER, CKPT):
            for command in subcommands(program):
                known |= options_of_help(program, command)
        for file in PAGES.glob("*.scd"):
            named = {option for option in OPTION.findall(file.read_text()) if option.startswith("--")}
            self.assertEqual(named - known, set(), file.name)

    def test_references_lead_somewhere(self):
        pages = {file.stem for file in PAGES.glob("*.scd")}
        for file in PAGES.glob("*.scd"):
            for name, number in re.findall(r"\*(drover[\w.-]*)\*\((\d)\)", file.read_text()):
                self.assertIn(f"{name}.{number}", pages, file.name)

    def test_sections(self):
        for file in PAGES.glob("*.scd"):
            titles = re.findall(r"^# (.*)$", file.read_text(), re.M)
            self.assertEqual([title for title in titles if title in SECTIONS], SECTIONS, file.name)
            self.assertTrue(section(file.read_text(), "EXAMPLES").strip(), file.name)

    def test_configuration_keys(self):
        """drover.toml(5) has each key with the default that it has."""
        text = section(source("drover.toml.5"), "TABLES AND KEYS")
        pages = {name: default for name, default in re.findall(r"^\*(\w+)\* \(.*, default (\S+)\)$", text, re.M)}
        with tempfile.TemporaryDirectory() as home:
            env = {"HOME": home, "PATH": os.environ["PATH"]}
            values = json.loads(run(DROVER, "config", "--output", "json", env=env, check=True).stdout)["values"]
        keys = {value["key"].split(".")[1]: value["value"] for value in values if value["key"].startswith(("balance.", "jobs."))}
        self.assertEqual(pages, {name: value if isinstance(value, str) else json.dumps(value) for name, value in keys.items()})
        bad = run(DROVER, "config", "check", "/dev/stdin", input='[balance]\npolicy = "x"\n').stderr
        policies = re.search(r"one of (.*) is permitted", bad).group(1).split(", ")
        self.assertIn(f"{', '.join(policies[:-1])} or {policies[-1]}.", text)
        marks = {value["key"][len("watermarks."):]: value["value"] for value in values if value["key"].startswith("watermarks.")}
        said = re.findall(r"^\*(\w+)\* \(.*\)\n\tDefault (.*)\.$", text, re.M)
        self.assertEqual({factor for factor, _ in said}, {key.split(".")[0] for key in marks})
        for factor, defaults in said:
            for name, default in re.findall(r"(\w+) ([\d.]+)", defaults):
                self.assertEqual(float(default), marks[f"{factor}.{name}"], (factor, name))

    def test_every_help_has_an_example(self):
        for command in subcommands(DROVER):
            self.assertRegex(help_of(DROVER, command), rf"Examples?: .*drover {command}\b", command)

    def test_rendering(self):
        with tempfile.TemporaryDirectory() as folder:
            for file in sorted(PAGES.glob("*.scd")):
                page = pathlib.Path(folder, file.stem)
                made = run("scdoc", input=file.read_text())
                self.assertEqual((made.returncode, made.stderr), (0, ""), file.name)
                page.write_text(made.stdout)
                groff = run("groff", "-man", "-ww", "-Tutf8", str(page))
                self.assertEqual((groff.returncode, groff.stderr), (0, ""), file.name)
                self.assertGreater(len(groff.stdout), 500, file.name)
                man = run("man", "--warnings", "-l", str(page), env=dict(os.environ, MANPAGER="cat", PAGER="cat", LC_ALL="C.UTF-8"))
                self.assertEqual((man.returncode, man.stderr), (0, ""), file.name)
                lint = run("mandoc", "-T", "lint", "-W", "warning", str(page)).stdout.splitlines()
                self.assertEqual([line for line in lint if SCDOC_HABIT not in line], [], file.name)


if __name__ == "__main__":
    unittest.main()
