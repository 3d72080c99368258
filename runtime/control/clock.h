// The two clocks of the runtime, in nanoseconds.
#pragma once

#include <cstdint>

namespace drover {

std::uint64_t realtime_ns();   // CLOCK_REALTIME: what is logged and what crosses hosts
std::uint64_t monotonic_ns();  // CLOCK_MONOTONIC: deadlines and durations on this host

}  // namespace drover
