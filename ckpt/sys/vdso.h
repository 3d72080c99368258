// The vdso (vdso(7)): a small shared object that the kernel puts into every process, so that asking for the time needs
// no system call. Its code and the data that it reads belong to one kernel on one kind of processor.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ckpt/sys/maps.h"

namespace drover {

// Where it lies in a process; 0 bytes: nowhere. Not what execve() has told the program (AT_SYSINFO_EHDR): that may be
// the vdso of a kernel that it ran on before.
struct VdsoRange {
  std::uint64_t start = 0, bytes = 0;
};
VdsoRange find_vdso(pid_t);
VdsoRange find_vdso(std::span<const Mapping> areas);

struct VdsoFunction {
  std::string name;
  std::uint64_t offset = 0;  // from the beginning of the vdso
};

// The functions that it exports, ascending by offset, each name of several. Empty if the bytes are no sound vdso.
std::vector<VdsoFunction> vdso_functions(std::span<const std::byte> vdso);

// The code of our own, read once.
const std::vector<std::byte>& own_vdso();

// How many bytes of the beginning of each function redirect_vdso() may overwrite.
inline constexpr std::size_t kRedirectionBytes = 14;

// `old` as it lay in a program that has found its functions already, with jumps at the beginning of each to its
// counterpart in `live`, which lies at `live_address`; functions that `live` lacks become system calls. Empty if that
// can't be done.
std::vector<std::byte> redirect_vdso(std::span<const std::byte> old, std::span<const std::byte> live,
                                     std::uint64_t live_address);

}  // namespace drover
