#!/usr/bin/env bash
# Installs what is missing, builds the release preset and runs every test; arguments go to ctest (-R NAME, -V, ...).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=../examples/install-packages.sh
. "$root/examples/install-packages.sh"
build_release "$root"
cd "$root"
exec ctest --preset release --output-on-failure "$@"
