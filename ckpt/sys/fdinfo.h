// What /proc/PID/fdinfo/FD tells about an open file description (proc_pid_fdinfo(5)).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace drover {

struct EpollTarget {  // one "tfd:" line
  int fd = -1;
  std::uint32_t events = 0;
  std::uint64_t data = 0;
  std::uint64_t inode = 0;
};

struct FdInfo {
  std::int64_t position = 0;
  int flags = 0;        // O_*, with O_CLOEXEC of the descriptor
  bool locked = false;  // a lock of any kind is held through it
  std::optional<std::uint64_t> eventfd_count;
  bool eventfd_semaphore = false;
  std::vector<EpollTarget> epoll_targets;
  std::optional<std::uint64_t> signal_mask;  // of a signalfd
  // timerfd:
  int clock_id = -1;
  int timer_settime_flags = 0;
  std::uint64_t timer_ticks = 0;
  std::int64_t timer_value_ns = 0, timer_interval_ns = 0;
};

FdInfo parse_fdinfo(std::string_view text);

}  // namespace drover
