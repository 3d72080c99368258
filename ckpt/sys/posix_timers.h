// The POSIX timers of a process, from /proc/PID/timers (proc_pid_timers(5)).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace drover {

struct PosixTimerEntry {
  int id = 0;
  int signal = 0;
  std::uint64_t value = 0;  // sigev_value
  int notify = 0;           // SIGEV_SIGNAL, SIGEV_NONE or SIGEV_THREAD_ID
  pid_t target = 0;         // the process, or the thread with SIGEV_THREAD_ID
  int clock_id = 0;
};

std::vector<PosixTimerEntry> parse_posix_timers(std::string_view text);

}  // namespace drover
