"""The Debian package that cpack makes: what is in it, what it depends on, its module file, and a world started from it."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

SKIPPED = 77  # ctest's SKIP_RETURN_CODE
BUILD = pathlib.Path(os.environ["DROVER_BUILD"])
ROOT = pathlib.Path(__file__).resolve().parents[2]
VERSION = os.environ["DROVER_VERSION"]
DEADLINE = 180  # generous: the machine may be busy with other things
PROGRAMS = {"drover", "droverd", "drover-shepherd", "drover-ckpt"}
MODULE_COMMANDS = ("/usr/bin/modulecmd", "/usr/share/lmod/lmod/libexec/lmod")  # Environment Modules, Lmod


def output(*command, **options):
    result = subprocess.run([*map(str, command)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE, **options)
    if result.returncode != 0:
        raise AssertionError(f"{command}: {result.returncode}: {result.stderr}{result.stdout}")
    return result.stdout


class DebianTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp(prefix="drover-package-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        # A narrow umask, which must not show in the package.
        output(os.environ.get("CPACK", "cpack"), "-G", "DEB", "--config", BUILD / "CPackConfig.cmake", "-B", cls.directory, cwd=BUILD, umask=0o077)
        cls.package, = cls.directory.glob("*.deb")
        # Not /usr: the tree must work wherever it is put, and must not find an installed Drover.
        output("dpkg-deb", "-x", cls.package, cls.directory / "tree")
        cls.prefix = cls.directory / "moved"
        (cls.directory / "tree" / "usr").rename(cls.prefix)
        cls.env = {"PATH": f"{cls.prefix}/bin:/usr/local/bin:/usr/bin:/bin", "HOME": str(cls.directory), "LC_ALL": "C", "DROVER_INSTANCE": "package",
                   "DROVER_RUNTIME_DIR": str(cls.directory / "run"), "DROVER_STATE_DIR": str(cls.directory / "state")}

    def field(self, name):
        return output("dpkg-deb", "-f", self.package, name).strip()

    def test_is_named_and_described(self):
        self.assertEqual(self.package.name, f"drover_{VERSION}_amd64.deb")
        self.assertEqual(self.field("Version"), VERSION)
        self.assertTrue(self.field("Maintainer"))
        summary, *description = self.field("Description").splitlines()
        self.assertLess(len(summary), 80)
        self.assertTrue(description)

    def test_depends_on_libraries_and_mpirun(self):
        depends = {re.split(r"[ (]", entry.strip())[0] for entry in self.field("Depends").split(",")}
        self.assertLessEqual({"libc6", "libstdc++6", "libopenmpi3", "libhwloc15", "libncursesw6", "libedit2", "openmpi-bin"}, depends)
        self.assertEqual([name for name in depends if name.endswith("-dev") or "gtest" in name], [])
        self.assertEqual(self.field("Recommends"), "openssh-client")

    def test_holds_what_it_should(self):
        files = {str(path.relative_to(self.prefix)) for path in self.prefix.rglob("*") if not path.is_dir()}
        self.assertEqual({name for name in files if name.startswith("bin/")}, {f"bin/{name}" for name in PROGRAMS}, "no program of the tests")
        pages = {path.name.removesuffix(".scd") for path in (ROOT / "docs" / "man").glob("*.scd")}
        self.assertGreater(len(pages), 20)
        self.assertEqual({name for name in files if name.startswith("share/man/")}, {f"share/man/man{page[-1]}/{page}" for page in pages})
        documents = "share/doc/drover"
        expected = {"share/bash-completion/completions/drover", "share/zsh/vendor-completions/_drover", f"{documents}/copyright",
                    f"{documents}/README.md", f"{documents}/docs/network.md", f"{documents}/examples/hostfiles/ssh-example",
                    f"share/drover/modulefiles/drover/{VERSION}"}
        self.assertEqual(expected - files, set())
        strangers = [name for name in files if not name.startswith(("bin/", "share/man/", f"{documents}/")) and name not in expected]
        self.assertEqual(strangers, [])
        self.assertEqual([path.name for path in (self.directory / "tree").iterdir()], [], "things outside of /usr")
        self.assertIn("License: Apache-2.0", (self.prefix / documents / "copyright").read_text())

    def test_anybody_may_read_it_and_nobody_but_root_write(self):
        for line in output("dpkg-deb", "-c", self.package).splitlines():
            mode, owner, *_, name = line.split()
            executable = mode.startswith("d") or name.startswith("./usr/bin/")
            self.assertEqual((mode[1:], owner), ("rwxr-xr-x" if executable else "rw-r--r--", "root/root"), name)

    def test_programs_are_stripped(self):
        for name in PROGRAMS:
            sections = output("readelf", "-SW", self.prefix / "bin" / name)
            self.assertFalse(".debug_info" in sections or ".symtab" in sections, name)

    def test_module_file(self):
        found = [command for command in MODULE_COMMANDS if os.access(command, os.X_OK)]
        if not found:
            self.skipTest("THE MODULE FILE WAS NOT TRIED: neither environment-modules nor lmod is installed")
        env = dict(self.env, PATH="/usr/local/bin:/usr/bin:/bin", MODULEPATH=str(self.prefix / "share" / "drover" / "modulefiles"))
        link = self.directory / "site" / "drover"
        link.mkdir(parents=True)
        (link / "linked").symlink_to(self.prefix / "share" / "drover" / "modulefiles" / "drover" / VERSION)
        script = ('eval "$("$1" bash load drover)"; command -v drover; man -w drover-run; man -w man; '
                  'eval "$("$1" bash unload drover)"; echo "$PATH ${MANPATH-unset}"')
        for command in found:
            for modules in (self.prefix / "share" / "drover" / "modulefiles", link.parent):
                with self.subTest(command=command, modules=modules):
                    lines = output("bash", "-c", script, "bash", command, env=dict(env, MODULEPATH=str(modules))).splitlines()
                    self.assertEqual(lines[:2], [f"{self.prefix}/bin/drover", f"{self.prefix}/share/man/man1/drover-run.1"])
                    self.assertTrue(lines[2].startswith("/usr/share/man/"), "the system's manual pages are hidden")
                    self.assertEqual(lines[3], f"{env['PATH']} unset")

    def test_a_world_from_the_package(self):
        self.addCleanup(self.end_leftovers)
        self.addCleanup(subprocess.run, ["drover", "down", "--kill-jobs"], env=self.env, capture_output=True, timeout=DEADLINE)
        output("drover", "up", "-n", 2, env=self.env, cwd=self.directory)
        self.assertEqual(output("drover", "run", "--", "hostname", env=self.env, cwd=self.directory), os.uname().nodename + "\n")
        output("drover", "down", env=self.env, cwd=self.directory)

    def end_leftovers(self):
        """Everything that still belongs to this test: found by environment, ended by PID."""
        mark = f"DROVER_RUNTIME_DIR={self.env['DROVER_RUNTIME_DIR']}".encode()
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                pass


if __name__ == "__main__":
    program = unittest.main(exit=False)
    if program.result.wasSuccessful() and program.result.skipped:
        sys.exit(SKIPPED)
    sys.exit(not program.result.wasSuccessful())
