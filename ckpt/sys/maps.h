// The areas of an address space, from /proc/PID/maps and /proc/PID/smaps (proc_pid_maps(5), proc_pid_smaps(5)).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

struct Mapping {
  std::uint64_t start = 0, end = 0;
  int prot = 0;         // PROT_*
  bool shared = false;  // MAP_SHARED
  std::uint64_t offset = 0;
  dev_t device = 0;
  ino_t inode = 0;
  std::string path;  // as printed: "", "/usr/bin/xz", "[heap]", "/dev/zero (deleted)"
  // From smaps only:
  std::string flags;  // "rd wr mr mw me ac sd"
  std::uint64_t swap_kib = 0;
  unsigned protection_key = 0;
  std::uint64_t page_kib = 0;  // KernelPageSize

  std::uint64_t bytes() const { return end - start; }
  bool has_flag(std::string_view flag) const { return flags.find(flag) != std::string::npos; }
};

// Both throw std::invalid_argument naming the line that they can't read.
std::vector<Mapping> parse_maps(std::string_view text);
std::vector<Mapping> parse_smaps(std::string_view text);

}  // namespace drover
