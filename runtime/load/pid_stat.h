// Parsers of the per-process files of /proc that load is measured from: text in, values out.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

// /proc/PID/stat or /proc/PID/task/TID/stat, the fields that load needs; times in clock ticks.
struct PidStat {
  pid_t pid = 0;
  std::string name;
  char state = '?';
  pid_t parent = 0;
  std::uint64_t user_ticks = 0, system_ticks = 0;  // of the whole thread group (PID), or of the thread (TID)
  std::uint64_t children_user_ticks = 0, children_system_ticks = 0;  // children that ended and were waited for
  std::uint64_t threads = 0;
  std::uint64_t start_ticks = 0;  // since boot
  std::uint64_t resident_pages = 0;
  std::uint64_t total_ticks() const { return user_ticks + system_ticks + children_user_ticks + children_system_ticks; }
};
// The name may hold blanks, parentheses and newlines: the last ')' ends it. Empty for text that is no such file.
std::optional<PidStat> parse_pid_stat(std::string_view text);

// /proc/PID/task/TID/schedstat: time on a CPU and time waiting for one, in ns. Empty where the kernel has none.
struct ThreadSchedule {
  std::uint64_t running_ns = 0, waiting_ns = 0;
};
std::optional<ThreadSchedule> parse_thread_schedule(std::string_view text);

}  // namespace drover
