"""What `cmake --install` puts into a prefix works from there, for root and for a user who is nobody."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SKIPPED = 77  # ctest's SKIP_RETURN_CODE
BUILD = pathlib.Path(os.environ["DROVER_BUILD"])
DEADLINE = 180  # generous: the machine may be busy with other things


class InstallTest(unittest.TestCase):
    user = ""

    def setUp(self):
        if self.user and os.geteuid() != 0:
            self.skipTest(f"becoming {self.user} needs root")
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="drover-install-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.prefix = self.directory / "prefix"
        subprocess.run(["cmake", "--install", BUILD, "--prefix", self.prefix], check=True, stdout=subprocess.DEVNULL)
        self.home = self.directory / "home"
        self.home.mkdir()
        self.become = []
        if self.user:
            self.directory.chmod(0o755)
            shutil.chown(self.home, self.user, "nogroup")
            self.become = ["setpriv", f"--reuid={self.user}", "--regid=nogroup", "--clear-groups", "--"]
        # Nothing of the build tree or of a person's own settings; only what says where its files go.
        self.env = {"PATH": f"{self.prefix}/bin:/usr/local/bin:/usr/bin:/bin", "HOME": str(self.home), "LC_ALL": "C",
                    "DROVER_RUNTIME_DIR": str(self.home / "run")}
        self.addCleanup(self.drover, "down", "--kill-jobs")

    def drover(self, *arguments, check=None):
        result = subprocess.run([*self.become, "drover", *map(str, arguments)], env=self.env, cwd=self.home, stdin=subprocess.DEVNULL,
                                capture_output=True, timeout=DEADLINE)
        if check is not None:
            self.assertEqual(result.returncode, check, f"drover {arguments}: {result.stderr.decode()}{result.stdout.decode()}")
        return result.stdout.decode()

    def test_works_from_its_prefix(self):
        self.drover("up", "-n", 2, check=0)
        self.assertEqual(self.drover("run", "--", "hostname", check=0), os.uname().nodename + "\n")
        job = int(self.drover("submit", "--node", "node0", "--", "sh", "-c",
                              "echo begun; i=0; while [ ! -e go ]; do i=$((i + 1)); done; echo moved; exit 5", check=0))
        self.assertIn("running", self.drover("ps", check=0))
        self.assertIn("node0 -> node1", self.drover("migrate", job, "node1", check=0))
        (self.home / "go").touch()
        self.drover("wait", job, check=5)
        self.assertEqual(self.drover("logs", job, check=0), "begun\nmoved\n")
        self.drover("down", check=0)
        folders = [entry.name for entry in (self.home / "run").glob("*/*") if entry.is_dir()]
        self.assertEqual(folders, [], "folders of nodes that are left behind")


class AsNobody(InstallTest):
    user = "nobody"


if __name__ == "__main__":
    program = unittest.main(verbosity=2, exit=False)
    if program.result.wasSuccessful() and program.result.skipped:
        sys.exit(SKIPPED)
    sys.exit(not program.result.wasSuccessful())
