// The clocks as a process in a given time namespace sees them, and as the host does.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace drover {

// time_namespaces(7): what a namespace adds to the host's clocks.
struct TimeOffsets {
  std::int64_t monotonic_ns = 0, boottime_ns = 0;
};
TimeOffsets parse_timens_offsets(std::string_view text);
TimeOffsets read_timens_offsets(pid_t pid);  // all zero where the kernel has no time namespaces

std::int64_t clock_ns(clockid_t);
const std::string& read_boot_id();
bool is_this_boot(const std::string& boot_id);  // of this machine, since it was started: its kernel and processor

// The host's own clocks, whatever time namespace the caller is in.
struct HostClocks {
  std::int64_t monotonic_ns = 0, boottime_ns = 0, realtime_ns = 0;
};
HostClocks read_host_clocks();

}  // namespace drover
