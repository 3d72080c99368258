#include "runtime/control/clock.h"

#include <cstdlib>
#include <ctime>

namespace drover {

static std::uint64_t read_clock(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000ULL + static_cast<std::uint64_t>(now.tv_nsec);
}

// Tests set a node's clock wrong, which the kernel can't do for one process.
static std::uint64_t test_skew_ns() {
  const char* const ms = std::getenv("DROVER_TEST_CLOCK_AHEAD_MS");
  return ms == nullptr ? 0 : static_cast<std::uint64_t>(std::atoll(ms)) * 1'000'000;
}

std::uint64_t realtime_ns() {
  static const std::uint64_t skew = test_skew_ns();
  return read_clock(CLOCK_REALTIME) + skew;
}
std::uint64_t monotonic_ns() { return read_clock(CLOCK_MONOTONIC); }

}  // namespace drover
