// What a timerfd has come to while its program was frozen: as if it had been running all the time.
#pragma once

#include <cstdint>

namespace drover {

struct TimerfdProgress {
  std::int64_t value_ns = 0;  // until the next expiration, 0: disarmed
  std::uint64_t ticks = 0;    // expirations not yet read
};

// All arguments are at least 0; `then` is of the moment of freezing, `passed_ns` later is now.
constexpr TimerfdProgress timerfd_after(TimerfdProgress then, std::int64_t interval_ns, std::int64_t passed_ns) {
  if (then.value_ns == 0) return then;
  if (then.value_ns > passed_ns) return {then.value_ns - passed_ns, then.ticks};
  if (interval_ns == 0) return {0, then.ticks + 1};
  const std::int64_t late_ns = passed_ns - then.value_ns;
  return {interval_ns - late_ns % interval_ns, then.ticks + 1 + static_cast<std::uint64_t>(late_ns / interval_ns)};
}

}  // namespace drover
