# shellcheck shell=bash
# Sourced by the scripts here: install_packages NAME... installs the Debian packages that are missing, and asks for rights only then.
# In CI (or without a terminal) there is never a prompt: it fails with the command to run.

build_packages=(
  g++ cmake ninja-build pkg-config git
  libopenmpi-dev openmpi-bin libboost-serialization-dev
  libfmt-dev libspdlog-dev nlohmann-json3-dev libcli11-dev libhwloc-dev libncurses-dev libedit-dev libxxhash-dev liblz4-dev
  libgtest-dev python3 scdoc)
test_packages=(iproute2 util-linux procps openssh-client openssh-server nftables
  zsh bash-completion man-db groff mandoc dpkg-dev file tmux vim
  slurmctld slurmd slurm-client munge
  make perl mawk sed xz-utils sqlite3 redis-tools stress-ng)
# shellcheck disable=SC2034 # used by those who source this
machine_packages=(qemu-system-x86 e2fsprogs)
# shellcheck disable=SC2034 # used by those who source this
quickstart_packages=(xz-utils gzip bzip2 perl mawk coreutils)

is_installed() { dpkg-query -W -f '${Status}\n' "$1" 2>/dev/null | grep -q 'ok installed'; }
# For the test of the module file. Lmod does as well, and would be removed for it.
is_installed lmod || test_packages+=(environment-modules)

install_packages() {
  local missing=() package as_root=()
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "Installing: ${missing[*]}"
  if [ "$(id -u)" != 0 ]; then
    as_root=(sudo)
    if [ -n "${CI:-}" ] || ! [ -t 0 ]; then as_root=(sudo -n); fi
  fi
  # Through env: sudo passes no environment on, and a package that asks would hold everything up.
  if ! { "${as_root[@]}" apt-get -qq update && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
      -o Dpkg::Use-Pty=0 install --no-install-recommends "${missing[@]}" >/dev/null; }; then
    echo "Packages are missing; run as root: apt-get install ${missing[*]}" >&2
    return 1
  fi
}

# Builds the release preset below the checkout $1; quiet unless it fails.
build_release() {
  local root=$1 cache=()
  if command -v ccache >/dev/null; then cache=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  install_packages "${build_packages[@]}" "${test_packages[@]}"
  (cd "$root" && cmake --preset release "${cache[@]}" >/dev/null && cmake --build --preset release -j "$(nproc)")
}
