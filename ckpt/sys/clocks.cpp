#include "ckpt/sys/clocks.h"

#include <time.h>

#include "ckpt/sys/text.h"

namespace drover {

TimeOffsets parse_timens_offsets(std::string_view text) {
  TimeOffsets offsets;
  for (std::string_view line; next_line(text, line);) {
    const auto clock = next_word(line);
    const auto seconds = to_signed(next_word(line)).value_or(0), nanoseconds = to_signed(next_word(line)).value_or(0);
    const std::int64_t total = seconds * 1'000'000'000 + nanoseconds;
    if (clock == "monotonic" || clock == "1") offsets.monotonic_ns = total;
    if (clock == "boottime" || clock == "7") offsets.boottime_ns = total;
  }
  return offsets;
}

TimeOffsets read_timens_offsets(pid_t pid) {
  const auto text = try_read_text(proc_path(pid, "timens_offsets"));
  return text ? parse_timens_offsets(*text) : TimeOffsets{};
}

std::int64_t clock_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

const std::string& read_boot_id() {
  static const std::string boot_id = [] {
    auto id = try_read_text("/proc/sys/kernel/random/boot_id").value_or("");
    if (!id.empty() && id.back() == '\n') id.pop_back();
    return id;
  }();
  return boot_id;
}

bool is_this_boot(const std::string& boot_id) { return !boot_id.empty() && boot_id == read_boot_id(); }

HostClocks read_host_clocks() {
  // timens_offsets shows the namespace of one's children; after unshare(CLONE_NEWTIME) that is not one's own. Ask
  // before.
  static const TimeOffsets own = parse_timens_offsets(try_read_text("/proc/self/timens_offsets").value_or(""));
  return {clock_ns(CLOCK_MONOTONIC) - own.monotonic_ns, clock_ns(CLOCK_BOOTTIME) - own.boottime_ns,
          clock_ns(CLOCK_REALTIME)};
}

}  // namespace drover
