#include "runtime/control/clock.h"

#include <ctime>

namespace drover {

static std::uint64_t read_clock(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000ULL + static_cast<std::uint64_t>(now.tv_nsec);
}

std::uint64_t realtime_ns() { return read_clock(CLOCK_REALTIME); }
std::uint64_t monotonic_ns() { return read_clock(CLOCK_MONOTONIC); }

}  // namespace drover
