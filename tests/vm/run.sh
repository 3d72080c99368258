#!/bin/sh
# Runs the ordinary tests of a build folder in the virtual machine, those of programs that are moved as a rule:
# run.sh BUILD-FOLDER [REGEX]. Takes an hour or so. Without ckpt.tool, whose programs end before they are dumped here.
build=$(cd "$1" && pwd) || exit 1
here=$(dirname "$0")
exec python3 "$here/vm.py" --cache "$build/tests/vm/machine" --init "$build/tests/vm/vm_init" --limit 7200 \
  --build "$build" --ctest "${2:-^tracee[.]|^ckpt[.](few|terminal)}"
