#!/usr/bin/env python3
"""Runs tests in a virtual machine: Debian 12's kernel, and a processor that qemu plays (so that it needs neither KVM nor
the features of this one). The guest has the same programs at the same paths as here, as far as tests need them.

vm.py --cache DIR -- COMMAND ARGUMENTS...     one command
vm.py --cache DIR --build DIR --ctest REGEX   the tests of a build folder with such names

Ends with 0 if all ended with 0 (or with 77, skipped, when they are chosen by --ctest)."""

import argparse
import glob
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# In qemu before 9.1 a program's iretq, with which threads go home from a killed dump (freeze/runner.S), reads its stack
# as the kernel would, which SMAP forbids.
PROCESSOR = "max,-smap"
KERNEL_PACKAGE = "linux-image-cloud-amd64"
MODULES = ("virtio_pci", "virtio_blk", "unix_diag", "tcp_diag", "udp_diag")
PROGRAMS = ("sh awk bash cat chmod chown cmp cp cut date dd diff dirname basename env expr false find getcap grep gzip head hostname "
            "id ip kill ldd ln ls mkdir mkfifo mknod mktemp mount mv nohup nproc nsenter od perl pgrep pidof pkill prlimit ps pwd "
            "readlink realpath rm rmdir script sed seq setpriv setsid sha256sum sleep sort stat stty sync tail taskset tee "
            "timeout touch tr true truncate tty umount uname uniq unshare wc xargs xz yes").split()
FAILED, SKIPPED = 1, 77
SLOWER = 3  # so much more time do tests get than here


class Machine:
    """`folder`: for its disk and initramfs."""

    def __init__(self, cache, folder):
        self.cache = cache
        self.folder = folder
        self.root = f"{folder}/root"
        self.added = set()
        self.commands = 0

    def kernel(self):
        """The unpacked kernel package: fetched once, never installed."""
        found = glob.glob(f"{self.cache}/kernel/boot/vmlinuz-*")
        if found:
            return found[0]
        depends = run(["apt-cache", "depends", KERNEL_PACKAGE])
        package = re.search(r"linux-image-\d\S*", depends)
        if not package:
            sys.exit(f"vm: apt knows no {KERNEL_PACKAGE}; run apt-get update")
        with tempfile.TemporaryDirectory(dir=self.cache) as folder:
            run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package[0]], cwd=folder)
            run(["dpkg-deb", "-x", glob.glob(f"{folder}/*.deb")[0], f"{folder}/kernel"])
            os.rename(f"{folder}/kernel", f"{self.cache}/kernel")
        return glob.glob(f"{self.cache}/kernel/boot/vmlinuz-*")[0]

    def modules(self, names):
        """Their contents, each after those that it needs."""
        found = {}
        for name in names:
            paths = glob.glob(f"{self.cache}/kernel/lib/modules/**/{name}.ko", recursive=True)
            if not paths:
                sys.exit(f"vm: the kernel has no module {name}")
            content = read(paths[0])
            needed = re.search(rb"\0depends=([^\0]*)\0", content)[1].decode()
            found |= self.modules(filter(None, needed.split(",")))
            found[name] = content
        return found

    def add(self, path):
        """A file with the libraries that it needs, or a folder of files that need none but those."""
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        if path in self.added:
            return
        self.added.add(path)
        target = self.root + path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.islink(path):
            os.symlink(os.readlink(path), target)
            self.add(os.path.join(os.path.dirname(path), os.readlink(path)))
        elif os.path.isdir(path):
            shutil.copytree(path, target, symlinks=True, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("__pycache__", "dist-packages", "test"))
            for library in glob.glob(f"{path}/**/*.so", recursive=True):
                self.add_libraries(library)
        else:
            shutil.copy2(path, target)
            self.add_libraries(path)

    def add_libraries(self, path):
        listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+) \(0x", listed):
            self.add(library)

    def add_command(self, name, words, limit_s, folder="/"):
        for word in words:
            if word.startswith("/") and os.path.isfile(word):
                self.add(word)
        self.commands += 1
        with open(f"{self.root}/commands/{self.commands:04}", "w", encoding="utf-8") as file:
            file.write(f"# {name}\ncd {shlex.quote(folder)} 2>/dev/null || cd /\n")
            file.write(f"exec timeout -k 5 {limit_s} {shlex.join(words)}\n")

    def make_root(self):
        for folder in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "proc", "sys", "dev", "run", "tmp", "mnt",
                       "root", "commands", "usr/share", "var/tmp"):
            os.makedirs(f"{self.root}/{folder}")
        for folder in ("tmp", "var/tmp"):
            os.chmod(f"{self.root}/{folder}", 0o1777)
        for name in ("bin", "sbin", "lib", "lib64"):
            os.symlink(f"usr/{name}", f"{self.root}/{name}")
        for name in ("passwd", "group", "nsswitch.conf", "hostname", "hosts"):
            shutil.copy2(f"/etc/{name}", f"{self.root}/etc/{name}")
        shutil.copy2(f"{HERE}/guest.sh", f"{self.root}/guest.sh")
        for program in PROGRAMS:
            path = shutil.which(program)
            if path:
                self.add(path)
        # The system's, whichever runs this.
        self.add("/usr/bin/python3")
        self.add(run(["/usr/bin/python3", "-c", "import os; print(os.path.dirname(os.__file__))"]).strip())
        for scripts in glob.glob(f"{os.path.dirname(HERE)}/tracees/*.[sp][hy]"):
            self.add(scripts)

    def make_disk(self):
        disk = f"{self.folder}/disk"
        run(["/usr/sbin/mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", self.root, disk, "1G"])
        return disk

    def make_initramfs(self, init):
        path = f"{self.folder}/initramfs"
        with open(path, "wb") as file:
            archive = Archive(file)
            for folder in ("dev", "disk", "modules"):
                archive.add(folder, 0o40755)
            # Messages of a failing init.
            archive.add("dev/console", 0o20600, device=(5, 1))
            archive.add("init", 0o100755, read(init))
            for number, (name, content) in enumerate(self.modules(MODULES).items()):
                archive.add(f"modules/{number:02}-{name}", 0o100644, content)
            archive.end()
        return path

    def boot(self, init, disk, processor, limit_s):
        """Passes its console on; gives the codes of the commands, by name."""
        command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", processor, "-smp", "2", "-m", "2048", "-nodefaults",
                   "-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", self.kernel(),
                   "-initrd", self.make_initramfs(init), "-append", "console=ttyS0 quiet panic=-1",
                   "-drive", f"file={disk},if=virtio,format=raw,cache=unsafe"]
        codes = {}
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                              errors="replace", start_new_session=True) as qemu:
            signal.signal(signal.SIGALRM, lambda *_: qemu.kill())
            signal.signal(signal.SIGTERM, lambda *_: (qemu.kill(), sys.exit("vm: ended by a signal")))
            signal.alarm(limit_s)
            for line in qemu.stdout:
                line = line.rstrip()
                print(line, flush=True)
                result = re.search(r"vm: (\S.*): code (\d+), \d+ s$", line)
                if result:
                    codes[result[1]] = int(result[2])
        return codes


