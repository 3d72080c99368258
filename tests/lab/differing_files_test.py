"""A job moves to hosts that have another program, another library and other data at the same paths, or none: it goes on with what it
started with."""
import json
import shutil
import subprocess
import unittest

from lab_world import LabWorld

JOB = """
import mmap, os, time
data = os.open('files/data', os.O_RDONLY)
head = os.read(data, 5)
with open('files/table', 'rb') as file: table = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
print('ready', flush=True)
while not os.path.exists('stop'): time.sleep(0.01)
import zlib
rest = os.read(data, 100)
print(head.decode() + rest.decode(), table[-5:].decode(), zlib.decompress(zlib.compress(b'library')).decode())
"""


class DifferingFiles(LabWorld):
    hosts = 4

    def setUp(self):
        super().setUp()
        files = self.directory / "files"
        files.mkdir()
        shutil.copy("/usr/bin/python3", files / "program")
        libraries = subprocess.check_output(["ldd", "/usr/bin/python3"], text=True)
        library = next(line.split()[2] for line in libraries.splitlines() if line.split()[0].startswith("libz."))
        shutil.copy(library, files)
        self.library = files / library.rsplit("/", 1)[1]
        (files / "data").write_text("first second")
        (files / "table").write_bytes(bytes(100_000) + b"table")
        # lab2 has others, lab3 nothing at all, lab4 the same ones of another time.
        others = self.directory / "others"
        others.mkdir()
        for file in files.iterdir():
            (others / file.name).write_text("something else")
        (self.directory / "nothing").mkdir()
        shutil.copytree(files, self.directory / "copies", copy_function=shutil.copyfile)
        (self.directory / "copies" / "program").chmod(0o755)
        for host, folder in (("lab2", "others"), ("lab3", "nothing"), ("lab4", "copies")):
            self.lab("exec", host, "--", "mount", "--bind", self.directory / folder, files, check=True)

    def submit(self, code):
        number = int(self.drover("submit", "--node", "lab1", "--", "env", f"LD_LIBRARY_PATH={self.library.parent}", "./files/program", "-c", code))
        self.wait_for(lambda: self.drover("logs", number) == "ready\n", "the job to be ready")
        return number

    def moves(self):
        return [event for event in map(json.loads, self.drover("events", "--output", "json").splitlines()) if event["event"] == "migrated"]

    def test_content_travels(self):
        number = self.submit(JOB)
        for host in ("lab2", "lab3", "lab1"):
            self.drover("migrate", number, host)
            self.assertEqual(self.jobs()[-1]["node"], host)
        (self.directory / "stop").touch()
        self.drover("wait", number)
        self.assertEqual(self.drover("logs", number), "ready\nfirst second table library\n")
        attempts = [(move["to"], move["ok"]) for move in self.moves() if move["job"] == number]
        # Refused once; what it took along then it has with it wherever it goes.
        self.assertEqual(attempts, [("lab2", False), ("lab2", True), ("lab3", True), ("lab1", True)])

    def test_other_times_are_no_difference(self):
        number = self.submit(JOB)
        for host in ("lab4", "lab1", "lab4"):
            self.drover("migrate", number, host)
        (self.directory / "stop").touch()
        self.drover("wait", number)
        self.assertEqual(self.drover("logs", number), "ready\nfirst second table library\n")
        self.assertEqual([(move["to"], move["ok"]) for move in self.moves() if move["job"] == number],
                         [("lab4", True), ("lab1", True), ("lab4", True)])

    def test_written_file_is_refused(self):
        number = self.submit("import os, time\nf = open('files/data', 'r+')\nprint('ready', flush=True)\n"
                             "while not os.path.exists('stop'): time.sleep(0.01)\nprint(f.read())\n")
        for host in ("lab2", "lab3"):
            refused = self.drover("migrate", number, host, check=False)
            self.assertEqual(self.jobs()[-1]["node"], "lab1", refused)
        (self.directory / "stop").touch()
        self.drover("wait", number)
        self.assertEqual(self.drover("logs", number), "ready\nfirst second\n")


if __name__ == "__main__":
    unittest.main()
