#!/usr/bin/env bash
# Installs what is missing, builds the release preset and runs every test; arguments go to ctest (-R NAME, -V, ...).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=../examples/install-packages.sh
. "$root/examples/install-packages.sh"
# shellcheck disable=SC2154 # from there
install_packages "${machine_packages[@]}"
build_release "$root"
cd "$root"
# What an ordinary user's programs can't have or get back is shown, not only left out.
echo "Rows of state that differ between root and an ordinary user, and why:"
ctest --preset release -R '^tracee\.privileged\.' -V 2>/dev/null | sed -n 's/^.*\(root only: .*\)/  \1/p' | sort | uniq
exec ctest --preset release --output-on-failure --parallel 2 "$@"
