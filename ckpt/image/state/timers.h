// Interval timers and POSIX timers of a process. All values are what was left at the moment of freezing.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace drover {

struct IntervalTimer {
  std::int64_t value_us = 0, interval_us = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& value_us& interval_us;
  }
};

struct PosixTimer {
  std::int32_t id = 0, clock_id = 0, signal = 0, notify = 0, target = 0;
  std::uint64_t value = 0;  // sigev_value
  std::int64_t value_ns = 0, interval_ns = 0;
  std::int32_t overrun = 0;
  template <class A>
  void serialize(A& a, unsigned) {
    a& id& clock_id& signal& notify& target& value& value_ns& interval_ns& overrun;
  }
};

struct TimersState {
  std::int32_t process = 0;
  std::array<IntervalTimer, 3> interval_timers;  // ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF
  std::vector<PosixTimer> posix_timers;
  template <class A>
  void serialize(A& a, unsigned) {
    a& process& interval_timers& posix_timers;
  }
};

}  // namespace drover
