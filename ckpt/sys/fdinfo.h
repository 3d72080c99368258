// What /proc/PID/fdinfo/FD tells about an open file description (proc_pid_fdinfo(5)).
#pragma once

#include <sys/types.h>

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

enum class LockKind { Flock, Posix, OpenFile, Lease };

struct FileLock {  // one "lock:" line; proc_locks(5)
  LockKind kind = LockKind::Flock;
  bool write = false;
  pid_t owner = 0;                     // of a POSIX lock
  std::int64_t start = 0, length = 0;  // 0: to the end
};

struct InotifyWatch {  // one "inotify" line
  int descriptor = 0;
  std::uint32_t mask = 0;
  std::uint64_t inode = 0;
  std::uint32_t device = 0;  // major << 20 | minor
};

struct FdInfo {
  std::int64_t position = 0;
  int flags = 0;                // O_*, with O_CLOEXEC of the descriptor
  std::vector<FileLock> locks;  // held by the process or the open file description
  std::optional<std::uint64_t> eventfd_count;
  bool eventfd_semaphore = false;
  std::vector<EpollTarget> epoll_targets;
  std::vector<InotifyWatch> watches;
  std::optional<pid_t> pidfd_target;         // -1: gone
  std::optional<std::uint64_t> signal_mask;  // of a signalfd
  std::uint64_t rights_in_flight = 0;        // descriptors in the queue of a unix socket
  // timerfd:
  int clock_id = -1;
  int timer_settime_flags = 0;
  std::uint64_t timer_ticks = 0;
  std::int64_t timer_value_ns = 0, timer_interval_ns = 0;
};

FdInfo parse_fdinfo(std::string_view text);

}  // namespace drover