class Archive:
    """cpio, "newc" (Documentation/driver-api/early-userspace/buffer-format.rst)."""

    def __init__(self, file):
        self.file = file
        self.entries = 0

    def add(self, name, mode, content=b"", device=(0, 0)):
        self.entries += 1
        numbers = [self.entries, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name) + 1, 0]
        self.put(b"070701" + "".join(f"{number:08x}" for number in numbers).encode() + name.encode() + b"\0")
        self.put(content)

    def put(self, data):
        self.file.write(data + b"\0" * (-len(data) % 4))

    def end(self):
        self.add("TRAILER!!!", 0)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"vm: {shlex.join(command)} failed: {done.stdout}")
    return done.stdout


def list_tests(build, pattern):
    listed = json.loads(run(["ctest", "--test-dir", build, "--show-only=json-v1", "-R", pattern]))
    for test in listed["tests"]:
        properties = {p["name"]: p["value"] for p in test["properties"]}
        command = ["/usr/bin/python3" if word.endswith("/python3") else word for word in test["command"]]
        yield test["name"], command, int(SLOWER * properties.get("TIMEOUT", 120)), properties.get("WORKING_DIRECTORY", "/")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--cache", required=True, help="folder for the kernel and the machine's disk")
parser.add_argument("--init", required=True, help="init.c, linked statically")
parser.add_argument("--build")
parser.add_argument("--then-without", metavar="FEATURE", help="the same again, with the same disk, on a processor that lacks it")
parser.add_argument("--ctest", metavar="REGEX")
parser.add_argument("--limit", type=int, default=540, metavar="SECONDS", help="for the whole machine (540)")
parser.add_argument("command", nargs="*")
options = parser.parse_args()
if not shutil.which("qemu-system-x86_64"):
    sys.exit("vm: qemu-system-x86_64 is missing; see machine_packages in examples/install-packages.sh")
os.makedirs(options.cache, exist_ok=True)
began = time.monotonic()
names = []
with tempfile.TemporaryDirectory(dir=options.cache) as folder:
    machine = Machine(os.path.abspath(options.cache), os.path.abspath(folder))
    machine.make_root()
    if options.ctest:
        for name, command, limit_s, start_in in list_tests(options.build, options.ctest):
            names.append(name)
            machine.add_command(name, command, limit_s, start_in)
    else:
        names.append(os.path.basename(options.command[0]))
        machine.add_command(names[0], options.command, options.limit)
    disk = machine.make_disk()
    codes = machine.boot(options.init, disk, PROCESSOR, options.limit)
    if options.then_without:
        print(f"vm: now without {options.then_without}")
        again = machine.boot(options.init, disk, f"{PROCESSOR},-{options.then_without}", options.limit)
        codes = {name: codes[name] or again.get(name, FAILED) for name in codes}
accepted = (0, SKIPPED) if options.ctest else (0,)
failed = [name for name in names if codes.get(name, -1) not in accepted]
skipped = [name for name in names if codes.get(name) == SKIPPED]
print(f"vm: {len(names) - len(failed) - len(skipped)} of {len(names)} passed, {time.monotonic() - began:.0f} s")
for name in skipped:
    print(f"vm: skipped {name}")
for name in failed:
    print(f"vm: FAILED {name}" + ("" if name in codes else " (did not end)"))
sys.exit(FAILED if failed or not names else 0)
