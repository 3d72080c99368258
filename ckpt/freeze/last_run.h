// When a sleeping thread last ran, which is when it fell asleep: the kernel does not tell how much of poll's or
// nanosleep's time is left, but se.exec_start of /proc/PID/task/TID/sched tells when the thread was last put on a CPU
// or last ticked there. That clock is the CPU's own (rq_clock_task), so it is compared with CLOCK_MONOTONIC on that
// CPU. Measured error: 0.04 to 25 ms late, never early.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace drover {

struct SchedDetail {
  std::int64_t exec_start_ns = 0;
  std::uint64_t switches = 0;
};
// From the text of /proc/PID/sched. Empty if it does not tell (no CONFIG_SCHED_DEBUG).
std::optional<SchedDetail> parse_sched(std::string_view text);

struct LastRun {
  pid_t process = 0, tid = 0;
  int cpu = 0;
  SchedDetail sched;
  std::string wait_channel;  // the kernel's function that it sleeps in, asked for when its call shows restart_syscall

  // On CLOCK_MONOTONIC of the caller. Empty when the thread has run since, or clocks can't be compared.
  // Moves the calling thread to that CPU for some microseconds.
  std::optional<std::int64_t> slept_since_ns() const;
};

// Taken just before a thread is stopped, and only worth its time for a thread that sleeps in a call with a relative
// timeout: empty for all others.
std::optional<LastRun> observe_sleeper(pid_t process, pid_t tid);

}  // namespace drover
