// /proc/sysvipc/{shm,sem,msg} (sysvipc(7)): which objects the reader's IPC namespace has.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace drover {

struct SysvEntry {
  std::int32_t key = 0, id = 0;
  std::uint64_t swap_bytes = 0;  // of a segment
};

// The first line names the columns, of which the first two are key and id. Throws std::invalid_argument naming a line
// that it can't read.
std::vector<SysvEntry> parse_sysvipc(std::string_view text);

}  // namespace drover
