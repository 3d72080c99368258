// A blank process: one thread, zeroed memory to work in, held before its first instruction, with the capabilities of
// the restorer.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace drover {

struct BlankRequest {
  pid_t pid = 0;
  // What it has, readable, writable and executable, besides the page before it, its stack and the vdso.
  std::uint64_t memory = 0;
  std::size_t memory_bytes = 0;
  bool child_of_parent = false;
  std::vector<int> inherit;  // descriptors of the caller that the process shall have
  int first_fd = 0;          // from here on, in that order; nothing else is open
};

// The process is seized with PTRACE_O_EXITKILL and stopped. Throws SystemError; then there is no process.
void make_blank(const BlankRequest&);

inline constexpr unsigned kTraceOptions = 0x1 | 0x2 | 0x8 | 0x10 | 0x00100000;  // SYSGOOD, FORK, CLONE, EXEC, EXITKILL

}  // namespace drover
