#!/usr/bin/env python3
"""Checks that includes point one way: sys <- image <- freeze <- dump, restore <- runtime; launcher -> ckpt/sys, runtime/config, control, load, policy, simulate.

usage: include_direction.py ROOT     exit 1 and one line per violation: FILE:LINE: LAYER may not include HEADER
       include_direction.py --self-test

The one thing to know: a layer is the longest folder in ALLOWED that a file lies in, and a file that lies in none is an error
too, so that a new folder can't escape the check.
"""
import pathlib
import re
import sys
import tempfile

CKPT = ["ckpt/sys", "ckpt/image", "ckpt/freeze", "ckpt/dump", "ckpt/restore"]
# What each layer may include besides itself.
ALLOWED = {
    "ckpt/sys": [],
    "ckpt/image": ["ckpt/sys"],
    "ckpt/freeze": ["ckpt/sys", "ckpt/image"],
    "ckpt/dump": ["ckpt/sys", "ckpt/image", "ckpt/freeze"],
    "ckpt/restore": ["ckpt/sys", "ckpt/image", "ckpt/freeze"],
    "ckpt": CKPT,  # drover-ckpt itself
    "runtime/load": ["ckpt/sys"],
    "runtime/control": ["ckpt/sys"],
    "runtime/policy": ["ckpt/sys", "runtime/load"],
    "runtime/simulate": ["ckpt/sys", "runtime/load", "runtime/policy"],
    "runtime/config": ["ckpt/sys", "runtime/control", "runtime/load", "runtime/policy"],
    "runtime": CKPT + ["runtime"],
    # The launcher calibrates (it measures this machine) and simulates: without a cluster and without MPI.
    "launcher": ["ckpt/sys", "runtime/config", "runtime/control", "runtime/load", "runtime/policy", "runtime/simulate"],
    "tests": CKPT + ["ckpt", "runtime", "launcher"],
}
NO_MPI = ["ckpt", "runtime/load", "runtime/control", "runtime/config", "runtime/policy", "runtime/simulate", "launcher"]
SOURCES = {".h", ".cpp", ".c", ".S"}
TOPS = ["ckpt", "runtime", "launcher", "tests"]
OURS = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
MPI = re.compile(r"^\s*#\s*include\s*<mpi(?:-ext)?\.h>")


def layer_of(path):
    parts = path.split("/")
    for length in range(len(parts) - 1, 0, -1):
        folder = "/".join(parts[:length])
        if folder in ALLOWED:
            return folder
    return None


def violations(root):
    root = pathlib.Path(root)
    for top in TOPS:
        for file in sorted((root / top).rglob("*")):
            if file.suffix not in SOURCES:
                continue
            name = file.relative_to(root).as_posix()
            layer = layer_of(name)
            if layer is None:
                yield f"{name}:1: belongs to no layer of tests/source/include_direction.py"
                continue
            for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
                if MPI.match(line) and any(name.startswith(folder + "/") for folder in NO_MPI):
                    yield f"{name}:{number}: {layer} may not include MPI"
                match = OURS.match(line)
                if not match or "/" not in match.group(1):
                    continue  # a header of the same folder, or a generated one
                header = match.group(1)
                target = layer_of(header)
                permitted = target == layer or any(target == a or header.startswith(a + "/") for a in ALLOWED[layer])
                if target is None or not permitted:
                    yield f"{name}:{number}: {layer} may not include {header}"


def self_test():
    cases = [  # file, line, is it a violation?
        ("ckpt/sys/a.h", '#include "ckpt/image/b.h"', True),
        ("ckpt/image/a.h", '#include "ckpt/sys/b.h"', False),
        ("ckpt/freeze/a.cpp", '#  include "ckpt/dump/b.h"', True),
        ("ckpt/dump/a.cpp", '#include "ckpt/restore/b.h"', True),
        ("ckpt/restore/a.cpp", '#include "ckpt/freeze/b.h"', False),
        ("ckpt/main.cpp", '#include "ckpt/restore/b.h"', False),
        ("ckpt/main.cpp", '#include "runtime/load/b.h"', True),
        ("ckpt/dump/a.cpp", "#include <mpi.h>", True),
        ("runtime/node/a.cpp", "#include <mpi.h>", False),
        ("runtime/node/a.cpp", '#include "ckpt/restore/b.h"', False),
        ("runtime/node/a.cpp", '#include "launcher/b.h"', True),
        ("runtime/policy/a.cpp", '#include "runtime/exchange/b.h"', True),
        ("runtime/policy/a.cpp", "#include <mpi.h>", True),
        ("launcher/a.cpp", '#include "runtime/control/b.h"', False),
        ("launcher/a.cpp", '#include "runtime/load/calibration/b.h"', False),
        ("launcher/a.cpp", '#include "runtime/policy/b.h"', False),
        ("launcher/a.cpp", '#include "runtime/simulate/b.h"', False),
        ("launcher/a.cpp", '#include "runtime/migrate/b.h"', True),
        ("launcher/a.cpp", '#include "ckpt/image/b.h"', True),
        ("launcher/a.cpp", '#include "nowhere/b.h"', True),
        ("launcher/a.cpp", '// #include "ckpt/image/b.h"', False),
    ]
    for file, line, wrong in cases:
        with tempfile.TemporaryDirectory() as root:
            path = pathlib.Path(root, file)
            path.parent.mkdir(parents=True)
            path.write_text(line + "\n")
            found = list(violations(root))
            if bool(found) != wrong:
                print(f"self-test: {file} with {line!r}: expected {'a violation' if wrong else 'none'}, found {found}")
                return 1
    print(f"self-test: {len(cases)} cases")
    return 0


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    if sys.argv[1] == "--self-test":
        return self_test()
    found = list(violations(sys.argv[1]))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
